// One factor of a transform: entry (p, q) of factors done so far DONE RADIX is the sum over s < RADIX of
// e^(SIGN 2 pi i s q / (DONE RADIX)) times entry (p + s LENGTH / (DONE RADIX), q mod DONE) of those before.

static constexpr u32 REACH = DONE * RADIX;
static constexpr u32 COLUMNS = LENGTH / REACH;

struct Complex {
    f32 re, im;
};

/// e^(SIGN 2 pi i n / of), n < of: whole quarter turns are taken off exactly.
WORD Complex unit(u32 n, u32 of) {
    const u32 quarters = (8 * n + of) / (2 * of);
    const i32 rest = i32(4 * n) - i32(quarters * of);
    const f32 angle = f32(rest) / f32(of) * 1.5707963267948966f;
    const f32 s = sin_core(angle), c = cos_core(angle);
    switch (quarters & 3) {
        case 0: return {c, SIGN * s};
        case 1: return {-s, SIGN * c};
        case 2: return {-c, SIGN * -s};
        default: return {s, SIGN * -c};
    }
}

WORD Complex product(Complex a, Complex b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }

WORD Complex load_complex(u32 i) {
    if (REAL_IN) return {load_x(i), 0.0f};
    return {load_x(2 * i), load_x(2 * i + 1)};
}

KERNEL(fft) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const u32 inner = i % STRIDE, k = i / STRIDE % LENGTH, line = i / STRIDE / LENGTH * LENGTH;
    const u32 p = k / REACH, q = k % REACH;
    const Complex turn = unit(q, REACH);
    Complex twiddle = {1.0f, 0.0f}, sum = {0.0f, 0.0f};
    for (u32 s = 0; s < RADIX; s++) {
        // Powers by multiplication, taken anew before their rounding errors grow.
        if (s > 0 && s % 8 == 0) twiddle = unit(s * q % REACH, REACH);
        const u32 from = (p + s * COLUMNS) * DONE + q % DONE;
        const Complex term = product(load_complex((line + (from + SHIFT_IN) % LENGTH) * STRIDE + inner), twiddle);
        sum = {sum.re + term.re, sum.im + term.im};
        twiddle = product(twiddle, turn);
    }
    const u32 at = (line + (k + SHIFT_OUT) % LENGTH) * STRIDE + inner;
    if (REAL_OUT) {
        finish(at, sum.re - sum.im);
    } else {
        finish(2 * at, sum.re);
        finish(2 * at + 1, sum.im);
    }
}
