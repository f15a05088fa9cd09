//! Density maps: post-processing, downsampling, rotation, correlation, and central slices of their transforms.

use rayon::prelude::*;

use super::fft::Hartley3;
use super::image::check_crop;
use super::{Rotation, expect_even, expect_len};
use crate::error::{Error, Result};

/// A cubic map.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Density, [n, n, n] in the order z, y, x.
    pub data: Vec<f32>,
    /// Voxels along a side.
    pub n: usize,
    /// Voxel size, Å.
    pub apix: f32,
    /// Place of voxel (0, 0, 0) as (x, y, z), Å.
    pub origin: [f32; 3],
}

/// What is done to a decoded map before it is written, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostProcess {
    /// Reverse the z axis (the other hand).
    pub flip: bool,
    /// Multiply by −1.
    pub invert: bool,
    /// Cut off beyond this resolution, Å.
    pub low_pass: Option<f32>,
    /// Keep the central cube of this side, voxels.
    pub crop: Option<usize>,
}

impl Volume {
    /// A map with its origin at zero; `data` is [n, n, n].
    pub fn new(data: Vec<f32>, n: usize, apix: f32) -> Result<Self> {
        expect_len("map", data.len(), n * n * n)?;
        Ok(Volume { data, n, apix, origin: [0.0; 3] })
    }

    /// Flip, invert, low-pass, crop, in this order.
    pub fn post_process(&mut self, options: &PostProcess) -> Result<()> {
        if options.flip {
            self.flip();
        }
        if options.invert {
            self.invert();
        }
        if let Some(resolution) = options.low_pass {
            self.low_pass(resolution)?;
        }
        match options.crop {
            Some(side) => self.crop(side),
            None => Ok(()),
        }
    }

    /// Reverses the z axis, which turns a structure into its mirror image.
    pub fn flip(&mut self) {
        let plane = self.n * self.n;
        for z in 0..self.n / 2 {
            let (low, high) = self.data.split_at_mut((self.n - 1 - z) * plane);
            low[z * plane..(z + 1) * plane].swap_with_slice(&mut high[..plane]);
        }
    }

    /// Multiplies by −1.
    pub fn invert(&mut self) {
        self.data.iter_mut().for_each(|v| *v = -*v);
    }

    /// Removes everything beyond `resolution` (Å) with a hard sphere in Fourier space.
    pub fn low_pass(&mut self, resolution: f32) -> Result<()> {
        expect_even("low-pass filter", self.n)?;
        if !(resolution > 0.0 && resolution.is_finite()) {
            return Err(Error::usage(format!("low-pass resolution must be positive, not {resolution} Å")));
        }
        let hartley = Hartley3::new(self.n);
        hartley.forward(&mut self.data)?;
        let n = self.n;
        let limit = (n as f64 * f64::from(self.apix) / f64::from(resolution)).powi(2);
        self.data.par_chunks_mut(n * n).enumerate().for_each(|(z, plane)| {
            for (i, value) in plane.iter_mut().enumerate() {
                if squared_distance(z, i / n, i % n, n) as f64 > limit {
                    *value = 0.0;
                }
            }
        });
        hartley.inverse(&mut self.data)
    }

    /// Keeps the central cube of `side` voxels and moves the origin accordingly.
    pub fn crop(&mut self, side: usize) -> Result<()> {
        if side == 0 || side > self.n {
            return Err(Error::usage(format!("cannot crop a map of side {} to {side}", self.n)));
        }
        let (n, start) = (self.n, self.n / 2 - side / 2);
        let mut out = Vec::with_capacity(side.pow(3));
        for z in start..start + side {
            for y in start..start + side {
                out.extend_from_slice(&self.data[(z * n + y) * n + start..][..side]);
            }
        }
        let moved = start as f32 * self.apix;
        self.origin.iter_mut().for_each(|o| *o += moved);
        (self.data, self.n) = (out, side);
        Ok(())
    }

    /// Surrounds the map with zeros to `side` voxels, centre on centre.
    pub fn pad(&mut self, side: usize) -> Result<()> {
        if side < self.n {
            return Err(Error::usage(format!("cannot pad a map of side {} to {side}", self.n)));
        }
        let (n, start) = (self.n, side / 2 - self.n / 2);
        let mut out = vec![0.0; side.pow(3)];
        for (row, values) in self.data.chunks_exact(n.max(1)).enumerate() {
            let (z, y) = (row / n + start, row % n + start);
            out[(z * side + y) * side + start..][..n].copy_from_slice(values);
        }
        let moved = start as f32 * self.apix;
        self.origin.iter_mut().for_each(|o| *o -= moved);
        (self.data, self.n) = (out, side);
        Ok(())
    }

    /// Fourier-crop downsampling to `side` voxels; the pixel size grows accordingly.
    pub fn downsample(&mut self, side: usize) -> Result<()> {
        check_crop(self.n, side)?;
        let (n, start) = (self.n, self.n / 2 - side / 2);
        Hartley3::new(n).forward(&mut self.data)?;
        let mut out = Vec::with_capacity(side.pow(3));
        for z in start..start + side {
            for y in start..start + side {
                out.extend_from_slice(&self.data[(z * n + y) * n + start..][..side]);
            }
        }
        Hartley3::new(side).inverse(&mut out)?;
        self.apix = super::image::downsampled_apix(f64::from(self.apix), n, side) as f32;
        (self.data, self.n) = (out, side);
        Ok(())
    }

