//! Transition paths between two coarse states: generated ones, and those that the reference's chain would take.

use serde::Serialize;

use super::Options;
use super::features::{Angles, Torsion};
use super::states::{States, lag_frames};
use crate::error::{Error, Result};
use crate::stats::divergence::jensen_shannon;
use crate::stats::markov::{Bridge, MarkovModel};
use crate::stats::random::Philox;
use crate::stats::rank::mean;

/// Flux that counts as none when the rarest transition is sought.
const NO_FLUX: f64 = 1e-7;

/// Scores of a set of paths under the reference's coarse chain.
#[derive(Debug, Clone, Serialize)]
pub struct PathScores {
    pub about: String,
    pub paths: usize,
    /// Mean chance of a path among all between the two states in as many steps.
    pub probability: f64,
    /// The same over valid paths alone; none where there are none.
    pub probability_of_valid: Option<f64>,
    /// Share of paths with a chance above 0.
    pub valid: f64,
    /// Jensen–Shannon distance of how often states are visited from what the reference's chain does.
    pub visited_jsd: f64,
    /// Share of paths that begin and end in the right states.
    pub right_ends: f64,
}

/// Transition paths between two states.
#[derive(Debug, Clone, Serialize)]
pub struct Transitions {
    pub from: usize,
    pub to: usize,
    /// Steps of one lag each.
    pub steps: usize,
    pub generated: PathScores,
    pub baselines: Vec<PathScores>,
}

/// The two coarse states between which the rarest transition of a reference leads: the pair of least flux.
pub fn rarest_pair(states: &States) -> Result<(usize, usize)> {
    states.coarse.pair_by_flux(true, NO_FLUX).ok_or_else(|| {
        Error::usage(
            "the reference has no transition between different states; give a longer one or a shorter --lag",
        )
    })
}

/// The coarse states of a path, one every lag and the last.
fn read(states: &States, angles: &Angles, lag: f64) -> Result<Vec<Option<usize>>> {
    let placed = states.place_frames(angles)?;
    let every = lag_frames(lag, angles.step);
    let last = placed.len().saturating_sub(1);
    let mut times: Vec<usize> = (0..placed.len()).step_by(every).collect();
    if times.last() != Some(&last) {
        times.push(last);
    }
    Ok(times.into_iter().filter_map(|t| placed.get(t).map(|s| s.map(|s| s as usize))).collect())
}

/// Scores generated paths (all of one length) between `pair`, or between the rarest pair of states.
pub fn score(
    states: &States,
    paths: &[Angles],
    reference: &Angles,
    torsions: &[Torsion],
    pair: Option<(usize, usize)>,
    options: &Options,
) -> Result<Transitions> {
    let (from, to) = match pair {
        Some(pair) => pair,
        None => rarest_pair(states)?,
    };
    let known = |state: usize| {
        states.coarse.place(state).ok_or_else(|| {
            Error::usage(format!(
                "state {} is not among those that the reference reaches and leaves again",
                state + 1
            ))
        })
    };
    let (start, end) = (known(from)?, known(to)?);
    let read: Result<Vec<Vec<Option<usize>>>> = paths.iter().map(|p| read(states, p, options.lag)).collect();
    let read = read?;
    let Some(length) = read.first().map(Vec::len).filter(|n| *n > 1) else {
        return Err(Error::usage(format!(
            "there is no path of at least one lag ({} ps); transition paths must be longer",
            options.lag
        )));
    };
    if let Some(i) = read.iter().position(|p| p.len() != length) {
        return Err(Error::usage(format!(
            "path {} has {} steps of a lag, the first {}; score paths of one length at a time",
            i + 1,
            read[i].len() - 1,
            length - 1
        )));
    }
    let steps = length - 1;
    let bridge = Bridge::new(&states.coarse.transition, start, end, steps).map_err(|_| {
        Error::usage(format!(
            "the reference's chain has no path of {steps} steps from state {} to state {}",
            from + 1,
            to + 1
        ))
    })?;
    // Places in the chain; a frame outside of it is a place that no path visits.
    let outside = states.coarse.transition.nrows();
    let places = |path: &Vec<Option<usize>>| -> Vec<usize> {
        path.iter().map(|s| s.and_then(|s| states.coarse.place(s)).unwrap_or(outside)).collect()
    };
    let mut rng = Philox::new(options.seed, 1);
    let expected: Vec<Vec<usize>> = (0..options.paths).map(|_| bridge.sample(&mut rng)).collect();
    let judge =
        |about: String, paths: &[Vec<usize>]| judge(about, paths, &bridge, &expected, outside, (start, end));
    let generated = judge("generated".into(), &read.iter().map(places).collect::<Vec<_>>());
    let mut baselines = vec![judge("paths of the reference's chain".into(), &expected)];
    for part in [10, 30] {
        let cut = reference.stretch(0, reference.frames / part);
        let chance = states.place(&cut)?.model(states.coarse_states, lag_frames(options.lag, cut.step));
        let own = chance.and_then(|model| own_paths(&model, states, (from, to), steps, options));
        let about = format!("chain of MD of 1/{part} of the length");
        baselines.push(match own {
            Some(paths) => judge(about, &paths),
            None => PathScores {
                about: format!("{about} (it lacks one of the states)"),
                paths: 0,
                probability: 0.0,
                probability_of_valid: None,
                valid: 0.0,
                visited_jsd: std::f64::consts::LN_2.sqrt(),
                right_ends: 0.0,
            },
        });
    }
    let alone: Result<Vec<Vec<usize>>> = paths
        .iter()
        .map(|p| Ok(places(&self::read(states, &p.independent(torsions, options.seed), options.lag)?)))
        .collect();
    baselines.push(judge("generated frames, residues from frames of their own".into(), &alone?));
    Ok(Transitions { from, to, steps, generated, baselines })
}

/// Paths of another chain over the same coarse states, numbered by the reference's chain.
fn own_paths(
    model: &MarkovModel,
    states: &States,
    (from, to): (usize, usize),
    steps: usize,
    options: &Options,
) -> Option<Vec<Vec<usize>>> {
    let bridge = Bridge::new(&model.transition, model.place(from)?, model.place(to)?, steps).ok()?;
    let mut rng = Philox::new(options.seed, 2);
    let outside = states.coarse.transition.nrows();
    let place = |i: usize| states.coarse.place(model.active[i]).unwrap_or(outside);
    Some((0..options.paths).map(|_| bridge.sample(&mut rng).into_iter().map(place).collect()).collect())
}

fn judge(
    about: String,
    paths: &[Vec<usize>],
    bridge: &Bridge,
    expected: &[Vec<usize>],
    outside: usize,
    (start, end): (usize, usize),
) -> PathScores {
    let chances: Vec<f64> = paths.iter().map(|p| bridge.probability(p)).collect();
    let valid: Vec<f64> = chances.iter().copied().filter(|p| *p > 0.0).collect();
    let visits = |paths: &[Vec<usize>]| {
        let mut counts = vec![0.0; outside + 1];
        paths.iter().flatten().for_each(|&s| counts[s] += 1.0);
        counts
    };
    let ends = paths.iter().filter(|p| p.first() == Some(&start) && p.last() == Some(&end)).count();
    let share = |count: usize| count as f64 / paths.len().max(1) as f64;
    PathScores {
        about,
        paths: paths.len(),
        probability: if chances.is_empty() { 0.0 } else { mean(&chances) },
        probability_of_valid: (!valid.is_empty()).then(|| mean(&valid)),
        valid: share(valid.len()),
        visited_jsd: jensen_shannon(&visits(expected), &visits(paths)),
        right_ends: share(ends),
    }
}
