//! Real-space masks: threshold, dilation, soft cosine edge.

use rayon::prelude::*;

use super::expect_len;
use crate::error::{Error, Result};

/// How a mask is made from a map.
#[derive(Clone, Copy, Debug)]
pub struct MaskOptions {
    /// Density above which a voxel belongs to the molecule; none means [`default_threshold`].
    pub threshold: Option<f32>,
    /// Distance by which the thresholded region grows, Å.
    pub dilate: f64,
    /// Width of the cosine edge outside it, Å.
    pub edge: f64,
}

/// The p-th percentile (0 to 100) with linear interpolation between order statistics.
pub fn percentile(values: &[f32], p: f64) -> Result<f64> {
    if values.is_empty() || values.iter().any(|v| v.is_nan()) {
        return Err(Error::NotFinite("percentile of an empty array or one with NaN; check the map".into()));
    }
    let mut sorted = values.to_vec();
    let rank = (p / 100.0).clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, fraction) = (rank.floor() as usize, rank.fract());
    let (_, lower, above) = sorted.select_nth_unstable_by(low, f32::total_cmp);
    let lower = f64::from(*lower);
    let upper = above.iter().copied().min_by(f32::total_cmp).map_or(lower, f64::from);
    Ok(lower + fraction * (upper - lower))
}

/// Half the 99.99 percentile of a map.
pub fn default_threshold(map: &[f32]) -> Result<f64> {
    Ok(percentile(map, 99.99)? / 2.0)
}

/// Soft mask [n, n, n] of a map: threshold, dilate by whole voxels, then a cosine edge over the Euclidean distance
/// to the dilated region; values rounded to 6 decimals.
pub fn cosine_mask(map: &[f32], n: usize, apix: f64, options: &MaskOptions) -> Result<Vec<f32>> {
    expect_len("map to mask", map.len(), n * n * n)?;
    if !(apix > 0.0 && apix.is_finite()) {
        return Err(Error::usage(format!(
            "the voxel size must be positive to make a mask, not {apix} Å; give --Apix"
        )));
    }
    if !(options.dilate >= 0.0 && options.edge >= 0.0 && (options.dilate + options.edge).is_finite()) {
        return Err(Error::usage("mask dilation and edge must not be negative"));
    }
    let threshold = match options.threshold {
        Some(threshold) => f64::from(threshold),
        None => default_threshold(map)?,
    };
    let mut inside: Vec<bool> = map.iter().map(|v| f64::from(*v) >= threshold).collect();
    dilate(&mut inside, n, (options.dilate / apix).floor() as usize)?;
    let width = options.edge / apix;
    if width == 0.0 {
        return Ok(inside.iter().map(|inside| f32::from(u8::from(*inside))).collect());
    }
    let squared = squared_distances(&inside, n)?;
    let value = |d2: &f64| {
        let distance = d2.sqrt().min(width);
        ((std::f64::consts::FRAC_PI_2 * distance / width).cos() * 1e6).round() / 1e6
    };
    Ok(squared.par_iter().map(|d2| value(d2) as f32).collect())
}

/// Grows a region [n, n, n] by its face neighbours (6-connected), `times` times.
pub fn dilate(inside: &mut [bool], n: usize, times: usize) -> Result<()> {
    expect_len("region to dilate", inside.len(), n * n * n)?;
    let plane = n * n;
    let mut before = inside.to_vec();
    for _ in 0..times {
        before.copy_from_slice(inside);
        inside.par_chunks_mut(plane.max(1)).enumerate().for_each(|(z, out)| {
            let here = &before[z * plane..][..plane];
            for (i, value) in out.iter_mut().enumerate() {
                let (y, x) = (i / n, i % n);
                *value = here[i]
                    || (x > 0 && here[i - 1])
                    || (x + 1 < n && here[i + 1])
                    || (y > 0 && here[i - n])
                    || (y + 1 < n && here[i + n])
                    || (z > 0 && before[(z - 1) * plane + i])
                    || (z + 1 < n && before[(z + 1) * plane + i]);
            }
        });
        if *before == *inside {
            break;
        }
    }
    Ok(())
}