    /// The map turned by R about its centre (density at p moves to R p), trilinear, zero outside.
    pub fn rotate(&self, rotation: &Rotation) -> Volume {
        let n = self.n;
        let centre = (n / 2) as f64;
        let mut data = vec![0.0; self.data.len()];
        data.par_chunks_mut((n * n).max(1)).enumerate().for_each(|(z, plane)| {
            for (i, value) in plane.iter_mut().enumerate() {
                let to = [(i % n) as f64 - centre, (i / n) as f64 - centre, z as f64 - centre];
                // The inverse rotation is the transpose: row vector times R.
                let from: [f64; 3] =
                    std::array::from_fn(|j| (0..3).map(|k| to[k] * rotation[k][j]).sum::<f64>() + centre);
                *value = sample(&self.data, n, from) as f32;
            }
        });
        Volume { data, ..self.clone() }
    }
}

/// Squared distance of voxel (z, y, x) from the centre n/2, in voxels.
pub(crate) fn squared_distance(z: usize, y: usize, x: usize, n: usize) -> usize {
    [z, y, x].into_iter().map(|i| i.abs_diff(n / 2).pow(2)).sum()
}

/// Pearson correlation of two arrays, accumulated in f64; 0 when one of them is constant.
pub fn correlation(a: &[f32], b: &[f32]) -> Result<f64> {
    expect_len("correlation: second array", b.len(), a.len())?;
    let mean = |v: &[f32]| v.iter().map(|x| f64::from(*x)).sum::<f64>() / v.len().max(1) as f64;
    let (ma, mb) = (mean(a), mean(b));
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(*x) - ma, f64::from(*y) - mb);
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    let scale = (aa * bb).sqrt();
    Ok(if scale > 0.0 { ab / scale } else { 0.0 })
}

/// Trilinear value of a cube [n, n, n] at (x, y, z) in index units; corners outside count as zero.
fn sample(data: &[f32], n: usize, point: [f64; 3]) -> f64 {
    if !point.iter().all(|p| *p > -1.0 && *p < n as f64) {
        return 0.0;
    }
    let base = point.map(f64::floor);
    let mut sum = 0.0;
    for corner in 0..8usize {
        let mut weight = 1.0;
        let mut index = [0usize; 3];
        let mut inside = true;
        for axis in 0..3 {
            let upper = corner >> axis & 1;
            let fraction = point[axis] - base[axis];
            weight *= if upper == 1 { fraction } else { 1.0 - fraction };
            let at = base[axis] as i64 + upper as i64;
            inside &= at >= 0 && at < n as i64;
            index[axis] = at.max(0) as usize;
        }
        if inside {
            sum += weight * f64::from(data[(index[2] * n + index[1]) * n + index[0]]);
        }
    }
    sum
}

/// Central slice of a symmetrised Hartley map [D, D, D] at orientation R: the value at `coords_row @ R`, trilinear,
/// zero outside, [D, D]. The host reference for slice kernels.
pub fn slice(transform: &[f32], d: usize, rotation: &Rotation) -> Result<Vec<f32>> {
    expect_len("symmetrised map", transform.len(), d * d * d)?;
    let r = (d / 2) as f64;
    let mut out = vec![0.0; d * d];
    out.par_chunks_mut(d.max(1)).enumerate().for_each(|(iy, row)| {
        for (ix, value) in row.iter_mut().enumerate() {
            let (x, y) = (ix as f64 - r, iy as f64 - r);
            let point = std::array::from_fn(|j| x * rotation[0][j] + y * rotation[1][j] + r);
            *value = sample(transform, d, point) as f32;
        }
    });
    Ok(out)
}

/// Adjoint of [`slice`]: adds a slice [D, D] into a symmetrised map [D, D, D] with the same trilinear weights.
pub fn scatter_slice(slice: &[f32], d: usize, rotation: &Rotation, transform: &mut [f32]) -> Result<()> {
    expect_len("slice", slice.len(), d * d)?;
    expect_len("symmetrised map", transform.len(), d * d * d)?;
    let r = (d / 2) as f64;
    for (i, value) in slice.iter().enumerate() {
        let (x, y) = ((i % d) as f64 - r, (i / d) as f64 - r);
        let point: [f64; 3] = std::array::from_fn(|j| x * rotation[0][j] + y * rotation[1][j] + r);
        for corner in 0..8usize {
            let mut weight = f64::from(*value);
            let mut index = Some(0);
            for axis in (0..3).rev() {
                let upper = corner >> axis & 1;
                let base = point[axis].floor();
                let fraction = point[axis] - base;
                weight *= if upper == 1 { fraction } else { 1.0 - fraction };
                let at = base + upper as f64;
                index = index.filter(|_| at >= 0.0 && at < d as f64).map(|sum| sum * d + at as usize);
            }
            if let Some(index) = index {
                transform[index] += weight as f32;
            }
        }
    }
    Ok(())
}
