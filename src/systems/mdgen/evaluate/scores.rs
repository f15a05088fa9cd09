//! How far an ensemble lies from the reference: distributions, states and everything that is ordered in time.

use rayon::prelude::*;
use serde::Serialize;

use super::Options;
use super::features::{Angles, Part, Torsion};
use super::states::{Placed, States, lag_frames, rows};
use crate::error::Result;
use crate::stats::autocorrelation::{decorrelation, falls_below, products};
use crate::stats::divergence::{Bins, histogram_2d, jensen_shannon};
use crate::stats::markov::MarkovModel;
use crate::stats::rank::{mean, spearman};

/// What a torsion or a coordinate has forgotten when its correlation is down to this.
const FORGOTTEN: f64 = 0.367_879_441_171_442_33;
/// Lags at which decorrelation curves are compared, evenly spaced in their logarithm.
const COMPARED: usize = 40;

/// A reference, seen as all others are.
pub struct Reference<'a> {
    pub torsions: &'a [Torsion],
    pub angles: &'a Angles,
    pub states: &'a States,
    pub placed: Placed,
    pub curves: Vec<Curve>,
    pub slow: Curve,
    /// Ranges of the first two coordinates.
    pub ranges: [(f64, f64); 2],
}

/// How a quantity forgets: correlation by time.
#[derive(Debug, Clone, Default)]
pub struct Curve {
    /// Picoseconds between values.
    pub step: f64,
    /// From lag 0; empty for what never moves.
    pub values: Vec<f64>,
}

impl Curve {
    /// Picoseconds until it is forgotten; `None` if that is beyond the curve.
    pub fn time(&self) -> Option<f64> {
        falls_below(&self.values, FORGOTTEN).map(|k| k * self.step)
    }

    /// The value after `time` picoseconds, between lags by a straight line.
    fn at(&self, time: f64) -> Option<f64> {
        let place = time / self.step;
        let below = place.floor() as usize;
        let (a, t) = (*self.values.get(below)?, place - below as f64);
        let b = if t > 1e-9 { *self.values.get(below + 1)? } else { a };
        Some(a + t * (b - a))
    }

    /// Mean absolute difference of two curves over the lags that both have, evenly spaced in their logarithm.
    fn distance(&self, other: &Curve) -> Option<f64> {
        let first = self.step.max(other.step);
        let end = |c: &Curve| c.values.len().saturating_sub(1) as f64 * c.step;
        let last = end(self).min(end(other));
        if last < first {
            return None;
        }
        let time = |i: usize| first * (last / first).powf(i as f64 / (COMPARED - 1) as f64);
        let all: Vec<f64> = (0..COMPARED)
            .filter_map(|i| Some((self.at(time(i).min(last))? - other.at(time(i).min(last))?).abs()))
            .collect();
        (!all.is_empty()).then(|| mean(&all))
    }
}

/// Decorrelation of every torsion.
pub fn curves(angles: &Angles, longest: f64) -> Vec<Curve> {
    let lags = lags(angles, longest);
    let one = |i: usize| Curve {
        step: angles.step,
        values: decorrelation(&angles.wide(i), lags).unwrap_or_default(),
    };
    (0..angles.series.len()).into_par_iter().map(one).collect()
}

/// Autocorrelation of the slowest coordinate around its mean, 1 at lag 0.
pub fn slow_curve(placed: &Placed, angles: &Angles, longest: f64) -> Curve {
    let x = placed.coordinate(0);
    let middle = mean(&x);
    let centred: Vec<f64> = x.iter().map(|v| v - middle).collect();
    let values = products(&centred, lags(angles, longest));
    let first = values.first().copied().unwrap_or(0.0);
    let values = if first > 0.0 { values.iter().map(|v| v / first).collect() } else { Vec::new() };
    Curve { step: angles.step, values }
}

/// Beyond half of a trajectory hardly any pairs are left to average.
fn lags(angles: &Angles, longest: f64) -> usize {
    (longest / angles.step).min((angles.frames / 2) as f64) as usize + 1
}

/// Means over torsions.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ByPart {
    pub backbone: Option<f64>,
    /// `None` for a chain of alanine and glycine alone.
    pub side_chain: Option<f64>,
    pub all: Option<f64>,
}

impl ByPart {
    fn of(torsions: &[Torsion], values: &[Option<f64>]) -> ByPart {
        let over = |wanted: &dyn Fn(&Torsion) -> bool| {
            let chosen = torsions.iter().zip(values).filter(|(t, _)| wanted(t)).filter_map(|(_, v)| *v);
            average(chosen)
        };
        ByPart {
            backbone: over(&|t| t.in_backbone()),
            side_chain: over(&|t| !t.in_backbone()),
            all: over(&|_| true),
        }
    }
}

/// The mean of some numbers; `None` of none.
pub fn average(values: impl Iterator<Item = f64>) -> Option<f64> {
    let all: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    (!all.is_empty()).then(|| mean(&all))
}

