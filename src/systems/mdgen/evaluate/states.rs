//! The slow coordinates and the states of a reference ensemble, in which all others are judged.

use nalgebra::DMatrix;

use super::Options;
use super::features::{Angles, Torsion};
use crate::error::{Error, Result};
use crate::stats::Matrix;
use crate::stats::kmeans::{kmeans, nearest};
use crate::stats::markov::MarkovModel;
use crate::stats::pcca::Pcca;
use crate::stats::tica::Tica;

/// Frames that k-means is fitted to at most, evenly taken.
const CLUSTERED: usize = 100_000;
/// Rounds of k-means.
const ROUNDS: usize = 100;

/// TICA, microstates and coarse states of a reference.
#[derive(Debug, Clone)]
pub struct States {
    pub tica: Tica,
    /// Centres of the microstates.
    means: Vec<f64>,
    pub micro: MarkovModel,
    /// Coarse state of each microstate; those that the reference's Markov model does not hold have none.
    coarse_of: Vec<Option<u32>>,
    pub coarse_states: usize,
    /// The Markov model on coarse states.
    pub coarse: MarkovModel,
}

/// A trajectory in the coordinates and states of a reference.
#[derive(Debug, Clone)]
pub struct Placed {
    /// [frames, components]
    pub coordinates: Vec<f32>,
    pub components: usize,
    /// Coarse state of each frame, in stretches that never leave the states of the model: a frame in a microstate
    /// without a coarse state ends a stretch.
    pub stretches: Vec<Vec<u32>>,
    /// Frames in no coarse state.
    pub lost: usize,
}

/// A lag in frames of a trajectory.
pub fn lag_frames(lag: f64, step: f64) -> usize {
    ((lag / step).round() as usize).max(1)
}

/// Refuses a trajectory whose frames do not meet the lag: other times would be compared than were asked for.
pub fn check_lag(lag: f64, step: f64, name: &str) -> Result<()> {
    let frames = lag / step;
    if frames > 0.99 && (frames.round() / frames - 1.0).abs() < 0.02 {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{name}: a lag of {lag} ps is no multiple of the {step} ps between its frames; choose another --lag"
    )))
}

impl States {
    pub fn fit(torsions: &[Torsion], reference: &Angles, options: &Options) -> Result<States> {
        if torsions.is_empty() {
            return Err(Error::usage("a chain of one residue without side chain has no torsions to compare"));
        }
        let lag = lag_frames(options.lag, reference.step);
        if lag >= reference.frames {
            return Err(Error::usage(format!(
                "the reference's {} frames of {} ps are no longer than the lag of {} ps; give a longer trajectory or \
                 a shorter --lag",
                reference.frames, reference.step, options.lag
            )));
        }
        let rows = reference.features();
        let features = Matrix::new(&rows, 2 * torsions.len())?;
        let tica = Tica::fit(&[features], lag, options.kinetic_share)?;
        let coordinates = tica.transform(features)?;
        let points = Matrix::new(&coordinates, tica.len())?;
        // Centres settle on far fewer frames than a long simulation has.
        let every = reference.frames.div_ceil(CLUSTERED);
        let few: Vec<f32> =
            (0..reference.frames).step_by(every).flat_map(|t| points.row(t)).copied().collect();
        let few = Matrix::new(&few, tica.len())?;
        let clusters = kmeans(few, options.clusters.min(few.rows()), ROUNDS, options.seed)?;
        let states = clusters.counts.len();
        let labels = nearest(points, &clusters.means)?;
        let micro = MarkovModel::estimate(&[&labels], states, lag)?;
        let coarse_states = options.states.min(micro.active.len());
        let coarse_of = Pcca::fit(&micro, coarse_states)?.all_sets(&micro);
        let stretches = stretches(labels.iter().map(|&s| coarse_of[s as usize]));
        let coarse = estimate(&stretches, coarse_states, lag)?;
        Ok(States { tica, means: clusters.means, micro, coarse_of, coarse_states, coarse })
    }

    /// Another trajectory of the same torsions.
    pub fn place(&self, angles: &Angles) -> Result<Placed> {
        let rows = angles.features();
        let coordinates = self.tica.transform(Matrix::new(&rows, 2 * angles.series.len())?)?;
        let components = self.tica.len();
        let coarse = self.coarse(&coordinates)?;
        let lost = coarse.iter().filter(|s| s.is_none()).count();
        Ok(Placed { coordinates, components, stretches: stretches(coarse.into_iter()), lost })
    }
}

impl States {
    /// The coarse state of every frame.
    pub fn place_frames(&self, angles: &Angles) -> Result<Vec<Option<u32>>> {
        let rows = angles.features();
        self.coarse(&self.tica.transform(Matrix::new(&rows, 2 * angles.series.len())?)?)
    }

    fn coarse(&self, coordinates: &[f32]) -> Result<Vec<Option<u32>>> {
        let labels = nearest(Matrix::new(coordinates, self.tica.len())?, &self.means)?;
        Ok(labels.iter().map(|&s| self.coarse_of[s as usize]).collect())
    }
}

impl Placed {
    /// One coordinate of all frames; 0 where there is no such component.
    pub fn coordinate(&self, component: usize) -> Vec<f64> {
        let of = |row: &[f32]| f64::from(row.get(component).copied().unwrap_or(0.0));
        self.coordinates.chunks_exact(self.components).map(of).collect()
    }

    /// Frames in each coarse state.
    pub fn occupancy(&self, states: usize) -> Vec<f64> {
        let mut counts = vec![0.0; states];
        self.stretches.iter().flatten().for_each(|&s| counts[s as usize] += 1.0);
        counts
    }

    /// The Markov model of its coarse states at a lag in frames; `None` where it is too short for one.
    pub fn model(&self, states: usize, lag: usize) -> Option<MarkovModel> {
        estimate(&self.stretches, states, lag).ok()
    }
}

fn stretches(states: impl Iterator<Item = Option<u32>>) -> Vec<Vec<u32>> {
    let mut found = vec![Vec::new()];
    for state in states {
        match state {
            Some(state) => {
                if let Some(last) = found.last_mut() {
                    last.push(state);
                }
            }
            None => found.push(Vec::new()),
        }
    }
    found.retain(|s| !s.is_empty());
    found
}

fn estimate(stretches: &[Vec<u32>], states: usize, lag: usize) -> Result<MarkovModel> {
    let all: Vec<&[u32]> = stretches.iter().map(Vec::as_slice).collect();
    MarkovModel::estimate(&all, states, lag)
}

/// Rows of a matrix, as JSON has them.
pub fn rows(m: &DMatrix<f64>) -> Vec<Vec<f64>> {
    m.row_iter().map(|r| r.iter().copied().collect()).collect()
}
