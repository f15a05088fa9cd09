//! Whether two runs tell of the same motion: two halves of the particles, another model, another seed.

use nalgebra::{DMatrix, SymmetricEigen};
use serde::Serialize;

use super::evaluate::{distance, fluctuation};
use super::run::Run;
use crate::report::figure::Figure;
use crate::report::page::{Card, Page, Verdict};
use crate::stats::random::Philox;
use crate::stats::rank::{mean, median, pearson};
use crate::{Error, Result};

/// Particles that are compared.
const PARTICLES: usize = 2000;
/// Directions of most motion that are compared, and particles that tell them.
const DIRECTIONS: usize = 3;
const TELLING: usize = 300;
/// Agreement that counts as good, and as any.
const GOOD: f64 = 0.8;
const ANY: f64 = 0.4;

/// How two runs agree. Structures are not superposed: both stand in the frame of the poses.
#[derive(Debug, Clone, Serialize)]
pub struct Agreement {
    pub particles: usize,
    /// Of each particle's displacement from the mean structure in one run with that in the other, over all particles
    /// and coordinates: 1 where each particle moves alike, 0 where not.
    pub displacements: f64,
    /// The same with particles of the second run exchanged at random: what chance gives.
    pub chance: f64,
    /// How much of each run's motion lies along the other's directions of most motion, beside what lies along its own:
    /// 1 where both move the same way, whichever particles they move.
    pub directions: f64,
    /// Between residues' fluctuations.
    pub fluctuations: f64,
    /// Median distance (RMSD, Å) of a particle's structures in the two runs.
    pub apart: f64,
    /// Root mean square displacement from the mean structure in each run, Å.
    pub amplitudes: [f64; 2],
    /// Distance of the mean structures, Å.
    pub means_apart: f64,
    /// Of each residue in each run, Å.
    pub rmsf: [Vec<f64>; 2],
    /// Of each compared particle: distance of its structures, Å.
    pub distances: Vec<f64>,
}

type Structures = Vec<Vec<[f64; 3]>>;

fn middle(structures: &Structures) -> Vec<[f64; 3]> {
    let count = structures.len().max(1) as f64;
    let points = structures.first().map_or(0, Vec::len);
    (0..points).map(|i| [0, 1, 2].map(|k| structures.iter().map(|s| s[i][k]).sum::<f64>() / count)).collect()
}

/// Displacements from the mean structure, one after the other.
fn displacements(structures: &Structures) -> Vec<Vec<f64>> {
    let middle = middle(structures);
    let away = |s: &Vec<[f64; 3]>| {
        s.iter().flatten().zip(middle.iter().flatten()).map(|(x, m)| x - m).collect::<Vec<f64>>()
    };
    structures.iter().map(away).collect()
}

/// Cosine between all displacements of one run and, in `order`, of the other.
fn cosine(a: &[Vec<f64>], b: &[Vec<f64>], order: &[usize]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let own = |all: &[Vec<f64>]| all.iter().map(|x| dot(x, x)).sum::<f64>();
    let both: f64 = a.iter().zip(order).map(|(x, &i)| dot(x, &b[i])).sum();
    both / (own(a) * own(b)).sqrt().max(f64::MIN_POSITIVE)
}

/// Orthonormal directions `[3N, 3]` of most displacement, and the displacements `[3N, n]` that tell them.
fn principal(displacements: &[Vec<f64>]) -> (DMatrix<f64>, DMatrix<f64>) {
    let step = displacements.len().div_ceil(TELLING).max(1);
    let some: Vec<&Vec<f64>> = displacements.iter().step_by(step).collect();
    let rows = DMatrix::from_fn(some.first().map_or(0, |row| row.len()), some.len(), |k, i| some[i][k]);
    // Of few particles in many dimensions: by the products of particles.
    let products = rows.tr_mul(&rows);
    let Some(eigen) = SymmetricEigen::try_new(products, f64::EPSILON, 200 * some.len() + 1000) else {
        return (DMatrix::zeros(rows.nrows(), 0), rows);
    };
    let mut order: Vec<usize> = (0..some.len()).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let least = 1e-12 * eigen.eigenvalues.sum();
    order.retain(|&k| eigen.eigenvalues[k] > least);
    order.truncate(DIRECTIONS);
    let mut axes = &rows * eigen.eigenvectors.select_columns(&order);
    for mut axis in axes.column_iter_mut() {
        axis.normalize_mut();
    }
    (axes, rows)
}

fn along(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let ((axes_a, a), (axes_b, b)) = (principal(a), principal(b));
    let share = |rows: &DMatrix<f64>, own: &DMatrix<f64>, other: &DMatrix<f64>| {
        other.tr_mul(rows).norm_squared() / own.tr_mul(rows).norm_squared().max(f64::MIN_POSITIVE)
    };
    0.5 * (share(&a, &axes_a, &axes_b) + share(&b, &axes_b, &axes_a))
}

