//! What happens to a particle image before it is compared or backprojected: window, sign, Hartley transform,
//! symmetrisation, normalisation, centring; and Fourier-crop downsampling and phase flipping.

use rayon::prelude::*;

use super::ctf::{CtfGrid, CtfParams};
use super::fft::{Hartley2, Scratch2};
use super::window::{OUTER_RADIUS, soft_disc};
use super::{expect_even, expect_len};
use crate::error::{Error, Result};

/// Images read at a time while the normalisation is estimated.
const CHUNK: usize = 64;

/// Raw image \[n, n\] to normalised symmetrised Hartley transform \[D, D\].
pub struct Preprocessor {
    hartley: Hartley2<f32>,
    /// Soft disc with the sign of the data folded in; none means no window.
    window: Option<Vec<f32>>,
    sign: f32,
    norm: (f32, f32),
}

/// Working memory of one [`Preprocessor`].
pub struct PreprocessScratch {
    image: Vec<f32>,
    fft: Scratch2<f32>,
}

impl Preprocessor {
    /// `window`: radius inside which the soft disc is 1 (fraction of half the box; 0.85 by default in cryoDRGN);
    /// `invert`: the data are dark on light; `norm`: (mean, std) of the transforms.
    pub fn new(box_side: usize, window: Option<f32>, invert: bool, norm: (f32, f32)) -> Result<Self> {
        expect_even("particle images", box_side)?;
        if !(norm.0.is_finite() && norm.1.is_finite() && norm.1 != 0.0) {
            return Err(Error::NotFinite(format!(
                "normalisation (mean {}, std {}) cannot be used; are the images constant or not finite?",
                norm.0, norm.1
            )));
        }
        let sign = if invert { -1.0 } else { 1.0 };
        let window = window.map(|inner| {
            soft_disc(box_side, inner, OUTER_RADIUS.max(inner)).into_iter().map(|w| w * sign).collect()
        });
        Ok(Preprocessor { hartley: Hartley2::new(box_side), window, sign, norm })
    }

    /// D, the side of the transforms.
    pub fn side(&self) -> usize {
        self.hartley.side() + 1
    }

    /// Fresh working memory.
    pub fn scratch(&self) -> PreprocessScratch {
        let n = self.hartley.side();
        PreprocessScratch { image: vec![0.0; n * n], fft: self.hartley.scratch() }
    }

    /// Transforms one image [n·n] into `out` [D·D].
    pub fn run(&self, image: &[f32], out: &mut [f32], scratch: &mut PreprocessScratch) -> Result<()> {
        expect_len("particle image", image.len(), scratch.image.len())?;
        match &self.window {
            Some(window) => {
                for ((to, from), weight) in scratch.image.iter_mut().zip(image).zip(window) {
                    *to = from * weight;
                }
                self.hartley.forward_symmetrised(&scratch.image, 1.0, out, &mut scratch.fft)?;
            }
            None => self.hartley.forward_symmetrised(image, self.sign, out, &mut scratch.fft)?,
        }
        let (mean, std) = self.norm;
        if mean != 0.0 || std != 1.0 {
            out.iter_mut().for_each(|value| *value = (*value - mean) / std);
        }
        Ok(())
    }

    /// Transforms a batch [B, n·n] into [B, D·D], images in parallel.
    pub fn run_batch(&self, images: &[f32], out: &mut [f32]) -> Result<()> {
        let (pixels, points) = (self.hartley.side().pow(2), self.side().pow(2));
        let count = images.len() / pixels;
        expect_len("particle images", images.len(), count * pixels)?;
        expect_len("transforms", out.len(), count * points)?;
        out.par_chunks_mut(points)
            .zip(images.par_chunks(pixels))
            .try_for_each_init(|| self.scratch(), |scratch, (out, image)| self.run(image, out, scratch))
    }
}

/// The (mean, std) by which transforms are normalised: mean 0, and the unbiased standard deviation over the
/// symmetrised transforms of images 0, s, 2s, … with s = N / min(N, 1000), DC included and **not windowed**, as in
/// cryoDRGN. `read` fills one image [n·n] by its number.
pub fn estimate_norm(
    count: usize,
    box_side: usize,
    invert: bool,
    mut read: impl FnMut(usize, &mut [f32]) -> Result<()>,
) -> Result<(f32, f32)> {
    if count == 0 {
        return Err(Error::usage("the particle stack is empty: there is nothing to normalise"));
    }
    let step = count / count.min(1000);
    let plain = Preprocessor::new(box_side, None, invert, (0.0, 1.0))?;
    let (pixels, points) = (box_side * box_side, (box_side + 1).pow(2));
    let sample: Vec<usize> = (0..count).step_by(step).collect();
    let mut images = vec![0.0; CHUNK.min(sample.len()) * pixels];
    let mut total = Moments::default();
    for chunk in sample.chunks(CHUNK) {
        let images = &mut images[..chunk.len() * pixels];
        for (index, image) in chunk.iter().zip(images.chunks_exact_mut(pixels)) {
            read(*index, image)?;
        }
        let parts: Vec<Moments> = images
            .par_chunks(pixels)
            .map_init(
                || (plain.scratch(), vec![0.0; points]),
                |(scratch, transform), image| {
                    plain.run(image, transform, scratch)?;
                    Ok(Moments::of(transform))
                },
            )
            .collect::<Result<_>>()?;
        parts.into_iter().for_each(|part| total.join(part));
    }
    Ok((0.0, (total.squares / (total.count - 1.0)).sqrt() as f32))
}

