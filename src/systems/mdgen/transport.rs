//! The interpolant between noise and data (MDGen, section 3): x_t = a(t) x1 + s(t) x0, and the velocity
//! u = a'(t) x1 + s'(t) x0 that the network learns.

use std::f64::consts::FRAC_PI_2;

use crate::{Error, Result};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// a = sin(pi t / 2), s = cos(pi t / 2)
    Gvp,
    /// a = t, s = 1 - t
    Linear,
    /// Variance preserving with the linear schedule from 0.1 to 20.
    Vp,
}

/// The four coefficients at one time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Coefficients {
    pub a: f64,
    pub s: f64,
    pub a_rate: f64,
    pub s_rate: f64,
}

impl Path {
    pub fn from_name(name: &str) -> Result<Path> {
        match name {
            "GVP" => Ok(Path::Gvp),
            "Linear" => Ok(Path::Linear),
            "VP" => Ok(Path::Vp),
            other => Err(Error::usage(format!("path type {other:?}: choose GVP, Linear or VP"))),
        }
    }

    pub fn at(self, t: f64) -> Coefficients {
        match self {
            Path::Gvp => {
                let (sine, cosine) = (FRAC_PI_2 * t).sin_cos();
                Coefficients { a: sine, s: cosine, a_rate: FRAC_PI_2 * cosine, s_rate: -FRAC_PI_2 * sine }
            }
            Path::Linear => Coefficients { a: t, s: 1.0 - t, a_rate: 1.0, s_rate: -1.0 },
            Path::Vp => {
                let (low, high, rest) = (0.1, 20.0, 1.0 - t);
                let a = (-0.25 * rest * rest * (high - low) - 0.5 * rest * low).exp();
                let a_rate = a * (0.5 * rest * (high - low) + 0.5 * low);
                let s = (1.0 - a * a).max(0.0).sqrt();
                Coefficients { a, s, a_rate, s_rate: -a * a_rate / s.max(1e-12) }
            }
        }
    }

    /// The score of the noisy value `x` from its velocity `v`: (a/a' v - x) / (s^2 - a/a' s' s).
    pub fn score(self, v: f64, x: f64, t: f64) -> f64 {
        let Coefficients { a, s, a_rate, s_rate } = self.at(t);
        let ratio = a / a_rate;
        (ratio * v - x) / (s * s - ratio * s_rate * s)
    }
}
