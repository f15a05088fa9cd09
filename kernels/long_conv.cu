// Long convolution: what stands around the transforms. Line (p, c) holds members 2 p and 2 p + 1 of channel
// FIRST + c as real and imaginary part; behind all p stand the filter's lines, or those of the second tensor. Lines
// that fit the memory of a group stay there from the load to the result.

// entry: spread filter_spectrum convolve_line correlate_lines
WORD f32 of_u(u32 member, u32 c, u32 n) {
    if (member >= BATCH || n >= LENGTH) return 0.0f;
    return load_u((member * CHANNELS + FIRST + c) * LENGTH + n);
}

WORD f32 of_other(u32 member, u32 c, u32 n) {
    if (member >= BATCH || n >= LENGTH) return 0.0f;
    return load_other((member * CHANNELS + FIRST + c) * LENGTH + n);
}

// Lag 0 at the first place, lags below it at the end.
WORD f32 of_filter(u32 c, u32 n) {
    const u32 tap = n + CENTRE;
    f32 sum = 0.0f;
    if (tap < TAPS) sum = load_other((FIRST + c) * TAPS + tap);
    if (tap >= PERIOD && tap - PERIOD < TAPS) sum += load_other((FIRST + c) * TAPS + tap - PERIOD);
    return sum / f32(PERIOD);
}

// entry: spread
KERNEL(spread) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const u32 n = i % PERIOD, c = i / PERIOD % BLOCK, p = i / PERIOD / BLOCK;
    f32 re, im = 0.0f;
    if (p < PAIRS) {
        re = of_u(2 * p, c, n);
        im = of_u(2 * p + 1, c, n);
    } else if (FORWARD) {
        re = of_filter(c, n);
    } else {
        re = of_other(2 * (p - PAIRS), c, n);
        im = of_other(2 * (p - PAIRS) + 1, c, n);
    }
    store_y(2 * i, re);
    store_y(2 * i + 1, im);
}

// entry: multiply
KERNEL(multiply) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const u32 filter_at = PAIRS * BLOCK * PERIOD + i % (BLOCK * PERIOD);
    const f32 re = load_x(2 * i), im = load_x(2 * i + 1);
    const f32 k_re = load_x(2 * filter_at), k_im = load_x(2 * filter_at + 1);
    store_y(2 * i, re * k_re - im * k_im);
    store_y(2 * i + 1, re * k_im + im * k_re);
}

// entry: correlate
// What the two members of a line have with each other is imaginary after the transform back.
KERNEL(correlate) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    f32 sum_re = 0.0f, sum_im = 0.0f;
    for (u32 p = 0; p < PAIRS; p++) {
        const u32 at = p * BLOCK * PERIOD + i, other = at + PAIRS * BLOCK * PERIOD;
        const f32 re = load_x(2 * at), im = load_x(2 * at + 1);
        const f32 other_re = load_x(2 * other), other_im = load_x(2 * other + 1);
        sum_re += re * other_re + im * other_im;
        sum_im += re * other_im - im * other_re;
    }
    store_y(2 * i, sum_re);
    store_y(2 * i + 1, sum_im);
}

// entry: gather_result
KERNEL(gather_result) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const u32 t = i % LENGTH, c = i / LENGTH % BLOCK, b = i / LENGTH / BLOCK;
    const f32 value = load_x(2 * ((b / 2 * BLOCK + c) * PERIOD + t) + b % 2);
    finish((b * CHANNELS + FIRST + c) * LENGTH + t, value);
}

// entry: gather_taps
KERNEL(gather_taps) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const u32 c = i / TAPS, n = (i % TAPS + PERIOD - CENTRE) % PERIOD;
    finish(FIRST * TAPS + i, load_x(2 * (c * PERIOD + n)) / f32(PERIOD));
}

// entry: filter_spectrum convolve_line correlate_lines
struct Complex {
    f32 re, im;
};

