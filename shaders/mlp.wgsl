// A tile of TILE rows through all layers of a network. Its activations (backwards: its derivatives) stay in
// workgroup memory for the next product and with the threads, where residuals are added; what is kept of them for
// later is written and not read again.
//
// WIDE is the width filled up, with zeros. Inputs wider than that come by in pieces of WIDE. A thread has columns
// 4 x .. 4 x + 3 of rows y, y + DOWN, ...

const LANES: u32 = WIDE / 4u;
const DOWN: u32 = THREADS / LANES;
const EACH: u32 = TILE / DOWN;
const STEP: u32 = 4u;

var<workgroup> tile: array<f32, TILE * WIDE>;
var<workgroup> stage: array<f32, STEP * WIDE>;
var<private> sums: array<vec4<f32>, EACH>;

fn activate(v: f32) -> f32 {
    return select(SLOPE * v, v, v > 0.0);
}

fn slope(h: f32) -> f32 {
    return select(SLOPE, 1.0, h > 0.0);
}

// sums += tile right, over `length` of k from `first` on.
fn multiply(thread: u32, layer: u32, first: u32, length: u32) {
    let x = thread % LANES;
    let y = thread / LANES;
    for (var base = 0u; base < length; base += STEP) {
        for (var e = thread; e < STEP * WIDE; e += THREADS) {
            let k = select(e % STEP, e / WIDE, TURNED == 1u);
            let j = select(e / STEP, e % WIDE, TURNED == 1u);
            var value = 0.0;
            if (j < WIDTH && base + k < length) {
                value = right(layer, first + base + k, j);
            }
            stage[k * WIDE + j] = value;
        }
        workgroupBarrier();
        for (var k = 0u; k < STEP; k++) {
            let at = k * WIDE + 4u * x;
            let b = vec4<f32>(stage[at], stage[at + 1u], stage[at + 2u], stage[at + 3u]);
            for (var r = 0u; r < EACH; r++) {
                sums[r] += tile[(y + DOWN * r) * WIDE + base + k] * b;
            }
        }
        workgroupBarrier();
    }
}

// entry: forward
const TURNED: u32 = 0u;
// The layer before the hidden ones.
const FIRST: u32 = 0xffffffffu;

fn right(layer: u32, k: u32, j: u32) -> f32 {
    if (layer == FIRST) {
        return load_w0(j * FEATURES + k);
    }
    return load_w((layer * WIDTH + j) * WIDTH + k);
}

