// A chain of its own: `finish` is the chain.

// entry: single
KERNEL(single) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i < COUNT) finish(i, 0.0f);
}

// entry: windows
// One window of one set of buffers a group.
KERNEL(windows) {
    u32 i = open_window(group_index()) + thread_index();
    for (; i < window_end; i += THREADS) finish(i, 0.0f);
}
