// One group a row of LENGTH: mean, then the mean square of the distance from it.

var<workgroup> lanes: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group);
    if (row >= GROUPS) {
        return;
    }
    let base = row * LENGTH;
    var sum = 0.0;
    for (var k = thread; k < LENGTH; k += THREADS) {
        sum += load_x(base + k);
    }
    lanes[thread] = sum;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
            lanes[thread] += lanes[thread + half];
        }
    }
    workgroupBarrier();
    let mean = lanes[0] / f32(LENGTH);
    workgroupBarrier();
    var squares = 0.0;
    for (var k = thread; k < LENGTH; k += THREADS) {
        let distance = load_x(base + k) - mean;
        squares += distance * distance;
    }
    lanes[thread] = squares;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
            lanes[thread] += lanes[thread + half];
        }
    }
    workgroupBarrier();
    let scale = 1.0 / sqrt(lanes[0] / f32(LENGTH) + EPSILON);
    for (var k = thread; k < LENGTH; k += THREADS) {
        finish(base + k, (load_x(base + k) - mean) * scale);
    }
}
