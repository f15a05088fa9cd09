//! PCCA+: the slow eigenvectors of a reversible Markov model turned into memberships of metastable sets (Deuflhard and
//! Weber 2005; Röblitz and Weber 2013).

use nalgebra::DMatrix;

use super::markov::MarkovModel;
use crate::error::{Error, Result};

/// Climbs from rounded to sharp, at most, and steps of each.
const ROUNDS: usize = 3;
const STEPS: usize = 150;
/// A sharpness at which nothing is rounded off.
const SHARP: f64 = 1e12;

/// Coarse states of a Markov model.
#[derive(Debug, Clone)]
pub struct Pcca {
    /// [active, sets], rows sum to 1.
    pub memberships: DMatrix<f64>,
    /// Set of each active state: that of its greatest membership.
    pub sets: Vec<usize>,
}

impl Pcca {
    /// Divides the states of a model into `sets`.
    pub fn fit(model: &MarkovModel, sets: usize) -> Result<Self> {
        let n = model.active.len();
        if sets == 0 || sets > n {
            return Err(Error::usage(format!(
                "PCCA+: {n} connected states cannot make {sets} coarse states; ask for 1 to {n}"
            )));
        }
        if sets == 1 {
            return Ok(Pcca { memberships: DMatrix::repeat(n, 1, 1.0), sets: vec![0; n] });
        }
        let (_, vectors) = model.eigen()?;
        let x = vectors.columns(0, sets).into_owned();
        let corners = simplex_corners(&x);
        let ends = DMatrix::from_fn(sets, sets, |i, j| x[(corners[i], j)]);
        let Some(mut rotation) = ends.try_inverse() else {
            return Err(Error::usage(format!(
                "PCCA+: the slow processes do not tell {sets} sets apart; ask for fewer coarse states"
            )));
        };
        make_feasible(&mut rotation, &x, SHARP);
        sharpen(&mut rotation, &x);
        let memberships = &x * rotation;
        let greatest = |row: usize| {
            (0..sets).fold(0, |b, j| if memberships[(row, j)] > memberships[(row, b)] { j } else { b })
        };
        let sets = (0..n).map(greatest).collect();
        Ok(Pcca { memberships, sets })
    }

    /// Set of every state of the numbering of `model`; `None` for those it does not hold.
    pub fn all_sets(&self, model: &MarkovModel) -> Vec<Option<u32>> {
        let mut all = vec![None; model.states];
        model.active.iter().zip(&self.sets).for_each(|(&state, &set)| all[state] = Some(set as u32));
        all
    }
}

/// The rows that span the largest simplex, found one after the other (inner simplex algorithm, Weber and Galliat 2002).
fn simplex_corners(x: &DMatrix<f64>) -> Vec<usize> {
    let (n, k) = x.shape();
    let norms = |m: &DMatrix<f64>| -> Vec<f64> { (0..n).map(|i| m.row(i).norm()).collect() };
    let farthest = |v: &[f64]| (0..n).fold(0, |b, i| if v[i] > v[b] { i } else { b });
    let first = farthest(&norms(x));
    let mut corners = vec![first];
    let origin = x.row(first).into_owned();
    let mut rest = x.clone();
    rest.row_iter_mut().for_each(|mut row| row -= &origin);
    while corners.len() < k {
        let next = farthest(&norms(&rest));
        corners.push(next);
        let direction = rest.row(next).into_owned();
        let square = direction.norm_squared();
        if square > 0.0 {
            for mut row in rest.row_iter_mut() {
                let along = row.dot(&direction) / square;
                row -= &direction * along;
            }
        }
    }
    corners
}

/// The least membership of each set, without the constant part, and its derivative by the entries of the set's column.
/// A minimum has kinks where it changes place, at which a climb gets stuck; this one is rounded off: the sharper, the
/// nearer to the minimum.
fn least(rotation: &DMatrix<f64>, x: &DMatrix<f64>, sharpness: f64) -> (Vec<f64>, DMatrix<f64>) {
    let k = rotation.nrows();
    let part = x.columns(1, k - 1) * rotation.rows(1, k - 1);
    let bottom: Vec<f64> = part.column_iter().map(|c| c.min()).collect();
    let mut weights = DMatrix::from_fn(x.nrows(), k, |i, j| (-sharpness * (part[(i, j)] - bottom[j])).exp());
    let mut values = bottom;
    for (value, mut column) in values.iter_mut().zip(weights.column_iter_mut()) {
        let sum = column.sum();
        *value -= sum.ln() / sharpness;
        column /= sum;
    }
    (values, x.transpose() * weights)
}

