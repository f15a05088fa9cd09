// Softmax attention with a running maximum, one thread a row: no score outlives the step it is needed in.

// The score of a key that is not there.
static constexpr f32 LOWEST = -3.0e38f;

WORD f32 score(f32 product, u32 member, u32 i, u32 j) {
    f32 s = SCALE * product;
    if (BIAS != 0u) {
        const u32 batch = member / HEADS % BIAS_BATCH;
        const u32 head = member % HEADS % BIAS_HEADS;
        s += load_bias(((batch * BIAS_HEADS + head) * BIAS_QUERIES + i % BIAS_QUERIES) * KEYS + j);
    }
    if (MASK != 0u) {
        if (load_mask(member / HEADS * KEYS + j) == 0.0f) {
            s = LOWEST;
        }
    }
    return max(s, LOWEST);
}

// entry: forward
KERNEL(forward) {
    const u32 row = group_index() * THREADS + thread_index();
    if (row >= COUNT) {
        return;
    }
    const u32 member = row / QUERIES;
    f32 q[DEPTH];
    #pragma unroll
    for (u32 d = 0u; d < DEPTH; d++) {
        q[d] = load_q(row * DEPTH + d);
    }
    f32 y[WIDTH];
    #pragma unroll
    for (u32 w = 0u; w < WIDTH; w++) {
        y[w] = 0.0f;
    }
    f32 top = LOWEST;
    f32 sum = 0.0f;
    for (u32 j = 0u; j < KEYS; j++) {
        const u32 key = member * KEYS + j;
        f32 product = 0.0f;
        #pragma unroll
        for (u32 d = 0u; d < DEPTH; d++) {
            product += q[d] * load_k(key * DEPTH + d);
        }
        const f32 s = score(product, member, row % QUERIES, j);
        if (s == LOWEST) {
            continue;
        }
        const f32 level = max(s, top);
        const f32 shrink = exp(top - level);
        const f32 p = exp(s - level);
        sum = sum * shrink + p;
        #pragma unroll
        for (u32 w = 0u; w < WIDTH; w++) {
            y[w] = y[w] * shrink + p * load_v(key * WIDTH + w);
        }
        top = level;
    }
    // Not `>`: a NaN passes.
    const bool is_there = !(top == LOWEST);
    const f32 factor = select(0.0f, 1.0f / sum, is_there);
    #pragma unroll
    for (u32 w = 0u; w < WIDTH; w++) {
        finish(row * (WIDTH + 1u) + w, y[w] * factor);
    }
    finish(row * (WIDTH + 1u) + WIDTH, select(0.0f, top + log(sum), is_there));
}

// entry: by_queries by_keys_values by_bias
// The weight of a pair, made again from the logarithm of its row's sum.
WORD f32 weight(f32 product, u32 member, u32 i, u32 j) {
    const f32 s = score(product, member, i, j);
    return exp(s - load_result((member * QUERIES + i) * (WIDTH + 1u) + WIDTH));
}

// entry: by_queries
KERNEL(by_queries) {
    const u32 row = group_index() * THREADS + thread_index();
    if (row >= COUNT) {
        return;
    }
    const u32 member = row / QUERIES;
    const f32 delta = load_delta(row);
    f32 q[DEPTH];
    f32 dq[DEPTH];
    #pragma unroll
    for (u32 d = 0u; d < DEPTH; d++) {
        q[d] = load_q(row * DEPTH + d);
        dq[d] = 0.0f;
    }
    f32 g[WIDTH];
    #pragma unroll
    for (u32 w = 0u; w < WIDTH; w++) {
        g[w] = load_g(row * (WIDTH + 1u) + w);
    }
    for (u32 j = 0u; j < KEYS; j++) {
        const u32 key = member * KEYS + j;
        f32 product = 0.0f;
        #pragma unroll
        for (u32 d = 0u; d < DEPTH; d++) {
            product += q[d] * load_k(key * DEPTH + d);
        }
        f32 slope = 0.0f;
        #pragma unroll
        for (u32 w = 0u; w < WIDTH; w++) {
            slope += g[w] * load_v(key * WIDTH + w);
        }
        const f32 ds = SCALE * weight(product, member, row % QUERIES, j) * (slope - delta);
        #pragma unroll
        for (u32 d = 0u; d < DEPTH; d++) {
            dq[d] += ds * load_k(key * DEPTH + d);
        }
    }
    #pragma unroll
    for (u32 d = 0u; d < DEPTH; d++) {
        finish(row * DEPTH + d, dq[d]);
    }
}

