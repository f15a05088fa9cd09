// A tile of TILE rows through all layers of a network. Its activations (backwards: its derivatives) stay in shared
// memory for the next product and in f32 in registers, where residuals are added; what is kept of them for later
// is written and not read again.
//
// WIDE is the width filled up, with zeros. Inputs wider than that come by in pieces of WIDE.

WORD f32 activate(f32 v) { return v > 0.0f ? v : SLOPE * v; }
WORD f32 slope(f32 h) { return h > 0.0f ? 1.0f : SLOPE; }

// entry: forward tensor_forward
/// Feature k of a row, zero outside.
WORD f32 feature(u32 row, u32 k) {
    if (row >= ROWS || k >= FEATURES) return 0.0f;
    if (ENCODE == 0) return load_x(row * FEATURES + k);
    const u32 rest = k % (2 * GROUP), f = 3 * (k / (2 * GROUP) * GROUP + rest % GROUP), x = 3 * row;
    const f32 phase = load_x(x) * load_f(f) + load_x(x + 1) * load_f(f + 1) + load_x(x + 2) * load_f(f + 2);
    const f32 value = rest < GROUP ? sin(phase) : cos(phase);
    if (KEEP_FEATURES) store_features(row * FEATURES + k, value);
    return value;
}

// entry: forward backward
// In f32: a thread has columns 4 x .. 4 x + 3 of rows y, y + DOWN, ...
static constexpr u32 LANES = WIDE / 4, DOWN = THREADS / LANES, EACH = TILE / DOWN, STEP = 8;
// Past the banks of the row before.
static constexpr u32 PITCH = WIDE + 4;

