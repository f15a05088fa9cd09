// Convolutions as products of tiles, factors read in place: `left` and `right` say which element of which
// tensor stands at (m, k) and (k, n) of a group of channels, here `family`, `place` where (m, n) goes. Zero
// where a tap sees outside.

// entry: forward input weight
const TILE: u32 = 64u;
const DEPTH: u32 = 16u;

var<workgroup> tile_left: array<f32, 1024>;
var<workgroup> tile_right: array<f32, 1024>;

fn multiply(group: u32, thread: u32) {
    if (group >= GROUPS) {
        return;
    }
    let across = (N + TILE - 1u) / TILE;
    let down = (M + TILE - 1u) / TILE;
    let n0 = group % across * TILE;
    let m0 = group / across % down * TILE;
    let part = group / across / down % PARTS;
    let family = group / across / down / PARTS;
    let end = select(K, (part + 1u) * PART, (part + 1u) * PART < K);
    let x = thread % 16u;
    let y = thread / 16u;
    var sum: array<f32, 16>;
    for (var i = 0u; i < 16u; i++) {
        sum[i] = 0.0;
    }
    for (var k0 = part * PART; k0 < end; k0 += DEPTH) {
        for (var e = thread; e < TILE * DEPTH; e += THREADS) {
            // Neighbouring threads take what lies together: k of the left factor, n of the right one.
            let m = m0 + e / DEPTH;
            let n = n0 + e % TILE;
            let k_left = k0 + e % DEPTH;
            let k_right = k0 + e / TILE;
            var a = 0.0;
            var b = 0.0;
            if (m < M && k_left < end) {
                a = left(family, m, k_left);
            }
            if (n < N && k_right < end) {
                b = right(family, k_right, n);
            }
            tile_left[e % DEPTH * TILE + e / DEPTH] = a;
            tile_right[e] = b;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            for (var r = 0u; r < 4u; r++) {
                let a = tile_left[k * TILE + 4u * y + r];
                for (var c = 0u; c < 4u; c++) {
                    sum[4u * r + c] += a * tile_right[k * TILE + x + 16u * c];
                }
            }
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < 4u; r++) {
        for (var c = 0u; c < 4u; c++) {
            let m = m0 + 4u * y + r;
            let n = n0 + x + 16u * c;
            if (m < M && n < N) {
                finish(part * COUNT + place(family, m, n), sum[4u * r + c]);
            }
        }
    }
}

// What tap and channel k see of x from result n.
fn seen(family: u32, k: u32, n: u32) -> f32 {
    let taps = TAPS_DOWN * TAPS_ACROSS;
    let results = RESULTS_DOWN * RESULTS_ACROSS;
    let tap = k % taps;
    let at = n % results;
    let row = at / RESULTS_ACROSS * STRIDE_DOWN + tap / TAPS_ACROSS * DILATION_DOWN - PADDING_DOWN;
    let column = at % RESULTS_ACROSS * STRIDE_ACROSS + tap % TAPS_ACROSS * DILATION_ACROSS - PADDING_ACROSS;
    // Below zero these wrap to more than any length.
    if (row >= HEIGHT || column >= LENGTH) {
        return 0.0;
    }
    let channel = (n / results * CHANNEL_GROUPS + family) * INPUTS + k / taps;
    return load_a((channel * HEIGHT + row) * LENGTH + column);
}

// entry: forward
// left: weights [outputs, inputs x taps]; right: what the taps see of x, [inputs x taps, batch x results]
fn left(family: u32, m: u32, k: u32) -> f32 {
    return load_b((family * OUTPUTS + m) * K + k);
}

fn right(family: u32, k: u32, n: u32) -> f32 {
    return seen(family, k, n);
}

fn place(family: u32, m: u32, n: u32) -> u32 {
    let results = RESULTS_DOWN * RESULTS_ACROSS;
    return ((n / results * CHANNEL_GROUPS + family) * OUTPUTS + m) * results + n % results;
}

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    multiply(group_index(group), thread);
}

// entry: input
// left: weights [inputs, outputs x taps]; right: the results that read a pixel, [outputs x taps, batch x pixels]
fn left(family: u32, m: u32, k: u32) -> f32 {
    let taps = TAPS_DOWN * TAPS_ACROSS;
    return load_b(((family * OUTPUTS + k / taps) * INPUTS + m) * taps + k % taps);
}

fn right(family: u32, k: u32, n: u32) -> f32 {
    let taps = TAPS_DOWN * TAPS_ACROSS;
    let pixels = HEIGHT * LENGTH;
    let tap = k % taps;
    let pixel = n % pixels;
    let down = pixel / LENGTH + PADDING_DOWN - tap / TAPS_ACROSS * DILATION_DOWN;
    let across = pixel % LENGTH + PADDING_ACROSS - tap % TAPS_ACROSS * DILATION_ACROSS;
    // Below zero these wrap to more than any result.
    let row = down / STRIDE_DOWN;
    let column = across / STRIDE_ACROSS;
    if (down % STRIDE_DOWN != 0u || across % STRIDE_ACROSS != 0u || row >= RESULTS_DOWN || column >= RESULTS_ACROSS) {
        return 0.0;
    }
    let channel = (n / pixels * CHANNEL_GROUPS + family) * OUTPUTS + k / taps;
    return load_a((channel * RESULTS_DOWN + row) * RESULTS_ACROSS + column);
}

fn place(family: u32, m: u32, n: u32) -> u32 {
    let pixels = HEIGHT * LENGTH;
    return ((n / pixels * CHANNEL_GROUPS + family) * INPUTS + m) * pixels + n % pixels;
}

@compute @workgroup_size(THREADS)
fn input(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    multiply(group_index(group), thread);
}

// entry: weight
// left: y [outputs, batch x results]; right: what the taps see of x, [batch x results, inputs x taps]
fn left(family: u32, m: u32, k: u32) -> f32 {
    let results = RESULTS_DOWN * RESULTS_ACROSS;
    return load_b(((k / results * CHANNEL_GROUPS + family) * OUTPUTS + m) * results + k % results);
}

fn right(family: u32, k: u32, n: u32) -> f32 {
    return seen(family, n, k);
}

fn place(family: u32, m: u32, n: u32) -> u32 {
    return (family * OUTPUTS + m) * N + n;
}

@compute @workgroup_size(THREADS)
fn weight(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    multiply(group_index(group), thread);
}

// entry: add_parts
@compute @workgroup_size(THREADS)
fn add_parts(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    var sum = 0.0;
    for (var part = 0u; part < PARTS; part++) {
        sum += load_sums(part * COUNT + i);
    }
    finish(i, sum);
}
