//! Principal component analysis, with scikit-learn's conventions: columns are centred, not scaled; components are
//! sorted by variance (divisor n - 1); signs follow `svd_flip(u_based_decision=False)` of scikit-learn 1.5 and later,
//! that is, the entry of largest magnitude in each component is positive.

use nalgebra::{DMatrix, SymmetricEigen};
use rayon::prelude::*;

use super::matrix::Matrix;
use crate::error::{Error, Result};

/// A fitted PCA of points in d dimensions with k components.
#[derive(Debug, Clone)]
pub struct Pca {
    /// [d]
    pub mean: Vec<f64>,
    /// [k, d], orthonormal rows, largest variance first.
    pub components: Vec<f64>,
    /// [k], divisor n - 1.
    pub explained_variance: Vec<f64>,
    /// [k], as fractions of the total variance.
    pub explained_variance_ratio: Vec<f64>,
}

impl Pca {
    /// Fits `k` components (at most min(n, d) of them) to the rows of `x` [n, d].
    pub fn fit(x: Matrix, k: usize) -> Result<Self> {
        let (n, d) = (x.rows(), x.cols());
        if n < 2 {
            return Err(Error::usage(format!("PCA needs at least 2 points, there are {n}")));
        }
        x.check_finite("PCA")?;
        let k = k.min(n).min(d);
        let mean = column_means(x);
        // The smaller of the two scatter matrices has the same non-zero eigenvalues.
        let by_columns = d <= n;
        let scatter = if by_columns { column_scatter(x, &mean) } else { row_scatter(x, &mean) };
        let total = scatter.trace();
        let side = scatter.nrows();
        let eigen = SymmetricEigen::try_new(scatter, f64::EPSILON, 200 * side + 1000)
            .ok_or_else(|| Error::NotFinite(format!("PCA of {n} x {d} values did not converge")))?;
        let mut order: Vec<usize> = (0..side).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));

        let mut components = Vec::with_capacity(k * d);
        let mut explained_variance = Vec::with_capacity(k);
        for &column in order.iter().take(k) {
            let vector = eigen.eigenvectors.column(column);
            let mut component: Vec<f64> = if by_columns {
                vector.iter().copied().collect()
            } else {
                let mut sum = vec![0.0; d];
                for (i, weight) in vector.iter().enumerate() {
                    for ((s, &v), m) in sum.iter_mut().zip(x.row(i)).zip(&mean) {
                        *s += weight * (f64::from(v) - m);
                    }
                }
                let norm = sum.iter().map(|v| v * v).sum::<f64>().sqrt();
                if norm > 0.0 {
                    sum.iter_mut().for_each(|v| *v /= norm);
                }
                sum
            };
            flip_sign(&mut component);
            components.extend(component);
            explained_variance.push(eigen.eigenvalues[column].max(0.0) / (n - 1) as f64);
        }
        let scale = if total > 0.0 { (n - 1) as f64 / total } else { 0.0 };
        let explained_variance_ratio = explained_variance.iter().map(|v| v * scale).collect();
        Ok(Pca { mean, components, explained_variance, explained_variance_ratio })
    }

    /// Number of components k.
    pub fn len(&self) -> usize {
        self.explained_variance.len()
    }

    pub fn is_empty(&self) -> bool {
        self.explained_variance.is_empty()
    }

    /// Coordinates [n, k] of the rows of `x` [n, d] along the components.
    pub fn transform(&self, x: Matrix) -> Result<Vec<f32>> {
        let (d, k) = (self.mean.len(), self.len());
        check_width("PCA transform", x.cols(), d)?;
        let mut out = vec![0.0f32; x.rows() * k];
        if k > 0 {
            out.par_chunks_mut(k).enumerate().for_each(|(i, scores)| {
                for (score, component) in scores.iter_mut().zip(self.components.chunks_exact(d)) {
                    let centred = x.row(i).iter().zip(&self.mean).map(|(&v, m)| f64::from(v) - m);
                    *score = centred.zip(component).map(|(v, c)| v * c).sum::<f64>() as f32;
                }
            });
        }
        Ok(out)
    }

    /// Points [n, d] from coordinates `scores` [n, k].
    pub fn inverse_transform(&self, scores: Matrix) -> Result<Vec<f32>> {
        let d = self.mean.len();
        check_width("PCA inverse transform", scores.cols(), self.len())?;
        let mut out = vec![0.0f32; scores.rows() * d];
        out.par_chunks_mut(d).enumerate().for_each(|(i, point)| {
            for (j, value) in point.iter_mut().enumerate() {
                let along = scores.row(i).iter().enumerate();
                let sum: f64 = along.map(|(c, &s)| f64::from(s) * self.components[c * d + j]).sum();
                *value = (self.mean[j] + sum) as f32;
            }
        });
        Ok(out)
    }
}

fn check_width(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Shape(format!("{what}: rows have {found} columns, the fitted PCA has {expected}")))
}

fn column_means(x: Matrix) -> Vec<f64> {
    let mut sum = vec![0.0; x.cols()];
    for i in 0..x.rows() {
        sum.iter_mut().zip(x.row(i)).for_each(|(s, &v)| *s += f64::from(v));
    }
    sum.iter().map(|s| s / x.rows() as f64).collect()
}

/// X^T X of the centred points, [d, d]. Each thread owns rows of the result, so threads do not change the sums.
fn column_scatter(x: Matrix, mean: &[f64]) -> DMatrix<f64> {
    let d = x.cols();
    let rows: Vec<Vec<f64>> = (0..d)
        .into_par_iter()
        .map(|a| {
            let mut sums = vec![0.0; d - a];
            for i in 0..x.rows() {
                let row = x.row(i);
                let va = f64::from(row[a]) - mean[a];
                for ((s, &v), m) in sums.iter_mut().zip(&row[a..]).zip(&mean[a..]) {
                    *s += va * (f64::from(v) - m);
                }
            }
            sums
        })
        .collect();
    DMatrix::from_fn(d, d, |a, b| rows[a.min(b)][a.abs_diff(b)])
}

/// X X^T of the centred points, [n, n].
fn row_scatter(x: Matrix, mean: &[f64]) -> DMatrix<f64> {
    let n = x.rows();
    let rows: Vec<Vec<f64>> = (0..n)
        .into_par_iter()
        .map(|a| {
            let centred: Vec<f64> = x.row(a).iter().zip(mean).map(|(&v, m)| f64::from(v) - m).collect();
            let dot = |b: usize| -> f64 {
                let other = x.row(b).iter().zip(mean).map(|(&v, m)| f64::from(v) - m);
                other.zip(&centred).map(|(v, c)| v * c).sum()
            };
            (a..n).map(dot).collect()
        })
        .collect();
    DMatrix::from_fn(n, n, |a, b| rows[a.min(b)][a.abs_diff(b)])
}

fn flip_sign(component: &mut [f64]) {
    let largest = component.iter().fold(0.0f64, |best, &v| if v.abs() > best.abs() { v } else { best });
    if largest < 0.0 {
        component.iter_mut().for_each(|v| *v = -*v);
    }
}
