//! Simulates a particle stack from atomic structures: exact projections of Gaussian atoms, CTF, shifts, noise,
//! and the truth beside them.
//!
//! Conventions. A point p (Å, relative to the particle's centre) projects to (R p)_{x,y}; the centre is pixel
//! box/2, counted from 0. The particle stands at the centre minus the origin (`rlnOriginX/YAngst`), so moving an
//! image by plus its origin centres it. Images are `sign × CTF × projection + noise`
//! ([`SimulateOptions::sign`]). The signal-to-noise ratio is the variance of the CTF-multiplied noiseless stack
//! over all pixels, divided by the variance of the noise. With noise, images are scaled so that it has standard
//! deviation 1. Maps hold electrons per voxel and are not scaled.

#[path = "simulate/density.rs"]
pub mod density;
#[path = "simulate/draw.rs"]
pub mod draw;
#[path = "simulate/ensemble.rs"]
pub mod ensemble;
#[path = "simulate/options.rs"]
pub mod options;
#[path = "simulate/output.rs"]
mod output;

pub use ensemble::Ensemble;
pub use options::{Contrast, Microscope, Poses, Shift, SimulateOptions, Spread};

use crate::cryo::ctf::CtfGrid;
use crate::cryo::fft::{Hartley2, Scratch2};
use crate::error::{Error, Result};
use crate::io::mrc::{Mode, StackWriter, write_volume};
use density::{Sampler, density_map, project};
use draw::{Shot, noise, shot};
use rayon::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is being done, for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// First pass: how strong the signal is.
    Measure,
    /// Second pass: images with noise.
    Images,
    /// True maps.
    Maps,
}

/// A true map that was written.
#[derive(Clone, Debug, Serialize)]
pub struct TrueMap {
    pub file: String,
    pub t: f64,
}

/// What was written, and its numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub images: usize,
    pub box_side: usize,
    /// Å per pixel.
    pub apix: f64,
    /// Width of an atom (standard deviation), Å.
    pub sigma: f64,
    /// Variance of the CTF-multiplied noiseless images over all pixels, (electrons per pixel)².
    pub signal_variance: f64,
    /// Standard deviation of the noise before scaling, electrons per pixel.
    pub noise_deviation: f64,
    /// Images are electrons per pixel times this.
    pub scale: f64,
    /// +1 or -1: the sign between CTF × projection and the images.
    pub sign: f64,
    /// The flag that training needs for this sign, if any.
    pub sign_flag: Option<String>,
    pub conformations: usize,
    pub maps: Vec<TrueMap>,
    /// What the user should know.
    pub notes: Vec<String>,
    #[serde(skip)]
    pub folder: PathBuf,
    #[serde(skip)]
    pub seconds: f64,
}

impl Summary {
    pub fn stack(&self) -> PathBuf {
        self.folder.join("particles.mrcs")
    }

    pub fn star(&self) -> PathBuf {
        self.folder.join("particles.star")
    }

    /// One row per image: t, state, true pose, origin, defocus.
    pub fn truth(&self) -> PathBuf {
        self.folder.join("truth.csv")
    }

    pub fn map(&self, k: usize) -> Option<PathBuf> {
        self.maps.get(k).map(|m| self.folder.join(&m.file))
    }
}

/// Makes noiseless images: projection, then CTF.
pub struct Imager {
    side: usize,
    /// Side of the box in which the CTF is applied.
    work: usize,
    apix: f64,
    sign: f64,
    sampler: Sampler,
    transform: Hartley2<f64>,
    grid: CtfGrid,
}

/// Working memory of an [`Imager`].
pub struct ImagerScratch {
    image: Vec<f64>,
    ctf: Vec<f32>,
    transform: Scratch2<f64>,
}

impl Imager {
    /// For images of `side` pixels of `apix` Å, atoms of width `sigma` Å, the CTF applied in a box `pad` times
    /// larger, and images multiplied by `sign`.
    pub fn new(side: usize, apix: f64, sigma: f64, pad: usize, sign: f64) -> Self {
        let work = side * pad;
        let frequency = move |i: usize| (i as f64 - (work / 2) as f64) / work as f64;
        let grid = CtfGrid::new((0..work).flat_map(|y| (0..work).map(move |x| [frequency(x), frequency(y)])));
        Imager {
            side,
            work,
            apix,
            sign,
            sampler: Sampler::new(work, sigma / apix),
            transform: Hartley2::new(work),
            grid,
        }
    }

