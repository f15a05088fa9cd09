// One group a row of LENGTH, shifted by its maximum.

KERNEL(softmax) {
    const u32 row = group_index(), thread = thread_index();
    if (row >= GROUPS) return;
    const u32 base = row * LENGTH;
    f32 top = -infinity();
    for (u32 k = thread; k < LENGTH; k += THREADS) top = max(load_x(base + k), top);
    const f32 highest = join_group<THREADS>(top, [](f32 a, f32 b) { return max(a, b); });
    f32 sum = 0.0f;
    for (u32 k = thread; k < LENGTH; k += THREADS) sum += exp(load_x(base + k) - highest);
    const f32 scale = 1.0f / join_group<THREADS>(sum, [](f32 a, f32 b) { return a + b; });
    for (u32 k = thread; k < LENGTH; k += THREADS) finish(base + k, exp(load_x(base + k) - highest) * scale);
}
