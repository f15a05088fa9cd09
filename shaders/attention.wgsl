// Softmax attention with a running maximum, one thread a row: no score outlives the step it is needed in.

// The score of a key that is not there.
const LOWEST: f32 = -3.0e38;

fn score(product: f32, member: u32, i: u32, j: u32) -> f32 {
    var s = SCALE * product;
    if (BIAS != 0u) {
        let batch = member / HEADS % BIAS_BATCH;
        let head = member % HEADS % BIAS_HEADS;
        s += load_bias(((batch * BIAS_HEADS + head) * BIAS_QUERIES + i % BIAS_QUERIES) * KEYS + j);
    }
    if (MASK != 0u) {
        if (load_mask(member / HEADS * KEYS + j) == 0.0) {
            s = LOWEST;
        }
    }
    return max(s, LOWEST);
}

// entry: forward
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group) * THREADS + thread;
    if (row >= COUNT) {
        return;
    }
    let member = row / QUERIES;
    var q: array<f32, DEPTH>;
    for (var d = 0u; d < DEPTH; d++) {
        q[d] = load_q(row * DEPTH + d);
    }
    var y: array<f32, WIDTH>;
    for (var w = 0u; w < WIDTH; w++) {
        y[w] = 0.0;
    }
    var top = LOWEST;
    var sum = 0.0;
    for (var j = 0u; j < KEYS; j++) {
        let key = member * KEYS + j;
        var product = 0.0;
        for (var d = 0u; d < DEPTH; d++) {
            product += q[d] * load_k(key * DEPTH + d);
        }
        let s = score(product, member, row % QUERIES, j);
        if (s == LOWEST) {
            continue;
        }
        let level = max(s, top);
        let shrink = exp(top - level);
        let p = exp(s - level);
        sum = sum * shrink + p;
        for (var w = 0u; w < WIDTH; w++) {
            y[w] = y[w] * shrink + p * load_v(key * WIDTH + w);
        }
        top = level;
    }
    // Not `>`: a NaN passes.
    let is_there = !(top == LOWEST);
    let factor = select(0.0, 1.0 / sum, is_there);
    for (var w = 0u; w < WIDTH; w++) {
        finish(row * (WIDTH + 1u) + w, y[w] * factor);
    }
    finish(row * (WIDTH + 1u) + WIDTH, select(0.0, top + log(sum), is_there));
}

// entry: by_queries by_keys_values by_bias
// The weight of a pair, made again from the logarithm of its row's sum.
fn weight(product: f32, member: u32, i: u32, j: u32) -> f32 {
    let s = score(product, member, i, j);
    return exp(s - load_result((member * QUERIES + i) * (WIDTH + 1u) + WIDTH));
}

// entry: by_queries
@compute @workgroup_size(THREADS)
fn by_queries(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group) * THREADS + thread;
    if (row >= COUNT) {
        return;
    }
    let member = row / QUERIES;
    let delta = load_delta(row);
    var q: array<f32, DEPTH>;
    var dq: array<f32, DEPTH>;
    for (var d = 0u; d < DEPTH; d++) {
        q[d] = load_q(row * DEPTH + d);
        dq[d] = 0.0;
    }
    var g: array<f32, WIDTH>;
    for (var w = 0u; w < WIDTH; w++) {
        g[w] = load_g(row * (WIDTH + 1u) + w);
    }
    for (var j = 0u; j < KEYS; j++) {
        let key = member * KEYS + j;
        var product = 0.0;
        for (var d = 0u; d < DEPTH; d++) {
            product += q[d] * load_k(key * DEPTH + d);
        }
        var slope = 0.0;
        for (var w = 0u; w < WIDTH; w++) {
            slope += g[w] * load_v(key * WIDTH + w);
        }
        let ds = SCALE * weight(product, member, row % QUERIES, j) * (slope - delta);
        for (var d = 0u; d < DEPTH; d++) {
            dq[d] += ds * load_k(key * DEPTH + d);
        }
    }
    for (var d = 0u; d < DEPTH; d++) {
        finish(row * DEPTH + d, dq[d]);
    }
}

// entry: by_keys_values
@compute @workgroup_size(THREADS)
fn by_keys_values(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let key = group_index(group) * THREADS + thread;
    if (key >= COUNT) {
        return;
    }
    let member = key / KEYS;
    var k: array<f32, DEPTH>;
    var dk: array<f32, DEPTH>;
    for (var d = 0u; d < DEPTH; d++) {
        k[d] = load_k(key * DEPTH + d);
        dk[d] = 0.0;
    }
    var v: array<f32, WIDTH>;
    var dv: array<f32, WIDTH>;
    for (var w = 0u; w < WIDTH; w++) {
        v[w] = load_v(key * WIDTH + w);
        dv[w] = 0.0;
    }
    for (var i = 0u; i < QUERIES; i++) {
        let row = member * QUERIES + i;
        var product = 0.0;
        for (var d = 0u; d < DEPTH; d++) {
            product += k[d] * load_q(row * DEPTH + d);
        }
        let p = weight(product, member, i, key % KEYS);
        var slope = 0.0;
        for (var w = 0u; w < WIDTH; w++) {
            let g = load_g(row * (WIDTH + 1u) + w);
            slope += g * v[w];
            dv[w] += p * g;
        }
        let ds = SCALE * p * (slope - load_delta(row));
        for (var d = 0u; d < DEPTH; d++) {
            dk[d] += ds * load_q(row * DEPTH + d);
        }
    }
    for (var d = 0u; d < DEPTH; d++) {
        finish(key * (DEPTH + WIDTH) + d, dk[d]);
    }
    for (var w = 0u; w < WIDTH; w++) {
        finish(key * (DEPTH + WIDTH) + DEPTH + w, dv[w]);
    }
}

// entry: by_bias
// An element of the bias stands for every batch, head and query that it was broadcast to.
@compute @workgroup_size(THREADS)
fn by_bias(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let element = group_index(group) * THREADS + thread;
    if (element >= COUNT) {
        return;
    }
    let j = element % KEYS;
    let owner = element / KEYS;
    var sum = 0.0;
    for (var b = owner / BIAS_QUERIES / BIAS_HEADS; b < BATCH; b += BIAS_BATCH) {
        for (var h = owner / BIAS_QUERIES % BIAS_HEADS; h < HEADS; h += BIAS_HEADS) {
            let member = b * HEADS + h;
            let key = member * KEYS + j;
            for (var i = owner % BIAS_QUERIES; i < QUERIES; i += BIAS_QUERIES) {
                let row = member * QUERIES + i;
                var product = 0.0;
                for (var d = 0u; d < DEPTH; d++) {
                    product += load_q(row * DEPTH + d) * load_k(key * DEPTH + d);
                }
                var slope = 0.0;
                for (var w = 0u; w < WIDTH; w++) {
                    slope += load_g(row * (WIDTH + 1u) + w) * load_v(key * WIDTH + w);
                }
                sum += weight(product, member, i, j) * (slope - load_delta(row));
            }
        }
    }
    finish(element, sum);
}