/// sums += tile right, over `length` of k. `load(k, j)` is element (k, j) of the right factor, whose neighbours in
/// memory are those in k, or in j if it is turned.
template <bool turned, class Load>
WORD void multiply(f32 (&sums)[EACH][4], const f32* tile, f32* stage, u32 length, Load load) {
    const u32 x = thread_index() % LANES, y = thread_index() / LANES;
    for (u32 base = 0; base < length; base += STEP) {
        for (u32 e = thread_index(); e < STEP * WIDE; e += THREADS) {
            const u32 k = turned ? e / WIDE : e % STEP, j = turned ? e % WIDE : e / STEP;
            stage[k * PITCH + j] = j < WIDTH && base + k < length ? load(base + k, j) : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (u32 k = 0; k < STEP; k += 4) {
            f32 a[EACH][4];
#pragma unroll
            for (u32 r = 0; r < EACH; r++) *(float4*)a[r] = *(const float4*)(tile + (y + DOWN * r) * PITCH + base + k);
#pragma unroll
            for (u32 l = 0; l < 4; l++) {
                f32 b[4];
                *(float4*)b = *(const float4*)(stage + (k + l) * PITCH + 4 * x);
#pragma unroll
                for (u32 r = 0; r < EACH; r++) {
#pragma unroll
                    for (u32 c = 0; c < 4; c++) sums[r][c] += a[r][l] * b[c];
                }
            }
        }
        __syncthreads();
    }
}

/// What a thread's sums are of: `work(sum, row in the tile, column)`.
template <class Work>
WORD void each(f32 (&sums)[EACH][4], Work work) {
#pragma unroll
    for (u32 r = 0; r < EACH; r++) {
#pragma unroll
        for (u32 c = 0; c < 4; c++) {
            work(sums[r][c], thread_index() / LANES + DOWN * r, 4 * (thread_index() % LANES) + c);
        }
    }
}

// entry: forward
KERNEL(forward) {
    __shared__ __align__(16) f32 tile[TILE * PITCH], stage[STEP * PITCH];
    if (group_index() >= GROUPS) return;
    const u32 first = group_index() * TILE;
    f32 sums[EACH][4] = {};
    for (u32 base = 0; base < FEATURES; base += WIDE) {
        for (u32 e = thread_index(); e < TILE * WIDE; e += THREADS) {
            tile[e / WIDE * PITCH + e % WIDE] = feature(first + e / WIDE, base + e % WIDE);
        }
        const u32 length = FEATURES - base < WIDE ? FEATURES - base : WIDE;
        multiply<false>(sums, tile, stage, length, [&](u32 k, u32 j) { return load_w0(j * FEATURES + base + k); });
    }
    each(sums, [&](f32& sum, u32 i, u32 j) {
        const u32 row = first + i < ROWS ? first + i : ROWS - 1;
        sum = j < WIDTH ? activate(sum + load_offset(row / (ROWS / MEMBERS) * WIDTH + j)) : 0.0f;
    });
    for (u32 l = 0;; l++) {
        each(sums, [&](f32& sum, u32 i, u32 j) {
            tile[i * PITCH + j] = sum;
            if (first + i < ROWS && j < WIDTH) {
                const u32 at = (first + i) * WIDTH + j;
                if (l < LAYERS && KEEP_HIDDEN) store_hidden(l * ROWS * WIDTH + at, sum);
                if (l == LAYERS && KEEP_LAST) store_last(at, sum);
            }
            if (RESIDUAL == 0) sum = 0.0f;
        });
        __syncthreads();
        if (l == LAYERS) break;
        multiply<false>(sums, tile, stage, WIDTH, [&](u32 k, u32 j) { return load_w((l * WIDTH + j) * WIDTH + k); });
        each(sums, [&](f32& sum, u32, u32 j) { sum = j < WIDTH ? activate(sum + load_b(l * WIDTH + j)) : 0.0f; });
    }
    for (u32 e = thread_index(); e < TILE * OUTPUTS; e += THREADS) {
        const u32 i = e / OUTPUTS, o = e % OUTPUTS;
        if (first + i >= ROWS) break;
        f32 sum = load_bl(o);
        for (u32 j = 0; j < WIDTH; j++) sum += tile[i * PITCH + j] * load_wl(o * WIDTH + j);
        if (KEEP_OUTPUT) store_output((first + i) * OUTPUTS + o, sum);
    }
}

// entry: backward tensor_backward
/// The derivative by what the last layer reads.
WORD f32 by_last(u32 row, u32 j) {
    f32 sum = 0.0f;
    for (u32 o = 0; o < OUTPUTS; o++) sum += load_dy(row * OUTPUTS + o) * load_wl(o * WIDTH + j);
    return sum;
}

// entry: backward
KERNEL(backward) {
    __shared__ __align__(16) f32 tile[TILE * PITCH], stage[STEP * PITCH];
    if (group_index() >= GROUPS) return;
    const u32 first = group_index() * TILE;
    f32 sums[EACH][4];
    each(sums, [&](f32& sum, u32 i, u32 j) {
        const u32 at = (first + i) * WIDTH + j;
        sum = first + i < ROWS && j < WIDTH ? by_last(first + i, j) * slope(load_last(at)) : 0.0f;
    });
    for (u32 l = LAYERS; l > 0; l--) {
        const u32 layer = (l - 1) * ROWS * WIDTH;
        each(sums, [&](f32& sum, u32 i, u32 j) {
            tile[i * PITCH + j] = sum;
            if (KEEP_BY_HIDDEN && first + i < ROWS && j < WIDTH) {
                store_by_hidden(layer + (first + i) * WIDTH + j, sum);
            }
            if (RESIDUAL == 0) sum = 0.0f;
        });
        __syncthreads();
        multiply<true>(sums, tile, stage, WIDTH, [&](u32 k, u32 j) { return load_w(((l - 1) * WIDTH + k) * WIDTH + j); });
        each(sums, [&](f32& sum, u32 i, u32 j) {
            if (first + i < ROWS && j < WIDTH) sum *= slope(load_hidden(layer + (first + i) * WIDTH + j));
        });
    }
    each(sums, [&](f32& sum, u32 i, u32 j) {
        if (KEEP_BY_FIRST && first + i < ROWS && j < WIDTH) store_by_first((first + i) * WIDTH + j, sum);
    });
}

// entry: tensor_forward tensor_backward
// By tensor cores: each of eight warps has WIDE / 8 columns of all rows. KIND says what is multiplied: f16, bf16, or
// f32 rounded to tf32.
static constexpr u32 F16 = 0, BF16 = 1, TF32 = 2;
static constexpr u32 SIZE = KIND == TF32 ? 4 : 2, CHUNK = 16 / SIZE, STEP = 32 / SIZE;
// Tiles of 16 x 8 of one warp.
static constexpr u32 DOWN = TILE / 16, ACROSS = WIDE / 64;
// Rows begin at other banks than their neighbours, at multiples of 16 bytes.
static constexpr u32 PITCH = WIDE + CHUNK;
static constexpr u32 STAGE_PITCH = STEP + (KIND == TF32 ? 4 : 8), TURNED_PITCH = WIDE + 8;
static constexpr u32 STAGE_BYTES = SIZE * (WIDE * STAGE_PITCH > STEP * TURNED_PITCH ? WIDE * STAGE_PITCH : STEP * TURNED_PITCH);

static WORD void put(char* tile, u32 at, f32 value) {
    if (KIND == TF32) ((f32*)tile)[at] = value;
    else ((u16*)tile)[at] = KIND == F16 ? to_f16(value) : to_bf16(value);
}

/// 16 rows from `row`, 16 of k (8 of tf32).
static WORD void left_fragment(u32 (&fragment)[4], const char* tile, u32 row, u32 k) {
    const u32 lane = threadIdx.x % 32;
    if (KIND == TF32) {
        for (u32 n = 0; n < 4; n++) {
            const u32 i = row + lane / 4 + n % 2 * 8, l = k + lane % 4 + n / 2 * 4;
            fragment[n] = f32_to_tf32(((const f32*)tile)[i * PITCH + l]);
        }
        return;
    }
    ldmatrix_x4(fragment, (const u16*)tile + (row + lane / 8 % 2 * 8 + lane % 8) * PITCH + k + lane / 16 * 8);
}

/// 16 columns from `column` as two fragments of 8.
template <bool turned>
static WORD void right_fragments(u32 (&fragments)[4], const char* stage, u32 column) {
    const u32 lane = threadIdx.x % 32, matrix = lane / 8, line = lane % 8;
    if (KIND == TF32) {
        for (u32 n = 0; n < 4; n++) {
            const u32 j = column + lane / 4 + n / 2 * 8, l = lane % 4 + n % 2 * 4;
            fragments[n] = f32_to_tf32(((const f32*)stage)[turned ? l * TURNED_PITCH + j : j * STAGE_PITCH + l]);
        }
        return;
    }
    if (turned) {
        ldmatrix_x4_transposed(fragments, (const u16*)stage + (matrix % 2 * 8 + line) * TURNED_PITCH + column + matrix / 2 * 8);
    } else {
        ldmatrix_x4(fragments, (const u16*)stage + (column + matrix / 2 * 8 + line) * STAGE_PITCH + matrix % 2 * 8);
    }
}

static WORD void multiply_fragments(f32 (&sum)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    if (KIND == F16) mma_m16n8k16_f16(sum, a, b);
    if (KIND == BF16) mma_m16n8k16_bf16(sum, a, b);
    if (KIND == TF32) mma_m16n8k8_tf32(sum, a, b);
}

/// sums += tile right, over `length` of k. Rows of the right factor's memory are `line` long; they go along k, or
/// along j if it is turned. A step's elements are on their way in registers while the last one's are multiplied.
template <bool turned, bool aligned, class T>
static WORD void multiply(f32 (&sums)[DOWN][ACROSS][4], const char* tile, char* stage, const T* right, u32 line, u32 length) {
    constexpr u32 COLUMNS = turned ? WIDE : STEP, HELD = WIDE * STEP / CHUNK / THREADS;
    constexpr u32 pitch = turned ? TURNED_PITCH : STAGE_PITCH;
    const u32 warp = threadIdx.x / 32;
    uint4 held[HELD];
    for (u32 base = 0; base < length + STEP; base += STEP) {
        if (base > 0) {
            // The stage's readers were done before the barrier at the end.
            for (u32 n = 0; n < HELD; n++) {
                const u32 c = threadIdx.x + n * THREADS, r = c / (COLUMNS / CHUNK), q = c % (COLUMNS / CHUNK) * CHUNK;
                *(uint4*)((T*)stage + r * pitch + q) = held[n];
            }
            __syncthreads();
        }
        if (base < length) {
            for (u32 n = 0; n < HELD; n++) {
                const u32 c = threadIdx.x + n * THREADS, r = c / (COLUMNS / CHUNK), q = c % (COLUMNS / CHUNK) * CHUNK;
                const u32 row = turned ? base + r : r, column = turned ? q : base + q;
                const u32 rows = turned ? length : WIDTH, columns = turned ? WIDTH : length;
                held[n] = make_uint4(0, 0, 0, 0);
                if (aligned) {
                    if (row < rows && column < columns) held[n] = *(const uint4*)(right + row * line + column);
                } else {
                    for (u32 e = 0; e < CHUNK; e++) {
                        if (row < rows && column + e < columns) ((T*)&held[n])[e] = right[row * line + column + e];
                    }
                }
            }
        }
        if (base > 0) {
            u32 a[DOWN][4];
#pragma unroll
            for (u32 r = 0; r < DOWN; r++) left_fragment(a[r], tile, 16 * r, base - STEP);
#pragma unroll
            for (u32 c = 0; c < ACROSS; c += 2) {
                u32 both[4];
                right_fragments<turned>(both, stage, warp * 8 * ACROSS + 8 * c);
                const u32 b[2][2] = {{both[0], both[1]}, {both[2], both[3]}};
#pragma unroll
                for (u32 r = 0; r < DOWN; r++) {
                    multiply_fragments(sums[r][c], a[r], b[0]);
                    multiply_fragments(sums[r][c + 1], a[r], b[1]);
                }
            }
            __syncthreads();
        }
    }
}

/// What a thread's sums are of: `work(sum, row in the tile, column)`.
template <class Work>
static WORD void each(f32 (&sums)[DOWN][ACROSS][4], Work work) {
    const u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (u32 r = 0; r < DOWN; r++) {
#pragma unroll
        for (u32 c = 0; c < ACROSS; c++) {
#pragma unroll
            for (u32 n = 0; n < 4; n++) {
                work(sums[r][c][n], 16 * r + lane / 4 + n / 2 * 8, warp * 8 * ACROSS + 8 * c + lane % 4 * 2 + n % 2);
            }
        }
    }
}

/// The rows of a tile that there are, to memory.
template <class T>
static WORD void keep(T* to, const char* tile, u32 first) {
    const T* from = (const T*)tile;
    const u32 rows = ROWS - first < TILE ? ROWS - first : TILE;
    if (WIDTH % CHUNK == 0) {
        for (u32 c = threadIdx.x; c < rows * (WIDTH / CHUNK); c += THREADS) {
            const u32 r = c / (WIDTH / CHUNK), q = c % (WIDTH / CHUNK) * CHUNK;
            *(uint4*)(to + (first + r) * WIDTH + q) = *(const uint4*)(from + r * PITCH + q);
        }
    } else {
        for (u32 e = threadIdx.x; e < rows * WIDTH; e += THREADS) to[first * WIDTH + e] = from[e / WIDTH * PITCH + e % WIDTH];
    }
}

// entry: tensor_forward
KERNEL(tensor_forward) {
    __shared__ __align__(16) char tile[TILE * PITCH * SIZE], stage[STAGE_BYTES];
    if (group_index() >= GROUPS) return;
    const u32 first = group_index() * TILE;
    f32 sums[DOWN][ACROSS][4] = {};
    for (u32 base = 0; base < FEATURES; base += WIDE) {
        for (u32 e = thread_index(); e < TILE * WIDE; e += THREADS) {
            put(tile, e / WIDE * PITCH + e % WIDE, feature(first + e / WIDE, base + e % WIDE));
        }
        const u32 length = FEATURES - base < WIDE ? FEATURES - base : WIDE;
        // The first step's barrier comes before any product.
        multiply<false, FEATURES % CHUNK == 0>(sums, tile, stage, pointer_w0 + base, FEATURES, length);
    }
    each(sums, [&](f32& sum, u32 i, u32 j) {
        const u32 row = first + i < ROWS ? first + i : ROWS - 1;
        sum = j < WIDTH ? activate(sum + load_offset(row / (ROWS / MEMBERS) * WIDTH + j)) : 0.0f;
    });
    for (u32 l = 0; l < LAYERS; l++) {
        each(sums, [&](f32& sum, u32 i, u32 j) {
            put(tile, i * PITCH + j, sum);
            if (RESIDUAL == 0) sum = 0.0f;
        });
        __syncthreads();
        if (KEEP_HIDDEN) keep(pointer_hidden + l * ROWS * WIDTH, tile, first);
        multiply<false, WIDTH % CHUNK == 0>(sums, tile, stage, pointer_w + l * WIDTH * WIDTH, WIDTH, WIDTH);
        each(sums, [&](f32& sum, u32, u32 j) { sum = j < WIDTH ? activate(sum + load_b(l * WIDTH + j)) : 0.0f; });
    }
    if (KEEP_LAST) {
        each(sums, [&](f32& sum, u32 i, u32 j) {
            if (first + i < ROWS && j < WIDTH) store_last((first + i) * WIDTH + j, sum);
        });
    }
    // In f32: the columns of a lane, of four neighbours, of all warps.
    f32* parts = (f32*)stage;
    const u32 warp = thread_index() / 32, lane = thread_index() % 32;
    for (u32 o = 0; o < OUTPUTS; o++) {
        f32 part[DOWN][2] = {};
#pragma unroll
        for (u32 c = 0; c < ACROSS; c++) {
#pragma unroll
            for (u32 n = 0; n < 4; n++) {
                const u32 j = warp * 8 * ACROSS + 8 * c + lane % 4 * 2 + n % 2;
                const f32 weight = j < WIDTH ? load_wl(o * WIDTH + j) : 0.0f;
#pragma unroll
                for (u32 r = 0; r < DOWN; r++) part[r][n / 2] += sums[r][c][n] * weight;
            }
        }
#pragma unroll
        for (u32 r = 0; r < DOWN; r++) {
#pragma unroll
            for (u32 n = 0; n < 2; n++) {
                for (u32 reach = 1; reach < 4; reach *= 2) part[r][n] += __shfl_xor_sync(~0u, part[r][n], reach);
                if (lane % 4 == 0) parts[warp * TILE + 16 * r + 8 * n + lane / 4] = part[r][n];
            }
        }
        __syncthreads();
        const u32 row = first + thread_index();
        if (KEEP_OUTPUT && thread_index() < TILE && row < ROWS) {
            f32 sum = load_bl(o);
            for (u32 w = 0; w < THREADS / 32; w++) sum += parts[w * TILE + thread_index()];
            store_output(row * OUTPUTS + o, sum);
        }
        __syncthreads();
    }
}

// entry: tensor_backward
KERNEL(tensor_backward) {
    __shared__ __align__(16) char tile[TILE * PITCH * SIZE], stage[STAGE_BYTES];
    if (group_index() >= GROUPS) return;
    const u32 first = group_index() * TILE;
    f32 sums[DOWN][ACROSS][4];
    each(sums, [&](f32& sum, u32 i, u32 j) {
        const u32 at = (first + i) * WIDTH + j;
        sum = first + i < ROWS && j < WIDTH ? by_last(first + i, j) * slope(load_last(at)) : 0.0f;
    });
    for (u32 l = LAYERS; l > 0; l--) {
        const u32 layer = (l - 1) * ROWS * WIDTH;
        each(sums, [&](f32& sum, u32 i, u32 j) {
            put(tile, i * PITCH + j, sum);
            if (RESIDUAL == 0) sum = 0.0f;
        });
        __syncthreads();
        if (KEEP_BY_HIDDEN) keep(pointer_by_hidden + layer, tile, first);
        multiply<true, WIDTH % CHUNK == 0>(sums, tile, stage, pointer_w + (l - 1) * WIDTH * WIDTH, WIDTH, WIDTH);
        each(sums, [&](f32& sum, u32 i, u32 j) {
            if (first + i < ROWS && j < WIDTH) sum *= slope(load_hidden(layer + (first + i) * WIDTH + j));
        });
    }
    if (KEEP_BY_FIRST) {
        each(sums, [&](f32& sum, u32 i, u32 j) { put(tile, i * PITCH + j, sum); });
        __syncthreads();
        keep(pointer_by_first, tile, first);
    }
}
