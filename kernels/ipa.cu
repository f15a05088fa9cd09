// Invariant point attention: one group a row and all its heads. A tile of weights is shared, each thread owns
// some of the row's sums; no score outlives its tile.

// The score of a key that is not there.
static constexpr f32 LOWEST = -3.0e38f;
static constexpr u32 RESULT = WIDTH + PAIR + 1;

WORD f32 score(u32 b, u32 i, u32 j, u32 h) {
    const u32 query = ((b * ROWS + i) * HEADS + h) * DEPTH;
    const u32 key = ((b * ROWS + j) * HEADS + h) * DEPTH;
    f32 product = 0.0f;
    for (u32 d = 0; d < DOTS; d++) {
        product += load_q(query + d) * load_k(key + d);
    }
    f32 distance = 0.0f;
    for (u32 d = DOTS; d < DEPTH; d++) {
        const f32 away = load_q(query + d) - load_k(key + d);
        distance += away * away;
    }
    f32 s = SCALE * product - 0.5f * distance;
    if (PAIRS) s += load_bias(((b * ROWS + i) * ROWS + j) * HEADS + h);
    if (MASK) {
        if (load_mask(b * ROWS + j) == 0.0f) s = LOWEST;
    }
    return max(s, LOWEST);
}

// Rows of the tile that begins at one.
WORD u32 tile_rows(u32 first) {
    return ROWS - first < TILE ? ROWS - first : TILE;
}

// entry: forward
KERNEL(forward) {
    __shared__ f32 weights[HEADS * TILE], top[HEADS], total[HEADS], shrink[HEADS];
    const u32 row = group_index(), thread = thread_index();
    if (row >= GROUPS) return;
    const u32 b = row / ROWS, i = row % ROWS;
    for (u32 h = thread; h < HEADS; h += THREADS) {
        top[h] = LOWEST;
        total[h] = 0.0f;
    }
    f32 y[OWN_VALUES];
    #pragma unroll
    for (u32 own = 0; own < OWN_VALUES; own++) {
        y[own] = 0.0f;
    }
    f32 y_pair[OWN_COLUMNS * HEADS];
    #pragma unroll
    for (u32 own = 0; own < OWN_COLUMNS * HEADS; own++) {
        y_pair[own] = 0.0f;
    }
    for (u32 first = 0; first < ROWS; first += TILE) {
        const u32 count = tile_rows(first);
        for (u32 e = thread; e < HEADS * count; e += THREADS) {
            const u32 h = e % HEADS;
            weights[h * TILE + e / HEADS] = score(b, i, first + e / HEADS, h);
        }
        __syncthreads();
        for (u32 h = thread; h < HEADS; h += THREADS) {
            f32 level = top[h];
            for (u32 t = 0; t < count; t++) {
                level = max(weights[h * TILE + t], level);
            }
            shrink[h] = exp(top[h] - level);
            top[h] = level;
        }
        __syncthreads();
        for (u32 e = thread; e < HEADS * count; e += THREADS) {
            const u32 h = e % HEADS;
            const u32 at = h * TILE + e / HEADS;
            const f32 s = weights[at];
            weights[at] = select(exp(s - top[h]), 0.0f, s == LOWEST);
        }
        __syncthreads();
        for (u32 h = thread; h < HEADS; h += THREADS) {
            f32 sum = total[h] * shrink[h];
            for (u32 t = 0; t < count; t++) {
                sum += weights[h * TILE + t];
            }
            total[h] = sum;
        }
        #pragma unroll
        for (u32 own = 0; own < OWN_VALUES; own++) {
            const u32 n = thread + own * THREADS;
            if (n < HEADS * WIDTH) {
                const u32 h = n / WIDTH;
                f32 sum = y[own] * shrink[h];
                for (u32 t = 0; t < count; t++) {
                    sum += weights[h * TILE + t] * load_v((b * ROWS + first + t) * HEADS * WIDTH + n);
                }
                y[own] = sum;
            }
        }
        #pragma unroll
        for (u32 own = 0; own < OWN_COLUMNS; own++) {
            const u32 c = thread + own * THREADS;
            if (c < PAIR) {
                #pragma unroll
                for (u32 h = 0; h < HEADS; h++) {
                    y_pair[own * HEADS + h] *= shrink[h];
                }
                for (u32 t = 0; t < count; t++) {
                    const f32 feature = load_z((row * ROWS + first + t) * PAIR + c);
                    #pragma unroll
                    for (u32 h = 0; h < HEADS; h++) {
                        y_pair[own * HEADS + h] += weights[h * TILE + t] * feature;
                    }
                }
            }
        }
        __syncthreads();
    }
    for (u32 h = thread; h < HEADS; h += THREADS) {
        // Not `>`: a NaN passes.
        const bool has_keys = !(top[h] == LOWEST);
        shrink[h] = select(0.0f, 1.0f / total[h], has_keys);
        finish((row * HEADS + h) * RESULT + RESULT - 1, select(0.0f, top[h] + log(total[h]), has_keys));
    }
    __syncthreads();
    #pragma unroll
    for (u32 own = 0; own < OWN_VALUES; own++) {
        const u32 n = thread + own * THREADS;
        if (n < HEADS * WIDTH) finish((row * HEADS + n / WIDTH) * RESULT + n % WIDTH, y[own] * shrink[n / WIDTH]);
    }
    #pragma unroll
    for (u32 own = 0; own < OWN_COLUMNS; own++) {
        const u32 c = thread + own * THREADS;
        if (c < PAIR) {
            #pragma unroll
            for (u32 h = 0; h < HEADS; h++) {
                finish((row * HEADS + h) * RESULT + WIDTH + c, y_pair[own * HEADS + h] * shrink[h]);
            }
        }
    }
}

