// Long convolution: what stands around the transforms. Line (p, c) holds members 2 p and 2 p + 1 of channel
// FIRST + c as real and imaginary part; behind all p stand the filter's lines, or those of the second tensor. Lines
// that fit the memory of a group stay there from the load to the result.

// entry: spread filter_spectrum convolve_line correlate_lines
fn of_u(member: u32, c: u32, n: u32) -> f32 {
    if (member < BATCH && n < LENGTH) {
        return load_u((member * CHANNELS + FIRST + c) * LENGTH + n);
    }
    return 0.0;
}

fn of_other(member: u32, c: u32, n: u32) -> f32 {
    if (member < BATCH && n < LENGTH) {
        return load_other((member * CHANNELS + FIRST + c) * LENGTH + n);
    }
    return 0.0;
}

// Lag 0 at the first place, lags below it at the end.
fn of_filter(c: u32, n: u32) -> f32 {
    let tap = n + CENTRE;
    var sum = 0.0;
    if (tap < TAPS) {
        sum = load_other((FIRST + c) * TAPS + tap);
    }
    if (tap >= PERIOD && tap - PERIOD < TAPS) {
        sum += load_other((FIRST + c) * TAPS + tap - PERIOD);
    }
    return sum / f32(PERIOD);
}

// entry: spread
@compute @workgroup_size(THREADS)
fn spread(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let n = i % PERIOD;
    let c = i / PERIOD % BLOCK;
    let p = i / PERIOD / BLOCK;
    var re: f32;
    var im = 0.0;
    if (p < PAIRS) {
        re = of_u(2u * p, c, n);
        im = of_u(2u * p + 1u, c, n);
    } else if (FORWARD == 1u) {
        re = of_filter(c, n);
    } else {
        re = of_other(2u * (p - PAIRS), c, n);
        im = of_other(2u * (p - PAIRS) + 1u, c, n);
    }
    store_y(2u * i, re);
    store_y(2u * i + 1u, im);
}

// entry: multiply
@compute @workgroup_size(THREADS)
fn multiply(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let filter_at = PAIRS * BLOCK * PERIOD + i % (BLOCK * PERIOD);
    let re = load_x(2u * i);
    let im = load_x(2u * i + 1u);
    let k_re = load_x(2u * filter_at);
    let k_im = load_x(2u * filter_at + 1u);
    store_y(2u * i, re * k_re - im * k_im);
    store_y(2u * i + 1u, re * k_im + im * k_re);
}

// entry: correlate
// What the two members of a line have with each other is imaginary after the transform back.
@compute @workgroup_size(THREADS)
fn correlate(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    var sum_re = 0.0;
    var sum_im = 0.0;
    for (var p = 0u; p < PAIRS; p++) {
        let at = p * BLOCK * PERIOD + i;
        let other = at + PAIRS * BLOCK * PERIOD;
        let re = load_x(2u * at);
        let im = load_x(2u * at + 1u);
        let other_re = load_x(2u * other);
        let other_im = load_x(2u * other + 1u);
        sum_re += re * other_re + im * other_im;
        sum_im += re * other_im - im * other_re;
    }
    store_y(2u * i, sum_re);
    store_y(2u * i + 1u, sum_im);
}

// entry: gather_result
@compute @workgroup_size(THREADS)
fn gather_result(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let t = i % LENGTH;
    let c = i / LENGTH % BLOCK;
    let b = i / LENGTH / BLOCK;
    let value = load_x(2u * ((b / 2u * BLOCK + c) * PERIOD + t) + b % 2u);
    finish((b * CHANNELS + FIRST + c) * LENGTH + t, value);
}

// entry: gather_taps
@compute @workgroup_size(THREADS)
fn gather_taps(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let c = i / TAPS;
    let n = (i % TAPS + PERIOD - CENTRE) % PERIOD;
    finish(FIRST * TAPS + i, load_x(2u * (c * PERIOD + n)) / f32(PERIOD));
}

// entry: filter_spectrum convolve_line correlate_lines
var<workgroup> line: array<vec2<f32>, PERIOD>;

