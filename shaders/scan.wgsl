// Running sums along lines.

// Where step i of a line stands.
fn element(line: u32, i: u32) -> u32 {
    let step = select(i, COUNT - 1u - i, BACKWARD != 0u);
    return (line / AFTER * COUNT + step) * AFTER + line % AFTER;
}

// entry: by_thread
@compute @workgroup_size(THREADS)
fn by_thread(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let line = group_index(group) * THREADS + thread;
    if (line >= LINES) {
        return;
    }
    var sum = 0.0;
    for (var i = 0u; i < COUNT; i++) {
        let at = element(line, i);
        let with_this = sum + load_x(at);
        finish(at, select(with_this, sum, EXCLUSIVE != 0u));
        sum = with_this;
    }
}

// entry: by_group
// A tile at a time; what came before is carried along.
var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn by_group(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let line = group_index(group);
    if (line >= LINES) {
        return;
    }
    var carried = 0.0;
    for (var first = 0u; first < COUNT; first += THREADS) {
        let i = first + thread;
        var sum = 0.0;
        if (i < COUNT) {
            sum = load_x(element(line, i));
        }
        sums[thread] = sum;
        workgroupBarrier();
        for (var reach = 1u; reach < THREADS; reach *= 2u) {
            var left = 0.0;
            if (thread >= reach) {
                left = sums[thread - reach];
            }
            workgroupBarrier();
            sum += left;
            sums[thread] = sum;
            workgroupBarrier();
        }
        var before = 0.0;
        if (thread > 0u) {
            before = sums[thread - 1u];
        }
        if (i < COUNT) {
            finish(element(line, i), carried + select(sum, before, EXCLUSIVE != 0u));
        }
        carried += sums[THREADS - 1u];
        workgroupBarrier();
    }
}
