// Element i of row `index` of the table; an index outside gives zero.

@compute @workgroup_size(THREADS)
fn gather(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let row = load_index(i / WIDTH);
    var value = 0.0;
    if (row >= 0 && u32(row) < ROWS) {
        value = load_table(u32(row) * WIDTH + i % WIDTH);
    }
    finish(i, value);
}
