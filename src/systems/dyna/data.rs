//! Particle images with their poses and CTF: what the encoder sees, what predictions are compared with, and the
//! filter between a structure and its image.

use std::path::Path;

use rayon::prelude::*;

use super::config::Config;
use super::image::{disc, normalise};
use crate::cryo::Rotation;
use crate::cryo::ctf::{CtfGrid, CtfParams};
use crate::cryo::fft::{Hartley2, Scratch2};
use crate::cryo::image::{Downsample, DownsampleScratch, downsampled_apix};
use crate::cryo::pose::from_relion_deg;
use crate::io::particles::ParticleStack;
use crate::io::star::ParticleTable;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// A box above this is brought to [`USUAL`] pixels where nothing is said.
const LARGEST: usize = 256;
const USUAL: usize = 128;
/// Images that tell the scale of a stack.
const SCALE_OF: usize = 100;

/// How images are moved by their origins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shifting {
    /// By phases, exactly.
    Exact,
    /// Between pixels, as the reference does: by (D - 1)/D of the shift.
    Bilinear,
}

pub struct Particles {
    stack: ParticleStack,
    downsample: Option<Downsample>,
    side: usize,
    apix: f64,
    rotations: Vec<Rotation>,
    /// What moves each image's particle to the middle, x and y in pixels.
    origins: Vec<[f64; 2]>,
    ctf: Option<Vec<CtfParams>>,
    grid: CtfGrid,
    hartley: Hartley2<f32>,
    /// 1 where a frequency is compared.
    passes: Vec<f32>,
    seen: Vec<f32>,
    compared: Vec<f32>,
    pub(super) shifting: Shifting,
    /// What images are multiplied by: their contrast's sign, and one over the stack's deviation.
    pub(super) scale: f32,
    pub notes: Vec<String>,
}

/// What the network is fed for some images.
#[derive(Debug)]
pub struct Batch {
    /// `[B, D D]`
    pub images: Tensor,
    /// `[B, D, D]`
    pub targets: Tensor,
    /// `[B, D, D]`
    pub filters: Tensor,
    /// `[B, 3, 3]`
    pub rotations: Tensor,
    /// `[B]`: 0 behind the end.
    pub present: Tensor,
}

impl Batch {
    pub fn feeds(&self) -> [(&'static str, &Tensor); 5] {
        [
            ("images", &self.images),
            ("targets", &self.targets),
            ("filters", &self.filters),
            ("rotations", &self.rotations),
            ("present", &self.present),
        ]
    }
}

/// Working memory of a thread.
pub(super) struct Room {
    raw: Vec<f32>,
    downsample: Option<DownsampleScratch>,
    transform: Vec<f32>,
    hartley: Scratch2<f32>,
}

impl Particles {
    pub fn open(config: &Config) -> Result<Particles> {
        let dataset = &config.dataset_attr;
        let path: &Path = &dataset.starfile_path;
        let stack = ParticleStack::open(path, dataset.dataset_dir.as_deref(), None)?;
        let table = ParticleTable::open(path)?;
        let mut notes = vec![];
        let box_side = stack.box_size();
        let side = match config.data_process.down_side_shape {
            Some(side) => side,
            None if box_side > LARGEST => {
                notes.push(format!(
                    "images of {box_side} pixels are brought to {USUAL}; --down-side-shape chooses another size"
                ));
                USUAL
            }
            None => box_side,
        };
        let downsample = if side == box_side { None } else { Some(Downsample::new(box_side, side)?) };
        let own = pixel_size(path, &stack, dataset.apix, &mut notes)?;
        let apix = if side == box_side { own } else { downsampled_apix(own, box_side, side) };
        let angles =
            [table.floats("rlnAngleRot")?, table.floats("rlnAngleTilt")?, table.floats("rlnAnglePsi")?];
        let rotations: Vec<Rotation> =
            (0..table.len()).map(|i| from_relion_deg([0, 1, 2].map(|k| angles[k][i]))).collect();
        let origins = match table.origins_pixels(Some(own))? {
            Some(origins) => origins.iter().map(|o| o.map(|v| v * side as f64 / box_side as f64)).collect(),
            None => {
                notes.push("the star file has no origins: particles are taken to stand in the middle".into());
                vec![[0.0; 2]; table.len()]
            }
        };
        let ctf = if table.has("rlnDefocusU") {
            Some(microscopes(&table, apix)?)
        } else {
            notes.push("the star file has no defocus: images are taken as plain projections".into());
            None
        };
        let frequency = move |i: usize| (i as f64 - (side / 2) as f64) / side as f64;
        let grid = CtfGrid::new((0..side * side).map(|i| [frequency(i % side), frequency(i / side)]));
        let most = config.data_process.low_pass_bandwidth.map_or(f64::INFINITY, |bandwidth| 1.0 / bandwidth);
        let passes = (0..side * side)
            .map(|i| {
                let here = frequency(i % side).hypot(frequency(i / side)) / apix;
                f32::from(u8::from(here < most))
            })
            .collect();
        let mut particles = Particles {
            stack,
            downsample,
            side,
            apix,
            rotations,
            origins,
            ctf,
            grid,
            hartley: Hartley2::new(side),
            passes,
            seen: disc(side, config.data_process.mask_rad),
            compared: disc(side, config.loss.mask_rad_for_image_loss),
            shifting: if config.parity { Shifting::Bilinear } else { Shifting::Exact },
            scale: 1.0,
            notes,
        };
        if !config.parity {
            particles.scale = 1.0 / particles.deviation()?;
        }
        Ok(particles)
    }

