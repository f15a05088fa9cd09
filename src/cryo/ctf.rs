//! The contrast transfer function of the microscope, in f64.
//!
//! CTF(s) = √(1−w²) sin γ − w cos γ with γ = 2π(−½ Δz λ s² + ¼ Cs λ³ s⁴) − phase (Rohou & Grigorieff 2015, with the
//! sign convention of cryoDRGN), optionally times a scale factor and exp(−B s²/4).

use rayon::prelude::*;

use super::{expect_even, expect_len};
use crate::error::{Error, Result};

/// The imaging conditions of one particle image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CtfParams {
    /// Pixel size, Å.
    pub apix: f64,
    /// Defocus along the major axis, Å.
    pub defocus_u: f64,
    /// Defocus along the minor axis, Å.
    pub defocus_v: f64,
    /// Azimuth of astigmatism, degrees.
    pub defocus_angle: f64,
    /// Acceleration voltage, kV.
    pub voltage: f64,
    /// Spherical aberration, mm.
    pub cs: f64,
    /// Fraction of amplitude contrast.
    pub amplitude_contrast: f64,
    /// Phase shift, degrees.
    pub phase_shift: f64,
    /// Amplitude scale, 1 for single-particle data.
    pub scale: f64,
    /// B factor, Å².
    pub b_factor: f64,
}

impl CtfParams {
    /// From a row without the box column: A/px, U, V, angle, kV, Cs, w, phase, and optionally the scale.
    pub fn from_row(row: &[f32]) -> Result<Self> {
        let [apix, u, v, angle, kv, cs, w, phase, rest @ ..] = row else {
            return Err(Error::Shape(format!("a CTF row needs 8 or 9 values, found {}", row.len())));
        };
        if rest.len() > 1 {
            return Err(Error::Shape(format!("a CTF row needs 8 or 9 values, found {}", row.len())));
        }
        let params = CtfParams {
            apix: f64::from(*apix),
            defocus_u: f64::from(*u),
            defocus_v: f64::from(*v),
            defocus_angle: f64::from(*angle),
            voltage: f64::from(*kv),
            cs: f64::from(*cs),
            amplitude_contrast: f64::from(*w),
            phase_shift: f64::from(*phase),
            scale: rest.first().map_or(1.0, |s| f64::from(*s)),
            b_factor: 0.0,
        };
        params.check()?;
        Ok(params)
    }

    fn check(&self) -> Result<()> {
        let finite =
            [self.defocus_u, self.defocus_v, self.defocus_angle, self.cs, self.phase_shift, self.scale]
                .iter()
                .all(|v| v.is_finite());
        let problem = if !(self.apix > 0.0 && self.apix.is_finite()) {
            format!("pixel size {} Å is not positive", self.apix)
        } else if !(self.voltage > 0.0 && self.voltage.is_finite()) {
            format!("voltage {} kV is not positive", self.voltage)
        } else if !(0.0..=1.0).contains(&self.amplitude_contrast) {
            format!("amplitude contrast {} is not between 0 and 1", self.amplitude_contrast)
        } else if !finite {
            "a defocus, angle, Cs, phase shift or scale is not a finite number".to_string()
        } else {
            return Ok(());
        };
        Err(Error::usage(format!("CTF parameters: {problem}; check the table they came from")))
    }

    /// Relativistic electron wavelength, Å.
    pub fn wavelength(&self) -> f64 {
        let volts = self.voltage * 1e3;
        12.2639 / (volts + 0.97845e-6 * volts * volts).sqrt()
    }

    /// The CTF at the frequency (fx, fy) in cycles per pixel.
    pub fn at(&self, fx: f64, fy: f64) -> f64 {
        let azimuth = 2.0 * fy.atan2(fx);
        self.prepare().at(fx * fx + fy * fy, azimuth.cos(), azimuth.sin())
    }

    fn prepare(&self) -> Prepared {
        let lambda = self.wavelength();
        let azimuth = 2.0 * self.defocus_angle.to_radians();
        let per_pixel = 1.0 / (self.apix * self.apix);
        // 2π(−½ Δz λ s²) is linear in s², cos 2α and sin 2α; the pixel size is folded into the coefficients.
        let defocus = -std::f64::consts::PI * lambda * per_pixel;
        let half_astigmatism = 0.5 * (self.defocus_u - self.defocus_v);
        Prepared {
            mean: defocus * 0.5 * (self.defocus_u + self.defocus_v),
            cos2: defocus * half_astigmatism * azimuth.cos(),
            sin2: defocus * half_astigmatism * azimuth.sin(),
            quartic: 0.5 * std::f64::consts::PI * self.cs * 1e7 * lambda.powi(3) * per_pixel * per_pixel,
            // √(1−w²) sin γ − w cos γ = sin(γ − asin w).
            offset: self.phase_shift.to_radians() + self.amplitude_contrast.asin(),
            scale: self.scale,
            decay: -0.25 * self.b_factor * per_pixel,
        }
    }
}

