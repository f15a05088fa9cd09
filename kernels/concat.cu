// One part: rows of WIDTH into columns START .. of rows of TOTAL.

KERNEL(concat) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i < COUNT) store_y(i / WIDTH * TOTAL + START + i % WIDTH, load_x(i));
}
