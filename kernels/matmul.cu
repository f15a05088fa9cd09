// Tiles of 16 ROWS x 64 results: thread (x, y) has columns x, x + 16, x + 32, x + 48 of rows y, y + 16, ...
// Groups go over columns of tiles, then rows, then the batch, then parts of DEPTH of the inner axis.

static constexpr u32 TILE = 16 * ROWS;
static constexpr u32 STEP = 16;

WORD f32 left_at(u32 member, u32 i, u32 k) {
    return TRANSPOSE_LEFT ? load_a((member * K + k) * M + i) : load_a((member * M + i) * K + k);
}

WORD f32 right_at(u32 member, u32 k, u32 j) {
    const u32 own = SHARED_RIGHT ? 0 : member;
    return TRANSPOSE_RIGHT ? load_b((own * N + j) * K + k) : load_b((own * K + k) * N + j);
}

KERNEL(matmul) {
    __shared__ f32 left[STEP * TILE], right[STEP * 64];
    const u32 g = group_index(), thread = thread_index();
    if (g >= GROUPS) return;
    const u32 column = g % ACROSS * 64;
    const u32 row = g / ACROSS % DOWN * TILE;
    const u32 member = g / (ACROSS * DOWN) % BATCH;
    const u32 part = g / (ACROSS * DOWN * BATCH);
    const u32 first = part * DEPTH;
    const u32 end = first + DEPTH < K ? first + DEPTH : K;
    const u32 x = thread % 16, y = thread / 16;
    f32 sums[ROWS][4] = {};
    for (u32 base = first; base < end; base += STEP) {
        // Neighbouring threads load neighbours in memory.
        for (u32 e = thread; e < STEP * TILE; e += THREADS) {
            const u32 k = TRANSPOSE_LEFT ? e / TILE : e % STEP;
            const u32 i = TRANSPOSE_LEFT ? e % TILE : e / STEP;
            left[k * TILE + i] = row + i < M && base + k < end ? left_at(member, row + i, base + k) : 0.0f;
        }
        for (u32 e = thread; e < STEP * 64; e += THREADS) {
            const u32 k = TRANSPOSE_RIGHT ? e % STEP : e / 64;
            const u32 j = TRANSPOSE_RIGHT ? e / STEP : e % 64;
            right[k * 64 + j] = column + j < N && base + k < end ? right_at(member, base + k, column + j) : 0.0f;
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
        for (u32 c = 0; c < 4; c++) {
            const u32 i = row + y + 16 * r, j = column + x + 16 * c;
            if (i < M && j < N) finish(((part * BATCH + member) * M + i) * N + j, sums[r][c]);
        }
    }
}
