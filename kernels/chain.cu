// A chain of its own: `finish` is the chain.

// entry: single
KERNEL(single) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i < COUNT) finish(i, 0.0f);
}
