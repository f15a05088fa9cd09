//! Means, percentiles, correlations and the fit of a linear regression, in f64.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};

/// Arithmetic mean; NaN for no values.
pub fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// Population standard deviation (divisor n), NumPy's default; NaN for no values.
pub fn std(x: &[f64]) -> f64 {
    let m = mean(x);
    (x.iter().map(|v| (v - m).powi(2)).sum::<f64>() / x.len() as f64).sqrt()
}

/// Unbiased standard deviation (divisor n - 1), PyTorch's default; NaN for fewer than two values.
pub fn std_unbiased(x: &[f64]) -> f64 {
    let n = x.len() as f64;
    if x.len() < 2 { f64::NAN } else { std(x) * (n / (n - 1.0)).sqrt() }
}

/// Percentiles `q` in [0, 100] by linear interpolation between order statistics, NumPy's default. NaN for no values
/// or if one of them is NaN; `q` outside its range is clamped.
pub fn percentiles(x: &[f64], q: &[f64]) -> Vec<f64> {
    if x.is_empty() || x.iter().any(|v| v.is_nan()) {
        return vec![f64::NAN; q.len()];
    }
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() - 1;
    let at = |q: &f64| {
        let position = (q.clamp(0.0, 100.0) / 100.0) * last as f64;
        let below = (position.floor() as usize).min(last);
        let (a, b, t) = (sorted[below], sorted[(below + 1).min(last)], position - below as f64);
        // From the nearer end, as NumPy does, so that t = 1 gives b exactly; equal ends may be infinite.
        match a == b {
            true => a,
            false if t < 0.5 => a + (b - a) * t,
            false => b - (b - a) * (1.0 - t),
        }
    };
    q.iter().map(at).collect()
}

/// One percentile, see [`percentiles`].
pub fn percentile(x: &[f64], q: f64) -> f64 {
    percentiles(x, &[q])[0]
}

pub fn median(x: &[f64]) -> f64 {
    percentile(x, 50.0)
}

/// Pearson's correlation; NaN if lengths differ, if there are fewer than two pairs, or if one side is constant.
pub fn pearson(x: &[f64], y: &[f64]) -> f64 {
    if x.len() != y.len() || x.len() < 2 {
        return f64::NAN;
    }
    let (mx, my) = (mean(x), mean(y));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (a, b) = (a - mx, b - my);
        (xx, yy, xy) = (xx + a * a, yy + b * b, xy + a * b);
    }
    if xx == 0.0 || yy == 0.0 { f64::NAN } else { (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0) }
}

/// Ranks from 1; equal values share the mean of their ranks.
pub fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let mut ranks = vec![0.0; x.len()];
    let mut given = 0;
    for tie in order.chunk_by(|&a, &b| x[a] == x[b]) {
        let shared = given as f64 + (tie.len() + 1) as f64 / 2.0;
        tie.iter().for_each(|&i| ranks[i] = shared);
        given += tie.len();
    }
    ranks
}

/// Spearman's rank correlation, ties by mean ranks; NaN where [`pearson`] of the ranks is, or for NaN input.
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    if x.iter().chain(y).any(|v| v.is_nan()) {
        return f64::NAN;
    }
    pearson(&ranks(x), &ranks(y))
}

/// R² = 1 - (residual sum of squares) / (total sum of squares) of the least-squares fit of `y` [n] by the `columns`
/// of `x` [n, columns] and a constant; with one column the square of [`pearson`]. NaN if `y` is constant.
pub fn linear_r2(x: &[f64], columns: usize, y: &[f64]) -> Result<f64> {
    let n = y.len();
    if columns == 0 || x.len() != n * columns || n < 2 {
        return Err(Error::Shape(format!(
            "linear regression: {} values do not make {n} rows (at least 2) of {columns} columns",
            x.len()
        )));
    }
    if x.iter().chain(y).any(|v| !v.is_finite()) {
        return Err(Error::NotFinite("linear regression: a value is not finite; leave such rows out".into()));
    }
    let my = mean(y);
    let target = DVector::from_iterator(n, y.iter().map(|v| v - my));
    let mut design = DMatrix::from_row_slice(n, columns, x);
    for mut column in design.column_iter_mut() {
        let m = column.mean();
        column.add_scalar_mut(-m);
        // Columns of one scale, so that one tolerance finds the dependent ones.
        let norm = column.norm();
        if norm > 0.0 {
            column.unscale_mut(norm);
        }
    }
    let svd = design.svd(true, false);
    let Some(u) = &svd.u else { return Err(Error::NotFinite("linear regression did not converge".into())) };
    let total = target.norm_squared();
    let explained: f64 = u
        .column_iter()
        .zip(svd.singular_values.iter())
        .filter(|(_, s)| **s > 1e-10)
        .map(|(direction, _)| direction.dot(&target).powi(2))
        .sum();
    Ok(if total > 0.0 { explained / total } else { f64::NAN })
}