    pub fn len(&self) -> usize {
        self.stack.len()
    }

    pub fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    /// Pixels along an axis.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The microscope of each particle, where the star file has them.
    pub(super) fn ctf(&self) -> Option<&[CtfParams]> {
        self.ctf.as_deref()
    }

    /// Å.
    pub fn apix(&self) -> f64 {
        self.apix
    }

    /// Where images are compared `[D, D]`.
    pub fn compared(&self) -> &[f32] {
        &self.compared
    }

    /// Dark particles on light become light on dark.
    pub fn invert(&mut self) {
        self.scale = -self.scale;
    }

    pub(super) fn room(&self) -> Room {
        let pixels = self.side * self.side;
        Room {
            raw: vec![0.0; self.stack.box_size().pow(2)],
            downsample: self.downsample.as_ref().map(Downsample::scratch),
            transform: vec![0.0; pixels],
            hartley: self.hartley.scratch(),
        }
    }

    /// What the encoder sees of a particle.
    pub(super) fn read(&self, i: usize, out: &mut [f32], room: &mut Room) -> Result<()> {
        match (&self.downsample, &mut room.downsample) {
            (Some(downsample), Some(scratch)) => {
                self.stack.read(i, &mut room.raw)?;
                downsample.run(&room.raw, out, scratch)?;
            }
            _ => self.stack.read(i, out)?,
        }
        out.iter_mut().zip(&self.seen).for_each(|(v, m)| *v *= self.scale * m);
        Ok(())
    }

    /// Root mean square of the pixels that the encoder sees.
    fn deviation(&self) -> Result<f32> {
        let step = self.len().div_ceil(SCALE_OF).max(1);
        let mut room = self.room();
        let mut image = vec![0.0; self.side * self.side];
        let (mut sum, mut count) = (0.0f64, 0.0f64);
        for i in (0..self.len()).step_by(step) {
            self.read(i, &mut image, &mut room)?;
            sum += image.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
            count += self.seen.iter().map(|&m| f64::from(m)).sum::<f64>();
        }
        let deviation = (sum / count.max(1.0)).sqrt();
        if deviation > 0.0 && deviation.is_finite() {
            return Ok(deviation as f32);
        }
        Err(Error::usage("the images are empty: all pixels looked at are 0"))
    }

    /// The image of a particle as it is compared with predictions: in the middle, without fine detail, normalised.
    fn target(&self, i: usize, image: &[f32], out: &mut [f32], room: &mut Room) -> Result<()> {
        out.copy_from_slice(image);
        if self.shifting == Shifting::Bilinear && !self.passes.contains(&0.0) {
            shift_bilinear(out, self.side, self.origins[i]);
        } else {
            self.transform(i, out, room)?;
            self.hartley.inverse(out, &mut room.hartley)?;
        }
        normalise(out, &self.compared);
        Ok(())
    }

