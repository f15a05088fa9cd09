//! Wasserstein-2 distances: between equally large sets of points, by the best assignment, and between Gaussians.

use nalgebra::{DMatrix, Matrix3, SymmetricEigen, Vector3};

use crate::error::{Error, Result};

/// The assignment of rows to columns with the least total cost, and that cost (Kuhn 1955, in the form with potentials
/// of Jonker and Volgenant 1987). Entry i is the column of row i.
pub fn assign(cost: &DMatrix<f64>) -> Result<(Vec<usize>, f64)> {
    let n = cost.nrows();
    if cost.ncols() != n || cost.iter().any(|c| !c.is_finite()) {
        return Err(Error::Shape("an assignment needs a square table of finite costs".into()));
    }
    // Row 0 and column 0 are empty, so that "none" has a number.
    let (mut row_price, mut column_price) = (vec![0.0; n + 1], vec![0.0; n + 1]);
    let (mut row_of, mut before) = (vec![0usize; n + 1], vec![0usize; n + 1]);
    for row in 1..=n {
        row_of[0] = row;
        let mut column = 0;
        let mut slack = vec![f64::INFINITY; n + 1];
        let mut used = vec![false; n + 1];
        while row_of[column] != 0 {
            used[column] = true;
            let at = row_of[column];
            let (mut next, mut least) = (0, f64::INFINITY);
            for j in (1..=n).filter(|&j| !used[j]) {
                let reduced = cost[(at - 1, j - 1)] - row_price[at] - column_price[j];
                if reduced < slack[j] {
                    (slack[j], before[j]) = (reduced, column);
                }
                if slack[j] < least {
                    (least, next) = (slack[j], j);
                }
            }
            for j in 0..=n {
                if used[j] {
                    row_price[row_of[j]] += least;
                    column_price[j] -= least;
                } else {
                    slack[j] -= least;
                }
            }
            column = next;
        }
        while column != 0 {
            row_of[column] = row_of[before[column]];
            column = before[column];
        }
    }
    let mut columns = vec![0; n];
    (1..=n).for_each(|j| columns[row_of[j] - 1] = j - 1);
    let total = columns.iter().enumerate().map(|(i, &j)| cost[(i, j)]).sum();
    Ok((columns, total))
}

/// Wasserstein-2 distance between two sets of as many points [n, d].
pub fn between_points(a: &[f64], b: &[f64], d: usize) -> Result<f64> {
    if d == 0 || a.len() != b.len() || a.is_empty() || !a.len().is_multiple_of(d) {
        return Err(Error::Shape(format!(
            "{} and {} numbers are not two sets of as many points",
            a.len(),
            b.len()
        )));
    }
    let n = a.len() / d;
    let square = |i: usize, j: usize| -> f64 { (0..d).map(|c| (a[i * d + c] - b[j * d + c]).powi(2)).sum() };
    let (_, total) = assign(&DMatrix::from_fn(n, n, square))?;
    Ok((total / n as f64).max(0.0).sqrt())
}

/// Squared Wasserstein-2 distance between two Gaussians in space: (of the means, of the spreads).
pub fn between_gaussians(
    (mean_a, spread_a): (Vector3<f64>, Matrix3<f64>),
    (mean_b, spread_b): (Vector3<f64>, Matrix3<f64>),
) -> (f64, f64) {
    let root = root(spread_a);
    let cross = self::root(root * spread_b * root);
    let spread = spread_a.trace() + spread_b.trace() - 2.0 * cross.trace();
    ((mean_a - mean_b).norm_squared(), spread.max(0.0))
}

fn root(m: Matrix3<f64>) -> Matrix3<f64> {
    let eigen = SymmetricEigen::new((m + m.transpose()) * 0.5);
    let roots = eigen.eigenvalues.map(|v| v.max(0.0).sqrt());
    eigen.eigenvectors * Matrix3::from_diagonal(&roots) * eigen.eigenvectors.transpose()
}
