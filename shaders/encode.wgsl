// Sines, then cosines, of each GROUP of a point's phases.

@compute @workgroup_size(THREADS)
fn encode(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let point = i / FREQUENCIES;
    let j = i % FREQUENCIES;
    let x = 3u * point;
    let f = 3u * j;
    let phase = load_x(x) * load_f(f) + load_x(x + 1u) * load_f(f + 1u) + load_x(x + 2u) * load_f(f + 2u);
    let at = 2u * (point * FREQUENCIES + j / GROUP * GROUP) + j % GROUP;
    finish(at, sin(phase));
    finish(at + GROUP, cos(phase));
}
