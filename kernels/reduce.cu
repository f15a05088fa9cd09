// x [before, ALONG, AFTER] to y [before, PARTS, AFTER]: part p is elements p CHUNK .. of its axis.

static WORD f32 start() { return SUM ? 0.0f : -infinity(); }
static WORD f32 join(f32 a, f32 b) { return SUM ? a + b : max(a, b); }

// entry: columns
// One thread a result. Sums of 64 are added up, which keeps rounding errors from growing with the length.
KERNEL(columns) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const u32 row = i / AFTER;
    const u32 first = row % PARTS * CHUNK;
    const u32 end = first + CHUNK < ALONG ? first + CHUNK : ALONG;
    const u32 base = row / PARTS * ALONG * AFTER + i % AFTER;
    f32 total = start();
    for (u32 block = first; block < end; block += 64) {
        const u32 stop = block + 64 < end ? block + 64 : end;
        f32 part = start();
        for (u32 k = block; k < stop; k++) part = join(load_x(base + k * AFTER), part);
        total = join(part, total);
    }
    finish(i, total);
}

// entry: rows
// One group a result; AFTER is 1.
KERNEL(rows) {
    const u32 i = group_index();
    if (i >= COUNT) return;
    const u32 first = i % PARTS * CHUNK;
    const u32 end = first + CHUNK < ALONG ? first + CHUNK : ALONG;
    const u32 base = i / PARTS * ALONG;
    f32 total = start();
    for (u32 k = first + thread_index(); k < end; k += THREADS) total = join(load_x(base + k), total);
    total = join_group<THREADS>(total, [](f32 a, f32 b) { return join(a, b); });
    if (thread_index() == 0) finish(i, total);
}
