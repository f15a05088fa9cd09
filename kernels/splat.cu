// Gaussian atoms and images of SIDE x SIDE pixels. Of an atom, pixels within REACH widths along both axes take part.

// Whether one of the pixels first ..= last is within reach of an atom along an axis.
WORD bool reaches(f32 place, f32 width, u32 first, u32 last) {
    const f32 middle = place + CENTRE, reach = REACH * width;
    return f32(last) >= middle - reach && f32(first) <= middle + reach;
}

WORD f32 gaussian(f32 away, f32 width) { return exp(-0.5f * away * away / (width * width)); }

// entry: image
static constexpr u32 TILE = 16;
// Atoms whose factors stand side by side.
static constexpr u32 ROUND = 32;

WORD f32 factor(u32 atom, u32 b, u32 axis, u32 pixel) {
    const f32 place = load_places(2 * (b * ATOMS + atom) + axis), width = load_widths(atom);
    if (pixel >= SIDE || !reaches(place, width, pixel, pixel)) return 0.0f;
    return gaussian(f32(pixel) - CENTRE - place, width);
}

KERNEL(image) {
    __shared__ u32 counts[THREADS], found[THREADS];
    __shared__ f32 across[ROUND * TILE], down[ROUND * TILE];
    const u32 tile = group_index(), thread = thread_index();
    if (tile >= GROUPS) return;
    const u32 b = tile / (TILES * TILES);
    const u32 left = tile % TILES * TILE, top = tile / TILES % TILES * TILE;
    f32 value = 0.0f;
    for (u32 first = 0; first < ATOMS; first += THREADS) {
        const u32 atom = first + thread;
        u32 hit = 0;
        if (atom < ATOMS) {
            const u32 place = 2 * (b * ATOMS + atom);
            const f32 width = load_widths(atom);
            hit = reaches(load_places(place), width, left, left + TILE - 1) &&
                  reaches(load_places(place + 1), width, top, top + TILE - 1);
        }
        // The atoms that reach the tile, in their order.
        u32 place = hit;
        counts[thread] = place;
        __syncthreads();
        for (u32 reach = 1; reach < THREADS; reach *= 2) {
            const u32 before = thread >= reach ? counts[thread - reach] : 0;
            __syncthreads();
            place += before;
            counts[thread] = place;
            __syncthreads();
        }
        if (hit) found[place - 1] = atom;
        const u32 total = counts[THREADS - 1];
        __syncthreads();
        for (u32 start = 0; start < total; start += ROUND) {
            const u32 count = total - start < ROUND ? total - start : ROUND;
            for (u32 e = thread; e < count * TILE; e += THREADS) {
                const u32 one = found[start + e / TILE];
                across[e] = load_amplitudes(one) * factor(one, b, 0, left + e % TILE);
                down[e] = factor(one, b, 1, top + e % TILE);
            }
            __syncthreads();
            for (u32 t = 0; t < count; t++) {
                value += across[t * TILE + thread % TILE] * down[t * TILE + thread / TILE];
            }
            __syncthreads();
        }
    }
    const u32 x = left + thread % TILE, y = top + thread / TILE;
    if (x < SIDE && y < SIDE) finish((b * SIDE + y) * SIDE + x, value);
}

// entry: moments
// The first pixel within reach, and the one behind the last.
WORD u32 inside(f32 pixel) {
    const f32 most = f32(SIDE);
    return pixel > 0.0f ? u32(pixel < most ? pixel : most) : 0;
}
WORD u32 first_of(f32 place, f32 width) { return inside(-floor(-(place + CENTRE - REACH * width))); }
WORD u32 end_of(f32 place, f32 width) { return inside(floor(place + CENTRE + REACH * width) + 1.0f); }

KERNEL(moments) {
    const u32 atom = group_index(), thread = thread_index();
    if (atom >= GROUPS) return;
    const u32 b = atom / ATOMS;
    const f32 width = load_widths(atom % ATOMS), px = load_places(2 * atom), py = load_places(2 * atom + 1);
    const u32 left = first_of(px, width), top = first_of(py, width);
    const u32 right = end_of(px, width), bottom = end_of(py, width);
    f32 sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (right > left && bottom > top) {
        const u32 columns = right - left;
        for (u32 e = thread; e < columns * (bottom - top); e += THREADS) {
            const u32 x = left + e % columns, y = top + e / columns;
            const f32 dx = f32(x) - CENTRE - px, dy = f32(y) - CENTRE - py;
            const f32 weight =
                load_upstream((b * SIDE + y) * SIDE + x) * gaussian(dx, width) * gaussian(dy, width);
            sums[0] += weight;
            sums[1] += weight * dx;
            sums[2] += weight * dy;
            sums[3] += weight * (dx * dx + dy * dy);
        }
    }
    const auto add = [](f32 a, f32 b) { return a + b; };
    for (u32 k = 0; k < 4; k++) {
        const f32 sum = join_group<THREADS>(sums[k], add);
        if (thread == k) finish(4 * atom + k, sum);
    }
}