    pub fn scratch(&self) -> ImagerScratch {
        let pixels = self.work * self.work;
        ImagerScratch {
            image: vec![0.0; pixels],
            ctf: vec![0.0; pixels],
            transform: self.transform.scratch(),
        }
    }

    /// The noiseless image [side, side] of atoms (place in Å, electrons).
    pub fn clean(
        &self,
        atoms: impl Iterator<Item = ([f64; 3], f64)>,
        shot: &Shot,
        scratch: &mut ImagerScratch,
        out: &mut [f64],
    ) -> Result<()> {
        scratch.image.fill(0.0);
        let offset = shot.origin.map(|o| -o);
        project(&self.sampler, atoms, &shot.rotation, self.apix, offset, &mut scratch.image);
        if let Some(ctf) = &shot.ctf {
            // The CTF is the same at k and -k, so it multiplies the Hartley transform as it does the Fourier one.
            self.grid.eval(ctf, &mut scratch.ctf)?;
            self.transform.forward(&mut scratch.image, &mut scratch.transform)?;
            for (value, ctf) in scratch.image.iter_mut().zip(&scratch.ctf) {
                *value *= f64::from(*ctf);
            }
            self.transform.inverse(&mut scratch.image, &mut scratch.transform)?;
        }
        // Centre on centre: pixel work/2 becomes pixel side/2.
        let edge = self.work / 2 - self.side / 2;
        for (row, out) in out.chunks_exact_mut(self.side).enumerate() {
            let from = &scratch.image[(edge + row) * self.work + edge..][..self.side];
            out.iter_mut().zip(from).for_each(|(out, value)| *out = self.sign * value);
        }
        Ok(())
    }
}

/// Pixel size (Å) at which the particle fills 60 % of the box and the CTF of the largest defocus is sampled
/// finely enough, rounded up to 0.1 Å.
fn choose_apix(options: &SimulateOptions, radius: f64) -> f64 {
    let side = options.box_side as f64;
    let fits = 2.0 * radius / (0.6 * side);
    // The CTF oscillates fastest at Nyquist: one turn in 1/(λ Δz s) of frequency; two samples of 1/(box apix).
    let fine = reach_of_ctf(options, 1.0).map_or(0.0, |reach| (2.0 * reach / side).sqrt());
    (10.0 * fits.max(fine).max(0.5)).ceil() / 10.0
}

/// How far (Å) the CTF spreads the finest detail at `apix`: λ Δz s at Nyquist.
fn reach_of_ctf(options: &SimulateOptions, apix: f64) -> Option<f64> {
    let m = options.microscope.as_ref()?;
    let volts = m.voltage_kv * 1e3;
    let wavelength = 12.2639 / (volts + 0.97845e-6 * volts * volts).sqrt();
    Some(wavelength * (m.defocus[1] + 0.5 * m.astigmatism) * 0.5 / apix)
}

