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
    const u32 i = group_index() * THREADS + thread_index();
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
    const u32 i = group_index() * THREADS + thread_index();
    if (i < COUNT) {
        store_bits(i, i32(spell(bits_of(load_keys(i)), INTEGER != 0u)));
        store_order(i, i32(i));
    }
}

// entry: rows_of
KERNEL(rows_of) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i < COUNT) {
        store_bits(i, i32(u32(load_order(i)) / N));
    }
}

// entry: positions
KERNEL(positions) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i < COUNT) {
        store_y(i, FLAT != 0u ? load_order(i) : i32(u32(load_order(i)) % N));
    }
}
