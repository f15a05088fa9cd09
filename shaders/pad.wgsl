// Position START + k STEP of the axis holds position k of the input, k < LENGTH; all others are zero.

@compute @workgroup_size(THREADS)
fn pad(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let row = i / AFTER;
    let distance = i32(row % LEN) - START;
    let k = distance / STEP;
    var value = 0.0;
    if (k * STEP == distance && k >= 0 && k < i32(LENGTH)) {
        value = load_x((row / LEN * LENGTH + u32(k)) * AFTER + i % AFTER);
    }
    finish(i, value);
}
