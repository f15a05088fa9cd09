// One digit of a radix sort: how often each of its 16 values stands in each run of RUN rows, where the first
// of each goes, and the rows moved there. `counts` is [16, RUNS].

fn digit_of(key: i32) -> u32 {
    return (u32(key) >> SHIFT) & 15u;
}

// entry: tally
@compute @workgroup_size(THREADS)
fn tally(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let run = group_index(group) * THREADS + thread;
    if (run >= RUNS) {
        return;
    }
    var found: array<u32, 16>;
    let first = run * RUN;
    for (var k = 0u; k < RUN; k++) {
        if (first + k < COUNT) {
            found[digit_of(load_keys(first + k))] += 1u;
        }
    }
    for (var d = 0u; d < 16u; d++) {
        store_counts(d * RUNS + run, i32(found[d]));
    }
}

// entry: places
// Counts to the sum of all counts before them: each of one group's threads takes a stretch.
var<workgroup> sums: array<i32, THREADS>;

@compute @workgroup_size(THREADS)
fn places(@builtin(local_invocation_index) thread: u32) {
    let all = 16u * RUNS;
    let stretch = (all + THREADS - 1u) / THREADS;
    let first = thread * stretch;
    var sum = 0;
    for (var k = 0u; k < stretch; k++) {
        if (first + k < all) {
            sum += load_counts(first + k);
        }
    }
    sums[thread] = sum;
    for (var reach = 1u; reach < THREADS; reach *= 2u) {
        workgroupBarrier();
        var before = 0;
        if (thread >= reach) {
            before = sums[thread - reach];
        }
        workgroupBarrier();
        sums[thread] += before;
    }
    var next = sums[thread] - sum;
    for (var k = 0u; k < stretch; k++) {
        if (first + k < all) {
            let count = load_counts(first + k);
            store_counts(first + k, next);
            next += count;
        }
    }
}

// entry: deal
@compute @workgroup_size(THREADS)
fn deal(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let run = group_index(group) * THREADS + thread;
    if (run >= RUNS) {
        return;
    }
    var next: array<u32, 16>;
    for (var d = 0u; d < 16u; d++) {
        next[d] = u32(load_counts(d * RUNS + run));
    }
    let first = run * RUN;
    for (var k = 0u; k < RUN; k++) {
        if (first + k < COUNT) {
            let key = load_keys(first + k);
            let digit = digit_of(key);
            store_sorted_keys(next[digit], key);
            store_sorted_rows(next[digit], load_rows(first + k));
            next[digit] += 1u;
        }
    }
}