/// Everything about one torsion.
#[derive(Debug, Clone, Serialize)]
pub struct TorsionScore {
    pub name: String,
    pub jsd: f64,
    /// Picoseconds until the correlation is down to 1/e; none where it is not within the curve.
    pub decorrelation_ps: Option<f64>,
}

/// The comparison of one trajectory with the reference. Distances are Jensen–Shannon distances, between 0 and 0.833.
#[derive(Debug, Clone, Serialize)]
pub struct Scores {
    pub frames: usize,
    pub step_ps: f64,
    /// Ensemble: 1-D, of each torsion.
    pub torsion_jsd: ByPart,
    /// Ensemble: φ and ψ of the same residue in two dimensions, mean over residues.
    pub ramachandran_jsd: Option<f64>,
    pub tica_0_jsd: f64,
    pub tica_01_jsd: Option<f64>,
    /// Frames in each coarse state.
    pub occupancy_jsd: f64,
    pub occupancy: Vec<f64>,
    /// Stationary distributions of the Markov models on coarse states; none where the trajectory is too short.
    pub state_jsd: Option<f64>,
    pub stationary: Option<Vec<f64>>,
    /// Kinetics: distance of the rows of the transition matrices, weighted by the reference's stationary distribution.
    pub transition_jsd: Option<f64>,
    /// Kinetics: Spearman correlation of the flux between different states with the reference's.
    pub flux_correlation: Option<f64>,
    pub transition: Option<Vec<Vec<f64>>>,
    /// Kinetics: slowest implied timescale of the coarse model, ps.
    pub slowest_ps: Option<f64>,
    /// Kinetics: mean absolute difference of the torsions' decorrelation curves from the reference's.
    pub decorrelation_error: ByPart,
    /// Kinetics: mean of |log10| of the ratio of decorrelation times, over torsions that forget within both curves.
    pub decorrelation_time_error: ByPart,
    /// Kinetics: the same difference of curves for the slowest coordinate.
    pub tica_0_decorrelation_error: Option<f64>,
    /// Share of frames in no state of the reference's model.
    pub lost: f64,
    pub torsions: Vec<TorsionScore>,
    #[serde(skip)]
    pub curves: Vec<Curve>,
    #[serde(skip)]
    pub slow: Curve,
}

impl Scores {
    /// Leaves out all that is ordered in time.
    pub fn forget_kinetics(&mut self) {
        let none = ByPart { backbone: None, side_chain: None, all: None };
        (self.decorrelation_error, self.decorrelation_time_error) = (none, none);
        (self.state_jsd, self.stationary, self.transition_jsd) = (None, None, None);
        (self.flux_correlation, self.transition, self.slowest_ps) = (None, None, None);
        self.tica_0_decorrelation_error = None;
        self.torsions.iter_mut().for_each(|t| t.decorrelation_ps = None);
        self.curves.iter_mut().for_each(|c| *c = Curve::default());
        self.slow = Curve::default();
    }
}

impl<'a> Reference<'a> {
    pub fn new(
        torsions: &'a [Torsion],
        angles: &'a Angles,
        states: &'a States,
        options: &Options,
    ) -> Result<Self> {
        let placed = states.place(angles)?;
        let range = |c: usize| {
            let bins = Bins::over(placed.coordinate(c).into_iter(), 1);
            (bins.low, bins.high)
        };
        let longest = options.correlation.unwrap_or(f64::INFINITY);
        Ok(Reference {
            torsions,
            angles,
            states,
            ranges: [range(0), range(1)],
            curves: curves(angles, longest),
            slow: slow_curve(&placed, angles, longest),
            placed,
        })
    }

    /// Scores another trajectory of the same torsions.
    pub fn score(&self, angles: &Angles, options: &Options) -> Result<Scores> {
        self.score_placed(angles, &self.states.place(angles)?, options)
    }

