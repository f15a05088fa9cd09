// Attention along the edges of a graph: one group a node and image, all heads of it.

const FEATURES: u32 = HEADS * WIDTH;
const SCORES: u32 = HEADS * INCOMING;
// Rows of the result, and of the derivatives by targets.
const RESULT: u32 = WIDTH + SCORES;
const BY_TARGET: u32 = 3u * FEATURES + SCORES;

// What feature n of an edge feels, from the rows of its nodes.
fn felt_by(source: u32, target_row: u32, edge: u32, n: u32) -> f32 {
    return load_from(source * FEATURES + n)
        + (load_to(target_row * FEATURES + n) + load_weights(edge) * load_of_edge(n));
}

fn by_leaky(felt: f32) -> f32 {
    return select(SLOPE, 1.0, felt > 0.0);
}

// entry: forward by_targets
// Whether edge k of a node is there.
fn is_there(node: u32, k: u32) -> bool {
    let source = load_incoming(node * INCOMING + k);
    return source >= 0 && u32(source) < SOURCES;
}

// The row of where it comes from.
fn source_row(node: u32, k: u32, b: u32) -> u32 {
    return u32(load_incoming(node * INCOMING + k)) * BATCH + b;
}

// entry: forward
var<workgroup> shares: array<f32, SCORES>;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group);
    if (row >= GROUPS) {
        return;
    }
    let node = row / BATCH;
    let b = row % BATCH;
    for (var e = thread; e < SCORES; e += THREADS) {
        let h = e / INCOMING;
        let k = e % INCOMING;
        var score = 0.0;
        if (is_there(node, k)) {
            let source = source_row(node, k, b);
            for (var n = h * WIDTH; n < (h + 1u) * WIDTH; n++) {
                let felt = felt_by(source, row, node * INCOMING + k, n);
                score += load_att(n) * felt * by_leaky(felt);
            }
        }
        shares[e] = score;
    }
    workgroupBarrier();
    for (var h = thread; h < HEADS; h += THREADS) {
        var top = 0.0;
        var sum = 0.0;
        var is_first = true;
        for (var k = 0u; k < INCOMING; k++) {
            if (is_there(node, k)) {
                let score = shares[h * INCOMING + k];
                top = select(max(top, score), score, is_first);
                is_first = false;
            }
        }
        for (var k = 0u; k < INCOMING; k++) {
            var share = 0.0;
            if (is_there(node, k)) {
                share = exp(shares[h * INCOMING + k] - top);
            }
            shares[h * INCOMING + k] = share;
            sum += share;
        }
        let scale = select(1.0 / sum, 0.0, is_first);
        for (var k = 0u; k < INCOMING; k++) {
            let share = shares[h * INCOMING + k] * scale;
            shares[h * INCOMING + k] = share;
            finish(row * RESULT + WIDTH + h * INCOMING + k, share);
        }
    }
    workgroupBarrier();
    for (var c = thread; c < WIDTH; c += THREADS) {
        var sum = 0.0;
        for (var k = 0u; k < INCOMING; k++) {
            if (is_there(node, k)) {
                let first = source_row(node, k, b) * FEATURES + c;
                for (var h = 0u; h < HEADS; h++) {
                    sum += shares[h * INCOMING + k] * load_from(first + h * WIDTH);
                }
            }
        }
        finish(row * RESULT + c, sum / f32(HEADS));
    }
}

// entry: by_targets
var<workgroup> by_scores: array<f32, SCORES>;
var<workgroup> means: array<f32, HEADS>;

@compute @workgroup_size(THREADS)
fn by_targets(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group);
    if (row >= GROUPS) {
        return;
    }
    let node = row / BATCH;
    let b = row % BATCH;
    let shares = row * RESULT + WIDTH;
    for (var e = thread; e < SCORES; e += THREADS) {
        let h = e / INCOMING;
        let k = e % INCOMING;
        var by_share = 0.0;
        if (is_there(node, k)) {
            let first = source_row(node, k, b) * FEATURES + h * WIDTH;
            for (var c = 0u; c < WIDTH; c++) {
                by_share += load_g(row * RESULT + c) * load_from(first + c);
            }
            by_share = by_share / f32(HEADS) + load_g(shares + e);
        }
        by_scores[e] = by_share;
    }
    workgroupBarrier();
    for (var h = thread; h < HEADS; h += THREADS) {
        var mean = 0.0;
        for (var k = 0u; k < INCOMING; k++) {
            if (is_there(node, k)) {
                mean += load_result(shares + h * INCOMING + k) * by_scores[h * INCOMING + k];
            }
        }
        means[h] = mean;
    }
    workgroupBarrier();
    for (var e = thread; e < SCORES; e += THREADS) {
        var by_score = 0.0;
        if (is_there(node, e % INCOMING)) {
            by_score = load_result(shares + e) * (by_scores[e] - means[e / INCOMING]);
        }
        by_scores[e] = by_score;
        finish(row * BY_TARGET + 3u * FEATURES + e, by_score);
    }
    workgroupBarrier();
    for (var n = thread; n < FEATURES; n += THREADS) {
        var by_felt = 0.0;
        var by_att = 0.0;
        var by_edge = 0.0;
        for (var k = 0u; k < INCOMING; k++) {
            if (is_there(node, k)) {
                let edge = node * INCOMING + k;
                let felt = felt_by(source_row(node, k, b), row, edge, n);
                let each = by_scores[n / WIDTH * INCOMING + k] * by_leaky(felt);
                by_felt += each;
                by_att += each * felt;
                by_edge += each * load_weights(edge);
            }
        }
        let att = load_att(n);
        finish(row * BY_TARGET + n, by_felt * att);
        finish(row * BY_TARGET + FEATURES + n, by_att);
        finish(row * BY_TARGET + 2u * FEATURES + n, by_edge * att);
    }
}

// entry: by_sources
@compute @workgroup_size(THREADS)
fn by_sources(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group);
    if (row >= GROUPS) {
        return;
    }
    let node = row / BATCH;
    let b = row % BATCH;
    for (var n = thread; n < FEATURES; n += THREADS) {
        let c = n % WIDTH;
        let scores = n / WIDTH * INCOMING;
        var by_felt = 0.0;
        var by_message = 0.0;
        for (var l = 0u; l < OUTGOING; l++) {
            let edge = load_outgoing(node * OUTGOING + l);
            if (edge >= 0 && u32(edge) < EDGES) {
                let target_row = u32(edge) / INCOMING * BATCH + b;
                let score = scores + u32(edge) % INCOMING;
                let felt = felt_by(row, target_row, u32(edge), n);
                by_felt += load_by_target(target_row * BY_TARGET + 3u * FEATURES + score) * by_leaky(felt);
                by_message += load_result(target_row * RESULT + WIDTH + score) * load_g(target_row * RESULT + c);
            }
        }
        finish(row * FEATURES + n, by_felt * load_att(n) + by_message / f32(HEADS));
    }
}