// entry: by_pairs by_side
// The weight of a pair, made again from the logarithm of its row's sum.
WORD f32 weight(u32 b, u32 i, u32 j, u32 h) {
    return exp(score(b, i, j, h) - load_result(((b * ROWS + i) * HEADS + h) * RESULT + RESULT - 1));
}

WORD f32 value_slope(u32 b, u32 i, u32 j, u32 h) {
    const u32 query = (b * ROWS + i) * HEADS + h;
    const u32 key = (b * ROWS + j) * HEADS + h;
    f32 slope = -load_delta(query);
    for (u32 w = 0; w < WIDTH; w++) {
        slope += load_g(query * RESULT + w) * load_v(key * WIDTH + w);
    }
    return slope;
}

// entry: by_pairs
KERNEL(by_pairs) {
    __shared__ f32 weights[HEADS * TILE];
    const u32 row = group_index(), thread = thread_index();
    if (row >= GROUPS) return;
    const u32 b = row / ROWS, i = row % ROWS;
    for (u32 first = 0; first < ROWS; first += TILE) {
        const u32 count = tile_rows(first);
        for (u32 e = thread; e < HEADS * count; e += THREADS) {
            const u32 h = e % HEADS;
            const u32 j = first + e / HEADS;
            f32 slope = value_slope(b, i, j, h);
            for (u32 c = 0; c < PAIR; c++) {
                slope += load_g((row * HEADS + h) * RESULT + WIDTH + c) * load_z((row * ROWS + j) * PAIR + c);
            }
            const f32 p = weight(b, i, j, h);
            weights[h * TILE + e / HEADS] = p;
            finish((row * ROWS + j) * (HEADS + PAIR) + h, p * slope);
        }
        __syncthreads();
        for (u32 n = thread; n < count * PAIR; n += THREADS) {
            const u32 t = n / PAIR_STEP;
            const u32 c = n % PAIR_STEP;
            f32 sum = 0.0f;
            for (u32 h = 0; h < HEADS; h++) {
                sum += weights[h * TILE + t] * load_g((row * HEADS + h) * RESULT + WIDTH + c);
            }
            finish((row * ROWS + first + t) * (HEADS + PAIR) + HEADS + c, sum);
        }
        __syncthreads();
    }
}