impl Agreement {
    /// Of structures of the same particles by two networks.
    pub fn of(a: &Structures, b: &Structures, seed: u64) -> Agreement {
        let (da, db) = (displacements(a), displacements(b));
        let order: Vec<usize> = (0..a.len()).collect();
        let exchanged = Philox::new(seed, 0x636f_6d70_0000_0000).permutation(a.len());
        let rmsf = [fluctuation(a), fluctuation(b)];
        let distances: Vec<f64> = a.iter().zip(b).map(|(a, b)| distance(a, b)).collect();
        let amplitude = |rmsf: &[f64]| mean(&rmsf.iter().map(|v| v * v).collect::<Vec<_>>()).sqrt();
        Agreement {
            particles: a.len(),
            displacements: cosine(&da, &db, &order),
            chance: cosine(&da, &db, &exchanged),
            directions: along(&da, &db),
            fluctuations: pearson(&rmsf[0], &rmsf[1]),
            apart: median(&distances),
            amplitudes: [amplitude(&rmsf[0]), amplitude(&rmsf[1])],
            means_apart: distance(&middle(a), &middle(b)),
            rmsf,
            distances,
        }
    }

    /// Of two runs over the same particles.
    pub fn between(a: &Run, b: &Run) -> Result<Agreement> {
        let (points, particles) = ([a.reference.len(), b.reference.len()], [a.len(), b.len()]);
        if points[0] != points[1] || particles[0] != particles[1] {
            return Err(Error::usage(format!(
                "the runs differ: {} and {} points, {} and {} particles; compare runs over the same stack and model",
                points[0], points[1], particles[0], particles[1]
            )));
        }
        let chosen: Vec<usize> = (0..particles[0]).step_by(particles[0].div_ceil(PARTICLES).max(1)).collect();
        let structures = |run: &Run| {
            let width = run.network.encoder.z;
            let rows = chosen.iter().flat_map(|&i| &run.latents[i * width..(i + 1) * width]);
            run.evaluator().structures(&rows.copied().collect::<Vec<f32>>())
        };
        Ok(Agreement::of(&structures(a)?, &structures(b)?, a.config.seed))
    }

    /// What it means, in a line.
    pub fn remark(&self) -> (Verdict, &'static str) {
        match self.displacements - self.chance.max(0.0) {
            v if v >= GOOD => (Verdict::Good, "both runs move each particle alike"),
            v if v >= ANY => {
                (Verdict::Warn, "the runs agree in part: more particles or epochs, or less freedom")
            }
            _ if self.directions >= GOOD => (
                Verdict::Warn,
                "the runs agree on what moves, not on where each particle stands: too few or too noisy particles to \
                 place, or a motion that the model suggests; particles that are held out tell (--train-ratio)",
            ),
            _ => (Verdict::Bad, "the runs disagree: what moves is noise, or comes from the model"),
        }
    }

    pub fn page(&self, names: [&str; 2], run: &Run) -> Result<String> {
        let lead = "Two networks that know nothing of each other, over the same particles. What both find is in the \
                    particles; what one finds alone is not.";
        let mut page = Page::new(format!("{} beside {}", names[0], names[1]), lead);
        let (verdict, remark) = self.remark();
        page.cards(&[
            Card::new(format!("{:.2}", self.displacements), "agreement of displacements, 1 is full")
                .verdict(verdict, format!("{remark} (exchanged particles: {:.2})", self.chance)),
            Card::new(
                format!("{:.2}", self.directions),
                "of the motion lies along the other run's three axes",
            ),
            Card::new(format!("{:.2}", self.fluctuations), "correlation of the residues' fluctuations"),
            Card::new(format!("{:.2} Å", self.apart), "median distance of a particle's two structures")
                .verdict(
                    Verdict::Plain,
                    format!("they move by {:.2} and {:.2} Å", self.amplitudes[0], self.amplitudes[1]),
                ),
            Card::new(format!("{:.2} Å", self.means_apart), "distance of the mean structures"),
        ]);
        let numbers: Vec<f64> = run.reference.atoms.iter().map(|a| f64::from(a.residue_number)).collect();
        let fluctuation = Figure::new("Fluctuation of residues", "residue", "RMSF (Å)")
            .size(600, 400)
            .line(names[0], &numbers, &self.rmsf[0])
            .line(names[1], &numbers, &self.rmsf[1]);
        let apart = Figure::new("How far apart", "RMSD of a particle's two structures (Å)", "particles")
            .size(600, 400)
            .histogram("", &self.distances, 40);
        page.figures(&[(&fluctuation, "Over the particles, without superposition."), (&apart, "")])?;
        Ok(page.html())
    }
}