/// Makes memberships non-negative with rows that sum to 1: the first column and the first row follow from the rest.
/// Returns the derivative of the least memberships.
fn make_feasible(rotation: &mut DMatrix<f64>, x: &DMatrix<f64>, sharpness: f64) -> DMatrix<f64> {
    let k = rotation.nrows();
    for i in 1..k {
        rotation[(i, 0)] = -(1..k).map(|j| rotation[(i, j)]).sum::<f64>();
    }
    let (values, slopes) = least(rotation, x, sharpness);
    values.iter().enumerate().for_each(|(j, v)| rotation[(0, j)] = -v);
    let sum = rotation.row(0).sum();
    if sum > 0.0 {
        *rotation /= sum;
    }
    slopes
}

/// How crisp the memberships are: the trace of their normalised overlap, at most the number of sets.
fn crispness(rotation: &DMatrix<f64>) -> f64 {
    let of =
        |c: nalgebra::DVectorView<f64>| if c[0] > 0.0 { c.norm_squared() / c[0] } else { f64::NEG_INFINITY };
    let value = rotation.column_iter().map(of).sum::<f64>();
    if value.is_nan() { f64::NEG_INFINITY } else { value }
}

/// Climbs to the crispest feasible memberships: sharply at first, then again and again from rounded to sharp, as long as
/// that helps.
fn sharpen(rotation: &mut DMatrix<f64>, x: &DMatrix<f64>) {
    let mut value = f64::NEG_INFINITY;
    for round in 0..=ROUNDS {
        let before = value;
        let schedule: &[f64] = if round == 0 { &[SHARP] } else { &[1e2, 1e3, 1e4, 1e5, SHARP] };
        for &sharpness in schedule {
            let mut trial = climb(rotation, x, sharpness);
            make_feasible(&mut trial, x, SHARP);
            let there = crispness(&trial);
            if there > value {
                (*rotation, value) = (trial, there);
            }
        }
        if round > 0 && value - before < 1e-6 {
            return;
        }
    }
}

/// Gradient ascent; steps that do not climb are halved.
fn climb(from: &DMatrix<f64>, x: &DMatrix<f64>, sharpness: f64) -> DMatrix<f64> {
    let k = from.nrows();
    let mut rotation = from.clone();
    let mut slopes = make_feasible(&mut rotation, x, sharpness);
    let (mut value, mut step) = (crispness(&rotation), 0.1);
    for _ in 0..STEPS {
        // By entry (i, j), i > 0, with the first row following the least memberships; the scale is free, so that of the
        // first row's sum, 1, is divided out.
        let by_entry = |i: usize, j: usize| {
            let (top, square) = (rotation[(0, j)], rotation.column(j).rows(1, k - 1).norm_squared());
            2.0 * rotation[(i, j)] / top - (1.0 - square / (top * top) - value) * slopes[(i, j)]
        };
        let mut gradient = DMatrix::zeros(k, k);
        for (i, j) in (1..k).flat_map(|i| (1..k).map(move |j| (i, j))) {
            gradient[(i, j)] = by_entry(i, j) - by_entry(i, 0);
        }
        let length = gradient.norm();
        if !(length > 1e-12 && length.is_finite()) {
            return rotation;
        }
        gradient *= rotation.norm() / length;
        loop {
            let mut trial = &rotation + &gradient * step;
            let trial_slopes = make_feasible(&mut trial, x, sharpness);
            let there = crispness(&trial);
            if there > value {
                (rotation, slopes, value) = (trial, trial_slopes, there);
                break;
            }
            step *= 0.5;
            if step < 1e-9 {
                return rotation;
            }
        }
        step *= 1.5;
    }
    rotation
}
