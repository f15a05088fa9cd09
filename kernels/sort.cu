// Orders of keys. A key is spelt as an unsigned number that sorts as the key does: the sign of an integer
// flipped, all bits of a negative float.

WORD u32 bits_of(f32 key) { return to_bits(key); }
WORD u32 bits_of(i32 key) { return u32(key); }

WORD u32 spell(u32 bits, bool is_integer) {
    const bool negative = (bits >> 31u) != 0u && !is_integer;
    const u32 rising = bits ^ (negative ? 0xffffffffu : 0x80000000u);
    return DESCENDING != 0u ? ~rising : rising;
}

// entry: count_before
KERNEL(count_before) {
    const u32 thread = thread_index();
    const u32 i = group_index() * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    const u32 row = i / N * N;
    const u32 key = spell(bits_of(load_keys(i)), INTEGER != 0u);
    u32 place = 0u;
    for (u32 j = row; j < row + N; j++) {
        const u32 other = spell(bits_of(load_keys(j)), INTEGER != 0u);
        place += u32(other < key || (other == key && j < i));
    }
    store_y(row + place, i32(FLAT != 0u ? i : i - row));
}

// entry: spell_keys
KERNEL(spell_keys) {
    const u32 thread = thread_index();
    const u32 i = group_index() * THREADS + thread;
    if (i < COUNT) {
        store_bits(i, i32(spell(bits_of(load_keys(i)), INTEGER != 0u)));
        store_order(i, i32(i % N));
    }
}

// entry: count_digits move_keys
// The digit of a tile's key, one more than any where the row has ended.
WORD u32 digit_of(u32 row, u32 i) {
    if (i >= N) {
        return 256u;
    }
    return (u32(load_bits(row * N + i)) >> SHIFT) & 255u;
}

// entry: count_digits
// Thread d counts the keys of the tile with digit d.
KERNEL(count_digits) {
    __shared__ u32 digits[THREADS];
    const u32 thread = thread_index();
    const u32 at = group_index();
    if (at >= GROUPS) {
        return;
    }
    digits[thread] = digit_of(at / TILES, at % TILES * THREADS + thread);
    __syncthreads();
    u32 count = 0u;
    for (u32 i = 0u; i < THREADS; i++) {
        count += u32(digits[i] == thread);
    }
    store_starts((at / TILES * THREADS + thread) * TILES + at % TILES, i32(count));
}

// entry: add_up
// Thread d turns its digit's counts into where each tile's keys begin in the row.
KERNEL(add_up) {
    __shared__ u32 totals[THREADS];
    const u32 thread = thread_index();
    const u32 row = group_index();
    if (row >= GROUPS) {
        return;
    }
    const u32 first = (row * THREADS + thread) * TILES;
    u32 total = 0u;
    for (u32 tile = 0u; tile < TILES; tile++) {
        total += u32(load_starts(first + tile));
    }
    totals[thread] = total;
    __syncthreads();
    u32 start = 0u;
    for (u32 d = 0u; d < thread; d++) {
        start += totals[d];
    }
    for (u32 tile = 0u; tile < TILES; tile++) {
        const u32 count = u32(load_starts(first + tile));
        store_starts(first + tile, i32(start));
        start += count;
    }
}

// entry: move_keys
KERNEL(move_keys) {
    __shared__ u32 digits[THREADS];
    const u32 thread = thread_index();
    const u32 at = group_index();
    if (at >= GROUPS) {
        return;
    }
    const u32 row = at / TILES;
    const u32 i = at % TILES * THREADS + thread;
    const u32 digit = digit_of(row, i);
    digits[thread] = digit;
    __syncthreads();
    if (i >= N) {
        return;
    }
    u32 place = u32(load_starts((row * THREADS + digit) * TILES + at % TILES));
    for (u32 earlier = 0u; earlier < thread; earlier++) {
        place += u32(digits[earlier] == digit);
    }
    const u32 order = load_order(row * N + i);
    store_bits_to(row * N + place, load_bits(row * N + i));
    store_order_to(row * N + place, order + i32(FLAT != 0u && LAST != 0u ? row * N : 0u));
}
