// Convolutions as products of tiles, factors read in place: `left` and `right` say which element of which
// tensor stands at (m, k) and (k, n) of a group of channels, here `family`, `place` where (m, n) goes. Zero
// where a tap sees outside.

// entry: forward input weight
static constexpr u32 TILE = 64u;
static constexpr u32 DEPTH = 16u;

WORD void multiply(u32 group, u32 thread) {
    __shared__ f32 tile_left[TILE * DEPTH];
    __shared__ f32 tile_right[TILE * DEPTH];
    if (group >= GROUPS) {
        return;
    }
    const u32 across = (N + TILE - 1u) / TILE;
    const u32 down = (M + TILE - 1u) / TILE;
    const u32 n0 = group % across * TILE;
    const u32 m0 = group / across % down * TILE;
    const u32 part = group / across / down % PARTS;
    const u32 family = group / across / down / PARTS;
    const u32 end = (part + 1u) * PART < K ? (part + 1u) * PART : K;
    const u32 x = thread % 16u;
    const u32 y = thread / 16u;
    f32 sum[16];
    for (u32 i = 0u; i < 16u; i++) {
        sum[i] = 0.0f;
    }
    for (u32 k0 = part * PART; k0 < end; k0 += DEPTH) {
        for (u32 e = thread; e < TILE * DEPTH; e += THREADS) {
            // Neighbouring threads take what lies together: k of the left factor, n of the right one.
            const u32 m = m0 + e / DEPTH;
            const u32 n = n0 + e % TILE;
            const u32 k_left = k0 + e % DEPTH;
            const u32 k_right = k0 + e / TILE;
            f32 a = 0.0f;
            f32 b = 0.0f;
            if (m < M && k_left < end) {
                a = left(family, m, k_left);
            }
            if (n < N && k_right < end) {
                b = right(family, k_right, n);
            }
            tile_left[e % DEPTH * TILE + e / DEPTH] = a;
            tile_right[e] = b;
        }
        __syncthreads();
        #pragma unroll
        for (u32 k = 0u; k < DEPTH; k++) {
            #pragma unroll
            for (u32 r = 0u; r < 4u; r++) {
                const f32 a = tile_left[k * TILE + 4u * y + r];
                #pragma unroll
                for (u32 c = 0u; c < 4u; c++) {
                    sum[4u * r + c] += a * tile_right[k * TILE + x + 16u * c];
                }
            }
        }
        __syncthreads();
    }
    #pragma unroll
    for (u32 r = 0u; r < 4u; r++) {
        #pragma unroll
        for (u32 c = 0u; c < 4u; c++) {
            const u32 m = m0 + 4u * y + r;
            const u32 n = n0 + x + 16u * c;
            if (m < M && n < N) {
                finish(part * COUNT + place(family, m, n), sum[4u * r + c]);
            }
        }
    }
}

// What tap and channel k see of x from result n.
WORD f32 seen(u32 family, u32 k, u32 n) {
    const u32 taps = TAPS_DOWN * TAPS_ACROSS;
    const u32 results = RESULTS_DOWN * RESULTS_ACROSS;
    const u32 tap = k % taps;
    const u32 at = n % results;
    const u32 row = at / RESULTS_ACROSS * STRIDE_DOWN + tap / TAPS_ACROSS * DILATION_DOWN - PADDING_DOWN;
    const u32 column = at % RESULTS_ACROSS * STRIDE_ACROSS + tap % TAPS_ACROSS * DILATION_ACROSS - PADDING_ACROSS;
    // Below zero these wrap to more than any length.
    if (row >= HEIGHT || column >= LENGTH) {
        return 0.0f;
    }
    const u32 channel = (n / results * CHANNEL_GROUPS + family) * INPUTS + k / taps;
    return load_a((channel * HEIGHT + row) * LENGTH + column);
}

// entry: forward
// left: weights [outputs, inputs x taps]; right: what the taps see of x, [inputs x taps, batch x results]
WORD f32 left(u32 family, u32 m, u32 k) {
    return load_b((family * OUTPUTS + m) * K + k);
}

WORD f32 right(u32 family, u32 k, u32 n) {
    return seen(family, k, n);
}

WORD u32 place(u32 family, u32 m, u32 n) {
    const u32 results = RESULTS_DOWN * RESULTS_ACROSS;
    return ((n / results * CHANNEL_GROUPS + family) * OUTPUTS + m) * results + n % results;
}

KERNEL(forward) { multiply(group_index(), thread_index()); }

// entry: input
// left: weights [inputs, outputs x taps]; right: the results that read a pixel, [outputs x taps, batch x pixels]
WORD f32 left(u32 family, u32 m, u32 k) {
    const u32 taps = TAPS_DOWN * TAPS_ACROSS;
    return load_b(((family * OUTPUTS + k / taps) * INPUTS + m) * taps + k % taps);
}

WORD f32 right(u32 family, u32 k, u32 n) {
    const u32 taps = TAPS_DOWN * TAPS_ACROSS;
    const u32 pixels = HEIGHT * LENGTH;
    const u32 tap = k % taps;
    const u32 pixel = n % pixels;
    const u32 down = pixel / LENGTH + PADDING_DOWN - tap / TAPS_ACROSS * DILATION_DOWN;
    const u32 across = pixel % LENGTH + PADDING_ACROSS - tap % TAPS_ACROSS * DILATION_ACROSS;
    // Below zero these wrap to more than any result.
    const u32 row = down / STRIDE_DOWN;
    const u32 column = across / STRIDE_ACROSS;
    if (down % STRIDE_DOWN != 0u || across % STRIDE_ACROSS != 0u || row >= RESULTS_DOWN || column >= RESULTS_ACROSS) {
        return 0.0f;
    }
    const u32 channel = (n / pixels * CHANNEL_GROUPS + family) * OUTPUTS + k / taps;
    return load_a((channel * RESULTS_DOWN + row) * RESULTS_ACROSS + column);
}

WORD u32 place(u32 family, u32 m, u32 n) {
    const u32 pixels = HEIGHT * LENGTH;
    return ((n / pixels * CHANNEL_GROUPS + family) * INPUTS + m) * pixels + n % pixels;
}

KERNEL(input) { multiply(group_index(), thread_index()); }

// entry: weight
// left: y [outputs, batch x results]; right: what the taps see of x, [batch x results, inputs x taps]
WORD f32 left(u32 family, u32 m, u32 k) {
    const u32 results = RESULTS_DOWN * RESULTS_ACROSS;
    return load_b(((k / results * CHANNEL_GROUPS + family) * OUTPUTS + m) * results + k % results);
}

WORD f32 right(u32 family, u32 k, u32 n) {
    return seen(family, n, k);
}

WORD u32 place(u32 family, u32 m, u32 n) {
    return (family * OUTPUTS + m) * N + n;
}

KERNEL(weight) { multiply(group_index(), thread_index()); }

// entry: add_parts
KERNEL(add_parts) {
    const u32 thread = thread_index();
    const u32 i = group_index() * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    f32 sum = 0.0f;
    for (u32 part = 0u; part < PARTS; part++) {
        sum += load_sums(part * COUNT + i);
    }
    finish(i, sum);
}
