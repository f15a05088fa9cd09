//! What a simulated data set is like: options, their limits, and what the contrast asks of cryoDRGN.

use crate::error::{Error, Result};
use serde::Serialize;

/// Sign of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contrast {
    /// The particle is brighter than its surroundings, as RELION extracts particles.
    Light,
    /// The particle is darker than its surroundings, as in a raw micrograph.
    Dark,
}

/// Where the particles look.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Poses {
    /// Uniform on SO(3).
    Uniform,
    /// The z axis of the structures lies in the image plane, give or take `spread` degrees (standard deviation).
    Side { spread: f64 },
    /// One preferred view along z: the tilt is that of a two-dimensional Gaussian of `spread` degrees.
    Cone { spread: f64 },
    /// (rot, tilt, psi) in degrees, RELION's convention, used in turn.
    Given(#[serde(skip)] Vec<[f64; 3]>),
}

/// How far particles lie from the centre of their images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shift {
    /// Pixels: half the width of a uniform distribution, or the standard deviation of a Gaussian; per axis.
    pub pixels: f64,
    pub gaussian: bool,
}

/// How the images are spread over the conformations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// Anywhere along a path, or any of the states, with equal chance.
    Uniform,
    /// At the given points of the path only.
    Discrete,
    /// Half around t = 0.2 and half around t = 0.8, standard deviation 0.08.
    Bimodal,
}

/// The microscope.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Microscope {
    pub voltage_kv: f64,
    pub cs_mm: f64,
    pub amplitude_contrast: f64,
    pub phase_shift_deg: f64,
    /// Mean defocus, uniform between the two, Å; positive is underfocus.
    pub defocus: [f64; 2],
    /// Largest difference of DefocusU and DefocusV, Å (uniform from 0); its azimuth is uniform.
    pub astigmatism: f64,
    /// exp(-B/4 s²) on all images, Å².
    pub b_factor: f64,
}

