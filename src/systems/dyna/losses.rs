//! What keeps predicted structures physical: bonds, an elastic network that lets go where structures differ, and
//! no residues in one place. Places are `[N, 3, B]`: a coordinate's values in all images stand side by side.

use super::graph::{Pairs, Springs};
use crate::ops::gather::Gather;
use crate::ops::sort::Sort;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// Factors of what holds residues.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    pub connected: f32,
    pub elastic: f32,
    pub clash: f32,
}

/// A part of a loss.
#[derive(Clone, Copy)]
pub struct Part<'t> {
    pub name: &'static str,
    pub weight: f32,
    pub value: Var<'t>,
}

/// What holds the structures of a stage.
pub trait Structural: Send + Sync {
    /// Of places `[N, 3, B]`.
    fn parts<'t>(&self, places: Var<'t>) -> Vec<Part<'t>>;
}

/// Distances `[P, B]` of pairs.
pub(super) fn distances<'t>(places: Var<'t>, pairs: &[(usize, usize)]) -> Var<'t> {
    let tape = places.tape();
    let end = |which: fn(&(usize, usize)) -> usize| {
        let index = pairs.iter().map(|pair| which(pair) as i32).collect();
        tape.special(Gather, &[places, tape.constant(Tensor::i32(&[pairs.len()], index))])
    };
    let away = end(|pair| pair.0) - end(|pair| pair.1);
    // Two residues in one place have no direction to part in; the root's derivative must stay finite.
    away.square().sum(&[1]).add_scalar(1e-12).sqrt()
}

/// Squared differences `[P, B]` from the reference's distances.
fn strains<'t>(places: Var<'t>, pairs: &Pairs) -> Var<'t> {
    let reference: Vec<f32> = pairs.distances.iter().map(|&d| d as f32).collect();
    let reference = places.tape().constant(Tensor::f32(&[pairs.len(), 1], reference));
    (distances(places, &pairs.members) - reference).square()
}

/// Which pairs `[P, 1]` are kept: those whose strain varies less over the batch than the quantile `keep` of all.
/// Pairs that vary most move in truth.
pub fn kept<'t>(strains: Var<'t>, keep: f64) -> Var<'t> {
    let tape = strains.tape();
    let (count, batch) = (strains.dim(0), strains.dim(1));
    let centred = strains - strains.mean_keep(&[1]);
    let variance = centred.square().sum(&[1]).scale(1.0 / (batch.max(2) - 1) as f32);
    let order = tape.special(Sort { descending: false, flat: true }, &[variance]);
    let sorted = tape.special(Gather, &[variance, order]);
    // Between the two nearest ranks, linearly.
    let place = keep.clamp(0.0, 1.0) * count.saturating_sub(1) as f64;
    let (low, part) = (place.floor() as usize, place.fract() as f32);
    let high = (low + 1).min(count.saturating_sub(1));
    let (low, high) = (sorted.slice(0, low, 1), sorted.slice(0, high, 1));
    let quantile = low + (high - low).scale(part);
    quantile.greater(variance).reshape(&[count, 1])
}

fn zero<'t>(tape: &'t Tape) -> Var<'t> {
    tape.scalar(0.0)
}

/// Mean squared change of the distances of `connected` neighbours.
pub fn connected<'t>(places: Var<'t>, pairs: &Pairs) -> Var<'t> {
    if pairs.is_empty() { zero(places.tape()) } else { strains(places, pairs).mean_all() }
}

/// Mean squared change of distances, over the pairs of each chain that are kept and all pairs between chains.
pub fn elastic<'t>(places: Var<'t>, chains: &[Pairs], between: &Pairs, keep: f64) -> Var<'t> {
    let tape = places.tape();
    let batch = places.dim(2) as f32;
    let (mut sum, mut count) = (zero(tape), zero(tape));
    for pairs in chains.iter().filter(|pairs| !pairs.is_empty()) {
        let strains = strains(places, pairs);
        if keep >= 1.0 || places.dim(2) < 2 {
            sum = sum + strains.sum_all();
            count = count.add_scalar(batch * pairs.len() as f32);
            continue;
        }
        let kept = kept(strains, keep);
        sum = sum + (strains * kept).sum_all();
        count = count + kept.sum_all().scale(batch);
    }
    if !between.is_empty() {
        sum = sum + strains(places, between).sum_all();
        count = count.add_scalar(batch * between.len() as f32);
    }
    sum / count.maximum(tape.scalar(1.0))
}

/// Mean of `(least - d)^2` over the pairs that are nearer than `least`.
pub fn clash<'t>(places: Var<'t>, pairs: &Pairs, least: f64) -> Var<'t> {
    let tape = places.tape();
    if pairs.is_empty() {
        return zero(tape);
    }
    let short = tape.scalar(least as f32) - distances(places, &pairs.members);
    let near = short.greater(tape.scalar(0.0));
    let sum = short.relu().square().sum_all();
    sum / near.sum_all().maximum(tape.scalar(1.0))
}

/// Kullback and Leibler's divergence of normal distributions `[B, z]` from the standard one: the mean over images and
/// numbers, none of which counts less than `free`.
pub fn divergence<'t>(mean: Var<'t>, log_variance: Var<'t>, free: f64) -> Var<'t> {
    let each = (mean.square() + log_variance.exp() - log_variance.add_scalar(1.0)).scale(0.5);
    each.maximum(mean.tape().scalar(free as f32)).mean_all()
}

/// What holds residues.
pub struct Residues {
    pub springs: Springs,
    pub weights: Weights,
    /// Share of the elastic network that holds.
    pub keep: f64,
    /// No two residues are to come nearer, Å.
    pub least: f64,
}

impl Structural for Residues {
    fn parts<'t>(&self, places: Var<'t>) -> Vec<Part<'t>> {
        let (springs, w) = (&self.springs, &self.weights);
        let elastic = elastic(places, &springs.chains, &springs.between, self.keep);
        vec![
            Part { name: "bonds", weight: w.connected, value: connected(places, &springs.connected) },
            Part { name: "elastic", weight: w.elastic, value: elastic },
            Part { name: "clash", weight: w.clash, value: clash(places, &springs.clashing, self.least) },
        ]
    }
}
