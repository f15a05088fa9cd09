// Gaussian atoms and images of SIDE x SIDE pixels. Of an atom, pixels within REACH widths along both axes take part.

// Whether one of the pixels first ..= last is within reach of an atom along an axis.
fn reaches(place: f32, width: f32, first: u32, last: u32) -> bool {
    let middle = place + CENTRE;
    let reach = REACH * width;
    return f32(last) >= middle - reach && f32(first) <= middle + reach;
}

fn gaussian(away: f32, width: f32) -> f32 {
    return exp(-0.5 * away * away / (width * width));
}

// entry: image
const TILE: u32 = 16u;
// Atoms whose factors stand side by side.
const ROUND: u32 = 32u;

var<workgroup> counts: array<u32, THREADS>;
var<workgroup> found: array<u32, THREADS>;
var<workgroup> across: array<f32, ROUND * TILE>;
var<workgroup> down: array<f32, ROUND * TILE>;

fn factor(atom: u32, b: u32, axis: u32, pixel: u32) -> f32 {
    let place = load_places(2u * (b * ATOMS + atom) + axis);
    let width = load_widths(atom);
    if (pixel < SIDE && reaches(place, width, pixel, pixel)) {
        return gaussian(f32(pixel) - CENTRE - place, width);
    }
    return 0.0;
}

@compute @workgroup_size(THREADS)
fn image(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let tile = group_index(group);
    if (tile >= GROUPS) {
        return;
    }
    let b = tile / (TILES * TILES);
    let left = tile % TILES * TILE;
    let top = tile / TILES % TILES * TILE;
    var value = 0.0;
    for (var first = 0u; first < ATOMS; first += THREADS) {
        let atom = first + thread;
        var hit = 0u;
        if (atom < ATOMS) {
            let place = 2u * (b * ATOMS + atom);
            let width = load_widths(atom);
            let near = reaches(load_places(place), width, left, left + TILE - 1u)
                && reaches(load_places(place + 1u), width, top, top + TILE - 1u);
            hit = u32(near);
        }
        // The atoms that reach the tile, in their order.
        var place = hit;
        counts[thread] = place;
        workgroupBarrier();
        for (var reach = 1u; reach < THREADS; reach *= 2u) {
            var before = 0u;
            if (thread >= reach) {
                before = counts[thread - reach];
            }
            workgroupBarrier();
            place += before;
            counts[thread] = place;
            workgroupBarrier();
        }
        if (hit == 1u) {
            found[place - 1u] = atom;
        }
        let total = counts[THREADS - 1u];
        workgroupBarrier();
        for (var start = 0u; start < total; start += ROUND) {
            let count = select(ROUND, total - start, total - start < ROUND);
            for (var e = thread; e < count * TILE; e += THREADS) {
                let one = found[start + e / TILE];
                across[e] = load_amplitudes(one) * factor(one, b, 0u, left + e % TILE);
                down[e] = factor(one, b, 1u, top + e % TILE);
            }
            workgroupBarrier();
            for (var t = 0u; t < count; t++) {
                value += across[t * TILE + thread % TILE] * down[t * TILE + thread / TILE];
            }
            workgroupBarrier();
        }
    }
    let x = left + thread % TILE;
    let y = top + thread / TILE;
    if (x < SIDE && y < SIDE) {
        finish((b * SIDE + y) * SIDE + x, value);
    }
}

// entry: moments
var<workgroup> lanes: array<vec4<f32>, THREADS>;

// The first pixel within reach, and the last.
fn first_of(place: f32, width: f32) -> u32 {
    return u32(clamp(ceil(place + CENTRE - REACH * width), 0.0, f32(SIDE)));
}

fn end_of(place: f32, width: f32) -> u32 {
    return u32(clamp(floor(place + CENTRE + REACH * width) + 1.0, 0.0, f32(SIDE)));
}

@compute @workgroup_size(THREADS)
fn moments(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let atom = group_index(group);
    if (atom >= GROUPS) {
        return;
    }
    let b = atom / ATOMS;
    let width = load_widths(atom % ATOMS);
    let px = load_places(2u * atom);
    let py = load_places(2u * atom + 1u);
    let left = first_of(px, width);
    let top = first_of(py, width);
    let right = end_of(px, width);
    let bottom = end_of(py, width);
    var sums = vec4<f32>(0.0);
    if (right > left && bottom > top) {
        let columns = right - left;
        for (var e = thread; e < columns * (bottom - top); e += THREADS) {
            let x = left + e % columns;
            let y = top + e / columns;
            let dx = f32(x) - CENTRE - px;
            let dy = f32(y) - CENTRE - py;
            let weight = load_upstream((b * SIDE + y) * SIDE + x) * gaussian(dx, width) * gaussian(dy, width);
            sums += weight * vec4<f32>(1.0, dx, dy, dx * dx + dy * dy);
        }
    }
    lanes[thread] = sums;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
            lanes[thread] += lanes[thread + half];
        }
    }
    if (thread == 0u) {
        finish(4u * atom, lanes[0].x);
        finish(4u * atom + 1u, lanes[0].y);
        finish(4u * atom + 2u, lanes[0].z);
        finish(4u * atom + 3u, lanes[0].w);
    }
}
