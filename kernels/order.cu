// One digit of a radix sort: how often each of its 16 values stands in each run of RUN rows, where the first
// of each goes, and the rows moved there. `counts` is [16, RUNS].

static WORD u32 digit_of(i32 key) { return u32(key) >> SHIFT & 15; }

// entry: tally
KERNEL(tally) {
    const u32 run = group_index() * THREADS + thread_index();
    if (run >= RUNS) return;
    // A column of shared memory a thread: an array indexed by data would lie in slow local memory.
    __shared__ u32 found[16][THREADS];
    for (u32 d = 0; d < 16; d++) found[d][thread_index()] = 0;
    for (u32 k = run * RUN; k < (run + 1) * RUN && k < COUNT; k++) found[digit_of(load_keys(k))][thread_index()]++;
    for (u32 d = 0; d < 16; d++) store_counts(d * RUNS + run, i32(found[d][thread_index()]));
}

// entry: places
// Counts to the sum of all counts before them: each of one group's threads takes a stretch.
KERNEL(places) {
    __shared__ i32 sums[THREADS];
    const u32 thread = thread_index();
    const u32 all = 16 * RUNS;
    const u32 stretch = (all + THREADS - 1) / THREADS;
    const u32 first = thread * stretch;
    const u32 end = first + stretch < all ? first + stretch : all;
    i32 sum = 0;
    for (u32 k = first; k < end; k++) sum += load_counts(k);
    sums[thread] = sum;
    for (u32 reach = 1; reach < THREADS; reach *= 2) {
        __syncthreads();
        const i32 before = thread >= reach ? sums[thread - reach] : 0;
        __syncthreads();
        sums[thread] += before;
    }
    i32 next = sums[thread] - sum;
    for (u32 k = first; k < end; k++) {
        const i32 count = load_counts(k);
        store_counts(k, next);
        next += count;
    }
}

// entry: deal
KERNEL(deal) {
    const u32 run = group_index() * THREADS + thread_index();
    if (run >= RUNS) return;
    __shared__ u32 next[16][THREADS];
    for (u32 d = 0; d < 16; d++) next[d][thread_index()] = u32(load_counts(d * RUNS + run));
    for (u32 k = run * RUN; k < (run + 1) * RUN && k < COUNT; k++) {
        const i32 key = load_keys(k);
        const u32 to = next[digit_of(key)][thread_index()]++;
        store_sorted_keys(to, key);
        store_sorted_rows(to, load_rows(k));
    }
}
