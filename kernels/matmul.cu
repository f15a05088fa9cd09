// Matrix products. Groups go over columns of tiles, then rows, then the batch, then parts of DEPTH of the inner
// axis. `small` takes any shape; `wide` and `tensor` want tiles that are mostly full.

WORD f32 left_at(u32 member, u32 i, u32 k) {
    return TRANSPOSE_LEFT ? load_a((member * K + k) * M + i) : load_a((member * M + i) * K + k);
}

WORD f32 right_at(u32 member, u32 k, u32 j) {
    const u32 own = SHARED_RIGHT ? 0 : member;
    return TRANSPOSE_RIGHT ? load_b((own * N + j) * K + k) : load_b((own * K + k) * N + j);
}

/// What a group computes.
struct Share {
    u32 row, column, member, part, first, end;
};

static WORD Share share(u32 group, u32 rows, u32 columns) {
    Share s;
    s.column = group % ACROSS * columns;
    s.row = group / ACROSS % DOWN * rows;
    s.member = group / (ACROSS * DOWN) % BATCH;
    s.part = group / (ACROSS * DOWN * BATCH);
    s.first = s.part * DEPTH;
    s.end = s.first + DEPTH < K ? s.first + DEPTH : K;
    return s;
}

WORD void finish_at(const Share& s, u32 i, u32 j, f32 value) {
    if (i < M && j < N) finish(((s.part * BATCH + s.member) * M + i) * N + j, value);
}

// entry: matmul
// Tiles of 16 ROWS x 64: thread (x, y) has columns x, x + 16, x + 32, x + 48 of rows y, y + 16, ...
static constexpr u32 TILE = 16 * ROWS, STEP = 16;

KERNEL(matmul) {
    __shared__ f32 left[STEP * TILE], right[STEP * 64];
    const u32 thread = thread_index(), x = thread % 16, y = thread / 16;
    if (group_index() >= GROUPS) return;
    const Share s = share(group_index(), TILE, 64);
    f32 sums[ROWS][4] = {};
    for (u32 base = s.first; base < s.end; base += STEP) {
        // Neighbouring threads load neighbours in memory.
        for (u32 e = thread; e < STEP * TILE; e += THREADS) {
            const u32 k = TRANSPOSE_LEFT ? e / TILE : e % STEP, i = TRANSPOSE_LEFT ? e % TILE : e / STEP;
            left[k * TILE + i] = s.row + i < M && base + k < s.end ? left_at(s.member, s.row + i, base + k) : 0.0f;
        }
        for (u32 e = thread; e < STEP * 64; e += THREADS) {
            const u32 k = TRANSPOSE_RIGHT ? e % STEP : e / 64, j = TRANSPOSE_RIGHT ? e / STEP : e % 64;
            right[k * 64 + j] = s.column + j < N && base + k < s.end ? right_at(s.member, base + k, s.column + j) : 0.0f;
        }
        __syncthreads();
        for (u32 k = 0; k < STEP; k++) {
            for (u32 r = 0; r < ROWS; r++) {
                for (u32 c = 0; c < 4; c++) sums[r][c] += left[k * TILE + y + 16 * r] * right[k * 64 + x + 16 * c];
            }
        }
        __syncthreads();
    }
    for (u32 r = 0; r < ROWS; r++) {
        for (u32 c = 0; c < 4; c++) finish_at(s, s.row + y + 16 * r, s.column + x + 16 * c, sums[r][c]);
    }
}

// entry: wide
// Tiles of 128 x 128 in f32: thread (x, y) has four columns from 4 x and four from 64 + 4 x, rows likewise. The
// next step's elements are on their way in registers while this one's are multiplied.
static constexpr u32 SIDE = 128, STEP = 8, EACH = SIDE * STEP / THREADS;
// Past the banks of the row before.
static constexpr u32 PITCH = SIDE + 4;

WORD void fetch(const Share& s, u32 base, f32 (&left)[EACH], f32 (&right)[EACH]) {
    for (u32 n = 0; n < EACH; n++) {
        const u32 e = thread_index() + n * THREADS;
        const u32 k = base + (TRANSPOSE_LEFT ? e / SIDE : e % STEP), i = s.row + (TRANSPOSE_LEFT ? e % SIDE : e / STEP);
        left[n] = i < M && k < s.end ? left_at(s.member, i, k) : 0.0f;
        const u32 l = base + (TRANSPOSE_RIGHT ? e % STEP : e / SIDE);
        const u32 j = s.column + (TRANSPOSE_RIGHT ? e / STEP : e % SIDE);
        right[n] = j < N && l < s.end ? right_at(s.member, l, j) : 0.0f;
    }
}