fn product(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// The line's transform in its place: four entries at a time, after two where the period is no power of four.
fn transform(thread: u32, sign: f32) {
    var a: array<vec2<f32>, OWN * 4u>;
    workgroupBarrier();
    if (ODD == 1u) {
        for (var own = 0u; own < OWN * 2u; own++) {
            let b = thread + own * THREADS;
            if (b < PERIOD / 2u) {
                a[2u * own] = line[b];
                a[2u * own + 1u] = line[b + PERIOD / 2u];
            }
        }
        workgroupBarrier();
        for (var own = 0u; own < OWN * 2u; own++) {
            let b = thread + own * THREADS;
            if (b < PERIOD / 2u) {
                line[2u * b] = a[2u * own] + a[2u * own + 1u];
                line[2u * b + 1u] = a[2u * own] - a[2u * own + 1u];
            }
        }
        workgroupBarrier();
    }
    for (var done = 1u + ODD; done < PERIOD; done *= 4u) {
        for (var own = 0u; own < OWN; own++) {
            let b = thread + own * THREADS;
            if (b < PERIOD / 4u) {
                for (var s = 0u; s < 4u; s++) {
                    a[4u * own + s] = line[b + s * (PERIOD / 4u)];
                }
            }
        }
        workgroupBarrier();
        for (var own = 0u; own < OWN; own++) {
            let b = thread + own * THREADS;
            if (b < PERIOD / 4u) {
                let q = b % done;
                let angle = sign * 1.5707963267948966 * f32(q) / f32(done);
                let turn = vec2<f32>(cos(angle), sin(angle));
                let twice = product(turn, turn);
                let x0 = a[4u * own];
                let x1 = product(a[4u * own + 1u], turn);
                let x2 = product(a[4u * own + 2u], twice);
                let x3 = product(a[4u * own + 3u], product(twice, turn));
                let even = x0 + x2;
                let odd = x1 + x3;
                let rest = x0 - x2;
                let quarter = sign * vec2<f32>(x3.y - x1.y, x1.x - x3.x);
                let at = 4u * b - 3u * q;
                line[at] = even + odd;
                line[at + done] = rest + quarter;
                line[at + 2u * done] = even - odd;
                line[at + 3u * done] = rest - quarter;
            }
        }
        workgroupBarrier();
    }
}

// entry: filter_spectrum
@compute @workgroup_size(THREADS)
fn filter_spectrum(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let c = group_index(group);
    if (c >= GROUPS) {
        return;
    }
    for (var n = thread; n < PERIOD; n += THREADS) {
        line[n] = vec2<f32>(of_filter(c, n), 0.0);
    }
    transform(thread, -1.0);
    for (var n = thread; n < PERIOD; n += THREADS) {
        store_y(2u * (c * PERIOD + n), line[n].x);
        store_y(2u * (c * PERIOD + n) + 1u, line[n].y);
    }
}

// entry: convolve_line
@compute @workgroup_size(THREADS)
fn convolve_line(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group);
    if (row >= GROUPS) {
        return;
    }
    let c = row % CHANNELS;
    let b = 2u * (row / CHANNELS);
    for (var n = thread; n < PERIOD; n += THREADS) {
        line[n] = vec2<f32>(of_u(b, c, n), of_u(b + 1u, c, n));
    }
    transform(thread, -1.0);
    for (var n = thread; n < PERIOD; n += THREADS) {
        let k = 2u * (c * PERIOD + n);
        line[n] = product(line[n], vec2<f32>(load_spectrum(k), load_spectrum(k + 1u)));
    }
    transform(thread, 1.0);
    for (var t = thread; t < LENGTH; t += THREADS) {
        finish((b * CHANNELS + c) * LENGTH + t, line[t].x);
        if (b + 1u < BATCH) {
            finish(((b + 1u) * CHANNELS + c) * LENGTH + t, line[t].y);
        }
    }
}

// entry: correlate_lines
@compute @workgroup_size(THREADS)
fn correlate_lines(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let c = group_index(group);
    if (c >= GROUPS) {
        return;
    }
    var sum: array<vec2<f32>, OWN * 4u>;
    var left: array<vec2<f32>, OWN * 4u>;
    for (var own = 0u; own < OWN * 4u; own++) {
        sum[own] = vec2<f32>(0.0);
    }
    for (var p = 0u; p < PAIRS; p++) {
        for (var n = thread; n < PERIOD; n += THREADS) {
            line[n] = vec2<f32>(of_u(2u * p, c, n), of_u(2u * p + 1u, c, n));
        }
        transform(thread, -1.0);
        for (var own = 0u; own < OWN * 4u; own++) {
            let n = thread + own * THREADS;
            if (n < PERIOD) {
                left[own] = line[n];
                line[n] = vec2<f32>(of_other(2u * p, c, n), of_other(2u * p + 1u, c, n));
            }
        }
        transform(thread, -1.0);
        for (var own = 0u; own < OWN * 4u; own++) {
            let n = thread + own * THREADS;
            if (n < PERIOD) {
                sum[own] += product(line[n], vec2<f32>(left[own].x, -left[own].y));
            }
        }
    }
    for (var own = 0u; own < OWN * 4u; own++) {
        let n = thread + own * THREADS;
        if (n < PERIOD) {
            line[n] = sum[own];
        }
    }
    transform(thread, 1.0);
    for (var tap = thread; tap < TAPS; tap += THREADS) {
        finish(c * TAPS + tap, line[(tap + PERIOD - CENTRE) % PERIOD].x / f32(PERIOD));
    }
}
