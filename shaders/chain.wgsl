// A chain of its own: `finish` is the chain.

// entry: single
@compute @workgroup_size(THREADS)
fn single(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i < COUNT) {
        finish(i, 0.0);
    }
}

// entry: pairs
// Two elements a thread: what is stored in 16 bits is stored two at a time.
@compute @workgroup_size(THREADS)
fn pairs(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = 2u * (group_index(group) * THREADS + thread);
    if (i < COUNT) {
        finish_pair(i);
    }
}

// entry: windows
// One window of one set of buffers a group.
@compute @workgroup_size(THREADS)
fn windows(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if (group_index(group) >= GROUPS) {
        return;
    }
    let first = open_window(group_index(group));
    for (var i = first + thread; i < window_end; i += THREADS) {
        finish(i, 0.0);
    }
}

// entry: windows_of_pairs
@compute @workgroup_size(THREADS)
fn windows_of_pairs(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if (group_index(group) >= GROUPS) {
        return;
    }
    let first = open_window(group_index(group));
    for (var i = first + 2u * thread; i < window_end; i += 2u * THREADS) {
        finish_pair(i);
    }
}
