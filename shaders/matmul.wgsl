// Tiles of 16 ROWS x 64 results: thread (x, y) has columns x, x + 16, x + 32, x + 48 of rows y, y + 16, ...
// Groups go over columns of tiles, then rows, then the batch, then parts of DEPTH of the inner axis.

const TILE: u32 = 16u * ROWS;
const STEP: u32 = 16u;

var<workgroup> left: array<f32, 16u * TILE>;
var<workgroup> right: array<f32, 1024>;

fn left_at(member: u32, i: u32, k: u32) -> f32 {
    if (TRANSPOSE_LEFT == 1u) {
        return load_a((member * K + k) * M + i);
    }
    return load_a((member * M + i) * K + k);
}

fn right_at(member: u32, k: u32, j: u32) -> f32 {
    let own = select(member, 0u, SHARED_RIGHT == 1u);
    if (TRANSPOSE_RIGHT == 1u) {
        return load_b((own * N + j) * K + k);
    }
    return load_b((own * K + k) * N + j);
}

@compute @workgroup_size(THREADS)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let g = group_index(group);
    if (g >= GROUPS) {
        return;
    }
    let column = (g % ACROSS) * 64u;
    let row = (g / ACROSS % DOWN) * TILE;
    let member = g / (ACROSS * DOWN) % BATCH;
    let part = g / (ACROSS * DOWN * BATCH);
    let first = part * DEPTH;
    let end = select(K, first + DEPTH, first + DEPTH < K);
    let x = thread % 16u;
    let y = thread / 16u;
    var sums: array<vec4<f32>, ROWS>;
    for (var base = first; base < end; base += STEP) {
        // Neighbouring threads load neighbours in memory.
        for (var e = thread; e < STEP * TILE; e += THREADS) {
            let k = select(e % STEP, e / TILE, TRANSPOSE_LEFT == 1u);
            let i = select(e / STEP, e % TILE, TRANSPOSE_LEFT == 1u);
            var value = 0.0;
            if (row + i < M && base + k < end) {
                value = left_at(member, row + i, base + k);
            }
            left[k * TILE + i] = value;
        }
        for (var e = thread; e < 1024u; e += THREADS) {
            let k = select(e / 64u, e % STEP, TRANSPOSE_RIGHT == 1u);
            let j = select(e % 64u, e / STEP, TRANSPOSE_RIGHT == 1u);
            var value = 0.0;
            if (column + j < N && base + k < end) {
                value = right_at(member, base + k, column + j);
            }
            right[k * 64u + j] = value;
        }
        workgroupBarrier();
        for (var k = 0u; k < STEP; k++) {
            let at = k * 64u + x;
            let b = vec4<f32>(right[at], right[at + 16u], right[at + 32u], right[at + 48u]);
            for (var r = 0u; r < ROWS; r++) {
                sums[r] += left[k * TILE + y + 16u * r] * b;
            }
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < ROWS; r++) {
        let i = row + y + 16u * r;
        if (i < M) {
            let at = ((part * BATCH + member) * M + i) * N;
            let j = column + x;
            if (j < N) {
                finish(at + j, sums[r].x);
            }
            if (j + 16u < N) {
                finish(at + j + 16u, sums[r].y);
            }
            if (j + 32u < N) {
                finish(at + j + 32u, sums[r].z);
            }
            if (j + 48u < N) {
                finish(at + j + 48u, sums[r].w);
            }
        }
    }
}
