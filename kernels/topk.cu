// The first few positions of a row in the order of its keys, one after the other. Keys are spelt as unsigned
// numbers that sort as they do: the sign of an integer flipped, all bits of a negative float.

static constexpr u32 NOWHERE = 0xffffffffu;

WORD u32 bits_of(f32 key) { return to_bits(key); }
WORD u32 bits_of(i32 key) { return u32(key); }

WORD u32 spell(u32 bits) {
    const bool negative = (bits >> 31u) != 0u && INTEGER == 0u;
    const u32 rising = bits ^ (negative ? 0xffffffffu : 0x80000000u);
    return LARGEST != 0u ? ~rising : rising;
}

WORD bool is_before(u32 key, u32 place, u32 other_key, u32 other_place) {
    return key < other_key || (key == other_key && place < other_place);
}

KERNEL(pick) {
    __shared__ u32 best_keys[THREADS];
    __shared__ u32 best_places[THREADS];
    const u32 thread = thread_index();
    const u32 row = group_index();
    if (row >= GROUPS) {
        return;
    }
    u32 last_key = 0u;
    u32 last_place = NOWHERE;
    for (u32 count = 0u; count < PICKS; count++) {
        u32 key = NOWHERE;
        u32 place = NOWHERE;
        for (u32 j = thread; j < N; j += THREADS) {
            const u32 candidate = spell(bits_of(load_keys(row * N + j)));
            const bool is_open = count == 0u || is_before(last_key, last_place, candidate, j);
            if (is_open && is_before(candidate, j, key, place)) {
                key = candidate;
                place = j;
            }
        }
        best_keys[thread] = key;
        best_places[thread] = place;
        __syncthreads();
        for (u32 reach = THREADS / 2u; reach > 0u; reach /= 2u) {
            if (thread < reach) {
                const u32 other = thread + reach;
                if (is_before(best_keys[other], best_places[other], best_keys[thread], best_places[thread])) {
                    best_keys[thread] = best_keys[other];
                    best_places[thread] = best_places[other];
                }
            }
            __syncthreads();
        }
        last_key = best_keys[0];
        last_place = best_places[0];
        if (thread == 0u) {
            store_y(row * PICKS + count, i32(last_place + (FLAT != 0u ? row * N : 0u)));
        }
        __syncthreads();
    }
}
