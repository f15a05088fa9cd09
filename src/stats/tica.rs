//! Time-lagged independent component analysis (Molgedey and Schuster 1994; Pérez-Hernández et al. 2013) of reversible
//! dynamics, with coordinates scaled to a kinetic map (Noé and Clementi 2015): directions that forget most slowly.

use nalgebra::{DMatrix, SymmetricEigen};
use rayon::prelude::*;

use super::matrix::Matrix;
use crate::error::{Error, Result};

/// Pairs of frames a task: sums are made within chunks and added in their order.
const CHUNK: usize = 4096;
/// Variance of a feature, or share of the largest variance along a direction, that counts as none.
const NOTHING: f64 = 1e-6;

#[derive(Debug, Clone)]
pub struct Tica {
    /// Frames.
    pub lag: usize,
    /// [d]
    pub mean: Vec<f64>,
    /// Autocorrelation at the lag along each direction, largest first; all of them.
    pub eigenvalues: Vec<f64>,
    /// Features that never change and say nothing.
    pub constant: Vec<usize>,
    /// [d, k], coordinates of centred features; each column has the length of its eigenvalue in units of variance 1.
    map: DMatrix<f64>,
}

impl Tica {
    /// Fits to the rows of one or more trajectories [frames, d]. As many components are kept as hold `share` of the
    /// kinetic variance (the sum of squared eigenvalues), and at least two where there are two.
    pub fn fit(trajectories: &[Matrix], lag: usize, share: f64) -> Result<Self> {
        let Some(d) = trajectories.first().map(Matrix::cols) else {
            return Err(Error::usage("TICA needs at least one trajectory"));
        };
        if trajectories.iter().any(|x| x.cols() != d) {
            return Err(Error::Shape("TICA: the trajectories have different numbers of features".into()));
        }
        let longest = trajectories.iter().map(Matrix::rows).max().unwrap_or(0);
        if lag == 0 || lag >= longest {
            return Err(Error::usage(format!(
                "TICA: a lag of {lag} frames does not fit a trajectory of {longest}; choose a lag of 1 to {}",
                longest.saturating_sub(1)
            )));
        }
        trajectories.iter().try_for_each(|x| x.check_finite("TICA"))?;
        let mean = pair_means(trajectories, lag, d);
        let (instant, lagged) = covariances(trajectories, lag, &mean);
        let constant: Vec<usize> = (0..d).filter(|&i| instant[(i, i)] < NOTHING * NOTHING).collect();
        if constant.len() == d {
            return Err(Error::usage(format!(
                "TICA: all {d} features are constant; there is no motion to analyse"
            )));
        }
        // Whitened by the square root of the instantaneous covariance, without directions of no variance.
        let eigen = converge(instant)?;
        let most = eigen.eigenvalues.max();
        let kept: Vec<usize> = (0..d).filter(|&i| eigen.eigenvalues[i] > NOTHING * most).collect();
        let whiten = DMatrix::from_fn(d, kept.len(), |r, c| {
            eigen.eigenvectors[(r, kept[c])] / eigen.eigenvalues[kept[c]].sqrt()
        });
        let lagged = whiten.transpose() * lagged * &whiten;
        let eigen = converge((&lagged + lagged.transpose()) * 0.5)?;
        let mut order: Vec<usize> = (0..kept.len()).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let eigenvalues: Vec<f64> = order.iter().map(|&i| eigen.eigenvalues[i]).collect();

        let total: f64 = eigenvalues.iter().map(|v| v * v).sum();
        let mut sum = 0.0;
        let enough = eigenvalues.iter().position(|v| {
            sum += v * v;
            sum >= share * total
        });
        let k = enough.map_or(order.len(), |i| i + 1).max(order.len().min(2));
        let mut map = whiten * DMatrix::from_fn(kept.len(), k, |r, c| eigen.eigenvectors[(r, order[c])]);
        for (mut column, eigenvalue) in map.column_iter_mut().zip(&eigenvalues) {
            // The sign is free; the largest entry is made positive, so that runs agree.
            let largest = column.iter().fold(0.0f64, |m, &v| if v.abs() > m.abs() { v } else { m });
            column *= eigenvalue * largest.signum();
        }
        Ok(Tica { lag, mean, eigenvalues, constant, map })
    }

