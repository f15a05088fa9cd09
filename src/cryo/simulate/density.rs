//! Atoms as Gaussians: exact projections and density maps.
//!
//! Each atom is an isotropic Gaussian whose integral is its number of electrons, so an image holds electrons
//! per pixel and a map electrons per voxel, and an image is the sum of a map along the view. A Gaussian is
//! sampled at pixel centres out to [`REACH`] standard deviations, where it has fallen to 1.5e-8 of its peak.

use crate::cryo::Rotation;
use rayon::prelude::*;

/// Where a Gaussian is cut, in standard deviations.
pub const REACH: f64 = 6.0;

/// Samples Gaussians of one width on a line of pixels.
#[derive(Clone, Debug)]
pub struct Sampler {
    side: usize,
    /// Pixels from the middle one to the last.
    reach: usize,
    /// 1 / σ², pixels⁻².
    inverse_square: f64,
    /// exp(-i² / 2σ²) / (σ √2π) at i = -reach..=reach.
    table: Vec<f64>,
}

impl Sampler {
    /// For images of `side` pixels and Gaussians of width `sigma` (standard deviation, pixels).
    pub fn new(side: usize, sigma: f64) -> Self {
        let reach = (REACH * sigma).ceil() as usize;
        let norm = 1.0 / (sigma * std::f64::consts::TAU.sqrt());
        let value = |i: usize| {
            let distance = i as f64 - reach as f64;
            norm * (-0.5 * (distance / sigma).powi(2)).exp()
        };
        Sampler {
            side,
            reach,
            inverse_square: 1.0 / (sigma * sigma),
            table: (0..=2 * reach).map(value).collect(),
        }
    }

    /// Number of samples of one Gaussian.
    pub fn width(&self) -> usize {
        self.table.len()
    }

    /// Fills `out` with the Gaussian at `centre` (pixels); `out[0]` belongs to the returned pixel, which may be
    /// negative. None if nothing of it touches the line.
    fn sample(&self, centre: f64, out: &mut [f64]) -> Option<isize> {
        let middle = centre.round();
        let reach = self.reach as f64;
        if !(middle + reach >= 0.0 && middle - reach < self.side as f64) {
            return None;
        }
        // exp(-(i - d)²/2σ²) = exp(-d²/2σ²) exp(d/σ²)^i exp(-i²/2σ²): two exponentials for the whole line.
        let d = centre - middle;
        let ratio = (d * self.inverse_square).exp();
        let mut factor = (-0.5 * d * d * self.inverse_square - d * self.inverse_square * reach).exp();
        for (value, entry) in out.iter_mut().zip(&self.table) {
            *value = factor * entry;
            factor *= ratio;
        }
        Some(middle as isize - self.reach as isize)
    }

    /// The part of a sampled Gaussian that lies on the line: (first sample, first pixel, length).
    fn clip(&self, first: isize) -> (usize, usize, usize) {
        let skip = (-first).max(0) as usize;
        let start = first.max(0) as usize;
        (skip, start, (self.width() - skip.min(self.width())).min(self.side.saturating_sub(start)))
    }
}

/// Adds the projection of atoms to `image` [side, side] (row y, column x). An atom at `p` (Å, relative to the
/// particle's centre) lands at (R p)_{x,y} / apix + side/2 + `offset` pixels.
pub fn project(
    sampler: &Sampler,
    atoms: impl Iterator<Item = ([f64; 3], f64)>,
    rotation: &Rotation,
    apix: f64,
    offset: [f64; 2],
    image: &mut [f64],
) {
    let side = sampler.side;
    let middle = (side / 2) as f64;
    let mut across = vec![0.0; sampler.width()];
    let mut down = vec![0.0; sampler.width()];
    for (p, electrons) in atoms {
        let at = |row: usize| {
            let r = &rotation[row];
            (r[0] * p[0] + r[1] * p[1] + r[2] * p[2]) / apix + middle + offset[row]
        };
        let (Some(x), Some(y)) = (sampler.sample(at(0), &mut across), sampler.sample(at(1), &mut down))
        else {
            continue;
        };
        let (skip_x, x, width) = sampler.clip(x);
        let (skip_y, y, height) = sampler.clip(y);
        let across = &across[skip_x..skip_x + width];
        for (row, weight) in down[skip_y..skip_y + height].iter().enumerate() {
            let weight = weight * electrons;
            let pixels = &mut image[(y + row) * side + x..][..width];
            for (pixel, value) in pixels.iter_mut().zip(across) {
                *pixel += weight * value;
            }
        }
    }
}

/// A sampled Gaussian and the pixel of its first sample.
type Line = (isize, Vec<f64>);

/// The density of atoms [side, side, side] (z, y, x), electrons per voxel; the centre is voxel side/2.
pub fn density_map(sampler: &Sampler, atoms: &[([f64; 3], f64)], apix: f64) -> Vec<f32> {
    let side = sampler.side;
    let middle = (side / 2) as f64;
    // Gaussians of all atoms along the three axes, sampled once.
    let sampled: Vec<[Option<Line>; 3]> = atoms
        .par_iter()
        .map(|(p, _)| {
            [0, 1, 2].map(|axis| {
                let mut line = vec![0.0; sampler.width()];
                sampler.sample(p[axis] / apix + middle, &mut line).map(|first| (first, line))
            })
        })
        .collect();
    let mut map = vec![0.0f32; side * side * side];
    map.par_chunks_mut(side * side).enumerate().for_each_init(
        || vec![0.0f64; side * side],
        |plane, (z, out)| {
            plane.fill(0.0);
            for (axes, (_, electrons)) in sampled.iter().zip(atoms) {
                let [Some((x, across)), Some((y, down)), Some((first_z, deep))] = axes else { continue };
                let Some(depth) = usize::try_from(z as isize - first_z).ok().and_then(|k| deep.get(k)) else {
                    continue;
                };
                let (skip_x, x, width) = sampler.clip(*x);
                let (skip_y, y, height) = sampler.clip(*y);
                for (row, weight) in down[skip_y..skip_y + height].iter().enumerate() {
                    let weight = weight * depth * electrons;
                    let pixels = &mut plane[(y + row) * side + x..][..width];
                    for (pixel, value) in pixels.iter_mut().zip(&across[skip_x..]) {
                        *pixel += weight * value;
                    }
                }
            }
            for (value, sum) in out.iter_mut().zip(plane.iter()) {
                *value = *sum as f32;
            }
        },
    );
    map
}
