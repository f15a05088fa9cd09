// Trilinear interpolation in a volume [SIDE, SIDE, SIDE, CHANNELS] (z, y, x) around its centre voxel. A cell is
// what lies between eight voxels; those at the border have some outside, which count as zero.

struct Place {
    base: vec3<i32>,
    rest: vec3<f32>,
}

fn locate_axis(x: f32) -> f32 {
    // Far away is as good as just outside, and fits an integer.
    let at = x + f32(SIDE / 2u);
    return select(select(at, -4.0, at < -4.0), f32(SIDE) + 4.0, at > f32(SIDE) + 4.0);
}

fn locate(point: u32) -> Place {
    let x = locate_axis(load_points(3u * point));
    let y = locate_axis(load_points(3u * point + 1u));
    let z = locate_axis(load_points(3u * point + 2u));
    let base = vec3<f32>(floor(x), floor(y), floor(z));
    return Place(vec3<i32>(base), vec3<f32>(x, y, z) - base);
}

fn inside(at: vec3<i32>) -> bool {
    return all(at >= vec3<i32>(0)) && all(at < vec3<i32>(i32(SIDE)));
}

fn voxel(at: vec3<i32>) -> u32 {
    return (u32(at.z) * SIDE + u32(at.y)) * SIDE + u32(at.x);
}

fn bits_of(corner: u32) -> vec3<i32> {
    return vec3<i32>(i32(corner & 1u), i32((corner >> 1u) & 1u), i32(corner >> 2u));
}

fn along(rest: f32, bit: i32) -> f32 {
    return select(1.0 - rest, rest, bit == 1);
}

// entry: collect
@compute @workgroup_size(THREADS)
fn collect(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let place = locate(i / CHANNELS);
    var total = 0.0;
    for (var corner = 0u; corner < 8u; corner++) {
        let bits = bits_of(corner);
        let at = place.base + bits;
        if (inside(at)) {
            let weight = along(place.rest.z, bits.z) * along(place.rest.y, bits.y) * along(place.rest.x, bits.x);
            total += weight * load_volume(voxel(at) * CHANNELS + i % CHANNELS);
        }
    }
    finish(i, total);
}

// entry: slope
@compute @workgroup_size(THREADS)
fn slope(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let point = group_index(group) * THREADS + thread;
    if (point >= COUNT) {
        return;
    }
    let place = locate(point);
    var total = vec3<f32>(0.0);
    for (var corner = 0u; corner < 8u; corner++) {
        let bits = bits_of(corner);
        let at = place.base + bits;
        if (inside(at)) {
            var value = 0.0;
            for (var c = 0u; c < CHANNELS; c++) {
                value += load_upstream(point * CHANNELS + c) * load_volume(voxel(at) * CHANNELS + c);
            }
            let x = along(place.rest.x, bits.x);
            let y = along(place.rest.y, bits.y);
            let z = along(place.rest.z, bits.z);
            total += value * vec3<f32>(2 * bits - 1) * vec3<f32>(y * z, x * z, x * y);
        }
    }
    finish(3u * point, total.x);
    finish(3u * point + 1u, total.y);
    finish(3u * point + 2u, total.z);
}

// entry: cells
// The cell with base b is at b + 1 of SIDE + 1; points that touch no voxel go behind the last.
@compute @workgroup_size(THREADS)
fn cells(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let at = locate(i).base + vec3<i32>(1);
    let cells = i32(SIDE) + 1;
    let touches = all(at >= vec3<i32>(0)) && all(at < vec3<i32>(cells));
    store_keys(i, select(cells * cells * cells, (at.z * cells + at.y) * cells + at.x, touches));
    store_rows(i, i32(i));
}

// entry: spread
fn place_of(key: i32) -> u32 {
    var low = 0u;
    var high = POINTS;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (load_keys(middle) < key) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(THREADS)
fn spread(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = group_index(group) * THREADS + thread;
    if (i >= COUNT) {
        return;
    }
    let own = i / CHANNELS;
    let at = vec3<i32>(i32(own % SIDE), i32(own / SIDE % SIDE), i32(own / (SIDE * SIDE)));
    let cells = i32(SIDE) + 1;
    var total = 0.0;
    for (var side = 0; side < 4; side++) {
        // The two cells on both sides in x stand one behind the other.
        let cell = ((at.z + side / 2) * cells + at.y + side % 2) * cells + at.x;
        let end = place_of(cell + 2);
        for (var k = place_of(cell); k < end; k++) {
            let point = u32(load_rows(k));
            let place = locate(point);
            let bits = at - place.base;
            let weight = along(place.rest.z, bits.z) * along(place.rest.y, bits.y) * along(place.rest.x, bits.x);
            total += weight * load_values(point * CHANNELS + i % CHANNELS);
        }
    }
    finish(i, total);
}
