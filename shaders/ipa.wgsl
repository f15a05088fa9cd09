// Invariant point attention: one group a row and all its heads. A tile of weights is shared, each thread owns
// some of the row's sums; no score outlives its tile.

// The score of a key that is not there.
const LOWEST: f32 = -3.0e38;
const RESULT: u32 = WIDTH + PAIR + 1u;

var<workgroup> weights: array<f32, HEADS * TILE>;

fn score(b: u32, i: u32, j: u32, h: u32) -> f32 {
    let query = ((b * ROWS + i) * HEADS + h) * DEPTH;
    let key = ((b * ROWS + j) * HEADS + h) * DEPTH;
    var product = 0.0;
    for (var d = 0u; d < DOTS; d++) {
        product += load_q(query + d) * load_k(key + d);
    }
    var distance = 0.0;
    for (var d = DOTS; d < DEPTH; d++) {
        let away = load_q(query + d) - load_k(key + d);
        distance += away * away;
    }
    var s = SCALE * product - 0.5 * distance;
    if (PAIRS != 0u) {
        s += load_bias(((b * ROWS + i) * ROWS + j) * HEADS + h);
    }
    if (MASK != 0u) {
        if (load_mask(b * ROWS + j) == 0.0) {
            s = LOWEST;
        }
    }
    return max(s, LOWEST);
}

// Rows of the tile that begins at one.
fn tile_rows(first: u32) -> u32 {
    return select(TILE, ROWS - first, ROWS - first < TILE);
}

// entry: forward
var<workgroup> top: array<f32, HEADS>;
var<workgroup> total: array<f32, HEADS>;
var<workgroup> shrink: array<f32, HEADS>;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group);
    if (row >= GROUPS) {
        return;
    }
    let b = row / ROWS;
    let i = row % ROWS;
    for (var h = thread; h < HEADS; h += THREADS) {
        top[h] = LOWEST;
        total[h] = 0.0;
    }
    var y: array<f32, OWN_VALUES>;
    for (var own = 0u; own < OWN_VALUES; own++) {
        y[own] = 0.0;
    }
    var y_pair: array<f32, OWN_COLUMNS * HEADS>;
    for (var own = 0u; own < OWN_COLUMNS * HEADS; own++) {
        y_pair[own] = 0.0;
    }
    for (var first = 0u; first < ROWS; first += TILE) {
        let count = tile_rows(first);
        for (var e = thread; e < HEADS * count; e += THREADS) {
            let h = e % HEADS;
            weights[h * TILE + e / HEADS] = score(b, i, first + e / HEADS, h);
        }
        workgroupBarrier();
        for (var h = thread; h < HEADS; h += THREADS) {
            var level = top[h];
            for (var t = 0u; t < count; t++) {
                level = max(weights[h * TILE + t], level);
            }
            shrink[h] = exp(top[h] - level);
            top[h] = level;
        }
        workgroupBarrier();
        for (var e = thread; e < HEADS * count; e += THREADS) {
            let h = e % HEADS;
            let at = h * TILE + e / HEADS;
            let s = weights[at];
            weights[at] = select(exp(s - top[h]), 0.0, s == LOWEST);
        }
        workgroupBarrier();
        for (var h = thread; h < HEADS; h += THREADS) {
            var sum = total[h] * shrink[h];
            for (var t = 0u; t < count; t++) {
                sum += weights[h * TILE + t];
            }
            total[h] = sum;
        }
        for (var own = 0u; own < OWN_VALUES; own++) {
            let n = thread + own * THREADS;
            if (n < HEADS * WIDTH) {
                let h = n / WIDTH;
                var sum = y[own] * shrink[h];
                for (var t = 0u; t < count; t++) {
                    sum += weights[h * TILE + t] * load_v((b * ROWS + first + t) * HEADS * WIDTH + n);
                }
                y[own] = sum;
            }
        }
        for (var own = 0u; own < OWN_COLUMNS; own++) {
            let c = thread + own * THREADS;
            if (c < PAIR) {
                for (var h = 0u; h < HEADS; h++) {
                    y_pair[own * HEADS + h] *= shrink[h];
                }
                for (var t = 0u; t < count; t++) {
                    let feature = load_z((row * ROWS + first + t) * PAIR + c);
                    for (var h = 0u; h < HEADS; h++) {
                        y_pair[own * HEADS + h] += weights[h * TILE + t] * feature;
                    }
                }
            }
        }
        workgroupBarrier();
    }
    for (var h = thread; h < HEADS; h += THREADS) {
        // Not `>`: a NaN passes.
        let has_keys = !(top[h] == LOWEST);
        shrink[h] = select(0.0, 1.0 / total[h], has_keys);
        finish((row * HEADS + h) * RESULT + RESULT - 1u, select(0.0, top[h] + log(total[h]), has_keys));
    }
    workgroupBarrier();
    for (var own = 0u; own < OWN_VALUES; own++) {
        let n = thread + own * THREADS;
        if (n < HEADS * WIDTH) {
            finish((row * HEADS + n / WIDTH) * RESULT + n % WIDTH, y[own] * shrink[n / WIDTH]);
        }
    }
    for (var own = 0u; own < OWN_COLUMNS; own++) {
        let c = thread + own * THREADS;
        if (c < PAIR) {
            for (var h = 0u; h < HEADS; h++) {
                finish((row * HEADS + h) * RESULT + WIDTH + c, y_pair[own * HEADS + h] * shrink[h]);
            }
        }
    }
}

