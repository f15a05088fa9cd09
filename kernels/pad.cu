// Position START + k STEP of the axis holds position k of the input, k < LENGTH; all others are zero.

KERNEL(pad) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const u32 row = i / AFTER;
    const i32 distance = i32(row % LEN) - START;
    const i32 k = distance / STEP;
    f32 value = 0.0f;
    if (k * STEP == distance && k >= 0 && k < i32(LENGTH)) {
        value = load_x((row / LEN * LENGTH + u32(k)) * AFTER + i % AFTER);
    }
    finish(i, value);
}