// Feature k of a row, zero outside.
fn feature(row: u32, k: u32) -> f32 {
    if (row >= ROWS || k >= FEATURES) {
        return 0.0;
    }
    if (ENCODE == 0u) {
        return load_x(row * FEATURES + k);
    }
    let rest = k % (2u * GROUP);
    let f = 3u * (k / (2u * GROUP) * GROUP + rest % GROUP);
    let x = 3u * row;
    let phase = load_x(x) * load_f(f) + load_x(x + 1u) * load_f(f + 1u) + load_x(x + 2u) * load_f(f + 2u);
    var value = sin(phase);
    if (rest >= GROUP) {
        value = cos(phase);
    }
    if (KEEP_FEATURES == 1u) {
        store_features(row * FEATURES + k, value);
    }
    return value;
}

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let g = group_index(group);
    if (g >= GROUPS) {
        return;
    }
    let first = g * TILE;
    let x = 4u * (thread % LANES);
    let y = thread / LANES;
    for (var base = 0u; base < FEATURES; base += WIDE) {
        for (var e = thread; e < TILE * WIDE; e += THREADS) {
            tile[e] = feature(first + e / WIDE, base + e % WIDE);
        }
        // The first step's barrier comes before any product.
        multiply(thread, FIRST, base, select(WIDE, FEATURES - base, FEATURES - base < WIDE));
    }
    for (var r = 0u; r < EACH; r++) {
        let i = first + y + DOWN * r;
        let row = select(ROWS - 1u, i, i < ROWS);
        for (var c = 0u; c < 4u; c++) {
            if (x + c < WIDTH) {
                sums[r][c] = activate(sums[r][c] + load_offset(row / (ROWS / MEMBERS) * WIDTH + x + c));
            }
        }
    }
    for (var l = 0u; l <= LAYERS; l++) {
        for (var r = 0u; r < EACH; r++) {
            let i = y + DOWN * r;
            for (var c = 0u; c < 4u; c++) {
                tile[i * WIDE + x + c] = sums[r][c];
                if (first + i < ROWS && x + c < WIDTH) {
                    let at = (first + i) * WIDTH + x + c;
                    if (l < LAYERS && KEEP_HIDDEN == 1u) {
                        store_hidden(l * ROWS * WIDTH + at, sums[r][c]);
                    }
                    if (l == LAYERS && KEEP_LAST == 1u) {
                        store_last(at, sums[r][c]);
                    }
                }
            }
            if (RESIDUAL == 0u) {
                sums[r] = vec4<f32>();
            }
        }
        workgroupBarrier();
        if (l == LAYERS) {
            break;
        }
        multiply(thread, l, 0u, WIDTH);
        for (var r = 0u; r < EACH; r++) {
            for (var c = 0u; c < 4u; c++) {
                if (x + c < WIDTH) {
                    sums[r][c] = activate(sums[r][c] + load_b(l * WIDTH + x + c));
                }
            }
        }
    }
    for (var e = thread; e < TILE * OUTPUTS; e += THREADS) {
        let i = e / OUTPUTS;
        let o = e % OUTPUTS;
        if (first + i < ROWS && KEEP_OUTPUT == 1u) {
            var sum = load_bl(o);
            for (var j = 0u; j < WIDTH; j++) {
                sum += tile[i * WIDE + j] * load_wl(o * WIDTH + j);
            }
            store_output((first + i) * OUTPUTS + o, sum);
        }
    }
}

// entry: backward
const TURNED: u32 = 1u;

fn right(layer: u32, k: u32, j: u32) -> f32 {
    return load_w((layer * WIDTH + k) * WIDTH + j);
}

@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let g = group_index(group);
    if (g >= GROUPS) {
        return;
    }
    let first = g * TILE;
    let x = 4u * (thread % LANES);
    let y = thread / LANES;
    for (var r = 0u; r < EACH; r++) {
        let row = first + y + DOWN * r;
        for (var c = 0u; c < 4u; c++) {
            if (row < ROWS && x + c < WIDTH) {
                var sum = 0.0;
                for (var o = 0u; o < OUTPUTS; o++) {
                    sum += load_dy(row * OUTPUTS + o) * load_wl(o * WIDTH + x + c);
                }
                sums[r][c] = sum * slope(load_last(row * WIDTH + x + c));
            }
        }
    }
    for (var l = LAYERS; l > 0u; l--) {
        let layer = (l - 1u) * ROWS * WIDTH;
        for (var r = 0u; r < EACH; r++) {
            let i = y + DOWN * r;
            for (var c = 0u; c < 4u; c++) {
                tile[i * WIDE + x + c] = sums[r][c];
                if (KEEP_BY_HIDDEN == 1u && first + i < ROWS && x + c < WIDTH) {
                    store_by_hidden(layer + (first + i) * WIDTH + x + c, sums[r][c]);
                }
            }
            if (RESIDUAL == 0u) {
                sums[r] = vec4<f32>();
            }
        }
        workgroupBarrier();
        multiply(thread, l - 1u, 0u, WIDTH);
        for (var r = 0u; r < EACH; r++) {
            let row = first + y + DOWN * r;
            for (var c = 0u; c < 4u; c++) {
                if (row < ROWS && x + c < WIDTH) {
                    sums[r][c] *= slope(load_hidden(layer + row * WIDTH + x + c));
                }
            }
        }
    }
    for (var r = 0u; r < EACH; r++) {
        let row = first + y + DOWN * r;
        for (var c = 0u; c < 4u; c++) {
            if (KEEP_BY_FIRST == 1u && row < ROWS && x + c < WIDTH) {
                store_by_first(row * WIDTH + x + c, sums[r][c]);
            }
        }
    }
}
