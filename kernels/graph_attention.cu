// Attention along the edges of a graph: one group a node and image, all heads of it.

static constexpr u32 FEATURES = HEADS * WIDTH, SCORES = HEADS * INCOMING;
// Rows of the result, and of the derivatives by targets.
static constexpr u32 RESULT = WIDTH + SCORES, BY_TARGET = 3 * FEATURES + SCORES;

// What feature n of an edge feels, from the rows of its nodes.
WORD f32 felt_by(u32 source, u32 target, u32 edge, u32 n) {
    return load_from(source * FEATURES + n) + (load_to(target * FEATURES + n) + load_weights(edge) * load_of_edge(n));
}
WORD f32 by_leaky(f32 felt) { return select(SLOPE, 1.0f, felt > 0.0f); }

// entry: forward by_targets
// Whether edge k of a node is there.
WORD bool is_there(u32 node, u32 k) {
    const i32 source = load_incoming(node * INCOMING + k);
    return source >= 0 && u32(source) < SOURCES;
}
// The row of where it comes from.
WORD u32 source_row(u32 node, u32 k, u32 b) { return u32(load_incoming(node * INCOMING + k)) * BATCH + b; }

// entry: forward
KERNEL(forward) {
    __shared__ f32 shares[SCORES];
    const u32 row = group_index(), thread = thread_index();
    if (row >= GROUPS) return;
    const u32 node = row / BATCH, b = row % BATCH;
    for (u32 e = thread; e < SCORES; e += THREADS) {
        const u32 h = e / INCOMING, k = e % INCOMING;
        f32 score = 0.0f;
        if (is_there(node, k)) {
            const u32 source = source_row(node, k, b);
            for (u32 n = h * WIDTH; n < (h + 1) * WIDTH; n++) {
                const f32 felt = felt_by(source, row, node * INCOMING + k, n);
                score += load_att(n) * felt * by_leaky(felt);
            }
        }
        shares[e] = score;
    }
    __syncthreads();
    for (u32 h = thread; h < HEADS; h += THREADS) {
        f32 top = 0.0f, sum = 0.0f;
        bool is_first = true;
        for (u32 k = 0; k < INCOMING; k++) {
            if (is_there(node, k)) {
                const f32 score = shares[h * INCOMING + k];
                top = is_first ? score : max(top, score);
                is_first = false;
            }
        }
        for (u32 k = 0; k < INCOMING; k++) {
            const f32 share = is_there(node, k) ? exp(shares[h * INCOMING + k] - top) : 0.0f;
            shares[h * INCOMING + k] = share;
            sum += share;
        }
        const f32 scale = is_first ? 0.0f : 1.0f / sum;
        for (u32 k = 0; k < INCOMING; k++) {
            const f32 share = shares[h * INCOMING + k] * scale;
            shares[h * INCOMING + k] = share;
            finish(row * RESULT + WIDTH + h * INCOMING + k, share);
        }
    }
    __syncthreads();
    for (u32 c = thread; c < WIDTH; c += THREADS) {
        f32 sum = 0.0f;
        for (u32 k = 0; k < INCOMING; k++) {
            if (is_there(node, k)) {
                const u32 first = source_row(node, k, b) * FEATURES + c;
                for (u32 h = 0; h < HEADS; h++) {
                    sum += shares[h * INCOMING + k] * load_from(first + h * WIDTH);
                }
            }
        }
        finish(row * RESULT + c, sum / f32(HEADS));
    }
}

// entry: by_targets
KERNEL(by_targets) {
    __shared__ f32 by_scores[SCORES], means[HEADS];
    const u32 row = group_index(), thread = thread_index();
    if (row >= GROUPS) return;
    const u32 node = row / BATCH, b = row % BATCH;
    const u32 shares = row * RESULT + WIDTH;
    for (u32 e = thread; e < SCORES; e += THREADS) {
        const u32 h = e / INCOMING, k = e % INCOMING;
        f32 by_share = 0.0f;
        if (is_there(node, k)) {
            const u32 first = source_row(node, k, b) * FEATURES + h * WIDTH;
            for (u32 c = 0; c < WIDTH; c++) {
                by_share += load_g(row * RESULT + c) * load_from(first + c);
            }
            by_share = by_share / f32(HEADS) + load_g(shares + e);
        }
        by_scores[e] = by_share;
    }
    __syncthreads();
    for (u32 h = thread; h < HEADS; h += THREADS) {
        f32 mean = 0.0f;
        for (u32 k = 0; k < INCOMING; k++) {
            if (is_there(node, k)) mean += load_result(shares + h * INCOMING + k) * by_scores[h * INCOMING + k];
        }
        means[h] = mean;
    }
    __syncthreads();
    for (u32 e = thread; e < SCORES; e += THREADS) {
        f32 by_score = 0.0f;
        if (is_there(node, e % INCOMING)) {
            by_score = load_result(shares + e) * (by_scores[e] - means[e / INCOMING]);
        }
        by_scores[e] = by_score;
        finish(row * BY_TARGET + 3 * FEATURES + e, by_score);
    }
    __syncthreads();
    for (u32 n = thread; n < FEATURES; n += THREADS) {
        f32 by_felt = 0.0f, by_att = 0.0f, by_edge = 0.0f;
        for (u32 k = 0; k < INCOMING; k++) {
            if (is_there(node, k)) {
                const u32 edge = node * INCOMING + k;
                const f32 felt = felt_by(source_row(node, k, b), row, edge, n);
                const f32 each = by_scores[n / WIDTH * INCOMING + k] * by_leaky(felt);
                by_felt += each;
                by_att += each * felt;
                by_edge += each * load_weights(edge);
            }
        }
        const f32 att = load_att(n);
        finish(row * BY_TARGET + n, by_felt * att);
        finish(row * BY_TARGET + FEATURES + n, by_att);
        finish(row * BY_TARGET + 2 * FEATURES + n, by_edge * att);
    }
}

// entry: by_sources
KERNEL(by_sources) {
    const u32 row = group_index(), thread = thread_index();
    if (row >= GROUPS) return;
    const u32 node = row / BATCH, b = row % BATCH;
    for (u32 n = thread; n < FEATURES; n += THREADS) {
        const u32 c = n % WIDTH, scores = n / WIDTH * INCOMING;
        f32 by_felt = 0.0f, by_message = 0.0f;
        #pragma unroll 1
        for (u32 l = 0; l < OUTGOING; l++) {
            const i32 edge = load_outgoing(node * OUTGOING + l);
            if (edge >= 0 && u32(edge) < EDGES) {
                const u32 target = u32(edge) / INCOMING * BATCH + b;
                const u32 score = scores + u32(edge) % INCOMING;
                const f32 felt = felt_by(row, target, u32(edge), n);
                by_felt += load_by_target(target * BY_TARGET + 3 * FEATURES + score) * by_leaky(felt);
                by_message += load_result(target * RESULT + WIDTH + score) * load_g(target * RESULT + c);
            }
        }
        finish(row * FEATURES + n, by_felt * load_att(n) + by_message / f32(HEADS));
    }
}
