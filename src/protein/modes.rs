//! Normal modes of an elastic network: points nearer than a cutoff are joined by equal springs that rest as the
//! structure stands (the anisotropic network model, Atilgan et al., Biophys. J. 80:505, 2001). The softest motions
//! are often those that a protein makes.
//!
//! The lowest eigenvectors are found in a subspace that a polynomial of the Hessian turns towards them again and again
//! (Chebyshev filter, Zhou et al., J. Comput. Phys. 219:172, 2006): springs are all that is stored.

use nalgebra::{DMatrix, SymmetricEigen, Vector3};
use rayon::prelude::*;

use super::geometry::near_pairs;
use crate::stats::random::Philox;
use crate::{Error, Result, interrupt};

/// Å; Atilgan et al. find 12 to 15 for CA.
pub const CUTOFF: f64 = 15.0;
/// Rounds of the subspace; tens are enough.
const ROUNDS: usize = 300;
/// What the residual of an eigenvector may be of its eigenvalue.
const TOLERANCE: f64 = 1e-6;
/// An eigenvalue is none below this share of the largest that there can be.
const NONE: f64 = 1e-9;
/// The filter raises the softest motion at most by e to this, so that the others are not lost beside it.
const RISE: f64 = 12.0;
/// Where the filter ends at the lowest, as a share of the largest eigenvalue.
const LEAST_CUT: f64 = 1e-5;
const DEGREES: std::ops::RangeInclusive<f64> = 4.0..=400.0;

pub struct ElasticNetwork {
    points: usize,
    springs: Vec<Spring>,
    /// No eigenvalue is larger.
    bound: f64,
    /// Shifts and turns of the whole, orthonormal, `[3N, 6]`.
    rigid: DMatrix<f64>,
}

struct Spring {
    ends: [usize; 2],
    direction: Vector3<f64>,
}

/// Of unit springs and masses.
#[derive(Debug, Clone)]
pub struct Modes {
    /// Ascending, none of them zero.
    pub values: Vec<f64>,
    /// `[3N, M]`, orthonormal columns: x, y, z of the first point, then of the second.
    pub vectors: DMatrix<f64>,
}

impl Modes {
    fn new(mut values: Vec<f64>, vectors: DMatrix<f64>, count: usize) -> Modes {
        values.truncate(count);
        let mut vectors = vectors.columns(0, count).into_owned();
        // A mode has no sign of its own: its largest number is positive.
        for mut mode in vectors.column_iter_mut() {
            let largest = mode[mode.iamax()];
            mode.scale_mut(largest.signum());
        }
        Modes { values, vectors }
    }
}

impl ElasticNetwork {
    pub fn new(places: &[[f64; 3]], cutoff: f64) -> ElasticNetwork {
        let at: Vec<Vector3<f64>> = places.iter().map(|p| Vector3::from(*p)).collect();
        let mut pairs = near_pairs(&at, cutoff);
        pairs.sort_unstable();
        let mut springs_of = vec![0usize; at.len()];
        let spring = |(i, j): (usize, usize)| {
            // Two points in one place have no direction.
            let direction = (at[j] - at[i]).try_normalize(1e-9)?;
            springs_of[i] += 1;
            springs_of[j] += 1;
            Some(Spring { ends: [i, j], direction })
        };
        let springs = pairs.into_iter().filter_map(spring).collect();
        let most = springs_of.iter().max().copied().unwrap_or(0);
        ElasticNetwork { points: at.len(), springs, bound: 2.0 * most as f64, rigid: rigid(&at) }
    }

    pub fn springs(&self) -> usize {
        self.springs.len()
    }

    /// The Hessian times columns `x`.
    pub fn apply(&self, x: &DMatrix<f64>) -> DMatrix<f64> {
        let mut y = DMatrix::zeros(x.nrows(), x.ncols());
        let rows = x.nrows().max(1);
        y.as_mut_slice().par_chunks_mut(rows).zip(x.as_slice().par_chunks(rows)).for_each(|(y, x)| {
            for Spring { ends: [i, j], direction } in &self.springs {
                let stretch: f64 = (0..3).map(|k| direction[k] * (x[3 * i + k] - x[3 * j + k])).sum();
                for k in 0..3 {
                    y[3 * i + k] += stretch * direction[k];
                    y[3 * j + k] -= stretch * direction[k];
                }
            }
        });
        y
    }

