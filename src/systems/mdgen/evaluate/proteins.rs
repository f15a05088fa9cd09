//! Ensembles of whole proteins by their Cα atoms: fluctuations, spread, shape of the distribution, contacts.

use nalgebra::{Matrix3, Vector3};
use rayon::prelude::*;
use serde::Serialize;

use super::scores::average;
use super::trajectory::Trajectory;
use crate::error::Result;
use crate::protein::superpose::{rmsd, superpose};
use crate::stats::Matrix;
use crate::stats::pca::Pca;
use crate::stats::rank::{mean, pearson};
use crate::stats::transport::{between_gaussians, between_points};

/// Chains from this length on are compared as proteins.
pub const RESIDUES: usize = 8;
/// Frames that are compared with one another, evenly taken: the work grows with the third power.
const FRAMES: usize = 250;
/// Å between Cα atoms in contact.
const CONTACT: f64 = 8.0;
/// Residues along the chain between which no contact is counted.
const NEIGHBOURS: usize = 2;
/// Share of frames in which a contact must be broken, or made, to count.
const OFTEN: f64 = 0.1;
/// Cα.
const CA: usize = 1;

type Points = Vec<[f64; 3]>;

/// A protein's ensemble against the reference's. Lengths are Å.
#[derive(Debug, Clone, Serialize)]
pub struct ProteinScores {
    /// Mean RMSD between two frames.
    pub pairwise_rmsd: f64,
    pub reference_pairwise_rmsd: f64,
    pub rmsf: Vec<f64>,
    pub reference_rmsf: Vec<f64>,
    /// Pearson correlation of the two along the chain.
    pub rmsf_correlation: Option<f64>,
    /// Root mean squared Wasserstein-2 distance of the atoms' positions as Gaussians, and its two parts.
    pub rmwd: f64,
    pub rmwd_means: f64,
    pub rmwd_spreads: f64,
    /// Wasserstein-2 distance in the plane of the reference's first two principal components, by atom.
    pub pca_w2: f64,
    /// The same for components of both ensembles together.
    pub joint_pca_w2: f64,
    /// Jaccard index of contacts of the first frame that are often broken; none where neither ensemble has any.
    pub weak_contacts: Option<f64>,
    /// Jaccard index of contacts that are not in the first frame and often made.
    pub transient_contacts: Option<f64>,
}

/// Correlations over several proteins.
#[derive(Debug, Clone, Serialize)]
pub struct ProteinMeans {
    pub proteins: usize,
    /// Pearson correlation of mean pairwise RMSD; none for fewer than three proteins.
    pub pairwise_rmsd_correlation: Option<f64>,
    /// Pearson correlation of RMSF over the residues of all proteins.
    pub global_rmsf_correlation: Option<f64>,
    /// Means over proteins.
    pub rmsf_correlation: Option<f64>,
    pub rmwd: Option<f64>,
    pub pca_w2: Option<f64>,
    pub weak_contacts: Option<f64>,
    pub transient_contacts: Option<f64>,
}

/// What several proteins show together; `None` of none.
pub fn means(all: &[&ProteinScores]) -> Option<ProteinMeans> {
    if all.is_empty() {
        return None;
    }
    let gather =
        |of: fn(&ProteinScores) -> Vec<f64>| -> Vec<f64> { all.iter().flat_map(|s| of(s)).collect() };
    let correlation =
        |a: Vec<f64>, b: Vec<f64>| Some(pearson(&a, &b)).filter(|r| a.len() > 2 && r.is_finite());
    let mean_of = |of: fn(&ProteinScores) -> Option<f64>| average(all.iter().filter_map(|s| of(s)));
    Some(ProteinMeans {
        proteins: all.len(),
        pairwise_rmsd_correlation: correlation(
            gather(|s| vec![s.reference_pairwise_rmsd]),
            gather(|s| vec![s.pairwise_rmsd]),
        ),
        global_rmsf_correlation: correlation(
            gather(|s| s.reference_rmsf.clone()),
            gather(|s| s.rmsf.clone()),
        ),
        rmsf_correlation: mean_of(|s| s.rmsf_correlation),
        rmwd: mean_of(|s| Some(s.rmwd)),
        pca_w2: mean_of(|s| Some(s.pca_w2)),
        weak_contacts: mean_of(|s| s.weak_contacts),
        transient_contacts: mean_of(|s| s.transient_contacts),
    })
}

