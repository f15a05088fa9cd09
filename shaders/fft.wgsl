// One factor of a transform: entry (p, q) of factors done so far DONE RADIX is the sum over s < RADIX of
// e^(SIGN 2 pi i s q / (DONE RADIX)) times entry (p + s LENGTH / (DONE RADIX), q mod DONE) of those before.

const REACH: u32 = DONE * RADIX;
const COLUMNS: u32 = LENGTH / REACH;

// e^(SIGN 2 pi i n / whole), n < whole: whole quarter turns are taken off exactly.
fn unit(n: u32, whole: u32) -> vec2<f32> {
    let quarters = (8u * n + whole) / (2u * whole);
    let rest = i32(4u * n) - i32(quarters * whole);
    let angle = f32(rest) / f32(whole) * 1.5707963267948966;
    let s = sin_core(angle);
    let c = cos_core(angle);
    let q = quarters & 3u;
    let re = select(select(c, -s, q == 1u), select(-c, s, q == 3u), q >= 2u);
    let im = select(select(s, c, q == 1u), select(-s, -c, q == 3u), q >= 2u);
    return vec2<f32>(re, SIGN * im);
}

fn product(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

fn load_complex(i: u32) -> vec2<f32> {
    if (REAL_IN == 1u) {
        return vec2<f32>(load_x(i), 0.0);
    }
    // A real input has half as many numbers; the compiler drops this branch then.
    return vec2<f32>(load_x(2u * i), load_x(2u * i + 1u));
}

@compute @workgroup_size(THREADS)
fn fft(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let inner = i % STRIDE;
    let line = i / STRIDE / LENGTH * LENGTH;
    let k = i / STRIDE % LENGTH;
    let p = k / REACH;
    let q = k % REACH;
    let turn = unit(q, REACH);
    var twiddle = vec2<f32>(1.0, 0.0);
    var sum = vec2<f32>(0.0);
    for (var s = 0u; s < RADIX; s++) {
        // Powers by multiplication, taken anew before their rounding errors grow.
        if (s > 0u && s % 8u == 0u) {
            twiddle = unit(s * q % REACH, REACH);
        }
        let entry = (p + s * COLUMNS) * DONE + q % DONE;
        sum += product(load_complex((line + (entry + SHIFT_IN) % LENGTH) * STRIDE + inner), twiddle);
        twiddle = product(twiddle, turn);
    }
    let at = (line + (k + SHIFT_OUT) % LENGTH) * STRIDE + inner;
    if (REAL_OUT == 1u) {
        finish(at, sum.x - sum.y);
    } else {
        finish(2u * at, sum.x);
        finish(2u * at + 1u, sum.y);
    }
}
