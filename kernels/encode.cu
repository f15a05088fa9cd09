// Sines, then cosines, of each GROUP of a point's phases.

KERNEL(encode) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const u32 point = i / FREQUENCIES, j = i % FREQUENCIES;
    const u32 x = 3 * point, f = 3 * j;
    const f32 phase = load_x(x) * load_f(f) + load_x(x + 1) * load_f(f + 1) + load_x(x + 2) * load_f(f + 2);
    const u32 at = 2 * (point * FREQUENCIES + j / GROUP * GROUP) + j % GROUP;
    finish(at, sin(phase));
    finish(at + GROUP, cos(phase));
}