impl Default for Microscope {
    fn default() -> Self {
        Microscope {
            voltage_kv: 300.0,
            cs_mm: 2.7,
            amplitude_contrast: 0.1,
            phase_shift_deg: 0.0,
            defocus: [10_000.0, 20_000.0],
            astigmatism: 400.0,
            b_factor: 0.0,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct SimulateOptions {
    pub images: usize,
    /// Side of the images in pixels, even.
    pub box_side: usize,
    /// Å per pixel; none chooses one that fits the particle and the defocus to the box.
    pub apix: Option<f64>,
    /// Variance of the CTF-multiplied noiseless stack over all pixels, divided by the variance of the noise;
    /// none leaves the images clean.
    pub snr: Option<f64>,
    /// Width of an atom (standard deviation, Å); none takes one pixel.
    pub sigma: Option<f64>,
    pub poses: Poses,
    /// The poses that are written miss the true ones by this angle (rms, degrees).
    pub pose_error_deg: f64,
    pub shift: Shift,
    /// None: no CTF at all.
    pub microscope: Option<Microscope>,
    pub contrast: Contrast,
    pub spread: Spread,
    /// Number of true maps; none takes ten along a path, or one of each state.
    pub volumes: Option<usize>,
    /// Leave the coordinates where they are instead of moving their common centroid to the box centre.
    pub keep_origin: bool,
    /// The CTF is applied in a box this many times larger, which is then cropped.
    pub pad: usize,
    /// Store 16-bit floats.
    pub half_precision: bool,
    pub seed: u64,
    /// Write the noiseless images too, as `particles_clean.mrcs`.
    pub keep_clean: bool,
    /// Replace the files of an earlier simulation in the folder.
    pub overwrite: bool,
}

impl Default for SimulateOptions {
    fn default() -> Self {
        SimulateOptions {
            images: 1000,
            box_side: 64,
            apix: None,
            snr: Some(0.1),
            sigma: None,
            poses: Poses::Uniform,
            pose_error_deg: 0.0,
            shift: Shift { pixels: 2.0, gaussian: false },
            microscope: Some(Microscope::default()),
            contrast: Contrast::Light,
            spread: Spread::Uniform,
            volumes: None,
            keep_origin: false,
            pad: 1,
            half_precision: false,
            seed: 0,
            keep_clean: false,
            overwrite: false,
        }
    }
}

impl SimulateOptions {
    /// Refuses what cannot be simulated, naming the option.
    pub fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::usage(text));
        let inside = |name: &str, value: f64, low: f64, high: f64| {
            if value.is_finite() && (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::usage(format!("{name} is {value}; give a number from {low} to {high}")))
        };
        if self.images == 0 || self.images > 10_000_000 {
            return refuse(format!("{} images asked for; give a number from 1 to 10,000,000", self.images));
        }
        if self.box_side % 2 == 1 || !(8..=1024).contains(&self.box_side) {
            return refuse(format!(
                "a box of {} pixels cannot be used; give an even number from 8 to 1024",
                self.box_side
            ));
        }
        if let Some(apix) = self.apix {
            inside("the pixel size (Å)", apix, 0.1, 100.0)?;
        }
        if let Some(sigma) = self.sigma {
            inside("the width of an atom (Å)", sigma, 0.05, 100.0)?;
        }
        if let Some(snr) = self.snr {
            inside("the signal-to-noise ratio", snr, 1e-6, 1e6)?;
        }
        match &self.poses {
            Poses::Uniform => {}
            Poses::Side { spread } | Poses::Cone { spread } => {
                inside("the spread of the poses (degrees)", *spread, 0.0, 180.0)?
            }
            Poses::Given(angles) if angles.is_empty() => return refuse("the list of poses is empty".into()),
            Poses::Given(angles) => {
                if let Some(i) = angles.iter().position(|a| a.iter().any(|v| !v.is_finite())) {
                    return refuse(format!(
                        "pose {} is not a finite number; correct the list of poses",
                        i + 1
                    ));
                }
            }
        }
        inside("the pose error (degrees)", self.pose_error_deg, 0.0, 90.0)?;
        inside("the shift (pixels)", self.shift.pixels, 0.0, 0.25 * self.box_side as f64)?;
        if let Some(m) = &self.microscope {
            inside("the voltage (kV)", m.voltage_kv, 10.0, 3000.0)?;
            inside("the spherical aberration (mm)", m.cs_mm, 0.0, 20.0)?;
            inside("the amplitude contrast", m.amplitude_contrast, 0.0, 1.0)?;
            inside("the phase shift (degrees)", m.phase_shift_deg, 0.0, 180.0)?;
            if m.phase_shift_deg.to_radians() + m.amplitude_contrast.asin() > 0.97 * std::f64::consts::PI {
                // The contrast rests on a CTF that is negative at low frequencies.
                return refuse(format!(
                    "a phase shift of {}° with amplitude contrast {} leaves no low frequencies; give a smaller phase shift",
                    m.phase_shift_deg, m.amplitude_contrast
                ));
            }
            inside("the smallest defocus (Å)", m.defocus[0], 0.0, 2e5)?;
            inside("the largest defocus (Å)", m.defocus[1], m.defocus[0], 2e5)?;
            inside("the astigmatism (Å)", m.astigmatism, 0.0, 5e4)?;
            inside("the B factor (Å²)", m.b_factor, 0.0, 5000.0)?;
        }
        if let Some(volumes) = self.volumes {
            inside("the number of true maps", volumes as f64, 0.0, 999.0)?;
        }
        if !(1..=4).contains(&self.pad) {
            return refuse(format!("padding {} times is not possible; give 1, 2, 3 or 4", self.pad));
        }
        Ok(())
    }

    /// The factor from (CTF × projection) to the images. The CTF is negative at low frequencies, so it is the
    /// negative of the product that shows the particle light.
    pub fn sign(&self) -> f64 {
        match (self.contrast, self.microscope.is_some()) {
            (Contrast::Light, true) | (Contrast::Dark, false) => -1.0,
            (Contrast::Dark, true) | (Contrast::Light, false) => 1.0,
        }
    }

    /// The flag with which cryoDRGN and `kinesome drgn` get positive density, or none: by default they turn
    /// the sign of images, and then model them as CTF × projection.
    pub fn sign_flag(&self) -> Option<&'static str> {
        (self.sign() > 0.0).then_some("--uninvert-data")
    }
}
