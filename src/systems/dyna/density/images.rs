//! Particles as the density network is compared with them: transforms or pixels in units of the transforms'
//! deviation, CTFs, rotations, latents.

use std::path::Path;

use rayon::prelude::*;

use super::config::{Config, Contrast, Ctf, LossFn, ShiftMethod};
use crate::cryo::ctf::{CtfGrid, CtfParams};
use crate::systems::drgn::files::Latents;
use crate::systems::dyna::data::{Particles, Room, Shifting};
use crate::systems::dyna::image::disc;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Images that tell the deviation of transforms.
const SCALE_OF: usize = 100;

pub struct Images {
    pub particles: Particles,
    pub latents: Latents,
    /// Standard deviation of the images' transforms.
    pub f_std: f64,
    loss: LossFn,
    /// Which of the D D frequencies or pixels are compared.
    compared: Vec<usize>,
    /// The reference's first CTF: its grid, and parameters that make its formula of ours.
    first_ctf: Option<(CtfGrid, Vec<CtfParams>)>,
}

/// What the network is fed for some particles.
#[derive(Debug)]
pub struct Batch {
    /// `[B, P]`
    pub targets: Tensor,
    /// `[B, D D]` where pixels are compared, else `[B, P]`.
    pub filters: Tensor,
    /// `[B, 3, 3]`
    pub rotations: Tensor,
    /// `[B, z]`
    pub z: Tensor,
    /// `[B]`: one over their number, 0 behind the end.
    pub weights: Tensor,
}

impl Batch {
    pub fn feeds(&self) -> [(&'static str, &Tensor); 5] {
        [
            ("targets", &self.targets),
            ("filters", &self.filters),
            ("rotations", &self.rotations),
            ("z", &self.z),
            ("weights", &self.weights),
        ]
    }
}

/// Latents of `count` particles.
pub fn given(path: &Path, count: usize, star: &Path) -> Result<Latents> {
    let latents = Latents::read(path)?;
    if latents.len() != count {
        let why = format!(
            "holds {} latents, {} has {count} particles: give the z.npy of a run on the same star file",
            latents.len(),
            star.display()
        );
        return Err(Error::malformed(path, "", why));
    }
    match latents.mu.iter().position(|v| !v.is_finite()) {
        Some(at) => {
            let row = at / latents.dim;
            Err(Error::malformed(path, format!("row {row}"), "a number is not finite: is the run sound?"))
        }
        None => Ok(latents),
    }
}

impl Images {
    pub fn open(config: &Config) -> Result<Images> {
        let mut particles = Particles::open(&config.particles())?;
        let side = particles.side();
        if !side.is_multiple_of(2) {
            return Err(Error::usage(format!(
                "images of {side} pixels: the box must be even; crop or pad them first"
            )));
        }
        let latents = given(
            &config.extra_input_data_attr.given_z,
            particles.len(),
            &config.dataset_attr.starfile_path,
        )?;
        particles.shifting = match config.model.shift_method {
            ShiftMethod::Fft => Shifting::Exact,
            ShiftMethod::Interp => Shifting::Bilinear,
        };
        let first_ctf = match config.model.ctf {
            Ctf::V1 => particles.ctf().map(|ctf| (first_grid(side), ctf.iter().map(first_params).collect())),
            Ctf::V2 => None,
        };
        let compared = match config.loss.loss_fn {
            LossFn::Fmsf => frequencies(side, config.radius()),
            LossFn::Rmsf => {
                let disc = disc(side, config.loss.mask_rad_for_image_loss);
                (0..side * side).filter(|&i| disc[i] > 0.0).collect()
            }
        };
        let mut images =
            Images { particles, latents, f_std: 1.0, loss: config.loss.loss_fn, compared, first_ctf };
        images.f_std = match config.dataset_attr.f_std {
            Some(given) => given,
            None => images.deviation()?,
        };
        let sign = if config.dataset_attr.contrast == Contrast::Dark { -1.0 } else { 1.0 };
        images.particles.scale = (sign / images.f_std) as f32;
        Ok(images)
    }

    pub fn len(&self) -> usize {
        self.particles.len()
    }

    pub fn is_empty(&self) -> bool {
        self.particles.is_empty()
    }

    /// Which of the D D frequencies or pixels are compared.
    pub fn compared(&self) -> &[usize] {
        &self.compared
    }

    /// Standard deviation of all coefficients of some images' transforms.
    fn deviation(&self) -> Result<f64> {
        let mut room = self.particles.room();
        let mut image = vec![0.0; self.particles.side().pow(2)];
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for i in (0..self.len()).step_by(self.len().div_ceil(SCALE_OF).max(1)) {
            self.particles.read(i, &mut image, &mut room)?;
            self.particles.transform(i, &mut image, &mut room)?;
            sum += image.iter().map(|&v| f64::from(v)).sum::<f64>();
            squares += image.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
            count += image.len() as f64;
        }
        let deviation = (squares / count - (sum / count).powi(2)).max(0.0).sqrt();
        if deviation > 0.0 && deviation.is_finite() {
            return Ok(deviation);
        }
        Err(Error::usage(
            "the images are empty, or hold numbers that are not finite: their transforms have no scale",
        ))
    }

