//! Centred Fourier and Hartley transforms in two and three dimensions.
//!
//! The forward transform is unnormalised, `fftshift(fft(ifftshift(x)))`; for even sides `ifftshift` and `fftshift`
//! are the same, for odd sides this order keeps the Hartley transform its own inverse (up to the number of
//! elements). Hartley H = Re − Im (Bracewell 1986). Real input is transformed two rows at a time, and only half of
//! the spectrum is carried along the other axes.

use std::sync::Arc;

use rayon::prelude::*;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftDirection, FftNum, FftPlanner};

use super::expect_len;
use crate::error::Result;

/// Rows handled together when a buffer is transposed: eight complex f32 fill a cache line.
const TILE: usize = 8;

/// A planned two-dimensional transform of n x n images; shared freely between threads, each with its own
/// [`Scratch2`].
pub struct Hartley2<T: FftNum = f32> {
    n: usize,
    plan: Arc<dyn Fft<T>>,
}

/// Working memory of one [`Hartley2`].
pub struct Scratch2<T> {
    /// Pairs of rows, [ceil(n/2), n].
    rows: Vec<Complex<T>>,
    /// Half spectrum, transposed: [n/2 + 1 (kx), n (ky)], frequencies in FFT order.
    half: Vec<Complex<T>>,
    fft: Vec<Complex<T>>,
}

impl<T: FftNum> Hartley2<T> {
    /// Plans transforms of n x n images.
    pub fn new(n: usize) -> Self {
        let plan = FftPlanner::new().plan_fft(n.max(1), FftDirection::Forward);
        Hartley2 { n, plan }
    }

    /// The image side in pixels.
    pub fn side(&self) -> usize {
        self.n
    }

    /// Fresh working memory for this plan.
    pub fn scratch(&self) -> Scratch2<T> {
        let zero = Complex::new(T::zero(), T::zero());
        Scratch2 {
            rows: vec![zero; self.n.div_ceil(2) * self.n],
            half: vec![zero; (self.n / 2 + 1) * self.n],
            fft: vec![zero; self.plan.get_inplace_scratch_len()],
        }
    }

    /// Fills `scratch.half` with F(kx, ky), kx = 0..=n/2, of the centred image.
    fn half_spectrum(&self, image: &[T], scratch: &mut Scratch2<T>) {
        let n = self.n;
        let centre = n / 2;
        let (a, b) = (n - centre, centre);
        let pairs = n.div_ceil(2);
        let zero = T::zero();
        for (j, buffer) in scratch.rows.chunks_exact_mut(n).enumerate() {
            // Rows 2j and 2j+1 of the shifted image ride as real and imaginary part of one transform.
            let row = |y: usize| (y < n).then(|| &image[((y + centre) % n) * n..][..n]);
            let first = row(2 * j).unwrap_or(&[]);
            match row(2 * j + 1) {
                Some(second) => {
                    for (x, value) in buffer.iter_mut().enumerate() {
                        let from = if x < a { x + b } else { x - a };
                        *value = Complex::new(first[from], second[from]);
                    }
                }
                None => {
                    for (x, value) in buffer.iter_mut().enumerate() {
                        let from = if x < a { x + b } else { x - a };
                        *value = Complex::new(first[from], zero);
                    }
                }
            }
        }
        self.plan.process_with_scratch(&mut scratch.rows, &mut scratch.fft);
        let half = T::from_f64(0.5).unwrap_or(zero);
        for (kx, column) in scratch.half.chunks_exact_mut(n).enumerate() {
            let mirror = (n - kx) % n;
            for j in 0..pairs {
                let (z, m) = (scratch.rows[j * n + kx], scratch.rows[j * n + mirror].conj());
                let (sum, difference) = (z + m, z - m);
                column[2 * j] = sum.scale(half);
                if 2 * j + 1 < n {
                    // Dividing by 2i turns (re, im) into (im, −re) / 2.
                    column[2 * j + 1] = Complex::new(difference.im, zero - difference.re).scale(half);
                }
            }
        }
        self.plan.process_with_scratch(&mut scratch.half, &mut scratch.fft);
    }

    /// Writes the centred Hartley transform into rows of `stride` values, times `scale`.
    fn write_hartley(&self, scratch: &Scratch2<T>, out: &mut [T], stride: usize, scale: T) {
        let n = self.n;
        let centre = n / 2;
        for top in (0..n).step_by(TILE) {
            let rows = top..(top + TILE).min(n);
            for kx in 0..=n / 2 {
                let column = &scratch.half[kx * n..(kx + 1) * n];
                let right = (kx + centre) % n;
                for iy in rows.clone() {
                    let ky = (iy + n - centre) % n;
                    let f = column[ky];
                    out[iy * stride + right] = (f.re - f.im) * scale;
                }
                if kx >= 1 && kx <= (n - 1) / 2 {
                    for iy in rows.clone() {
                        // F(−kx, ky) is the conjugate of F(kx, −ky).
                        let f = column[(n + centre - iy) % n];
                        out[iy * stride + centre - kx] = (f.re + f.im) * scale;
                    }
                }
            }
        }
    }

