// Trilinear interpolation in a volume [SIDE, SIDE, SIDE, CHANNELS] (z, y, x) around its centre voxel. A cell is
// what lies between eight voxels; those at the border have some outside, which count as zero.

struct Place {
    i32 base[3];
    f32 rest[3];
};

WORD Place locate(u32 point) {
    Place place;
    for (u32 axis = 0; axis < 3; axis++) {
        // Far away is as good as just outside, and fits an integer.
        f32 at = load_points(3 * point + axis) + f32(SIDE / 2);
        at = at < -4.0f ? -4.0f : at;
        at = at > f32(SIDE) + 4.0f ? f32(SIDE) + 4.0f : at;
        const f32 base = floor(at);
        place.base[axis] = i32(base);
        place.rest[axis] = at - base;
    }
    return place;
}

static WORD bool inside(i32 x, i32 y, i32 z) { return u32(x) < SIDE && u32(y) < SIDE && u32(z) < SIDE; }
static WORD u32 voxel(i32 x, i32 y, i32 z) { return (u32(z) * SIDE + u32(y)) * SIDE + u32(x); }
static WORD f32 along(f32 rest, i32 bit) { return bit ? rest : 1.0f - rest; }

// entry: collect
KERNEL(collect) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const Place place = locate(i / CHANNELS);
    f32 total = 0.0f;
    for (i32 corner = 0; corner < 8; corner++) {
        const i32 bx = corner & 1, by = corner >> 1 & 1, bz = corner >> 2;
        const i32 x = place.base[0] + bx, y = place.base[1] + by, z = place.base[2] + bz;
        if (inside(x, y, z)) {
            const f32 weight = along(place.rest[2], bz) * along(place.rest[1], by) * along(place.rest[0], bx);
            total += weight * load_volume(voxel(x, y, z) * CHANNELS + i % CHANNELS);
        }
    }
    finish(i, total);
}

// entry: slope
KERNEL(slope) {
    const u32 point = group_index() * THREADS + thread_index();
    if (point >= COUNT) return;
    const Place place = locate(point);
    f32 total[3] = {0.0f, 0.0f, 0.0f};
    for (i32 corner = 0; corner < 8; corner++) {
        const i32 bits[3] = {corner & 1, corner >> 1 & 1, corner >> 2};
        const i32 x = place.base[0] + bits[0], y = place.base[1] + bits[1], z = place.base[2] + bits[2];
        if (!inside(x, y, z)) continue;
        f32 value = 0.0f;
        for (u32 c = 0; c < CHANNELS; c++) {
            value += load_upstream(point * CHANNELS + c) * load_volume(voxel(x, y, z) * CHANNELS + c);
        }
        f32 w[3];
        for (u32 axis = 0; axis < 3; axis++) w[axis] = along(place.rest[axis], bits[axis]);
        total[0] += (bits[0] ? value : -value) * w[1] * w[2];
        total[1] += (bits[1] ? value : -value) * w[0] * w[2];
        total[2] += (bits[2] ? value : -value) * w[0] * w[1];
    }
    for (u32 axis = 0; axis < 3; axis++) finish(3 * point + axis, total[axis]);
}

// entry: cells
// The cell with base b is at b + 1 of SIDE + 1; points that touch no voxel go behind the last.
KERNEL(cells) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const Place place = locate(i);
    const u32 cells = SIDE + 1;
    const u32 x = u32(place.base[0] + 1), y = u32(place.base[1] + 1), z = u32(place.base[2] + 1);
    const bool touches = x < cells && y < cells && z < cells;
    store_keys(i, i32(touches ? (z * cells + y) * cells + x : cells * cells * cells));
    store_rows(i, i32(i));
}

// entry: spread
WORD u32 place_of(i32 key) {
    u32 low = 0, high = POINTS;
    while (low < high) {
        const u32 middle = (low + high) / 2;
        if (load_keys(middle) < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

KERNEL(spread) {
    const u32 i = group_index() * THREADS + thread_index();
    if (i >= COUNT) return;
    const u32 own = i / CHANNELS;
    const i32 x = i32(own % SIDE), y = i32(own / SIDE % SIDE), z = i32(own / (SIDE * SIDE));
    const i32 cells = i32(SIDE) + 1;
    f32 total = 0.0f;
    for (i32 side = 0; side < 4; side++) {
        // The two cells on both sides in x stand one behind the other.
        const i32 cell = ((z + side / 2) * cells + y + side % 2) * cells + x;
        const u32 end = place_of(cell + 2);
        for (u32 k = place_of(cell); k < end; k++) {
            const u32 point = u32(load_rows(k));
            const Place place = locate(point);
            const f32 weight = along(place.rest[2], z - place.base[2]) * along(place.rest[1], y - place.base[1]) *
                               along(place.rest[0], x - place.base[0]);
            total += weight * load_values(point * CHANNELS + i % CHANNELS);
        }
    }
    finish(i, total);
}
