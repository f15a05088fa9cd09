// One group a row of LENGTH: mean, then the mean square of the distance from it.

KERNEL(norm) {
    const u32 row = group_index(), thread = thread_index();
    if (row >= GROUPS) return;
    const auto add = [](f32 a, f32 b) { return a + b; };
    const u32 base = row * LENGTH;
    f32 sum = 0.0f;
    for (u32 k = thread; k < LENGTH; k += THREADS) sum += load_x(base + k);
    const f32 mean = join_group<THREADS>(sum, add) / f32(LENGTH);
    f32 squares = 0.0f;
    for (u32 k = thread; k < LENGTH; k += THREADS) {
        const f32 distance = load_x(base + k) - mean;
        squares += distance * distance;
    }
    const f32 scale = 1.0f / sqrt(join_group<THREADS>(squares, add) / f32(LENGTH) + EPSILON);
    for (u32 k = thread; k < LENGTH; k += THREADS) finish(base + k, (load_x(base + k) - mean) * scale);
}