    /// Centred Hartley transform [n, n] of `image`, unnormalised, into `out`; both hold an image.
    pub fn transform(&self, image: &[T], out: &mut [T], scratch: &mut Scratch2<T>) {
        self.half_spectrum(image, scratch);
        self.write_hartley(scratch, out, self.n, T::one());
    }

    /// Centred Hartley transform [n, n] in place, unnormalised.
    pub fn forward(&self, image: &mut [T], scratch: &mut Scratch2<T>) -> Result<()> {
        expect_len("Hartley transform of an image", image.len(), self.n * self.n)?;
        self.half_spectrum(image, scratch);
        self.write_hartley(scratch, image, self.n, T::one());
        Ok(())
    }

    /// Inverse of [`Self::forward`], in place.
    pub fn inverse(&self, image: &mut [T], scratch: &mut Scratch2<T>) -> Result<()> {
        expect_len("inverse Hartley transform of an image", image.len(), self.n * self.n)?;
        self.half_spectrum(image, scratch);
        self.write_hartley(scratch, image, self.n, inverse_count(self.n * self.n));
        Ok(())
    }

    /// Hartley transform of `image` [n, n], times `scale`, symmetrised into `out` [n+1, n+1].
    pub fn forward_symmetrised(
        &self,
        image: &[T],
        scale: T,
        out: &mut [T],
        scratch: &mut Scratch2<T>,
    ) -> Result<()> {
        let d = self.n + 1;
        expect_len("Hartley transform of an image", image.len(), self.n * self.n)?;
        expect_len("symmetrised Hartley transform", out.len(), d * d)?;
        self.half_spectrum(image, scratch);
        self.write_hartley(scratch, out, d, scale);
        repeat_edges(out, d);
        Ok(())
    }

    /// Centred complex spectrum [n, n] of a real image, unnormalised.
    pub fn spectrum(&self, image: &[T], out: &mut [Complex<T>], scratch: &mut Scratch2<T>) -> Result<()> {
        let n = self.n;
        let centre = n / 2;
        expect_len("Fourier transform of an image", image.len(), n * n)?;
        expect_len("spectrum", out.len(), n * n)?;
        self.half_spectrum(image, scratch);
        for iy in 0..n {
            let (ky, minus) = ((iy + n - centre) % n, (n + centre - iy) % n);
            for ix in 0..n {
                let kx = (ix + n - centre) % n;
                out[iy * n + ix] = if kx <= n / 2 {
                    scratch.half[kx * n + ky]
                } else {
                    scratch.half[(n - kx) * n + minus].conj()
                };
            }
        }
        Ok(())
    }
}

fn inverse_count<T: FftNum>(count: usize) -> T {
    T::from_f64(1.0 / count.max(1) as f64).unwrap_or(T::one())
}

/// A planned three-dimensional Hartley transform of n x n x n volumes; planes and columns run on rayon, and the
/// result does not depend on the number of threads.
pub struct Hartley3<T: FftNum = f32> {
    plane: Hartley2<T>,
}

impl<T: FftNum> Hartley3<T> {
    /// Plans transforms of n x n x n volumes.
    pub fn new(n: usize) -> Self {
        Hartley3 { plane: Hartley2::new(n) }
    }

    /// Centred Hartley transform [n, n, n] in place, unnormalised.
    pub fn forward(&self, volume: &mut [T]) -> Result<()> {
        self.transform(volume, T::one())
    }

    /// Inverse of [`Self::forward`], in place.
    pub fn inverse(&self, volume: &mut [T]) -> Result<()> {
        let n = self.plane.n;
        self.transform(volume, inverse_count(n * n * n))
    }

    fn transform(&self, volume: &mut [T], scale: T) -> Result<()> {
        let n = self.plane.n;
        let centre = n / 2;
        expect_len("Hartley transform of a volume", volume.len(), n * n * n)?;
        if n == 0 {
            return Ok(());
        }
        let columns = (n / 2 + 1) * n;
        let zero = Complex::new(T::zero(), T::zero());
        let mut planes = vec![zero; n * columns];
        planes.par_chunks_mut(columns).enumerate().for_each_init(
            || self.plane.scratch(),
            |scratch, (z, half)| {
                let from = (z + centre) % n;
                self.plane.half_spectrum(&volume[from * n * n..][..n * n], scratch);
                half.copy_from_slice(&scratch.half);
            },
        );
        let mut lines = vec![zero; columns * n];
        lines.par_chunks_mut(TILE * n).enumerate().for_each_init(
            || vec![zero; self.plane.plan.get_inplace_scratch_len()],
            |scratch, (block, lines)| {
                let width = lines.len() / n;
                for z in 0..n {
                    let values = &planes[z * columns + block * TILE..][..width];
                    for (line, value) in values.iter().enumerate() {
                        lines[line * n + z] = *value;
                    }
                }
                self.plane.plan.process_with_scratch(lines, scratch);
            },
        );
        drop(planes);
        volume.par_chunks_mut(TILE * n * n).enumerate().for_each(|(block, out)| {
            let depth = out.len() / (n * n);
            for iy in 0..n {
                let (ky, minus_y) = ((iy + n - centre) % n, (n + centre - iy) % n);
                for ix in 0..n {
                    let kx = (ix + n - centre) % n;
                    let direct = kx <= n / 2;
                    let line = if direct { kx * n + ky } else { (n - kx) * n + minus_y };
                    let line = &lines[line * n..][..n];
                    for plane in 0..depth {
                        let iz = block * TILE + plane;
                        let value = if direct {
                            let f = line[(iz + n - centre) % n];
                            f.re - f.im
                        } else {
                            let f = line[(n + centre - iz) % n];
                            f.re + f.im
                        };
                        out[(plane * n + iy) * n + ix] = value * scale;
                    }
                }
            }
        });
        Ok(())
    }
}

