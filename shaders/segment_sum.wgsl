// Sums of the rows of each segment, in their order.

// entry: keys
// What is outside all segments goes behind the last.
@compute @workgroup_size(THREADS)
fn keys(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i < COUNT) {
        let segment = load_index(i);
        let inside = segment >= 0 && u32(segment) < SEGMENTS;
        store_keys(i, select(i32(SEGMENTS), segment, inside));
        store_rows(i, i32(i));
    }
}

// entry: sum
// The first place whose key is not below this one.
fn place_of(key: i32) -> u32 {
    var low = 0u;
    var high = ROWS;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (load_keys(middle) < key) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(THREADS)
fn sum(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let segment = i32(i / WIDTH);
    let end = place_of(segment + 1);
    var total = 0.0;
    for (var k = place_of(segment); k < end; k++) {
        total += load_x(u32(load_rows(k)) * WIDTH + i % WIDTH);
    }
    finish(i, total);
}
