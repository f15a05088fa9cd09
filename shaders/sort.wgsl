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
        store_order(i, i32(i));
    }
}

// entry: rows_of
@compute @workgroup_size(THREADS)
fn rows_of(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i < COUNT) {
        store_bits(i, i32(u32(load_order(i)) / N));
    }
}

// entry: positions
@compute @workgroup_size(THREADS)
fn positions(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i < COUNT) {
        store_y(i, select(i32(u32(load_order(i)) % N), load_order(i), FLAT != 0u));
    }
}
