// x [before, ALONG, AFTER] to y [before, PARTS, AFTER]: part p is elements p CHUNK .. of its axis.

fn start() -> f32 {
    if (SUM == 1u) {
        return 0.0;
    }
    return -infinity();
}

fn join(a: f32, b: f32) -> f32 {
    if (SUM == 1u) {
        return a + b;
    }
    return max(a, b);
}

// entry: columns
// One thread a result. Sums of 64 are added up, which keeps rounding errors from growing with the length.
@compute @workgroup_size(THREADS)
fn columns(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let row = i / AFTER;
    let first = (row % PARTS) * CHUNK;
    let end = select(ALONG, first + CHUNK, first + CHUNK < ALONG);
    let base = (row / PARTS) * ALONG * AFTER + i % AFTER;
    var total = start();
    for (var block = first; block < end; block += 64u) {
        let stop = select(end, block + 64u, block + 64u < end);
        var part = start();
        for (var k = block; k < stop; k++) {
            part = join(load_x(base + k * AFTER), part);
        }
        total = join(part, total);
    }
    finish(i, total);
}

// entry: rows
// One group a result; AFTER is 1.
var<workgroup> lanes: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group);
    if (i >= COUNT) {
        return;
    }
    let first = (i % PARTS) * CHUNK;
    let end = select(ALONG, first + CHUNK, first + CHUNK < ALONG);
    let base = (i / PARTS) * ALONG;
    var total = start();
    for (var k = first + thread; k < end; k += THREADS) {
        total = join(load_x(base + k), total);
    }
    lanes[thread] = total;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
            lanes[thread] = join(lanes[thread + half], lanes[thread]);
        }
    }
    if (thread == 0u) {
        finish(i, lanes[0]);
    }
}