WORD static Complex sum_of(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
WORD static Complex less(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
WORD static Complex product(Complex a, Complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/// The line's transform in its place: four entries at a time, after two where the period is no power of four.
WORD void transform(Complex* line, f32 sign) {
    const u32 thread = thread_index();
    Complex a[OWN * 4];
    __syncthreads();
    if (ODD) {
        #pragma unroll
        for (u32 own = 0; own < OWN * 2; own++) {
            const u32 b = thread + own * THREADS;
            if (b < PERIOD / 2) {
                a[2 * own] = line[b];
                a[2 * own + 1] = line[b + PERIOD / 2];
            }
        }
        __syncthreads();
        #pragma unroll
        for (u32 own = 0; own < OWN * 2; own++) {
            const u32 b = thread + own * THREADS;
            if (b < PERIOD / 2) {
                line[2 * b] = sum_of(a[2 * own], a[2 * own + 1]);
                line[2 * b + 1] = less(a[2 * own], a[2 * own + 1]);
            }
        }
        __syncthreads();
    }
    for (u32 done = 1 + ODD; done < PERIOD; done *= 4) {
        #pragma unroll
        for (u32 own = 0; own < OWN; own++) {
            const u32 b = thread + own * THREADS;
            if (b < PERIOD / 4) {
                #pragma unroll
                for (u32 s = 0; s < 4; s++) a[4 * own + s] = line[b + s * (PERIOD / 4)];
            }
        }
        __syncthreads();
        #pragma unroll
        for (u32 own = 0; own < OWN; own++) {
            const u32 b = thread + own * THREADS;
            if (b < PERIOD / 4) {
                const u32 q = b % done;
                const f32 angle = sign * 1.5707963267948966f * f32(q) / f32(done);
                const Complex turn = {cos(angle), sin(angle)}, twice = product(turn, turn);
                const Complex x0 = a[4 * own], x1 = product(a[4 * own + 1], turn);
                const Complex x2 = product(a[4 * own + 2], twice);
                const Complex x3 = product(a[4 * own + 3], product(twice, turn));
                const Complex even = sum_of(x0, x2), odd = sum_of(x1, x3), rest = less(x0, x2);
                const Complex quarter = {sign * (x3.im - x1.im), sign * (x1.re - x3.re)};
                const u32 at = 4 * b - 3 * q;
                line[at] = sum_of(even, odd);
                line[at + done] = sum_of(rest, quarter);
                line[at + 2 * done] = less(even, odd);
                line[at + 3 * done] = less(rest, quarter);
            }
        }
        __syncthreads();
    }
}

// entry: filter_spectrum
KERNEL(filter_spectrum) {
    __shared__ Complex line[PERIOD];
    const u32 c = group_index();
    if (c >= GROUPS) return;
    for (u32 n = thread_index(); n < PERIOD; n += THREADS) line[n] = {of_filter(c, n), 0.0f};
    transform(line, -1.0f);
    for (u32 n = thread_index(); n < PERIOD; n += THREADS) {
        store_y(2 * (c * PERIOD + n), line[n].re);
        store_y(2 * (c * PERIOD + n) + 1, line[n].im);
    }
}

// entry: convolve_line
KERNEL(convolve_line) {
    __shared__ Complex line[PERIOD];
    const u32 row = group_index();
    if (row >= GROUPS) return;
    const u32 c = row % CHANNELS, b = 2 * (row / CHANNELS);
    for (u32 n = thread_index(); n < PERIOD; n += THREADS) line[n] = {of_u(b, c, n), of_u(b + 1, c, n)};
    transform(line, -1.0f);
    for (u32 n = thread_index(); n < PERIOD; n += THREADS) {
        const u32 k = 2 * (c * PERIOD + n);
        line[n] = product(line[n], {load_spectrum(k), load_spectrum(k + 1)});
    }
    transform(line, 1.0f);
    for (u32 t = thread_index(); t < LENGTH; t += THREADS) {
        finish((b * CHANNELS + c) * LENGTH + t, line[t].re);
        if (b + 1 < BATCH) finish(((b + 1) * CHANNELS + c) * LENGTH + t, line[t].im);
    }
}

// entry: correlate_lines
KERNEL(correlate_lines) {
    __shared__ Complex line[PERIOD];
    const u32 c = group_index(), thread = thread_index();
    if (c >= GROUPS) return;
    Complex sum[OWN * 4], left[OWN * 4];
    #pragma unroll
    for (u32 own = 0; own < OWN * 4; own++) sum[own] = {0.0f, 0.0f};
    for (u32 p = 0; p < PAIRS; p++) {
        for (u32 n = thread; n < PERIOD; n += THREADS) line[n] = {of_u(2 * p, c, n), of_u(2 * p + 1, c, n)};
        transform(line, -1.0f);
        #pragma unroll
        for (u32 own = 0; own < OWN * 4; own++) {
            const u32 n = thread + own * THREADS;
            if (n < PERIOD) {
                left[own] = line[n];
                line[n] = {of_other(2 * p, c, n), of_other(2 * p + 1, c, n)};
            }
        }
        transform(line, -1.0f);
        #pragma unroll
        for (u32 own = 0; own < OWN * 4; own++) {
            const u32 n = thread + own * THREADS;
            if (n < PERIOD) sum[own] = sum_of(sum[own], product(line[n], {left[own].re, -left[own].im}));
        }
    }
    #pragma unroll
    for (u32 own = 0; own < OWN * 4; own++) {
        const u32 n = thread + own * THREADS;
        if (n < PERIOD) line[n] = sum[own];
    }
    transform(line, 1.0f);
    for (u32 tap = thread; tap < TAPS; tap += THREADS) {
        finish(c * TAPS + tap, line[(tap + PERIOD - CENTRE) % PERIOD].re / f32(PERIOD));
    }
}
