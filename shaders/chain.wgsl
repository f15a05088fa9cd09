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