/// Simulates a data set of `ensemble` into `folder` (made if missing): `particles.mrcs`, `particles.star`,
/// `truth.csv`, `vol_000.mrc` and so on, `conformations.pdb`, `simulate.json`. The files appear when all are
/// complete. `progress` (stage, done, total) is called from time to time; an error from it stops the work.
pub fn simulate(
    options: &SimulateOptions,
    mut ensemble: Ensemble,
    folder: &Path,
    progress: &mut dyn FnMut(Stage, usize, usize) -> Result<()>,
) -> Result<Summary> {
    let begun = std::time::Instant::now();
    options.check()?;
    if !options.keep_origin {
        ensemble.centre();
    }
    let radius = ensemble.radius();
    let apix = options.apix.unwrap_or_else(|| choose_apix(options, radius));
    let sigma = options.sigma.unwrap_or(apix);
    let mut notes = ensemble.notes.clone();
    check_fit(options, radius, apix, sigma, &mut notes)?;
    let staging = output::Staging::begin(folder, options.overwrite)?;

    let imager = Imager::new(options.box_side, apix, sigma, options.pad, options.sign());
    let job = Job { options, ensemble: &ensemble, imager: &imager, apix };
    let signal_variance = job.measure(progress)?;
    if !(signal_variance > 0.0 && signal_variance.is_finite()) {
        return Err(Error::usage("the images are empty: no atom lies inside the box; check the coordinates"));
    }
    let noise_deviation = options.snr.map_or(0.0, |snr| (signal_variance / snr).sqrt());
    let scale = if noise_deviation > 0.0 { 1.0 / noise_deviation } else { 1.0 };
    let shots = job.write_images(&staging, scale, noise_deviation > 0.0, progress)?;

    let stops = map_stops(options, &ensemble);
    let maps = write_maps(&job, sigma, &stops, &staging, progress)?;
    output::conformations(&staging, &ensemble, &stops, 0.5 * options.box_side as f64 * apix)?;
    output::truth(&staging, &shots, apix)?;
    output::star(&staging, &shots, options, apix)?;
    let summary = Summary {
        images: options.images,
        box_side: options.box_side,
        apix,
        sigma,
        signal_variance,
        noise_deviation,
        scale,
        sign: options.sign(),
        sign_flag: options.sign_flag().map(String::from),
        conformations: ensemble.len(),
        maps,
        notes,
        folder: folder.to_path_buf(),
        seconds: 0.0,
    };
    output::record(&staging, options, &summary)?;
    staging.publish()?;
    Ok(Summary { seconds: begun.elapsed().as_secs_f64(), ..summary })
}

/// Refuses a particle that the box cannot hold, and notes what would make images less than exact.
fn check_fit(
    options: &SimulateOptions,
    radius: f64,
    apix: f64,
    sigma: f64,
    notes: &mut Vec<String>,
) -> Result<()> {
    let side = options.box_side as f64;
    if sigma / apix > side / 4.0 {
        return Err(Error::usage(format!(
            "atoms of width {sigma} Å are wider than the box of {:.0} Å can hold; give a smaller sigma",
            side * apix
        )));
    }
    let needed = 2.0 * (radius + 3.0 * sigma);
    if needed > side * apix {
        return Err(Error::usage(format!(
            "the particle is {needed:.0} Å across and the box only {:.0} Å ({side} pixels of {apix} Å); give a larger \
             --box (at least {}) or --apix (at least {:.1})",
            side * apix,
            2 * (0.5 * needed / apix).ceil() as usize,
            needed / side
        )));
    }
    if needed + 2.0 * options.shift.pixels * apix > side * apix {
        notes.push(
            "shifts move parts of some particles out of their images; give a larger box or smaller shifts"
                .into(),
        );
    }
    if sigma < 0.6 * apix {
        notes.push(format!(
            "atoms of width {sigma} Å are finer than pixels of {apix} Å can show: images and maps alias; \
             a sigma of one pixel does not"
        ));
    }
    let field = options.pad as f64 * side * apix;
    if let Some(reach) = reach_of_ctf(options, apix).filter(|reach| *reach > 0.5 * field * 1.001) {
        notes.push(format!(
            "the CTF spreads fine detail over {reach:.0} Å, more than half of the {field:.0} Å in which it is applied: \
             it aliases; give less defocus, a larger box or pixel, or --pad 2"
        ));
    }
    Ok(())
}

/// Where along the conformations true maps are made.
fn map_stops(options: &SimulateOptions, ensemble: &Ensemble) -> Vec<f64> {
    let natural = if ensemble.continuous { 10 } else { ensemble.len() };
    let n = options.volumes.unwrap_or(natural);
    let n = if ensemble.continuous { n } else { n.min(ensemble.len()) };
    (0..n).map(|k| if n < 2 { 0.0 } else { k as f64 / (n - 1) as f64 }).collect()
}

