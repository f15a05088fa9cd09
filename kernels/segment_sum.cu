// Sums of the rows of each segment, in their order.

// entry: keys
// What is outside all segments goes behind the last.
KERNEL(keys) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const i32 segment = load_index(i);
    const bool inside = segment >= 0 && u32(segment) < SEGMENTS;
    store_keys(i, inside ? segment : i32(SEGMENTS));
    store_rows(i, i32(i));
}

// entry: sum
/// The first place whose key is not below this one.
WORD u32 place_of(i32 key) {
    u32 low = 0, high = ROWS;
    while (low < high) {
        const u32 middle = (low + high) / 2;
        if (load_keys(middle) < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

KERNEL(sum) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const i32 segment = i32(i / WIDTH);
    const u32 end = place_of(segment + 1);
    f32 total = 0.0f;
    for (u32 k = place_of(segment); k < end; k++) total += load_x(u32(load_rows(k)) * WIDTH + i % WIDTH);
    finish(i, total);
}
