//! Whether frames put between given ones move as the reference does at short times.

use serde::Serialize;

use super::features::{Angles, Torsion};
use super::scores::average;
use super::trajectory::Trajectory;
use crate::error::{Error, Result};
use crate::stats::autocorrelation::angles as correlation;
use rayon::prelude::*;

/// Torsion autocorrelation E[cos d(t)] between the given frames.
#[derive(Debug, Clone, Serialize)]
pub struct UpsamplingScores {
    /// Frames from one given frame to the next.
    pub every: usize,
    /// Mean absolute difference from the reference's autocorrelation over all lags shorter than that, mean of torsions.
    pub generated_error: f64,
    /// The same for a straight line between the given frames of the reference.
    pub linear_error: f64,
    /// Lags in ps of the mean curves below.
    pub lags_ps: Vec<f64>,
    pub reference: Vec<f64>,
    pub generated: Vec<f64>,
    pub linear: Vec<f64>,
}

/// Compares trajectories of one time step; every `every`-th frame of the generated one was given.
pub fn score(
    torsions: &[Torsion],
    reference: &Trajectory,
    generated: &Angles,
    every: usize,
) -> Result<UpsamplingScores> {
    let own = Angles::of(torsions, reference);
    if (generated.step / own.step - 1.0).abs() > 1e-3 {
        return Err(Error::usage(format!(
            "upsampling: the reference has a frame every {} ps, the generated trajectory every {} ps; both must be alike \
             (set --reference-step and --generated-step where the files do not say)",
            own.step, generated.step
        )));
    }
    if every < 2 || own.frames < 2 * every || generated.frames < 2 * every {
        return Err(Error::usage(format!(
            "upsampling by {every} needs at least 2, and trajectories of at least {} frames",
            2 * every.max(2)
        )));
    }
    let straight = Angles::of(torsions, &interpolated(reference, every));
    let curves = |a: &Angles| -> Vec<Vec<f64>> {
        (0..torsions.len()).into_par_iter().map(|i| correlation(&a.wide(i), every)).collect()
    };
    let (own, generated, straight) = (curves(&own), curves(generated), curves(&straight));
    let error = |other: &[Vec<f64>]| {
        let pairs = own.iter().zip(other).flat_map(|(a, b)| a.iter().zip(b).skip(1));
        average(pairs.map(|(a, b)| (a - b).abs())).unwrap_or(0.0)
    };
    let mean = |curves: &[Vec<f64>]| -> Vec<f64> {
        (0..every).map(|k| average(curves.iter().map(|c| c[k])).unwrap_or(0.0)).collect()
    };
    Ok(UpsamplingScores {
        every,
        generated_error: error(&generated),
        linear_error: error(&straight),
        lags_ps: (0..every).map(|k| k as f64 * reference.step).collect(),
        reference: mean(&own),
        generated: mean(&generated),
        linear: mean(&straight),
    })
}

/// Every `every`-th frame of a trajectory, and straight lines of all atoms between.
fn interpolated(of: &Trajectory, every: usize) -> Trajectory {
    let residues = of.kinds.len();
    let frames = (of.frames().saturating_sub(1)) / every * every + 1;
    let atoms = (0..frames * residues)
        .map(|i| {
            let (frame, residue) = (i / residues, i % residues);
            let (before, t) = (frame / every * every, (frame % every) as f32 / every as f32);
            let after = if t > 0.0 { before + every } else { before };
            let (a, b) = (&of.atoms[before * residues + residue], &of.atoms[after * residues + residue]);
            std::array::from_fn(|k| std::array::from_fn(|c| a[k][c] + t * (b[k][c] - a[k][c])))
        })
        .collect();
    Trajectory { atoms, name: of.name.clone(), kinds: of.kinds.clone(), step: of.step }
}