fn write_maps(
    job: &Job,
    sigma: f64,
    stops: &[f64],
    staging: &output::Staging,
    progress: &mut dyn FnMut(Stage, usize, usize) -> Result<()>,
) -> Result<Vec<TrueMap>> {
    let side = job.options.box_side;
    let sampler = Sampler::new(side, sigma / job.apix);
    let mut maps = Vec::with_capacity(stops.len());
    for (k, &t) in stops.iter().enumerate() {
        let atoms: Vec<_> = job.ensemble.atoms(t).collect();
        let map = density_map(&sampler, &atoms, job.apix);
        let file = format!("vol_{k:03}.mrc");
        write_volume(&staging.path(&file), &map, [side; 3], job.apix, [0.0; 3])?;
        maps.push(TrueMap { file, t });
        progress(Stage::Maps, k + 1, stops.len())?;
    }
    Ok(maps)
}

/// One data set being made.
struct Job<'a> {
    options: &'a SimulateOptions,
    ensemble: &'a Ensemble,
    imager: &'a Imager,
    apix: f64,
}

impl Job<'_> {
    /// Images handled together: enough for all threads, few enough to stay small in memory (16 MB of f64).
    fn chunk(&self) -> usize {
        ((1 << 21) / (self.options.box_side * self.options.box_side)).clamp(16, 512)
    }

    /// Runs `each` on the noiseless images of a chunk, in parallel; results in the order of the images.
    fn run<T: Send>(
        &self,
        images: std::ops::Range<usize>,
        each: impl Fn(usize, Shot, &[f64]) -> T + Sync,
    ) -> Result<Vec<T>> {
        let pixels = self.options.box_side * self.options.box_side;
        images
            .into_par_iter()
            .map_init(
                || (self.imager.scratch(), vec![0.0; pixels]),
                |(scratch, image), i| {
                    let shot = shot(self.options, self.ensemble, self.apix, i);
                    self.imager.clean(self.ensemble.atoms(shot.t), &shot, scratch, image)?;
                    Ok(each(i, shot, image))
                },
            )
            .collect()
    }

    /// Variance of the noiseless stack over all pixels. Sums are added in the order of the images.
    fn measure(&self, progress: &mut dyn FnMut(Stage, usize, usize) -> Result<()>) -> Result<f64> {
        let n = self.options.images;
        let (mut sum, mut squares) = (0.0, 0.0);
        progress(Stage::Measure, 0, n)?;
        for first in (0..n).step_by(self.chunk()) {
            let last = (first + self.chunk()).min(n);
            let sums = self.run(first..last, |_, _, image| {
                image.iter().fold((0.0, 0.0), |(s, q), v| (s + v, q + v * v))
            })?;
            for (s, q) in sums {
                sum += s;
                squares += q;
            }
            progress(Stage::Measure, last, n)?;
        }
        let count = (n * self.options.box_side * self.options.box_side) as f64;
        Ok(squares / count - (sum / count).powi(2))
    }

    fn write_images(
        &self,
        staging: &output::Staging,
        scale: f64,
        noisy: bool,
        progress: &mut dyn FnMut(Stage, usize, usize) -> Result<()>,
    ) -> Result<Vec<Shot>> {
        let (n, side) = (self.options.images, self.options.box_side);
        let mode = if self.options.half_precision { Mode::Float16 } else { Mode::Float32 };
        let create = |name: &str| StackWriter::create(&staging.path(name), side, side, mode, self.apix);
        let mut stack = create("particles.mrcs")?;
        let mut clean = if self.options.keep_clean { Some(create("particles_clean.mrcs")?) } else { None };
        let mut shots = Vec::with_capacity(n);
        progress(Stage::Images, 0, n)?;
        for first in (0..n).step_by(self.chunk()) {
            let last = (first + self.chunk()).min(n);
            let keep = clean.is_some();
            let images = self.run(first..last, |i, shot, image| {
                let mut random = noise(self.options, i);
                let mut noise = || if noisy { random.normal() } else { 0.0 };
                let pure: Vec<f32> =
                    if keep { image.iter().map(|v| (v * scale) as f32).collect() } else { Vec::new() };
                let written: Vec<f32> = image.iter().map(|v| (v * scale + noise()) as f32).collect();
                (shot, written, pure)
            })?;
            for (shot, image, pure) in images {
                stack.push(&image)?;
                if let Some(clean) = &mut clean {
                    clean.push(&pure)?;
                }
                shots.push(shot);
            }
            progress(Stage::Images, last, n)?;
        }
        stack.finish()?;
        clean.map_or(Ok(()), StackWriter::finish)?;
        Ok(shots)
    }
}