/// Count, mean and sum of squared deviations, joined pairwise (Chan, Golub & LeVeque 1979).
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn of(values: &[f32]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let squares = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
        Moments { count, mean, squares }
    }

    fn join(&mut self, other: Moments) {
        let count = self.count + other.count;
        let difference = other.mean - self.mean;
        self.squares += other.squares + difference * difference * self.count * other.count / count;
        self.mean += difference * other.count / count;
        self.count = count;
    }
}

/// Moves images by multiplying their symmetrised transforms with a phase:
/// H'(k) = cos(2πk·t) H(k) + sin(2πk·t) H(−k), which shifts the image by +t pixels.
pub struct PhaseShift {
    d: usize,
    freqs: Vec<f64>,
}

impl PhaseShift {
    /// For images of `box_side` pixels.
    pub fn new(box_side: usize) -> Result<Self> {
        expect_even("phase shift", box_side)?;
        let r = (box_side / 2) as f64;
        Ok(PhaseShift {
            d: box_side + 1,
            freqs: (0..=box_side).map(|i| (i as f64 - r) / box_side as f64).collect(),
        })
    }

    /// cos and sin of 2πft along one axis, [D].
    pub(crate) fn phases(&self, shift: f64) -> Vec<[f32; 2]> {
        self.freqs
            .iter()
            .map(|f| {
                let (sin, cos) = (std::f64::consts::TAU * f * shift).sin_cos();
                [cos as f32, sin as f32]
            })
            .collect()
    }

    /// Writes the transform [D·D] of the image moved by `shift` (x, y) pixels.
    pub fn run(&self, transform: &[f32], shift: [f64; 2], out: &mut [f32]) -> Result<()> {
        let d = self.d;
        expect_len("transform", transform.len(), d * d)?;
        expect_len("shifted transform", out.len(), d * d)?;
        let (px, py) = (self.phases(shift[0]), self.phases(shift[1]));
        for (y, [cy, sy]) in py.iter().enumerate() {
            let row = &transform[y * d..(y + 1) * d];
            let mirror = &transform[(d - 1 - y) * d..(d - y) * d];
            let out = &mut out[y * d..(y + 1) * d];
            for (((out, [cx, sx]), h), minus) in out.iter_mut().zip(&px).zip(row).zip(mirror.iter().rev()) {
                *out = (cx * cy - sx * sy) * h + (sx * cy + cx * sy) * minus;
            }
        }
        Ok(())
    }
}

/// Fourier-crop downsampling of n x n images to m x m: the centred Hartley transform is cropped to
/// \[n/2 − m/2, n/2 + m/2) and transformed back.
pub struct Downsample {
    from: Hartley2<f32>,
    to: Hartley2<f32>,
}

/// Working memory of one [`Downsample`].
pub struct DownsampleScratch {
    image: Vec<f32>,
    from: Scratch2<f32>,
    to: Scratch2<f32>,
}

impl Downsample {
    /// From `n` to `m` pixels, both even, m ≤ n.
    pub fn new(n: usize, m: usize) -> Result<Self> {
        check_crop(n, m)?;
        Ok(Downsample { from: Hartley2::new(n), to: Hartley2::new(m) })
    }

    /// Fresh working memory.
    pub fn scratch(&self) -> DownsampleScratch {
        DownsampleScratch {
            image: vec![0.0; self.from.side().pow(2)],
            from: self.from.scratch(),
            to: self.to.scratch(),
        }
    }

    /// Downsamples one image [n·n] into `out` [m·m].
    pub fn run(&self, image: &[f32], out: &mut [f32], scratch: &mut DownsampleScratch) -> Result<()> {
        let (n, m) = (self.from.side(), self.to.side());
        expect_len("image to downsample", image.len(), n * n)?;
        expect_len("downsampled image", out.len(), m * m)?;
        scratch.image.copy_from_slice(image);
        self.from.forward(&mut scratch.image, &mut scratch.from)?;
        let start = n / 2 - m / 2;
        for (y, row) in out.chunks_exact_mut(m).enumerate() {
            row.copy_from_slice(&scratch.image[(start + y) * n + start..][..m]);
        }
        self.to.inverse(out, &mut scratch.to)
    }
}

pub(crate) fn check_crop(n: usize, m: usize) -> Result<()> {
    expect_even("downsampling: original", n)?;
    expect_even("downsampling: new", m)?;
    if m > n {
        return Err(Error::usage(format!(
            "cannot downsample from {n} to {m} pixels: the new box must not be larger"
        )));
    }
    Ok(())
}

/// The pixel size after downsampling, rounded to 6 decimals, Å.
pub fn downsampled_apix(apix: f64, n: usize, m: usize) -> f64 {
    (apix * n as f64 / m as f64 * 1e6).round() / 1e6
}

/// Multiplies the transform of an image [n·n] by the sign of its CTF, in place, so that contrast has the same sign
/// at all frequencies. `grid` is [`CtfGrid::lattice`] of the same box.
pub fn phase_flip(
    hartley: &Hartley2<f32>,
    grid: &CtfGrid,
    params: &CtfParams,
    image: &mut [f32],
    scratch: &mut Scratch2<f32>,
) -> Result<()> {
    let n = hartley.side();
    let mut ctf = vec![0.0; grid.len()];
    expect_len("CTF lattice", ctf.len(), (n + 1).pow(2))?;
    grid.eval(params, &mut ctf)?;
    hartley.forward(image, scratch)?;
    for (row, ctf) in image.chunks_exact_mut(n).zip(ctf.chunks_exact(n + 1)) {
        for (value, ctf) in row.iter_mut().zip(ctf) {
            *value *= sign(*ctf);
        }
    }
    hartley.inverse(image, scratch)
}

/// −1, 0 or 1.
pub fn sign(value: f32) -> f32 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        0.0
    }
}