    /// The CTF of a particle on the D D frequencies, plus at low frequency.
    fn filter(&self, i: usize, out: &mut [f32], room: &mut Room) -> Result<()> {
        match &self.first_ctf {
            Some((grid, params)) => {
                grid.eval(&params[i], out)?;
                out.iter_mut().for_each(|v| *v = -*v);
                Ok(())
            }
            None => self.particles.filter(i, out, room),
        }
    }

    /// Particles `indices`, filled up to `size`.
    pub fn batch(&self, indices: &[usize], size: usize) -> Result<Batch> {
        let pixels = self.particles.side().pow(2);
        let points = self.compared.len();
        let width = if self.loss == LossFn::Rmsf { pixels } else { points };
        let mut targets = vec![0.0; size * points];
        let mut filters = vec![0.0; size * width];
        targets.par_chunks_mut(points).zip(filters.par_chunks_mut(width)).zip(indices).try_for_each_init(
            || (vec![0.0; pixels], vec![0.0; pixels], self.particles.room()),
            |(image, ctf, room), ((target, filter), &i)| -> Result<()> {
                let particles = &self.particles;
                particles.read(i, image, room)?;
                particles.transform(i, image, room)?;
                self.filter(i, ctf, room)?;
                match self.loss {
                    LossFn::Fmsf => pick(ctf, &self.compared, filter),
                    LossFn::Rmsf => {
                        particles.image(image, room)?;
                        even(ctf, particles.side(), filter);
                    }
                }
                pick(image, &self.compared, target);
                Ok(())
            },
        )?;
        let dim = self.latents.dim;
        let mut z = vec![0.0; size * dim];
        for (to, &i) in z.chunks_mut(dim).zip(indices) {
            to.copy_from_slice(&self.latents.mu[i * dim..][..dim]);
        }
        let mut weights = vec![0.0; size];
        weights[..indices.len()].fill(1.0 / indices.len().max(1) as f32);
        Ok(Batch {
            targets: Tensor::f32(&[size, points], targets),
            filters: Tensor::f32(&[size, width], filters),
            rotations: self.particles.rotations(indices, size),
            z: Tensor::f32(&[size, dim], z),
            weights: Tensor::f32(&[size], weights),
        })
    }
}

fn pick(from: &[f32], at: &[usize], to: &mut [f32]) {
    to.iter_mut().zip(at).for_each(|(to, &at)| *to = from[at]);
}

/// What of a filter an image sees that has no imaginary part: the mean over k and -k.
fn even(filter: &[f32], side: usize, to: &mut [f32]) {
    let mirror = |i: usize| (side - i / side) % side * side + (side - i % side) % side;
    to.iter_mut().enumerate().for_each(|(i, to)| *to = 0.5 * (filter[i] + filter[mirror(i)]));
}

/// Frequencies of a centred transform within `radius` of Nyquist, without the edge, which stands for both signs. The
/// list read backwards is that of their negatives.
pub fn frequencies(side: usize, radius: f64) -> Vec<usize> {
    let centred = |i: usize| i as f64 - (side / 2) as f64;
    let inside = |&i: &usize| {
        let (x, y) = (i % side, i / side);
        x > 0 && y > 0 && centred(x).hypot(centred(y)) <= radius * (side / 2) as f64
    };
    (0..side * side).filter(inside).collect()
}

/// The frequencies on which the reference's first CTF stands: without an exact zero, axes exchanged.
pub fn first_grid(side: usize) -> CtfGrid {
    let frequency = move |i: usize| i as f64 / (side - 1) as f64 - 0.5;
    CtfGrid::new((0..side * side).map(move |i| [frequency(i / side), frequency(i % side)]))
}

/// Its defocus is the mean and, where the amount of astigmatism belongs, the angle in radians; its wavelength is that
/// of all digits.
pub fn first_params(ctf: &CtfParams) -> CtfParams {
    let volts = 1e3 * ctf.voltage;
    let stretch = 12.264_259 / (volts * (1.0 + 0.978_475_6e-6 * volts)).sqrt() / ctf.wavelength();
    let mean = 0.5 * (ctf.defocus_u + ctf.defocus_v);
    let angle = ctf.defocus_angle.to_radians();
    CtfParams {
        defocus_u: stretch * (mean + angle),
        defocus_v: stretch * (mean - angle),
        cs: stretch.powi(3) * ctf.cs,
        ..*ctf
    }
}