    /// An image of particle `i` to its Hartley transform: in the middle, without fine detail.
    pub(super) fn transform(&self, i: usize, image: &mut [f32], room: &mut Room) -> Result<()> {
        match self.shifting {
            Shifting::Exact => {
                self.hartley.forward(image, &mut room.hartley)?;
                room.transform.copy_from_slice(image);
                shift_transform(&room.transform, self.side, self.origins[i], image);
            }
            Shifting::Bilinear => {
                shift_bilinear(image, self.side, self.origins[i]);
                self.hartley.forward(image, &mut room.hartley)?;
            }
        }
        image.iter_mut().zip(&self.passes).for_each(|(v, p)| *v *= p);
        Ok(())
    }

    /// A transform to its image.
    pub(super) fn image(&self, transform: &mut [f32], room: &mut Room) -> Result<()> {
        self.hartley.inverse(transform, &mut room.hartley)
    }

    /// CTF and low-pass: white particles are positive.
    pub(super) fn filter(&self, i: usize, out: &mut [f32], room: &mut Room) -> Result<()> {
        let Some(ctf) = &self.ctf else {
            out.copy_from_slice(&self.passes);
            return Ok(());
        };
        let values = &mut room.transform;
        self.grid.eval(&ctf[i], values)?;
        let n = self.side;
        // Along the edge a frequency stands for its negative too.
        let mirror = |at: usize| (n - at / n) % n * n + (n - at % n) % n;
        for (at, (out, pass)) in out.iter_mut().zip(&self.passes).enumerate() {
            *out = -0.5 * (values[at] + values[mirror(at)]) * pass;
        }
        Ok(())
    }

    /// What the encoder sees of particles `indices`, filled up to `size`: `[size, D D]` and which are there `[size]`.
    pub fn seen(&self, indices: &[usize], size: usize) -> Result<(Tensor, Tensor)> {
        let pixels = self.side * self.side;
        let mut images = vec![0.0; size * pixels];
        images
            .par_chunks_mut(pixels)
            .zip(indices)
            .try_for_each_init(|| self.room(), |room, (image, &i)| self.read(i, image, room))?;
        Ok((Tensor::f32(&[size, pixels], images), present(indices.len(), size)))
    }

    /// Particles `indices`, filled up to `size`.
    pub fn batch(&self, indices: &[usize], size: usize) -> Result<Batch> {
        let pixels = self.side * self.side;
        let [mut images, mut targets, mut filters] = [(); 3].map(|()| vec![0.0; size * pixels]);
        images
            .par_chunks_mut(pixels)
            .zip(targets.par_chunks_mut(pixels))
            .zip(filters.par_chunks_mut(pixels))
            .zip(indices)
            .try_for_each_init(
                || self.room(),
                |room, (((image, target), filter), &i)| -> Result<()> {
                    self.read(i, image, room)?;
                    self.target(i, image, target, room)?;
                    self.filter(i, filter, room)
                },
            )?;
        let square = [size, self.side, self.side];
        Ok(Batch {
            images: Tensor::f32(&[size, pixels], images),
            targets: Tensor::f32(&square, targets),
            filters: Tensor::f32(&square, filters),
            rotations: self.rotations(indices, size),
            present: present(indices.len(), size),
        })
    }