    /// As [`Reference::score`], for a trajectory that stands in the reference's coordinates already.
    pub fn score_placed(&self, angles: &Angles, placed: &Placed, options: &Options) -> Result<Scores> {
        let count = self.states.coarse_states;
        let circle = Bins::circle(options.bins);
        let jsd: Vec<f64> = (0..self.torsions.len())
            .into_par_iter()
            .map(|i| {
                let of = |a: &Angles| circle.histogram(a.series[i].iter().map(|&v| f64::from(v)));
                jensen_shannon(&of(self.angles), &of(angles))
            })
            .collect();

        let longest = options.correlation.unwrap_or(f64::INFINITY);
        let curves = curves(angles, longest);
        let slow = slow_curve(placed, angles, longest);
        let error: Vec<Option<f64>> = self.curves.iter().zip(&curves).map(|(a, b)| a.distance(b)).collect();
        let ratio: Vec<Option<f64>> = self
            .curves
            .iter()
            .zip(&curves)
            .map(|(a, b)| Some((a.time()? / b.time()?).log10().abs()))
            .collect();

        let occupancy = placed.occupancy(count);
        let model = placed.model(count, lag_frames(options.lag, angles.step));
        let stationary = model.as_ref().map(MarkovModel::all_stationary);
        let reference_stationary = self.states.coarse.all_stationary();
        let slowest = model.as_ref().and_then(|m| m.timescales().ok()?.first().copied().flatten());
        let torsions = self.torsions.iter().zip(&jsd).zip(&curves).map(|((torsion, &jsd), curve)| {
            TorsionScore { name: torsion.name(), jsd, decorrelation_ps: curve.time() }
        });
        let jsd: Vec<Option<f64>> = jsd.iter().map(|v| Some(*v)).collect();
        Ok(Scores {
            frames: angles.frames,
            step_ps: angles.step,
            torsion_jsd: ByPart::of(self.torsions, &jsd),
            ramachandran_jsd: average(self.ramachandran(angles, options.bins_2d).into_iter()),
            tica_0_jsd: self.along(placed, options.bins),
            tica_01_jsd: (placed.components > 1).then(|| self.in_plane(placed, options.bins_2d)),
            occupancy_jsd: jensen_shannon(&self.placed.occupancy(count), &occupancy),
            state_jsd: stationary.as_ref().map(|p| jensen_shannon(&reference_stationary, p)),
            transition_jsd: model.as_ref().map(|m| self.transitions(m, &reference_stationary)),
            flux_correlation: model.as_ref().map(|m| self.fluxes(m)).filter(|v| v.is_finite()),
            transition: model.as_ref().map(|m| rows(&m.all_transition())),
            stationary,
            slowest_ps: slowest.map(|frames| frames * angles.step),
            decorrelation_error: ByPart::of(self.torsions, &error),
            decorrelation_time_error: ByPart::of(self.torsions, &ratio),
            tica_0_decorrelation_error: self.slow.distance(&slow),
            lost: placed.lost as f64 / angles.frames.max(1) as f64,
            occupancy,
            torsions: torsions.collect(),
            curves,
            slow,
        })
    }

    /// φ and ψ of each residue that has both.
    fn ramachandran(&self, angles: &Angles, bins: usize) -> Vec<f64> {
        let circle = Bins::circle(bins);
        let find = |residue: usize, part: Part| {
            self.torsions.iter().position(|t| t.residue == residue && t.part == part)
        };
        let residues = self.torsions.iter().map(|t| t.residue + 1).max().unwrap_or(0);
        let both = (0..residues).filter_map(|r| Some((find(r, Part::Phi)?, find(r, Part::Psi)?)));
        both.map(|(phi, psi)| {
            let of = |a: &Angles| {
                let pairs = a.series[phi].iter().zip(&a.series[psi]);
                histogram_2d(circle, circle, pairs.map(|(&x, &y)| (f64::from(x), f64::from(y))))
            };
            jensen_shannon(&of(self.angles), &of(angles))
        })
        .collect()
    }

    /// Bins over the union of both ranges, so that no frame is left out.
    fn union(&self, component: usize, other: &[f64], count: usize) -> Bins {
        let (low, high) = self.ranges[component];
        Bins::over(other.iter().copied().chain([low, high]), count)
    }

    fn along(&self, placed: &Placed, bins: usize) -> f64 {
        let x = placed.coordinate(0);
        let bins = self.union(0, &x, bins);
        let own = bins.histogram(self.placed.coordinate(0).into_iter());
        jensen_shannon(&own, &bins.histogram(x.into_iter()))
    }

    fn in_plane(&self, placed: &Placed, bins: usize) -> f64 {
        let (x, y) = (placed.coordinate(0), placed.coordinate(1));
        let (along, across) = (self.union(0, &x, bins), self.union(1, &y, bins));
        let own = self.placed.coordinate(0).into_iter().zip(self.placed.coordinate(1));
        let own = histogram_2d(along, across, own);
        jensen_shannon(&own, &histogram_2d(along, across, x.into_iter().zip(y)))
    }

    fn transitions(&self, model: &MarkovModel, weights: &[f64]) -> f64 {
        let (own, other) = (self.states.coarse.all_transition(), model.all_transition());
        let row = |i: usize, m: &nalgebra::DMatrix<f64>| m.row(i).iter().copied().collect::<Vec<f64>>();
        (0..weights.len()).map(|i| weights[i] * jensen_shannon(&row(i, &own), &row(i, &other))).sum()
    }

    fn fluxes(&self, model: &MarkovModel) -> f64 {
        let count = self.states.coarse_states;
        let of = |m: &MarkovModel| -> Vec<f64> {
            let flux = m.flux();
            let one = |i: usize, j: usize| Some(flux[(m.place(i)?, m.place(j)?)]);
            (0..count)
                .flat_map(|i| (i + 1..count).map(move |j| (i, j)))
                .map(|(i, j)| one(i, j).unwrap_or(0.0))
                .collect()
        };
        spearman(&of(&self.states.coarse), &of(model))
    }
}