/// Centred complex transform over all axes of an array of the given shape (last axis fastest), unnormalised.
pub fn fftn_center<T: FftNum>(data: &mut [Complex<T>], shape: &[usize]) -> Result<()> {
    centred(data, shape, FftDirection::Forward)
}

/// Inverse of [`fftn_center`]: `ifftshift(ifftn(ifftshift(x)))` for even sides, divided by the number of elements.
pub fn ifftn_center<T: FftNum>(data: &mut [Complex<T>], shape: &[usize]) -> Result<()> {
    centred(data, shape, FftDirection::Inverse)?;
    let scale = inverse_count(data.len());
    data.iter_mut().for_each(|value| *value = value.scale(scale));
    Ok(())
}

fn centred<T: FftNum>(data: &mut [Complex<T>], shape: &[usize], direction: FftDirection) -> Result<()> {
    expect_len("centred Fourier transform", data.len(), shape.iter().product())?;
    if data.is_empty() {
        return Ok(());
    }
    let mut planner = FftPlanner::new();
    for (axis, &n) in shape.iter().enumerate() {
        let inner: usize = shape[axis + 1..].iter().product();
        let plan = planner.plan_fft(n, direction);
        data.par_chunks_mut(n * inner).for_each(|block| {
            let mut line = vec![Complex::new(T::zero(), T::zero()); n];
            let mut scratch = vec![Complex::new(T::zero(), T::zero()); plan.get_inplace_scratch_len()];
            for offset in 0..inner {
                for (i, value) in line.iter_mut().enumerate() {
                    *value = block[((i + n / 2) % n) * inner + offset];
                }
                plan.process_with_scratch(&mut line, &mut scratch);
                for (i, value) in line.iter().enumerate() {
                    block[((i + n / 2) % n) * inner + offset] = *value;
                }
            }
        });
    }
    Ok(())
}

fn repeat_edges<T: Copy>(out: &mut [T], d: usize) {
    for y in 0..d - 1 {
        out[y * d + d - 1] = out[y * d];
    }
    out.copy_within(0..d, (d - 1) * d);
}

/// Appends row 0 as last row and column 0 as last column: [n, n] to [n+1, n+1].
pub fn symmetrise<T: Copy>(transform: &[T], n: usize) -> Result<Vec<T>> {
    expect_len("symmetrise", transform.len(), n * n)?;
    let mut out = Vec::with_capacity((n + 1) * (n + 1));
    for y in (0..n).chain((n > 0).then_some(0)) {
        out.extend_from_slice(&transform[y * n..(y + 1) * n]);
        out.push(transform[y * n]);
    }
    Ok(out)
}

/// Repeats the first plane of each axis at its end: [n, n, n] to [n+1, n+1, n+1].
pub fn symmetrise3<T: Copy>(transform: &[T], n: usize) -> Result<Vec<T>> {
    expect_len("symmetrise a volume", transform.len(), n * n * n)?;
    let mut out = Vec::with_capacity((n + 1).pow(3));
    for z in (0..n).chain((n > 0).then_some(0)) {
        out.extend(symmetrise(&transform[z * n * n..(z + 1) * n * n], n)?);
    }
    Ok(out)
}

/// Drops the last (+Nyquist) row and column: [d, d] to [d−1, d−1].
pub fn desymmetrise<T: Copy>(transform: &[T], d: usize) -> Result<Vec<T>> {
    expect_len("desymmetrise", transform.len(), d * d)?;
    let n = d.saturating_sub(1);
    Ok((0..n).flat_map(|y| transform[y * d..y * d + n].iter().copied()).collect())
}

/// Drops the last (+Nyquist) plane of each axis: [d, d, d] to [d−1, d−1, d−1].
pub fn desymmetrise3<T: Copy>(transform: &[T], d: usize) -> Result<Vec<T>> {
    expect_len("desymmetrise a volume", transform.len(), d * d * d)?;
    let n = d.saturating_sub(1);
    let mut out = Vec::with_capacity(n * n * n);
    for z in 0..n {
        for y in 0..n {
            out.extend_from_slice(&transform[(z * d + y) * d..][..n]);
        }
    }
    Ok(out)
}