// entry: by_side
// Derivatives by what stands on one side of the scores: the queries, or with KEYS the keys and the values.
WORD f32 load_own(u32 i) { return KEYS ? load_k(i) : load_q(i); }
WORD f32 load_opposite(u32 i) { return KEYS ? load_q(i) : load_k(i); }

// The derivative by a score of weight p.
WORD f32 by_score(u32 b, u32 i, u32 j, u32 h, f32 p) {
    if (PAIRS) return load_slopes(((b * ROWS + i) * ROWS + j) * (HEADS + PAIR) + h);
    return p * value_slope(b, i, j, h);
}

KERNEL(by_side) {
    __shared__ f32 weights[KEYS ? HEADS * TILE : 1], by_scores[HEADS * TILE];
    const u32 row = group_index(), thread = thread_index();
    if (row >= GROUPS) return;
    const u32 b = row / ROWS, own_row = row % ROWS;
    f32 features[OWN_FEATURES];
    #pragma unroll
    for (u32 own = 0; own < OWN_FEATURES; own++) {
        features[own] = 0.0f;
    }
    f32 values[OWN_VALUES];
    #pragma unroll
    for (u32 own = 0; own < OWN_VALUES; own++) {
        values[own] = 0.0f;
    }
    for (u32 first = 0; first < ROWS; first += TILE) {
        const u32 count = tile_rows(first);
        for (u32 e = thread; e < HEADS * count; e += THREADS) {
            const u32 h = e % HEADS, opposite = first + e / HEADS;
            const u32 i = KEYS ? opposite : own_row, j = KEYS ? own_row : opposite;
            const f32 p = weight(b, i, j, h);
            if (KEYS) weights[h * TILE + e / HEADS] = p;
            by_scores[h * TILE + e / HEADS] = by_score(b, i, j, h, p);
        }
        __syncthreads();
        #pragma unroll
        for (u32 own = 0; own < OWN_FEATURES; own++) {
            const u32 n = thread + own * THREADS;
            if (n < HEADS * DEPTH) {
                const bool is_product = n % DEPTH < DOTS;
                const f32 here = load_own(row * HEADS * DEPTH + n);
                f32 sum = features[own];
                for (u32 t = 0; t < count; t++) {
                    const f32 there = load_opposite((b * ROWS + first + t) * HEADS * DEPTH + n);
                    sum += by_scores[n / DEPTH * TILE + t] * select(there - here, SCALE * there, is_product);
                }
                features[own] = sum;
            }
        }
        #pragma unroll
        for (u32 own = 0; own < OWN_VALUES; own++) {
            const u32 n = thread + own * THREADS;
            if (n < HEADS * VALUES) {
                const u32 h = n / WIDTH;
                f32 sum = values[own];
                for (u32 t = 0; t < count; t++) {
                    sum += weights[h * TILE + t] * load_g(((b * ROWS + first + t) * HEADS + h) * RESULT + n % WIDTH);
                }
                values[own] = sum;
            }
        }
        __syncthreads();
    }
    #pragma unroll
    for (u32 own = 0; own < OWN_FEATURES; own++) {
        const u32 n = thread + own * THREADS;
        if (n < HEADS * DEPTH) {
            finish((row * HEADS + n / DEPTH) * (DEPTH + VALUES) + n % DEPTH, features[own]);
        }
    }
    #pragma unroll
    for (u32 own = 0; own < OWN_VALUES; own++) {
        const u32 n = thread + own * THREADS;
        if (n < HEADS * VALUES) {
            finish((row * HEADS + n / WIDTH) * (DEPTH + VALUES) + DEPTH + n % WIDTH, values[own]);
        }
    }
}
