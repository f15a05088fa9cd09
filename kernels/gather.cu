// Element i of row `index` of the table; an index outside gives zero.

KERNEL(gather) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const i32 row = load_index(i / WIDTH);
    f32 value = 0.0f;
    if (row >= 0 && u32(row) < ROWS) value = load_table(u32(row) * WIDTH + i % WIDTH);
    finish(i, value);
}
