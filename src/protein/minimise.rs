//! Minimisation of an energy over points: steepest descent with a step that adapts, and L-BFGS (Liu and Nocedal 1989).
//!
//! Nothing here knows units: lengths and energies are those of the [`Energy`].

use std::collections::VecDeque;
use std::sync::Mutex;

use nalgebra::Vector3;
use rayon::prelude::*;

use super::geometry::near_pairs;
use crate::error::{Error, Result};

pub type Point = Vector3<f64>;

/// What is minimised.
pub trait Energy {
    /// The energy of points; its gradient is added to `gradient`.
    fn add(&mut self, points: &[Point], gradient: &mut [Point]) -> f64;

    /// The parts that the energy is the sum of, by name.
    fn terms(&mut self, points: &[Point]) -> Vec<(&'static str, f64)>;
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Most evaluations of the energy.
    pub steps: usize,
    /// The largest force on a point that counts as none (GROMACS's `emtol`).
    pub tolerance: f64,
    /// How far the point with the largest force goes in the first step of a descent (`emstep`).
    pub step: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub steps: usize,
    pub energy: f64,
    /// The largest force on a point.
    pub force: f64,
    pub settled: bool,
}

/// Told after every step: how many, the energy, the largest force.
pub type Watch<'a> = dyn FnMut(usize, f64, f64) -> Result<()> + 'a;

/// Told how many of how many are done.
pub type Tick<'a> = dyn FnMut(usize, usize) -> Result<()> + Send + 'a;

/// Makes `count` things, several at a time.
pub fn each<T: Send>(
    count: usize,
    tick: &mut Tick,
    make: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let told = Mutex::new((0, tick));
    let one = |i: usize| {
        let made = make(i)?;
        // Poisoned by a panic elsewhere, which ends all anyway.
        if let Ok(mut told) = told.lock() {
            told.0 += 1;
            let done = told.0;
            (told.1)(done, count)?;
        }
        Ok(made)
    };
    (0..count).into_par_iter().map(one).collect()
}

/// A step that lowers the energy makes the next one longer, another one is taken back and made shorter.
const LONGER: f64 = 1.2;
const SHORTER: f64 = 0.2;
/// Steps that L-BFGS remembers.
const MEMORY: usize = 12;
/// No point moves farther in one step of L-BFGS than this many first steps of a descent.
const LEAP: f64 = 20.0;
/// Least share of the decrease that the gradient promises (Armijo).
const PROMISE: f64 = 1e-4;
/// Halvings of a step before the memory is dropped.
const HALVINGS: usize = 12;

struct State<'a> {
    energy: &'a mut dyn Energy,
    gradient: Vec<Point>,
    value: f64,
    steps: usize,
}

fn largest(vectors: &[Point]) -> f64 {
    vectors.iter().map(Point::norm_squared).fold(0.0, f64::max).sqrt()
}

fn dot(a: &[Point], b: &[Point]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.dot(b)).sum()
}

impl<'a> State<'a> {
    fn new(energy: &'a mut dyn Energy, points: &[Point]) -> Result<State<'a>> {
        let mut state = State { energy, gradient: vec![], value: 0.0, steps: 0 };
        let (value, gradient) = state.at(points);
        if !value.is_finite() || gradient.iter().any(|g| !g.norm_squared().is_finite()) {
            let why =
                "the energy of the structure to be minimised is not finite: two of its points may coincide";
            return Err(Error::NotFinite(why.into()));
        }
        (state.value, state.gradient) = (value, gradient);
        Ok(state)
    }

    fn at(&mut self, points: &[Point]) -> (f64, Vec<Point>) {
        let mut gradient = vec![Point::zeros(); points.len()];
        let value = self.energy.add(points, &mut gradient);
        (value, gradient)
    }

    fn outcome(&self, tolerance: f64) -> Outcome {
        let force = largest(&self.gradient);
        Outcome { steps: self.steps, energy: self.value, force, settled: force <= tolerance }
    }

    /// Goes by `shift` where the energy falls to `most` or below.
    fn go(&mut self, points: &mut [Point], shift: &[Point], most: f64) -> bool {
        let trial: Vec<Point> = points.iter().zip(shift).map(|(p, s)| p + s).collect();
        let (value, gradient) = self.at(&trial);
        self.steps += 1;
        // NaN is no fall.
        let falls = value <= most && gradient.iter().all(|g| g.norm_squared().is_finite());
        if falls {
            points.copy_from_slice(&trial);
            (self.value, self.gradient) = (value, gradient);
        }
        falls
    }
}

/// Steepest descent.
pub fn descend(
    energy: &mut dyn Energy,
    points: &mut [Point],
    settings: &Settings,
    watch: &mut Watch,
) -> Result<Outcome> {
    let mut state = State::new(energy, points)?;
    let mut length = settings.step;
    loop {
        let now = state.outcome(settings.tolerance);
        watch(now.steps, now.energy, now.force)?;
        // A step that no longer changes a coordinate.
        if now.settled || now.steps >= settings.steps || length < 1e-12 {
            return Ok(now);
        }
        let shift: Vec<Point> = state.gradient.iter().map(|g| g * (-length / now.force)).collect();
        let value = state.value;
        length *= if state.go(points, &shift, value) { LONGER } else { SHORTER };
    }
}

/// L-BFGS with steps taken back until the energy falls; slower to begin than a descent, much faster to end.
pub fn lbfgs(
    energy: &mut dyn Energy,
    points: &mut [Point],
    settings: &Settings,
    watch: &mut Watch,
) -> Result<Outcome> {
    let mut state = State::new(energy, points)?;
    let mut memory: VecDeque<(Vec<Point>, Vec<Point>)> = VecDeque::new();
    loop {
        let now = state.outcome(settings.tolerance);
        watch(now.steps, now.energy, now.force)?;
        if now.settled || now.steps >= settings.steps {
            return Ok(now);
        }
        let mut shift = direction(&state.gradient, &memory);
        let mut slope = dot(&shift, &state.gradient);
        if slope.is_nan() || slope >= 0.0 {
            memory.clear();
            shift = state.gradient.iter().map(|g| -g).collect();
            slope = -dot(&state.gradient, &state.gradient);
        }
        let most = if memory.is_empty() { settings.step } else { settings.step * LEAP };
        let mut scale = (most / largest(&shift).max(1e-300)).min(1.0);
        let (before, gradient, value) = (points.to_vec(), state.gradient.clone(), state.value);
        let mut fell = false;
        for _ in 0..HALVINGS {
            let part: Vec<Point> = shift.iter().map(|s| s * scale).collect();
            fell = state.go(points, &part, value + PROMISE * scale * slope);
            if fell || state.steps >= settings.steps {
                break;
            }
            scale *= 0.5;
        }
        if !fell {
            if memory.is_empty() {
                return Ok(state.outcome(settings.tolerance));
            }
            memory.clear();
            continue;
        }
        let step: Vec<Point> = points.iter().zip(&before).map(|(a, b)| a - b).collect();
        let turn: Vec<Point> = state.gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&step, &turn) > 1e-12 * dot(&turn, &turn) {
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            memory.push_back((step, turn));
        }
    }
}