KERNEL(wide) {
    __shared__ __align__(16) f32 lefts[2][STEP * PITCH], rights[2][STEP * PITCH];
    const u32 thread = thread_index(), x = thread % 16, y = thread / 16;
    const Share s = share(group_index(), SIDE, SIDE);
    f32 sums[8][8] = {};
    f32 left[EACH], right[EACH];
    fetch(s, s.first, left, right);
    u32 stage = 0;
    for (u32 base = s.first; base < s.end; base += STEP) {
        for (u32 n = 0; n < EACH; n++) {
            const u32 e = thread + n * THREADS;
            lefts[stage][TRANSPOSE_LEFT ? e / SIDE * PITCH + e % SIDE : e % STEP * PITCH + e / STEP] = left[n];
            rights[stage][TRANSPOSE_RIGHT ? e % STEP * PITCH + e / STEP : e / SIDE * PITCH + e % SIDE] = right[n];
        }
        // One barrier a step: the other stage was read before it.
        __syncthreads();
        if (base + STEP < s.end) fetch(s, base + STEP, left, right);
#pragma unroll
        for (u32 k = 0; k < STEP; k++) {
            f32 a[8], b[8];
            *(float4*)(a) = *(const float4*)(lefts[stage] + k * PITCH + 4 * y);
            *(float4*)(a + 4) = *(const float4*)(lefts[stage] + k * PITCH + 64 + 4 * y);
            *(float4*)(b) = *(const float4*)(rights[stage] + k * PITCH + 4 * x);
            *(float4*)(b + 4) = *(const float4*)(rights[stage] + k * PITCH + 64 + 4 * x);
#pragma unroll
            for (u32 r = 0; r < 8; r++) {
#pragma unroll
                for (u32 c = 0; c < 8; c++) sums[r][c] += a[r] * b[c];
            }
        }
        stage ^= 1;
    }
#pragma unroll
    for (u32 r = 0; r < 8; r++) {
#pragma unroll
        for (u32 c = 0; c < 8; c++) {
            finish_at(s, s.row + r / 4 * 64 + 4 * y + r % 4, s.column + c / 4 * 64 + 4 * x + c % 4, sums[r][c]);
        }
    }
}

// entry: tensor
// Tiles of SIDE x SIDE by tensor cores, two by four warps, sums in f32. KIND says what is multiplied: f16, bf16, or
// f32 rounded to tf32. A step's elements lie in shared memory as they do in memory, and are turned as they are
// loaded; the next step's are on their way meanwhile.
static constexpr u32 F16 = 0, BF16 = 1, TF32 = 2;
static constexpr u32 SIZE = KIND == TF32 ? 4 : 2;
static constexpr u32 STEP = 64 / SIZE;
static constexpr u32 CHUNK = 16 / SIZE;
static constexpr u32 LEFT_ROWS = TRANSPOSE_LEFT ? STEP : SIDE, LEFT_COLUMNS = TRANSPOSE_LEFT ? SIDE : STEP;
static constexpr u32 RIGHT_ROWS = TRANSPOSE_RIGHT ? SIDE : STEP, RIGHT_COLUMNS = TRANSPOSE_RIGHT ? STEP : SIDE;
// Rows begin at other banks than their neighbours, at multiples of 16 bytes.
static constexpr u32 LEFT_PITCH = LEFT_COLUMNS + (KIND == TF32 && !TRANSPOSE_LEFT ? 4 : 8);
static constexpr u32 RIGHT_PITCH = RIGHT_COLUMNS + (KIND == TF32 && TRANSPOSE_RIGHT ? 4 : 8);
static constexpr u32 LEFT_BYTES = LEFT_ROWS * LEFT_PITCH * SIZE, RIGHT_BYTES = RIGHT_ROWS * RIGHT_PITCH * SIZE;
// Tiles of 16 x 8 of one warp.
static constexpr u32 DOWN_TILES = SIDE / 32, ACROSS_TILES = SIDE / 32;

/// rows x columns elements from (row, column) of a matrix of lines of `length`; outside its ends zeros.
template <u32 rows, u32 columns, u32 pitch, bool aligned, class T>
static WORD void fill(char* tile, const T* from, u32 length, u32 row, u32 row_end, u32 column, u32 column_end) {
    for (u32 c = threadIdx.x; c < rows * columns / CHUNK; c += THREADS) {
        const u32 r = c / (columns / CHUNK), q = c % (columns / CHUNK) * CHUNK;
        T* to = (T*)tile + r * pitch + q;
        if (aligned) {
            const bool valid = row + r < row_end && column + q < column_end;
            cp_async_16(to, valid ? from + (row + r) * length + column + q : from, valid);
        } else {
            for (u32 e = 0; e < CHUNK; e++) {
                to[e] = row + r < row_end && column + q + e < column_end ? from[(row + r) * length + column + q + e] : T(0);
            }
        }
    }
}

WORD void fill_both(const Share& s, u32 base, char* left, char* right) {
    const auto* a = pointer_a + s.member * M * K;
    const auto* b = pointer_b + (SHARED_RIGHT ? 0 : s.member * K * N);
    if (TRANSPOSE_LEFT) {
        fill<LEFT_ROWS, LEFT_COLUMNS, LEFT_PITCH, M % CHUNK == 0>(left, a, M, base, s.end, s.row, M);
    } else {
        fill<LEFT_ROWS, LEFT_COLUMNS, LEFT_PITCH, K % CHUNK == 0>(left, a, K, s.row, M, base, s.end);
    }
    if (TRANSPOSE_RIGHT) {
        fill<RIGHT_ROWS, RIGHT_COLUMNS, RIGHT_PITCH, K % CHUNK == 0>(right, b, K, s.column, N, base, s.end);
    } else {
        fill<RIGHT_ROWS, RIGHT_COLUMNS, RIGHT_PITCH, N % CHUNK == 0>(right, b, N, base, s.end, s.column, N);
    }
}