    /// Number of components that are kept.
    pub fn len(&self) -> usize {
        self.map.ncols()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// -lag / ln(eigenvalue) in frames; `None` where the eigenvalue has no time (not between 0 and 1).
    pub fn timescales(&self) -> Vec<Option<f64>> {
        self.eigenvalues.iter().map(|&v| super::markov::timescale(v, self.lag)).collect()
    }

    /// Coordinates [n, k] of rows [n, d].
    pub fn transform(&self, x: Matrix) -> Result<Vec<f32>> {
        if x.cols() != self.mean.len() {
            return Err(Error::Shape(format!(
                "TICA transform: rows have {} features, the fitted TICA has {}",
                x.cols(),
                self.mean.len()
            )));
        }
        let k = self.len();
        let mut out = vec![0.0f32; x.rows() * k];
        out.par_chunks_mut(k).enumerate().for_each(|(i, coordinates)| {
            for (c, value) in coordinates.iter_mut().enumerate() {
                let centred = x.row(i).iter().zip(&self.mean).map(|(&v, m)| f64::from(v) - m);
                *value = centred.zip(self.map.column(c).iter()).map(|(v, w)| v * w).sum::<f64>() as f32;
            }
        });
        Ok(out)
    }
}

fn converge(symmetric: DMatrix<f64>) -> Result<SymmetricEigen<f64, nalgebra::Dyn>> {
    let side = symmetric.nrows();
    SymmetricEigen::try_new(symmetric, f64::EPSILON, 200 * side + 1000)
        .ok_or_else(|| Error::NotFinite(format!("TICA of {side} features did not converge")))
}

/// Chunks of pairs (t, t + lag): trajectory, first t, one past the last.
fn chunks(trajectories: &[Matrix], lag: usize) -> Vec<(usize, usize, usize)> {
    let of = |(i, x): (usize, &Matrix)| {
        let pairs = x.rows().saturating_sub(lag);
        (0..pairs).step_by(CHUNK).map(move |t| (i, t, (t + CHUNK).min(pairs)))
    };
    trajectories.iter().enumerate().flat_map(of).collect()
}

/// The mean over both ends of all pairs, as time reversal demands.
fn pair_means(trajectories: &[Matrix], lag: usize, d: usize) -> Vec<f64> {
    let chunks = chunks(trajectories, lag);
    let sums: Vec<Vec<f64>> = chunks
        .par_iter()
        .map(|&(i, from, to)| {
            let mut sum = vec![0.0; d];
            for t in from..to {
                let ends = trajectories[i].row(t).iter().zip(trajectories[i].row(t + lag));
                sum.iter_mut().zip(ends).for_each(|(s, (&a, &b))| *s += f64::from(a) + f64::from(b));
            }
            sum
        })
        .collect();
    let n: usize = chunks.iter().map(|(_, from, to)| to - from).sum();
    (0..d).map(|c| sums.iter().map(|s| s[c]).sum::<f64>() / (2 * n) as f64).collect()
}

/// Instantaneous and lagged covariance, both averaged over time forwards and backwards.
fn covariances(trajectories: &[Matrix], lag: usize, mean: &[f64]) -> (DMatrix<f64>, DMatrix<f64>) {
    let d = mean.len();
    let chunks = chunks(trajectories, lag);
    let parts: Vec<(DMatrix<f64>, DMatrix<f64>)> = chunks
        .par_iter()
        .map(|&(i, from, to)| {
            let x = trajectories[i];
            let at = |shift: usize| {
                DMatrix::from_fn(d, to - from, |c, t| f64::from(x.row(from + t + shift)[c]) - mean[c])
            };
            let (now, then) = (at(0), at(lag));
            (&now * now.transpose() + &then * then.transpose(), &now * then.transpose())
        })
        .collect();
    let n: usize = chunks.iter().map(|(_, from, to)| to - from).sum();
    let (mut instant, mut lagged) = (DMatrix::zeros(d, d), DMatrix::zeros(d, d));
    for (a, b) in parts {
        instant += a;
        lagged += b;
    }
    let scale = 0.5 / n as f64;
    ((&instant) * scale, (&lagged + lagged.transpose()) * scale)
}