struct Prepared {
    mean: f64,
    cos2: f64,
    sin2: f64,
    quartic: f64,
    offset: f64,
    scale: f64,
    decay: f64,
}

impl Prepared {
    fn at(&self, square: f64, cos2: f64, sin2: f64) -> f64 {
        let gamma = square * (self.mean + self.cos2 * cos2 + self.sin2 * sin2 + self.quartic * square);
        let value = self.scale * (gamma - self.offset).sin();
        if self.decay == 0.0 { value } else { value * (self.decay * square).exp() }
    }
}

/// A dataset's CTF rows as loaded from `ctf.pkl` [N, 9 or 10]: box px, A/px, U, V, angle, kV, Cs, w, phase\[, scale\].
///
/// One pixel size holds for the whole dataset: row 0's box · A/px / `box_now`, so that downsampled images keep
/// their field of view.
pub fn dataset_params(rows: &[f32], columns: usize, box_now: usize) -> Result<Vec<CtfParams>> {
    if !(columns == 9 || columns == 10) || rows.is_empty() || !rows.len().is_multiple_of(columns) {
        return Err(Error::Shape(format!(
            "CTF table: expected N rows of 9 columns (10 with a scale), found {} values in {columns} columns",
            rows.len()
        )));
    }
    let apix = rows[0] * rows[1] / box_now.max(1) as f32;
    rows.chunks_exact(columns)
        .enumerate()
        .map(|(i, row)| {
            let mut without_box = row[1..].to_vec();
            without_box[0] = apix;
            CtfParams::from_row(&without_box).map_err(|e| Error::usage(format!("image {i}: {e}")))
        })
        .collect()
}

/// Frequencies prepared for many CTFs: one sine per point and image.
pub struct CtfGrid {
    /// s² in cycles² per pixel², cos 2α, sin 2α.
    points: Vec<[f64; 3]>,
}

impl CtfGrid {
    /// At arbitrary frequencies, cycles per pixel.
    pub fn new(freqs: impl IntoIterator<Item = [f64; 2]>) -> Self {
        let points = freqs
            .into_iter()
            .map(|[fx, fy]| {
                let square = fx * fx + fy * fy;
                if square == 0.0 {
                    [0.0, 1.0, 0.0]
                } else {
                    [square, (fx * fx - fy * fy) / square, 2.0 * fx * fy / square]
                }
            })
            .collect();
        CtfGrid { points }
    }

    /// On the D x D lattice of a box of n pixels, D = n + 1.
    pub fn lattice(n: usize) -> Result<Self> {
        expect_even("CTF lattice", n)?;
        let frequency = move |i: usize| (i as f64 - (n / 2) as f64) / n as f64;
        Ok(Self::new((0..=n).flat_map(move |y| (0..=n).map(move |x| [frequency(x), frequency(y)]))))
    }

    /// The number of points.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// True when there is no point.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The CTF at every point, computed in f64 and rounded once.
    pub fn eval(&self, params: &CtfParams, out: &mut [f32]) -> Result<()> {
        expect_len("CTF", out.len(), self.points.len())?;
        let prepared = params.prepare();
        for (value, [square, cos2, sin2]) in out.iter_mut().zip(&self.points) {
            *value = prepared.at(*square, *cos2, *sin2) as f32;
        }
        Ok(())
    }

    /// The CTFs of a batch, [B, points], images in parallel.
    pub fn eval_batch(&self, params: &[CtfParams], out: &mut [f32]) -> Result<()> {
        expect_len("CTF batch", out.len(), self.points.len() * params.len())?;
        if self.points.is_empty() {
            return Ok(());
        }
        out.par_chunks_mut(self.points.len()).zip(params).try_for_each(|(out, params)| self.eval(params, out))
    }
}

/// Weight of a tilt image by its accumulated dose (e/Å²) and tilt angle (radians) at |s| in 1/Å
/// (Grant & Grigorieff 2015): exp(−dose / 2Nc), zero beyond the optimal exposure 2.51284 Nc, times cos(tilt),
/// with Nc = 0.245 a s^−1.665 + 2.81.
pub fn dose_weight(frequency: f64, voltage_kv: f64, dose: f64, tilt: f64) -> Result<f64> {
    let a = match voltage_kv.round() as i64 {
        300 => 1.0,
        200 => 0.75,
        _ => {
            return Err(Error::usage(format!(
                "dose weighting is known for 200 and 300 kV only, not {voltage_kv} kV"
            )));
        }
    };
    let critical = if frequency > 0.0 { 0.245 * a * frequency.powf(-1.665) + 2.81 } else { f64::INFINITY };
    let kept = if dose < 2.51284 * critical { (-0.5 * dose / critical).exp() } else { 0.0 };
    Ok(kept * tilt.cos())
}