/// 16 rows from `row`, 16 of k (8 of tf32).
static WORD void left_fragment(u32 (&fragment)[4], const char* tile, u32 row, u32 k) {
    const u32 lane = threadIdx.x % 32;
    if (KIND == TF32) {
        for (u32 n = 0; n < 4; n++) {
            const u32 i = row + lane / 4 + n % 2 * 8, l = k + lane % 4 + n / 2 * 4;
            fragment[n] = f32_to_tf32(((const f32*)tile)[TRANSPOSE_LEFT ? l * LEFT_PITCH + i : i * LEFT_PITCH + l]);
        }
        return;
    }
    const u32 matrix = lane / 8, line = lane % 8;
    if (TRANSPOSE_LEFT) {
        ldmatrix_x4_transposed(fragment, (const u16*)tile + (k + matrix / 2 * 8 + line) * LEFT_PITCH + row + matrix % 2 * 8);
    } else {
        ldmatrix_x4(fragment, (const u16*)tile + (row + matrix % 2 * 8 + line) * LEFT_PITCH + k + matrix / 2 * 8);
    }
}

/// 16 columns from `column` as two fragments of 8.
static WORD void right_fragments(u32 (&fragments)[4], const char* tile, u32 column, u32 k) {
    const u32 lane = threadIdx.x % 32;
    if (KIND == TF32) {
        for (u32 n = 0; n < 4; n++) {
            const u32 j = column + lane / 4 + n / 2 * 8, l = k + lane % 4 + n % 2 * 4;
            fragments[n] = f32_to_tf32(((const f32*)tile)[TRANSPOSE_RIGHT ? j * RIGHT_PITCH + l : l * RIGHT_PITCH + j]);
        }
        return;
    }
    const u32 matrix = lane / 8, line = lane % 8;
    if (TRANSPOSE_RIGHT) {
        ldmatrix_x4(fragments, (const u16*)tile + (column + matrix / 2 * 8 + line) * RIGHT_PITCH + k + matrix % 2 * 8);
    } else {
        ldmatrix_x4_transposed(fragments, (const u16*)tile + (k + matrix % 2 * 8 + line) * RIGHT_PITCH + column + matrix / 2 * 8);
    }
}

static WORD void multiply(f32 (&sum)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    if (KIND == F16) mma_m16n8k16_f16(sum, a, b);
    if (KIND == BF16) mma_m16n8k16_bf16(sum, a, b);
    if (KIND == TF32) mma_m16n8k8_tf32(sum, a, b);
}

KERNEL(tensor) {
    __shared__ __align__(16) char tiles[2][LEFT_BYTES + RIGHT_BYTES];
    const Share s = share(group_index(), SIDE, SIDE);
    const u32 warp = thread_index() / 32, lane = thread_index() % 32;
    const u32 row = warp / 4 * (SIDE / 2), column = warp % 4 * (SIDE / 4);
    f32 sums[DOWN_TILES][ACROSS_TILES][4] = {};
    u32 stage = 0;
    fill_both(s, s.first, tiles[0], tiles[0] + LEFT_BYTES);
    cp_async_commit();
    for (u32 base = s.first; base < s.end; base += STEP) {
        if (base + STEP < s.end) fill_both(s, base + STEP, tiles[stage ^ 1], tiles[stage ^ 1] + LEFT_BYTES);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
#pragma unroll
        for (u32 k = 0; k < STEP; k += 32 / SIZE) {
            u32 a[DOWN_TILES][4], b[ACROSS_TILES][2];
#pragma unroll
            for (u32 r = 0; r < DOWN_TILES; r++) left_fragment(a[r], tiles[stage], row + 16 * r, k);
#pragma unroll
            for (u32 c = 0; c < ACROSS_TILES; c += 2) {
                u32 both[4];
                right_fragments(both, tiles[stage] + LEFT_BYTES, column + 8 * c, k);
                b[c][0] = both[0];
                b[c][1] = both[1];
                b[c + 1][0] = both[2];
                b[c + 1][1] = both[3];
            }
#pragma unroll
            for (u32 r = 0; r < DOWN_TILES; r++) {
#pragma unroll
                for (u32 c = 0; c < ACROSS_TILES; c++) multiply(sums[r][c], a[r], b[c]);
            }
        }
        __syncthreads();
        stage ^= 1;
    }
    cp_async_wait<0>();
#pragma unroll
    for (u32 r = 0; r < DOWN_TILES; r++) {
#pragma unroll
        for (u32 c = 0; c < ACROSS_TILES; c++) {
#pragma unroll
            for (u32 n = 0; n < 4; n++) {
                const u32 i = s.row + row + 16 * r + lane / 4 + n / 2 * 8;
                finish_at(s, i, s.column + column + 8 * c + lane % 4 * 2 + n % 2, sums[r][c][n]);
            }
        }
    }
}