// entry: by_pairs by_side
// The weight of a pair, made again from the logarithm of its row's sum.
fn weight(b: u32, i: u32, j: u32, h: u32) -> f32 {
    return exp(score(b, i, j, h) - load_result(((b * ROWS + i) * HEADS + h) * RESULT + RESULT - 1u));
}

fn value_slope(b: u32, i: u32, j: u32, h: u32) -> f32 {
    let query = (b * ROWS + i) * HEADS + h;
    let key = (b * ROWS + j) * HEADS + h;
    var slope = -load_delta(query);
    for (var w = 0u; w < WIDTH; w++) {
        slope += load_g(query * RESULT + w) * load_v(key * WIDTH + w);
    }
    return slope;
}

// entry: by_pairs
@compute @workgroup_size(THREADS)
fn by_pairs(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group);
    if (row >= GROUPS) {
        return;
    }
    let b = row / ROWS;
    let i = row % ROWS;
    for (var first = 0u; first < ROWS; first += TILE) {
        let count = tile_rows(first);
        for (var e = thread; e < HEADS * count; e += THREADS) {
            let h = e % HEADS;
            let j = first + e / HEADS;
            var slope = value_slope(b, i, j, h);
            for (var c = 0u; c < PAIR; c++) {
                slope += load_g((row * HEADS + h) * RESULT + WIDTH + c) * load_z((row * ROWS + j) * PAIR + c);
            }
            let p = weight(b, i, j, h);
            weights[h * TILE + e / HEADS] = p;
            finish((row * ROWS + j) * (HEADS + PAIR) + h, p * slope);
        }
        workgroupBarrier();
        for (var n = thread; n < count * PAIR; n += THREADS) {
            let t = n / PAIR_STEP;
            let c = n % PAIR_STEP;
            var sum = 0.0;
            for (var h = 0u; h < HEADS; h++) {
                sum += weights[h * TILE + t] * load_g((row * HEADS + h) * RESULT + WIDTH + c);
            }
            finish((row * ROWS + first + t) * (HEADS + PAIR) + HEADS + c, sum);
        }
        workgroupBarrier();
    }
}

// entry: by_side
// Derivatives by what stands on one side of the scores: the queries, or with KEYS the keys and the values.
var<workgroup> by_scores: array<f32, HEADS * TILE>;

fn load_own(i: u32) -> f32 {
    if (KEYS != 0u) {
        return load_k(i);
    }
    return load_q(i);
}

fn load_opposite(i: u32) -> f32 {
    if (KEYS != 0u) {
        return load_q(i);
    }
    return load_k(i);
}

// The derivative by a score of weight p.
fn by_score(b: u32, i: u32, j: u32, h: u32, p: f32) -> f32 {
    if (PAIRS != 0u) {
        return load_slopes(((b * ROWS + i) * ROWS + j) * (HEADS + PAIR) + h);
    }
    return p * value_slope(b, i, j, h);
}

@compute @workgroup_size(THREADS)
fn by_side(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group);
    if (row >= GROUPS) {
        return;
    }
    let b = row / ROWS;
    let own_row = row % ROWS;
    var features: array<f32, OWN_FEATURES>;
    for (var own = 0u; own < OWN_FEATURES; own++) {
        features[own] = 0.0;
    }
    var values: array<f32, OWN_VALUES>;
    for (var own = 0u; own < OWN_VALUES; own++) {
        values[own] = 0.0;
    }
    for (var first = 0u; first < ROWS; first += TILE) {
        let count = tile_rows(first);
        for (var e = thread; e < HEADS * count; e += THREADS) {
            let h = e % HEADS;
            let opposite = first + e / HEADS;
            let i = select(own_row, opposite, KEYS != 0u);
            let j = select(opposite, own_row, KEYS != 0u);
            let p = weight(b, i, j, h);
            weights[h * TILE + e / HEADS] = p;
            by_scores[h * TILE + e / HEADS] = by_score(b, i, j, h, p);
        }
        workgroupBarrier();
        for (var own = 0u; own < OWN_FEATURES; own++) {
            let n = thread + own * THREADS;
            if (n < HEADS * DEPTH) {
                let is_product = n % DEPTH < DOTS;
                let here = load_own(row * HEADS * DEPTH + n);
                var sum = features[own];
                for (var t = 0u; t < count; t++) {
                    let there = load_opposite((b * ROWS + first + t) * HEADS * DEPTH + n);
                    sum += by_scores[n / DEPTH * TILE + t] * select(there - here, SCALE * there, is_product);
                }
                features[own] = sum;
            }
        }
        for (var own = 0u; own < OWN_VALUES; own++) {
            let n = thread + own * THREADS;
            if (n < HEADS * VALUES) {
                let h = n / WIDTH;
                var sum = values[own];
                for (var t = 0u; t < count; t++) {
                    sum += weights[h * TILE + t] * load_g(((b * ROWS + first + t) * HEADS + h) * RESULT + n % WIDTH);
                }
                values[own] = sum;
            }
        }
        workgroupBarrier();
    }
    for (var own = 0u; own < OWN_FEATURES; own++) {
        let n = thread + own * THREADS;
        if (n < HEADS * DEPTH) {
            finish((row * HEADS + n / DEPTH) * (DEPTH + VALUES) + n % DEPTH, features[own]);
        }
    }
    for (var own = 0u; own < OWN_VALUES; own++) {
        let n = thread + own * THREADS;
        if (n < HEADS * VALUES) {
            finish((row * HEADS + n / WIDTH) * (DEPTH + VALUES) + DEPTH + n % WIDTH, values[own]);
        }
    }
}
