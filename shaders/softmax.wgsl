// One group a row of LENGTH, shifted by its maximum.

var<workgroup> lanes: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn softmax(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group);
    if (row >= GROUPS) {
        return;
    }
    let base = row * LENGTH;
    var top = -infinity();
    for (var k = thread; k < LENGTH; k += THREADS) {
        top = max(load_x(base + k), top);
    }
    lanes[thread] = top;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
            lanes[thread] = max(lanes[thread + half], lanes[thread]);
        }
    }
    workgroupBarrier();
    let highest = lanes[0];
    workgroupBarrier();
    var sum = 0.0;
    for (var k = thread; k < LENGTH; k += THREADS) {
        sum += exp(load_x(base + k) - highest);
    }
    lanes[thread] = sum;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
            lanes[thread] += lanes[thread + half];
        }
    }
    workgroupBarrier();
    let scale = 1.0 / lanes[0];
    for (var k = thread; k < LENGTH; k += THREADS) {
        finish(base + k, exp(load_x(base + k) - highest) * scale);
    }
}
