// Running sums along lines.

// Where step i of a line stands.
WORD u32 element(u32 line, u32 i) {
    const u32 step = BACKWARD != 0u ? COUNT - 1u - i : i;
    return (line / AFTER * COUNT + step) * AFTER + line % AFTER;
}

// entry: by_thread
KERNEL(by_thread) {
    const u32 thread = thread_index();
    const u32 line = group_index() * THREADS + thread;
    if (line >= LINES) {
        return;
    }
    f32 sum = 0.0f;
    for (u32 i = 0u; i < COUNT; i++) {
        const u32 at = element(line, i);
        const f32 with_this = sum + load_x(at);
        finish(at, select(with_this, sum, EXCLUSIVE != 0u));
        sum = with_this;
    }
}

// entry: by_group
// A tile at a time; what came before is carried along.
KERNEL(by_group) {
    __shared__ f32 sums[THREADS];
    const u32 thread = thread_index();
    const u32 line = group_index();
    if (line >= LINES) {
        return;
    }
    f32 carried = 0.0f;
    for (u32 first = 0u; first < COUNT; first += THREADS) {
        const u32 i = first + thread;
        f32 sum = 0.0f;
        if (i < COUNT) {
            sum = load_x(element(line, i));
        }
        sums[thread] = sum;
        __syncthreads();
        for (u32 reach = 1u; reach < THREADS; reach *= 2u) {
            f32 left = 0.0f;
            if (thread >= reach) {
                left = sums[thread - reach];
            }
            __syncthreads();
            sum += left;
            sums[thread] = sum;
            __syncthreads();
        }
        f32 before = 0.0f;
        if (thread > 0u) {
            before = sums[thread - 1u];
        }
        if (i < COUNT) {
            finish(element(line, i), carried + select(sum, before, EXCLUSIVE != 0u));
        }
        carried += sums[THREADS - 1u];
        __syncthreads();
    }
}