    /// The `count` softest motions beside those of the whole.
    pub fn modes(&self, count: usize) -> Result<Modes> {
        let all = (3 * self.points).saturating_sub(self.rigid.ncols());
        if !(1..=all).contains(&count) {
            return Err(Error::usage(format!(
                "{count} normal modes: {} points have 1 to {all}",
                self.points
            )));
        }
        let width = (count + (count / 2).max(8)).min(all);
        let mut random = Philox::new(0, 0x6d6f_6465_7300_0000);
        let mut x = self.basis(DMatrix::from_fn(3 * self.points, width, |_, _| random.normal()));
        for _ in 0..ROUNDS {
            interrupt::check()?;
            let (values, vectors, left) = self.ritz(&x)?;
            // What is found lies above what there is: one without a force is one.
            if values[0] <= NONE * self.bound {
                return Err(Error::usage(
                    "the elastic network does not hold together: parts of it move without a force; raise the cutoff, \
                     or leave away what touches nothing",
                ));
            }
            if (0..count).all(|k| left[k] <= TOLERANCE * values[k]) {
                return Ok(Modes::new(values, vectors, count));
            }
            x = self.basis(self.filtered(vectors, values[width - 1]));
        }
        Err(Error::usage(format!("{count} normal modes are not found in {ROUNDS} rounds; ask for fewer")))
    }

    /// An orthonormal basis of what columns span beside the motions of the whole.
    fn basis(&self, mut x: DMatrix<f64>) -> DMatrix<f64> {
        // Twice: once leaves what rounding leaves.
        for _ in 0..2 {
            x -= &self.rigid * self.rigid.tr_mul(&x);
        }
        x.qr().q()
    }

    /// Within the space of orthonormal columns: eigenvalues ascending, their vectors, and what is left of each.
    fn ritz(&self, x: &DMatrix<f64>) -> Result<(Vec<f64>, DMatrix<f64>, Vec<f64>)> {
        let pushed = self.apply(x);
        let inner = x.tr_mul(&pushed);
        let inner = (&inner + inner.transpose()) * 0.5;
        let side = inner.nrows();
        let eigen = SymmetricEigen::try_new(inner, f64::EPSILON, 200 * side + 1000)
            .ok_or_else(|| Error::NotFinite("the elastic network's modes: the structure's places".into()))?;
        let mut order: Vec<usize> = (0..side).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[a].total_cmp(&eigen.eigenvalues[b]));
        let values: Vec<f64> = order.iter().map(|&k| eigen.eigenvalues[k]).collect();
        let turn = eigen.eigenvectors.select_columns(&order);
        let (vectors, pushed) = (x * &turn, pushed * turn);
        let left = (0..side).map(|k| (pushed.column(k) - vectors.column(k) * values[k]).norm()).collect();
        Ok((values, vectors, left))
    }

    /// Columns times the Chebyshev polynomial that is small from `cut` to the largest eigenvalue and rises below.
    fn filtered(&self, x: DMatrix<f64>, cut: f64) -> DMatrix<f64> {
        let cut = cut.clamp(LEAST_CUT * self.bound, 0.9 * self.bound);
        let (middle, half) = (0.5 * (self.bound + cut), 0.5 * (self.bound - cut));
        let degree = RISE / (middle / half).acosh();
        let degree = degree.clamp(*DEGREES.start(), *DEGREES.end()) as usize;
        let step = |x: &DMatrix<f64>| (self.apply(x) - x * middle) / half;
        let mut now = step(&x);
        let mut before = x;
        for _ in 1..degree {
            let next = step(&now) * 2.0 - &before;
            before = std::mem::replace(&mut now, next);
        }
        now
    }
}

/// Orthonormal shifts and turns of points; five where they stand in a line.
fn rigid(at: &[Vector3<f64>]) -> DMatrix<f64> {
    let middle = at.iter().sum::<Vector3<f64>>() / at.len().max(1) as f64;
    let axes = [Vector3::x(), Vector3::y(), Vector3::z()];
    let mut kept: Vec<nalgebra::DVector<f64>> = vec![];
    for motion in 0..6 {
        let moved = |p: &Vector3<f64>| match motion {
            0..3 => axes[motion],
            _ => axes[motion - 3].cross(&(p - middle)),
        };
        let mut x = nalgebra::DVector::from_iterator(
            3 * at.len(),
            at.iter().flat_map(|p| <[f64; 3]>::from(moved(p))),
        );
        let size = x.norm();
        for _ in 0..2 {
            for other in &kept {
                x -= other * other.dot(&x);
            }
        }
        if x.norm() > 1e-6 * size.max(1.0) {
            kept.push(x.normalize());
        }
    }
    DMatrix::from_fn(3 * at.len(), kept.len(), |i, k| kept[k][i])
}

/// How much of a displacement each mode is alone: the absolute cosine.
pub fn overlaps(modes: &Modes, displacement: &[[f64; 3]]) -> Vec<f64> {
    let flat = nalgebra::DVector::from_column_slice(displacement.as_flattened());
    let size = flat.norm().max(f64::MIN_POSITIVE);
    modes.vectors.column_iter().map(|mode| mode.dot(&flat).abs() / size).collect()
}