/// Exact squared Euclidean distance, in voxels, of every voxel to the region (Felzenszwalb & Huttenlocher 2012);
/// infinite when the region is empty.
pub fn squared_distances(inside: &[bool], n: usize) -> Result<Vec<f64>> {
    expect_len("region of a distance transform", inside.len(), n * n * n)?;
    let mut field: Vec<f64> = inside.iter().map(|i| if *i { 0.0 } else { f64::INFINITY }).collect();
    if n == 0 {
        return Ok(field);
    }
    let plane = n * n;
    // x and y within each plane, then z within each transposed slab.
    field.par_chunks_mut(plane).for_each_init(
        || Lower::new(n),
        |lower, plane| {
            for y in 0..n {
                lower.run(|i| plane[y * n + i]);
                plane[y * n..(y + 1) * n].copy_from_slice(&lower.out);
            }
            for x in 0..n {
                lower.run(|i| plane[i * n + x]);
                lower.out.iter().enumerate().for_each(|(i, v)| plane[i * n + x] = *v);
            }
        },
    );
    let mut columns = vec![0.0; field.len()];
    columns.par_chunks_mut(plane).enumerate().for_each_init(
        || Lower::new(n),
        |lower, (y, slab)| {
            for x in 0..n {
                lower.run(|z| field[(z * n + y) * n + x]);
                slab[x * n..(x + 1) * n].copy_from_slice(&lower.out);
            }
        },
    );
    field.par_chunks_mut(plane).enumerate().for_each(|(z, out)| {
        for (i, value) in out.iter_mut().enumerate() {
            *value = columns[i * n + z];
        }
    });
    Ok(field)
}

/// Lower envelope of the parabolas f(i) + (x − i)².
struct Lower {
    vertex: Vec<usize>,
    from: Vec<f64>,
    input: Vec<f64>,
    out: Vec<f64>,
}

impl Lower {
    fn new(n: usize) -> Self {
        Lower { vertex: vec![0; n], from: vec![0.0; n], input: vec![0.0; n], out: vec![0.0; n] }
    }

    fn run(&mut self, value: impl Fn(usize) -> f64) {
        self.input.iter_mut().enumerate().for_each(|(i, v)| *v = value(i));
        let f = &self.input;
        let mut count = 0;
        for q in 0..f.len() {
            if f[q].is_infinite() {
                continue;
            }
            let mut start = f64::NEG_INFINITY;
            while count > 0 {
                let p = self.vertex[count - 1];
                let (p1, q1) = (p as f64, q as f64);
                start = ((f[q] + q1 * q1) - (f[p] + p1 * p1)) / (2.0 * (q1 - p1));
                if start > self.from[count - 1] {
                    break;
                }
                count -= 1;
                start = f64::NEG_INFINITY;
            }
            self.vertex[count] = q;
            self.from[count] = start;
            count += 1;
        }
        let mut k = 0;
        for (x, out) in self.out.iter_mut().enumerate() {
            while k + 1 < count && self.from[k + 1] < x as f64 {
                k += 1;
            }
            *out = if count == 0 {
                f64::INFINITY
            } else {
                let p = self.vertex[k];
                f[p] + (x as f64 - p as f64).powi(2)
            };
        }
    }
}

/// cryoDRGN's "spherical" mask [n, n, n]: a disc r ≤ 1 on `linspace(-1, 1, n+1)` without its last point, the same in
/// every z plane, so really a cylinder; `true_sphere` makes it a ball.
pub fn spherical_mask(n: usize, true_sphere: bool) -> Vec<f32> {
    let axis: Vec<f64> = (0..n).map(|i| -1.0 + 2.0 * i as f64 / n as f64).collect();
    let mut out = Vec::with_capacity(n.pow(3));
    for z in &axis {
        let zz = if true_sphere { z * z } else { 0.0 };
        for y in &axis {
            out.extend(axis.iter().map(|x| f32::from(u8::from(x * x + y * y + zz <= 1.0))));
        }
    }
    out
}
