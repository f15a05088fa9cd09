//! Where transition paths begin and end: frames of a stored trajectory in two of its coarse states.

use super::evaluate::Options;
use super::evaluate::features::{Angles, torsions};
use super::evaluate::states::{States, check_lag};
use super::evaluate::trajectory::Trajectory;
use super::store::Store;
use crate::error::{Error, Result};
use crate::stats::random::Philox;

/// Flux that counts as none.
const NO_FLUX: f64 = 1e-7;

/// The coarse states of a trajectory, and which of them each frame is in.
pub struct Landscape {
    states: States,
    of_frame: Vec<Option<u32>>,
    name: String,
}

impl Landscape {
    /// Of all frames, `step` ps apart; as `evaluate` finds them with the same options.
    pub fn of(store: &Store, step: f64, options: &Options) -> Result<Landscape> {
        let name = store.path().display().to_string();
        check_lag(options.lag, step, &name)?;
        let kinds = store.kinds().to_vec();
        let torsions = torsions(&kinds);
        let atoms = store.window(0, store.frames(), 1)?;
        let trajectory = Trajectory { name: name.clone(), kinds, atoms, step };
        let angles = Angles::of(&torsions, &trajectory);
        let states = States::fit(&torsions, &angles, options).map_err(|e| match e {
            Error::Usage(text) => Error::usage(format!("{name}: {text}")),
            other => other,
        })?;
        let of_frame = states.place_frames(&angles)?;
        Ok(Landscape { states, of_frame, name })
    }

    /// The two states with the rarest transition, or with the most frequent one.
    pub fn pair(&self, rarest: bool) -> Result<(usize, usize)> {
        self.states.coarse.pair_by_flux(rarest, NO_FLUX).ok_or_else(|| {
            Error::usage(format!(
                "{} has no transition between different states; give a longer trajectory or a shorter --lag",
                self.name
            ))
        })
    }

    /// Frames in a state.
    fn frames(&self, state: usize) -> Result<Vec<usize>> {
        let wanted = u32::try_from(state).ok();
        let found = (0..self.of_frame.len()).filter(|&t| wanted.is_some() && self.of_frame[t] == wanted);
        let found: Vec<usize> = found.collect();
        if found.is_empty() {
            let states = self.states.coarse_states;
            let why = format!("{} has no frame in state {}; it has {states} states", self.name, state + 1);
            return Err(Error::usage(why));
        }
        Ok(found)
    }

    /// Draws the first and the last frame of `count` paths from one state to the other.
    pub fn draw(&self, (from, to): (usize, usize), count: usize, seed: u64) -> Result<Vec<(usize, usize)>> {
        let (from, to) = (self.frames(from)?, self.frames(to)?);
        let mut philox = Philox::new(seed, 0x656e_6473);
        let mut one = |frames: &[usize]| {
            frames[((philox.uniform_f64() * frames.len() as f64) as usize).min(frames.len() - 1)]
        };
        Ok((0..count).map(|_| (one(&from), one(&to))).collect())
    }

    /// Frames in the first state that are in the second one `span` frames later, and the other way round.
    pub fn crossings(&self, (from, to): (usize, usize), span: usize) -> Vec<usize> {
        let (from, to) = (u32::try_from(from).ok(), u32::try_from(to).ok());
        let last = self.of_frame.len().saturating_sub(span);
        let crosses = |t: &usize| {
            let ends = (self.of_frame[*t], self.of_frame[*t + span]);
            ends == (from, to) || ends == (to, from)
        };
        (0..last).filter(crosses).collect()
    }
}
