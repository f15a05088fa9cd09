//! Pictures of chains: a tube through the points of residues, shaded, with depth.

use nalgebra::{Matrix3, SymmetricEigen, Vector3};

use super::colour::Rgb;
use super::raster::{png_file, shrink};
use crate::error::Result;

/// Pictures are drawn this much larger and averaged.
const FINE: usize = 2;
/// Points of the curve between two residues.
const POINTS: usize = 8;
/// Radius of the tube, Å.
const RADIUS: f64 = 1.1;
/// Share of a picture that stays free at each side.
const MARGIN: f64 = 0.08;

/// Where the eye stands: the same for all pictures of a series.
#[derive(Clone, Debug)]
pub struct Camera {
    centre: Vector3<f64>,
    /// Rows: right, up, towards the eye.
    axes: Matrix3<f64>,
    /// Å from the middle to an edge.
    half: f64,
    depth: f64,
}

impl Camera {
    /// Sees all of the places, the longest axis of the first structure from left to right.
    pub fn of(structures: &[&[[f64; 3]]]) -> Camera {
        let all = || structures.iter().copied().flatten().map(|p| Vector3::from(*p));
        let first: Vec<Vector3<f64>> =
            structures.first().into_iter().copied().flatten().map(|p| Vector3::from(*p)).collect();
        let centre = first.iter().sum::<Vector3<f64>>() / first.len().max(1) as f64;
        let spread: Matrix3<f64> = first.iter().map(|p| (p - centre) * (p - centre).transpose()).sum();
        let eigen = SymmetricEigen::new(spread);
        let mut order = [0, 1, 2];
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let axis = |k: usize| {
            let axis: Vector3<f64> = eigen.eigenvectors.column(order[k]).into();
            // Of the two directions the one that points to where the chain ends: stable against small changes.
            let end = first.last().map_or(axis, |last| last - centre);
            if axis.dot(&end) < 0.0 { -axis } else { axis }
        };
        let (right, up) = (axis(0), axis(1));
        let axes = Matrix3::from_rows(&[right.transpose(), up.transpose(), right.cross(&up).transpose()]);
        let most = |row: usize| all().map(|p| (axes * (p - centre))[row].abs()).fold(0.0, f64::max);
        let half = (most(0).max(most(1)) + RADIUS).max(1.0) / (1.0 - 2.0 * MARGIN);
        Camera { centre, axes, half, depth: (most(2) + RADIUS).max(1.0) }
    }

    fn see(&self, place: Vector3<f64>) -> Vector3<f64> {
        self.axes * (place - self.centre)
    }
}

/// A tube of `colours` (one a residue) through `places`; residues of different `chains` are not joined. A PNG file,
/// `pixels` wide and high, on white.
pub fn tube(
    places: &[[f64; 3]],
    chains: &[usize],
    colours: &[Rgb],
    camera: &Camera,
    pixels: usize,
) -> Result<Vec<u8>> {
    let side = pixels * FINE;
    let scale = side as f64 / (2.0 * camera.half);
    let mut colour = vec![255u8; side * side * 3];
    let mut nearest = vec![f64::NEG_INFINITY; side * side];
    let seen: Vec<Vector3<f64>> = places.iter().map(|p| camera.see(Vector3::from(*p))).collect();
    let mut begin = 0;
    while begin < seen.len() {
        let end = (begin..seen.len()).find(|&i| chains[i] != chains[begin]).unwrap_or(seen.len());
        let chain = &seen[begin..end];
        for i in 0..chain.len() {
            let at = |k: isize| chain[(i as isize + k).clamp(0, chain.len() as isize - 1) as usize];
            let steps = if i + 1 < chain.len() { POINTS } else { 1 };
            for step in 0..steps {
                let t = step as f64 / POINTS as f64;
                let place = between([at(-1), at(0), at(1), at(2)], t);
                let nearer = if t < 0.5 { i } else { i + 1 };
                ball(place, colours[begin + nearer], camera, (side, scale), &mut nearest, &mut colour);
            }
        }
        begin = end;
    }
    png_file(pixels, pixels, 3, &shrink(side, side, &colour, FINE))
}

/// Catmull and Rom's curve (1974) between the second and third of four points.
fn between(p: [Vector3<f64>; 4], t: f64) -> Vector3<f64> {
    0.5 * (2.0 * p[1]
        + (p[2] - p[0]) * t
        + (2.0 * p[0] - 5.0 * p[1] + 4.0 * p[2] - p[3]) * t.powi(2)
        + (3.0 * p[1] - p[0] - 3.0 * p[2] + p[3]) * t.powi(3))
}

fn ball(
    place: Vector3<f64>,
    tint: Rgb,
    camera: &Camera,
    (side, scale): (usize, f64),
    nearest: &mut [f64],
    colour: &mut [u8],
) {
    if !(place.x.is_finite() && place.y.is_finite() && place.z.is_finite()) {
        return;
    }
    let (x, y) = ((place.x + camera.half) * scale, (camera.half - place.y) * scale);
    let radius = RADIUS * scale;
    let span = |at: f64| {
        let low = (at - radius).max(0.0) as usize;
        low..((at + radius).ceil().max(0.0) as usize).min(side)
    };
    for row in span(y) {
        for column in span(x) {
            let (dx, dy) = ((column as f64 + 0.5 - x) / radius, (y - row as f64 - 0.5) / radius);
            let beyond = 1.0 - dx * dx - dy * dy;
            if beyond <= 0.0 {
                continue;
            }
            let height = beyond.sqrt();
            let depth = place.z + RADIUS * height;
            let at = row * side + column;
            if depth <= nearest[at] {
                continue;
            }
            nearest[at] = depth;
            let light = (0.45 + 0.55 * (0.45 * dy - 0.35 * dx + 0.82 * height).max(0.0)).min(1.0);
            let haze = (0.5 - 0.5 * depth / camera.depth).clamp(0.0, 1.0) * 0.45;
            for (out, tint) in colour[3 * at..3 * at + 3].iter_mut().zip(tint) {
                *out = (f64::from(tint) * light * (1.0 - haze) + 245.0 * haze) as u8;
            }
        }
    }
}