// entry: by_keys_values
KERNEL(by_keys_values) {
    const u32 key = group_index() * THREADS + thread_index();
    if (key >= COUNT) {
        return;
    }
    const u32 member = key / KEYS;
    f32 k[DEPTH];
    f32 dk[DEPTH];
    #pragma unroll
    for (u32 d = 0u; d < DEPTH; d++) {
        k[d] = load_k(key * DEPTH + d);
        dk[d] = 0.0f;
    }
    f32 v[WIDTH];
    f32 dv[WIDTH];
    #pragma unroll
    for (u32 w = 0u; w < WIDTH; w++) {
        v[w] = load_v(key * WIDTH + w);
        dv[w] = 0.0f;
    }
    for (u32 i = 0u; i < QUERIES; i++) {
        const u32 row = member * QUERIES + i;
        f32 product = 0.0f;
        #pragma unroll
        for (u32 d = 0u; d < DEPTH; d++) {
            product += k[d] * load_q(row * DEPTH + d);
        }
        const f32 p = weight(product, member, i, key % KEYS);
        f32 slope = 0.0f;
        #pragma unroll
        for (u32 w = 0u; w < WIDTH; w++) {
            const f32 g = load_g(row * (WIDTH + 1u) + w);
            slope += g * v[w];
            dv[w] += p * g;
        }
        const f32 ds = SCALE * p * (slope - load_delta(row));
        #pragma unroll
        for (u32 d = 0u; d < DEPTH; d++) {
            dk[d] += ds * load_q(row * DEPTH + d);
        }
    }
    #pragma unroll
    for (u32 d = 0u; d < DEPTH; d++) {
        finish(key * (DEPTH + WIDTH) + d, dk[d]);
    }
    #pragma unroll
    for (u32 w = 0u; w < WIDTH; w++) {
        finish(key * (DEPTH + WIDTH) + DEPTH + w, dv[w]);
    }
}

// entry: by_bias
// An element of the bias stands for every batch, head and query that it was broadcast to.
KERNEL(by_bias) {
    const u32 element = group_index() * THREADS + thread_index();
    if (element >= COUNT) {
        return;
    }
    const u32 j = element % KEYS;
    const u32 owner = element / KEYS;
    f32 sum = 0.0f;
    for (u32 b = owner / BIAS_QUERIES / BIAS_HEADS; b < BATCH; b += BIAS_BATCH) {
        for (u32 h = owner / BIAS_QUERIES % BIAS_HEADS; h < HEADS; h += BIAS_HEADS) {
            const u32 member = b * HEADS + h;
            const u32 key = member * KEYS + j;
            for (u32 i = owner % BIAS_QUERIES; i < QUERIES; i += BIAS_QUERIES) {
                const u32 row = member * QUERIES + i;
                f32 product = 0.0f;
                #pragma unroll
                for (u32 d = 0u; d < DEPTH; d++) {
                    product += load_q(row * DEPTH + d) * load_k(key * DEPTH + d);
                }
                f32 slope = 0.0f;
                #pragma unroll
                for (u32 w = 0u; w < WIDTH; w++) {
                    slope += load_g(row * (WIDTH + 1u) + w) * load_v(key * WIDTH + w);
                }
                sum += weight(product, member, i, j) * (slope - load_delta(row));
            }
        }
    }
    finish(element, sum);
}