    /// `[size, 3, 3]`
    pub(super) fn rotations(&self, indices: &[usize], size: usize) -> Tensor {
        let mut rotations = vec![0.0; size * 9];
        for (to, &i) in rotations.chunks_mut(9).zip(indices) {
            to.iter_mut().zip(self.rotations[i].as_flattened()).for_each(|(to, &r)| *to = r as f32);
        }
        Tensor::f32(&[size, 3, 3], rotations)
    }
}

fn present(count: usize, size: usize) -> Tensor {
    let mut present = vec![0.0; size];
    present[..count].fill(1.0);
    Tensor::f32(&[size], present)
}

fn pixel_size(
    path: &Path,
    stack: &ParticleStack,
    given: Option<f64>,
    notes: &mut Vec<String>,
) -> Result<f64> {
    match (given, stack.apix()) {
        (None, Some(own)) => Ok(own),
        (Some(given), None) => Ok(given),
        (None, None) => Err(Error::malformed(path, "", "does not say one pixel size; give it with --apix")),
        (Some(given), Some(own)) => {
            let apart = (given / own - 1.0).abs();
            if apart > 0.05 {
                let why = format!(
                    "says {own} Å a pixel, --apix {given}: leave --apix out, or correct the star file"
                );
                return Err(Error::malformed(path, "", why));
            }
            if apart > 1e-4 {
                notes.push(format!("--apix {given} is used; the particles say {own} Å a pixel"));
            }
            Ok(given)
        }
    }
}

fn microscopes(table: &ParticleTable, apix: f64) -> Result<Vec<CtfParams>> {
    let (u, v) = (table.floats("rlnDefocusU")?, table.floats("rlnDefocusV")?);
    let angle = table.floats("rlnDefocusAngle")?;
    let (voltage, cs) = (table.floats("rlnVoltage")?, table.floats("rlnSphericalAberration")?);
    let contrast = table.floats("rlnAmplitudeContrast")?;
    let phase = table.optional_floats("rlnPhaseShift")?;
    let b_factor = table.optional_floats("rlnCtfBfactor")?;
    let or_zero = |column: &Option<Vec<f64>>, i: usize| column.as_ref().map_or(0.0, |c| c[i]);
    Ok((0..table.len())
        .map(|i| CtfParams {
            apix,
            defocus_u: u[i],
            defocus_v: v[i],
            defocus_angle: angle[i],
            voltage: voltage[i],
            cs: cs[i],
            amplitude_contrast: contrast[i],
            phase_shift: or_zero(&phase, i),
            scale: 1.0,
            b_factor: or_zero(&b_factor, i),
        })
        .collect())
}

/// The Hartley transform of an image moved by (x, y) pixels.
pub fn shift_transform(transform: &[f32], n: usize, shift: [f64; 2], out: &mut [f32]) {
    let turn = |at: usize| {
        let centred = |i: usize| i as f64 - (n / 2) as f64;
        std::f64::consts::TAU * (centred(at % n) * shift[0] + centred(at / n) * shift[1]) / n as f64
    };
    for (at, out) in out.iter_mut().enumerate() {
        let mirror = (n - at / n) % n * n + (n - at % n) % n;
        let (mut sine, mut cosine) = turn(at).sin_cos();
        if at % n == 0 || at / n == 0 {
            // Along the edge a frequency stands for its negative too.
            let (s, c) = turn(mirror).sin_cos();
            (sine, cosine) = (0.5 * (sine - s), 0.5 * (cosine + c));
        }
        *out = transform[at] * cosine as f32 + transform[mirror] * sine as f32;
    }
}

/// An image moved by (x, y) pixels between pixels, as the reference's grid sampling does it.
pub fn shift_bilinear(image: &mut [f32], n: usize, shift: [f64; 2]) {
    let from = image.to_vec();
    let last = (n - 1) as f64;
    let place = |k: usize, shift: f64| {
        let at = k as f64 - shift * last / n as f64;
        // A period is one pixel short of the image; its end belongs to the next.
        if at <= 0.0 {
            at + last
        } else if at > last {
            at - last
        } else {
            at
        }
    };
    let split = |at: f64| {
        let low = at.floor().clamp(0.0, last);
        (low as usize, (low as usize + 1).min(n - 1), (at - low) as f32)
    };
    for (y, row) in image.chunks_mut(n).enumerate() {
        let (y0, y1, fy) = split(place(y, shift[1]));
        for (x, out) in row.iter_mut().enumerate() {
            let (x0, x1, fx) = split(place(x, shift[0]));
            let line = |y: usize| (1.0 - fx) * from[y * n + x0] + fx * from[y * n + x1];
            *out = (1.0 - fy) * line(y0) + fy * line(y1);
        }
    }
}
