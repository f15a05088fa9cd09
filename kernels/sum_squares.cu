// Sums of squares, one window of one input a group.

// entry: windows
KERNEL(windows) {
    f32 total = 0.0f;
    for (u32 i = open_window(group_index()) + thread_index(); i < window_end; i += THREADS) {
        const f32 x = load_x(i);
        total += x * x;
    }
    total = join_group<THREADS>(total, [](f32 a, f32 b) { return a + b; });
    if (thread_index() == 0) store_sums(window_number, total);
}
