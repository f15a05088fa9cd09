//! The random conditions of each image. Image i depends on the seed and on i alone, and each condition has its
//! own place in the random sequence, so changing one option leaves the others' numbers as they were.

use super::ensemble::Ensemble;
use super::options::{Poses, SimulateOptions, Spread};
use crate::cryo::ctf::CtfParams;
use crate::cryo::{Rotation, pose};
use crate::stats::random::Philox;
use nalgebra::{Rotation3, Vector3};

/// What one image shows and how it was taken.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// Place along the conformations, 0..=1.
    pub t: f64,
    /// Nearest conformation.
    pub state: usize,
    /// True (rot, tilt, psi), degrees.
    pub angles: [f64; 3],
    pub rotation: Rotation,
    /// (rot, tilt, psi) as written, degrees: the true ones unless poses are given an error.
    pub written_angles: [f64; 3],
    /// What must be added to centre the image (RELION's origin), pixels; the particle stands at the centre
    /// pixel minus this.
    pub origin: [f64; 2],
    pub ctf: Option<CtfParams>,
}

/// The two random sequences of image `i`: its conditions and its noise.
fn stream(options: &SimulateOptions, image: usize, noise: bool) -> Philox {
    Philox::new(options.seed, 2 * image as u64 + u64::from(noise))
}

pub fn noise(options: &SimulateOptions, image: usize) -> Philox {
    stream(options, image, true)
}

pub fn shot(options: &SimulateOptions, ensemble: &Ensemble, apix: f64, image: usize) -> Shot {
    let mut random = stream(options, image, false);
    let mut at = |block: u64| {
        random.seek(block);
        random.clone()
    };
    let t = place(options.spread, ensemble, at(0));
    let (k, f) = ensemble.locate(t);
    let angles = view(&options.poses, image, at(16));
    let rotation = pose::from_relion_deg(angles);
    let written_angles = if options.pose_error_deg > 0.0 {
        let mut random = at(32);
        // A Gaussian rotation vector has an rms angle of √3 times the deviation of each component.
        let each = options.pose_error_deg.to_radians() / 3f64.sqrt();
        let vector = Vector3::from_fn(|_, _| each * random.normal());
        let error = Rotation3::new(vector).into_inner();
        let true_rotation = nalgebra::Matrix3::from_fn(|i, j| rotation[i][j]);
        let wrong = error * true_rotation;
        pose::to_relion_deg(&[0, 1, 2].map(|i| [0, 1, 2].map(|j| wrong[(i, j)])))
    } else {
        angles
    };
    let origin = {
        let mut random = at(48);
        let mut one = || {
            let unit =
                if options.shift.gaussian { random.normal() } else { 2.0 * random.uniform_f64() - 1.0 };
            options.shift.pixels * unit
        };
        // A Gaussian has no end, but the particle must stay in the image.
        let most = 0.5 * options.box_side as f64;
        [one().clamp(-most, most), one().clamp(-most, most)]
    };
    let ctf = options.microscope.as_ref().map(|m| {
        let mut random = at(64);
        let mean = m.defocus[0] + (m.defocus[1] - m.defocus[0]) * random.uniform_f64();
        let astigmatism = m.astigmatism * random.uniform_f64();
        CtfParams {
            apix,
            defocus_u: mean + 0.5 * astigmatism,
            defocus_v: mean - 0.5 * astigmatism,
            defocus_angle: 180.0 * random.uniform_f64(),
            voltage: m.voltage_kv,
            cs: m.cs_mm,
            amplitude_contrast: m.amplitude_contrast,
            phase_shift: m.phase_shift_deg,
            scale: 1.0,
            b_factor: m.b_factor,
        }
    });
    Shot { t, state: if f > 0.5 { k + 1 } else { k }, angles, rotation, written_angles, origin, ctf }
}

fn place(spread: Spread, ensemble: &Ensemble, mut random: Philox) -> f64 {
    let n = ensemble.len();
    if n < 2 {
        return 0.0;
    }
    let at_state = |k: usize| k as f64 / (n - 1) as f64;
    match spread {
        Spread::Uniform if ensemble.continuous => random.uniform_f64(),
        Spread::Uniform | Spread::Discrete => at_state(random.below(n)),
        Spread::Bimodal => {
            let centre = if random.uniform_f64() < 0.5 { 0.2 } else { 0.8 };
            let t = (centre + 0.08 * random.normal()).clamp(0.0, 1.0);
            if ensemble.continuous { t } else { at_state(ensemble.locate(t).0) }
        }
    }
}

fn view(poses: &Poses, image: usize, mut random: Philox) -> [f64; 3] {
    let mut turn = || 360.0 * random.uniform_f64() - 180.0;
    let (rot, psi) = (turn(), turn());
    // The sphere's area is uniform in the cosine of the tilt.
    let uniform = (1.0 - 2.0 * random.uniform_f64()).clamp(-1.0, 1.0);
    match poses {
        Poses::Uniform => [rot, uniform.acos().to_degrees(), psi],
        Poses::Side { spread } => [rot, (90.0 + spread * random.normal()).clamp(0.0, 180.0), psi],
        Poses::Cone { spread } => {
            let radius = random.normal().hypot(random.normal());
            [rot, (spread * radius).clamp(0.0, 180.0), psi]
        }
        Poses::Given(angles) => angles.get(image % angles.len().max(1)).copied().unwrap_or([0.0; 3]),
    }
}
