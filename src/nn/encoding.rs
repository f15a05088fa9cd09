//! Positional encodings of coordinates in [-0.5, 0.5]^3 (cryoDRGN's, Zhong et al. 2021).

use crate::ops::encode::Encode;
use crate::tape::{Init, Tape, Var};
use crate::tensor::Tensor;
use crate::{Error, Result};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// Random frequencies N(0, sigma^2) in half-box units, state `rand_freqs` `[3 count, 3]`.
    Gaussian { sigma: f32 },
    /// One ladder of frequencies along each axis.
    Axes(Ladder),
    /// The coordinates themselves.
    None,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Ladder {
    /// From 2 pi/(D/2).. up to pi D, geometrically: every Fourier frequency of the box.
    GeometricFourier,
    GeometricFull,
    GeometricLow,
    GeometricNoHigh,
    Linear,
}

/// What enters a network: features, or coordinates that it may encode as it goes.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'t> {
    /// `[.., F]`
    Features(Var<'t>),
    /// `[.., 3]` with frequencies `[F, 3]` in groups.
    Coordinates { coordinates: Var<'t>, frequencies: Var<'t>, group: usize },
}

impl<'t> Entry<'t> {
    /// Features or coordinates.
    pub fn rows(self) -> Var<'t> {
        match self {
            Entry::Features(rows) | Entry::Coordinates { coordinates: rows, .. } => rows,
        }
    }

    /// Features a row.
    pub fn width(self) -> usize {
        match self {
            Entry::Features(features) => features.dim(features.rank().saturating_sub(1)),
            Entry::Coordinates { frequencies, .. } => 2 * frequencies.dim(0),
        }
    }

    #[track_caller]
    pub fn features(self) -> Var<'t> {
        match self {
            Entry::Features(features) => features,
            Entry::Coordinates { coordinates, frequencies, group } => {
                coordinates.tape().special(Encode { group }, &[coordinates, frequencies])
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    pub kind: Kind,
    /// Frequencies an axis.
    pub count: usize,
    /// D, the side of the lattice (odd).
    pub side: usize,
}

impl Encoding {
    pub fn from_name(name: &str, count: usize, sigma: f32, side: usize) -> Result<Self> {
        let kind = match name {
            "gaussian" => Kind::Gaussian { sigma },
            "geom_ft" => Kind::Axes(Ladder::GeometricFourier),
            "geom_full" => Kind::Axes(Ladder::GeometricFull),
            "geom_lowf" => Kind::Axes(Ladder::GeometricLow),
            "geom_nohighf" => Kind::Axes(Ladder::GeometricNoHigh),
            "linear_lowf" => Kind::Axes(Ladder::Linear),
            "none" => Kind::None,
            other => {
                return Err(Error::usage(format!(
                    "positional encoding {other:?}: choose gaussian, geom_ft, geom_full, geom_lowf, \
                     geom_nohighf, linear_lowf or none"
                )));
            }
        };
        Ok(Encoding { kind, count, side })
    }

    /// Features a point.
    pub fn width(&self) -> usize {
        if self.kind == Kind::None { 3 } else { 6 * self.count }
    }

    /// Coordinates `[.., 3]` as a network takes them.
    pub fn record<'t>(&self, tape: &'t Tape, coordinates: Var<'t>) -> Entry<'t> {
        let half = (self.side / 2) as f32;
        match self.kind {
            Kind::None => Entry::Features(coordinates),
            Kind::Gaussian { sigma } => {
                let frequencies =
                    tape.state("rand_freqs", &[3 * self.count, 3], Init::Normal(sigma)).scale(half);
                Entry::Coordinates { coordinates, frequencies, group: 3 * self.count }
            }
            Kind::Axes(ladder) => {
                let mut rows = vec![0.0; 9 * self.count];
                for axis in 0..3 {
                    for (j, f) in ladder.frequencies(self.count, self.side).into_iter().enumerate() {
                        rows[(axis * self.count + j) * 3 + axis] = f as f32;
                    }
                }
                let frequencies = tape.constant(Tensor::f32(&[3 * self.count, 3], rows));
                Entry::Coordinates { coordinates, frequencies, group: self.count }
            }
        }
    }
}

impl Ladder {
    /// In radians per unit of coordinate, lowest j first.
    pub fn frequencies(self, count: usize, side: usize) -> Vec<f64> {
        let pi = std::f64::consts::PI;
        let half = (side / 2) as f64;
        let even = 2.0 * half;
        (0..count)
            .map(|j| {
                let e = if count > 1 { j as f64 / (count - 1) as f64 } else { 0.0 };
                match self {
                    Ladder::GeometricFourier => even * pi * (2.0 / even).powf(e),
                    Ladder::GeometricFull => even * pi * (1.0 / (even * pi)).powf(e),
                    Ladder::GeometricLow => half * (1.0 / half).powf(e),
                    Ladder::GeometricNoHigh => half * (2.0 * pi / half).powf(e),
                    Ladder::Linear => 1.0 + j as f64 * (half - 1.0) / (count.max(2) - 1) as f64,
                }
            })
            .collect()
    }
}
