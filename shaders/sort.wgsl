// Orders of keys. A key is spelt as an unsigned number that sorts as the key does: the sign of an integer
// flipped, all bits of a negative float.

fn spell(bits: u32, is_integer: bool) -> u32 {
    let negative = (bits >> 31u) != 0u && !is_integer;
    let rising = bits ^ select(0x80000000u, 0xffffffffu, negative);
    return select(rising, ~rising, DESCENDING != 0u);
}

// entry: count_before
@compute @workgroup_size(THREADS)
fn count_before(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let row = i / N * N;
    let key = spell(bitcast<u32>(load_keys(i)), INTEGER != 0u);
    var place = 0u;
    for (var j = row; j < row + N; j++) {
        let other = spell(bitcast<u32>(load_keys(j)), INTEGER != 0u);
        place += u32(other < key || (other == key && j < i));
    }
    store_y(row + place, i32(select(i - row, i, FLAT != 0u)));
}

// entry: spell_keys
@compute @workgroup_size(THREADS)
fn spell_keys(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i < COUNT) {
        store_bits(i, bitcast<i32>(spell(bitcast<u32>(load_keys(i)), INTEGER != 0u)));
        store_order(i, i32(i % N));
    }
}

// entry: count_digits move_keys
var<workgroup> digits: array<u32, THREADS>;

// The digit of a tile's key, one more than any where the row has ended.
fn digit_of(row: u32, i: u32) -> u32 {
    if (i >= N) {
        return 256u;
    }
    return (bitcast<u32>(load_bits(row * N + i)) >> SHIFT) & 255u;
}

// entry: count_digits
// Thread d counts the keys of the tile with digit d.
@compute @workgroup_size(THREADS)
fn count_digits(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let at = group_index(group);
    if (at >= GROUPS) {
        return;
    }
    digits[thread] = digit_of(at / TILES, at % TILES * THREADS + thread);
    workgroupBarrier();
    var count = 0u;
    for (var i = 0u; i < THREADS; i++) {
        count += u32(digits[i] == thread);
    }
    store_starts((at / TILES * THREADS + thread) * TILES + at % TILES, i32(count));
}

// entry: add_up
// Thread d turns its digit's counts into where each tile's keys begin in the row.
var<workgroup> totals: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn add_up(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group);
    if (row >= GROUPS) {
        return;
    }
    let first = (row * THREADS + thread) * TILES;
    var total = 0u;
    for (var tile = 0u; tile < TILES; tile++) {
        total += u32(load_starts(first + tile));
    }
    totals[thread] = total;
    workgroupBarrier();
    var start = 0u;
    for (var d = 0u; d < thread; d++) {
        start += totals[d];
    }
    for (var tile = 0u; tile < TILES; tile++) {
        let count = u32(load_starts(first + tile));
        store_starts(first + tile, i32(start));
        start += count;
    }
}

// entry: move_keys
@compute @workgroup_size(THREADS)
fn move_keys(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let at = group_index(group);
    if (at >= GROUPS) {
        return;
    }
    let row = at / TILES;
    let i = at % TILES * THREADS + thread;
    let digit = digit_of(row, i);
    digits[thread] = digit;
    workgroupBarrier();
    if (i >= N) {
        return;
    }
    var place = u32(load_starts((row * THREADS + digit) * TILES + at % TILES));
    for (var earlier = 0u; earlier < thread; earlier++) {
        place += u32(digits[earlier] == digit);
    }
    let order = load_order(row * N + i);
    store_bits_to(row * N + place, load_bits(row * N + i));
    store_order_to(row * N + place, order + i32(select(0u, row * N, FLAT != 0u && LAST != 0u)));
}
