// Sums of squares, one window of one input a group.

// entry: windows
var<workgroup> lanes: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn windows(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if (group_index(group) >= GROUPS) {
        return;
    }
    let first = open_window(group_index(group));
    var total = 0.0;
    for (var i = first + thread; i < window_end; i += THREADS) {
        let x = load_x(i);
        total += x * x;
    }
    lanes[thread] = total;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
            lanes[thread] += lanes[thread + half];
        }
    }
    if (thread == 0u) {
        store_sums(window_number, lanes[0]);
    }
}