/// The two-loop recursion: minus the inverse Hessian, as far as it is remembered, times the gradient.
fn direction(gradient: &[Point], memory: &VecDeque<(Vec<Point>, Vec<Point>)>) -> Vec<Point> {
    let mut q: Vec<Point> = gradient.iter().map(|g| -g).collect();
    let mut shares = vec![];
    for (step, turn) in memory.iter().rev() {
        let share = dot(step, &q) / dot(step, turn);
        q.iter_mut().zip(turn).for_each(|(q, t)| *q -= t * share);
        shares.push(share);
    }
    if let Some((step, turn)) = memory.back() {
        let scale = dot(step, turn) / dot(turn, turn);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((step, turn), share) in memory.iter().zip(shares.into_iter().rev()) {
        let more = share - dot(turn, &q) / dot(step, turn);
        q.iter_mut().zip(step).for_each(|(q, s)| *q += s * more);
    }
    q
}

/// Terms that are evaluated together. Their sums go in the order of the terms, so threads do not change bits.
const CHUNK: usize = 2048;

/// Adds up terms over `K` points each: `of` gives a term's energy, its points and their gradients.
pub fn sum<T: Sync, const K: usize>(
    terms: &[T],
    gradient: &mut [Point],
    of: impl Fn(&T) -> (f64, [(usize, Point); K]) + Sync,
) -> f64 {
    let mut total = 0.0;
    let mut add = |(value, parts): (f64, [(usize, Point); K])| {
        total += value;
        parts.iter().for_each(|(i, g)| gradient[*i] += g);
    };
    if terms.len() <= CHUNK {
        terms.iter().map(of).for_each(&mut add);
    } else {
        let found: Vec<Vec<_>> = terms.par_chunks(CHUNK).map(|c| c.iter().map(&of).collect()).collect();
        found.into_iter().flatten().for_each(&mut add);
    }
    total
}

/// Pairs of points within a reach of one another, listed anew only when points have moved.
pub struct NearPairs {
    reach: f64,
    skin: f64,
    pairs: Vec<(usize, usize)>,
    listed_at: Vec<Point>,
}

impl NearPairs {
    /// Lists reach farther by `skin`, and hold until a point has moved half of it.
    pub fn new(reach: f64, skin: f64) -> NearPairs {
        NearPairs { reach, skin, pairs: vec![], listed_at: vec![] }
    }

    /// Pairs (i < j) that `keep` has, which must not change from call to call; some are farther apart than the reach.
    pub fn of(&mut self, points: &[Point], keep: impl Fn(usize, usize) -> bool) -> &[(usize, usize)] {
        let far = 0.25 * self.skin * self.skin;
        // NaN has moved far.
        let stays = |(a, b): (&Point, &Point)| (a - b).norm_squared() <= far;
        if self.listed_at.len() != points.len() || !self.listed_at.iter().zip(points).all(stays) {
            self.pairs = near_pairs(points, self.reach + self.skin);
            self.pairs.retain(|&(i, j)| keep(i, j));
            self.listed_at = points.to_vec();
        }
        &self.pairs
    }
}