/// Compares two ensembles of one protein.
pub fn score(reference: &Trajectory, other: &Trajectory) -> Result<ProteinScores> {
    let first = alphas(reference, 0);
    let (own, theirs) = (aligned(reference, &first), aligned(other, &first));
    let (own_rmsf, their_rmsf) = (rmsf(&own), rmsf(&theirs));
    let n = first.len() as f64;
    let gaussians = gaussians(&own).into_iter().zip(gaussians(&theirs));
    let (means, spreads) = gaussians
        .map(|(a, b)| between_gaussians(a, b))
        .fold((0.0, 0.0), |sum, (mean, spread)| (sum.0 + mean, sum.1 + spread));
    let count = own.len().min(theirs.len());
    let (own_even, their_even) = (even(&own, count), even(&theirs, count));
    let pooled: Vec<&Points> = own_even.iter().chain(&their_even).copied().collect();
    let correlation = pearson(&own_rmsf, &their_rmsf);
    let contacts = |frames: &[Points], of_first: bool| contacts(&first, frames, of_first);
    Ok(ProteinScores {
        pairwise_rmsd: spread(&theirs),
        reference_pairwise_rmsd: spread(&own),
        rmsf: their_rmsf,
        reference_rmsf: own_rmsf,
        rmsf_correlation: correlation.is_finite().then_some(correlation),
        rmwd: ((means + spreads) / n).sqrt(),
        rmwd_means: (means / n).sqrt(),
        rmwd_spreads: (spreads / n).sqrt(),
        pca_w2: in_components(&own_even, &own_even, &their_even)?,
        joint_pca_w2: in_components(&pooled, &own_even, &their_even)?,
        weak_contacts: jaccard(&contacts(&own, true), &contacts(&theirs, true)),
        transient_contacts: jaccard(&contacts(&own, false), &contacts(&theirs, false)),
    })
}

fn alphas(of: &Trajectory, frame: usize) -> Points {
    let residues = of.kinds.len();
    of.atoms[frame * residues..(frame + 1) * residues].iter().map(|r| r[CA].map(f64::from)).collect()
}

/// Frames, evenly taken, on top of `first`.
fn aligned(of: &Trajectory, first: &Points) -> Vec<Points> {
    let frames = of.frames();
    let count = frames.min(FRAMES);
    (0..count)
        .into_par_iter()
        .map(|i| {
            let points = alphas(of, i * frames / count);
            let (motion, _) = superpose(&points, first);
            points.iter().map(|p| motion.apply(&Vector3::from(*p)).into()).collect()
        })
        .collect()
}

fn even(frames: &[Points], count: usize) -> Vec<&Points> {
    (0..count).map(|i| &frames[i * frames.len() / count]).collect()
}

fn gaussians(frames: &[Points]) -> Vec<(Vector3<f64>, Matrix3<f64>)> {
    let atoms = frames.first().map_or(0, Vec::len);
    let n = frames.len() as f64;
    (0..atoms)
        .map(|i| {
            let points = || frames.iter().map(|f| Vector3::from(f[i]));
            let mean = points().sum::<Vector3<f64>>() / n;
            let spread = points().map(|p| (p - mean) * (p - mean).transpose()).sum::<Matrix3<f64>>() / n;
            (mean, spread)
        })
        .collect()
}

fn rmsf(frames: &[Points]) -> Vec<f64> {
    gaussians(frames).into_iter().map(|(_, spread)| spread.trace().sqrt()).collect()
}

/// Mean RMSD of all pairs, each pair superposed.
fn spread(frames: &[Points]) -> f64 {
    let sums: Vec<f64> = (0..frames.len())
        .into_par_iter()
        .map(|i| frames[..i].iter().map(|other| superpose(&frames[i], other).1).sum())
        .collect();
    let pairs = frames.len() * frames.len().saturating_sub(1) / 2;
    if pairs == 0 { 0.0 } else { sums.iter().sum::<f64>() / pairs as f64 }
}

/// Wasserstein-2 distance of two ensembles in the first two principal components of `fitted`, by atom.
fn in_components(fitted: &[&Points], a: &[&Points], b: &[&Points]) -> Result<f64> {
    let width = fitted.first().map_or(0, |f| 3 * f.len());
    let flat = |frames: &[&Points]| -> Vec<f32> {
        frames.iter().flat_map(|f| f.iter().flatten().map(|v| *v as f32)).collect()
    };
    let rows = flat(fitted);
    let pca = Pca::fit(Matrix::new(&rows, width)?, 2)?;
    let project = |frames: &[&Points]| -> Result<Vec<f64>> {
        let rows = flat(frames);
        Ok(pca.transform(Matrix::new(&rows, width)?)?.into_iter().map(f64::from).collect())
    };
    Ok(between_points(&project(a)?, &project(b)?, pca.len())? / (width as f64 / 3.0).sqrt())
}

/// Pairs in contact in the first frame that are often broken, or those not in contact there that are often made.
fn contacts(first: &Points, frames: &[Points], of_first: bool) -> Vec<(usize, usize)> {
    let near = |points: &Points, i: usize, j: usize| rmsd(&points[i..=i], &points[j..=j]) < CONTACT;
    let pairs = (0..first.len()).flat_map(|i| (i + NEIGHBOURS + 1..first.len()).map(move |j| (i, j)));
    pairs
        .filter(|&(i, j)| near(first, i, j) == of_first)
        .filter(|&(i, j)| {
            let changed: Vec<f64> =
                frames.iter().map(|f| f64::from(u8::from(near(f, i, j) != of_first))).collect();
            mean(&changed) > OFTEN
        })
        .collect()
}

fn jaccard(a: &[(usize, usize)], b: &[(usize, usize)]) -> Option<f64> {
    let both = a.iter().filter(|pair| b.contains(pair)).count();
    let either = a.len() + b.len() - both;
    (either > 0).then(|| both as f64 / either as f64)
}
