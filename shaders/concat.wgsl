// One part: rows of WIDTH into columns START .. of rows of TOTAL.

@compute @workgroup_size(THREADS)
fn concat(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i < COUNT) {
        store_y(i / WIDTH * TOTAL + START + i % WIDTH, load_x(i));
    }
}
