//! What a network says of a stack: latents of all particles, structures along them, and the files of both.

use std::path::Path;

use super::data::Particles;
use super::model::Network;
use super::reference::Reference;
use crate::io::atomic;
use crate::io::npy::{self, Array};
use crate::plan::{Options, Step, Store};
use crate::stats::kmeans::{KMeans, kmeans};
use crate::stats::matrix::{Matrix, squared_distance};
use crate::stats::pca::Pca;
use crate::stats::rank::percentiles;
use crate::tape::Tape;
use crate::tensor::{DType, Tensor};
use crate::{Error, Result, interrupt};

/// Structures along an axis, and the percentiles between which they stand.
const STOPS: usize = 10;
const LIMITS: [f64; 2] = [5.0, 95.0];
const AXES: usize = 3;
/// Structures that tell how much residues move.
const SPREAD: usize = 1000;
/// Rounds of k-means.
const ROUNDS: usize = 100;

pub struct Evaluator<'a> {
    pub network: &'a Network,
    pub store: &'a Store,
    /// Images or structures that go through together. An image's latent depends on those it is encoded with.
    pub batch: usize,
}

impl Evaluator<'_> {
    /// Latents of all particles in the order of the file, `[n, z]`: the means of the variational form.
    pub fn latents(&self, particles: &Particles) -> Result<Vec<f32>> {
        Ok(self.posteriors(particles)?.0)
    }

    /// Means, and of the variational form the logarithms of variances, of all particles: `[n, z]` each.
    pub fn posteriors(&self, particles: &Particles) -> Result<(Vec<f32>, Option<Vec<f32>>)> {
        let z = self.network.encoder.z;
        let size = self.batch.min(particles.len()).max(1);
        let tape = Tape::new();
        let posterior = self.network.encoding(&tape, size);
        let mut fetched = vec![("z", posterior.mean)];
        fetched.extend(posterior.log_variance.map(|value| ("logvar", value)));
        let mut step = Step::new(self.store, &tape, &fetched, Options::default())?;
        let all: Vec<usize> = (0..particles.len()).collect();
        let mut found = vec![Vec::with_capacity(all.len() * z); fetched.len()];
        for indices in all.chunks(size) {
            interrupt::check()?;
            let (images, present) = particles.seen(indices, size)?;
            step.run(&[("images", &images), ("present", &present)])?;
            for (found, (name, _)) in found.iter_mut().zip(&fetched) {
                found.extend_from_slice(&step.fetch(name)?.to_f32()[..indices.len() * z]);
            }
        }
        if let Some(at) = found.iter().filter_map(|part| part.iter().position(|v| !v.is_finite())).min() {
            return Err(Error::NotFinite(format!("the latent of image {} is not finite", at / z)));
        }
        let log_variances = found.split_off(1).pop();
        Ok((found.concat(), log_variances))
    }

    /// Structures of latents `[n, z]`: the residues' places from the middle of the box, Å.
    pub fn structures(&self, latents: &[f32]) -> Result<Vec<Vec<[f64; 3]>>> {
        let z = self.network.encoder.z;
        let size = self.batch.min(latents.len() / z).max(1);
        let tape = Tape::new();
        let places = self.network.decoding(&tape, size);
        let mut step = Step::new(self.store, &tape, &[("places", places)], Options::default())?;
        let mut structures = vec![];
        for chunk in latents.chunks(size * z) {
            interrupt::check()?;
            let mut filled = chunk.to_vec();
            filled.resize(size * z, 0.0);
            step.run(&[("z", &Tensor::f32(&[size, z], filled))])?;
            let values = step.fetch("places")?.to_f32();
            let each = self.network.motion.points() * 3;
            structures.extend(
                values.chunks(each).take(chunk.len() / z).map(|structure| {
                    structure.chunks(3).map(|p| [p[0], p[1], p[2]].map(f64::from)).collect()
                }),
            );
        }
        Ok(structures)
    }

    /// What particles `indices` are compared with, and what the network thinks they are: images `[n, D D]` each.
    pub fn images(&self, particles: &Particles, indices: &[usize]) -> Result<[Vec<f32>; 2]> {
        let size = indices.len();
        let tape = Tape::new();
        let inputs = self.network.inputs(&tape, size, None);
        let z = self.network.encoder.record(inputs.images, None, None);
        let predicted = self.network.predicted(&inputs, z);
        let mut step = Step::new(self.store, &tape, &[("predicted", predicted)], Options::default())?;
        let batch = particles.batch(indices, size)?;
        step.run(&batch.feeds())?;
        Ok([batch.targets.to_f32(), step.fetch("predicted")?.to_f32()])
    }

    /// Mean correlations of particles with their structures, and with the reference as it stands.
    pub fn agreement(&self, particles: &Particles, indices: &[usize]) -> Result<[f64; 2]> {
        let size = self.batch.min(indices.len()).max(1);
        let tape = Tape::new();
        let inputs = self.network.inputs(&tape, size, None);
        let present = tape.input("present", &[size], DType::F32);
        let z = self.network.encoder.record(inputs.images, Some(present), None);
        let learned = self.network.correlation(&inputs, z);
        let still = self.network.correlation_with_reference(&inputs);
        let fetched = [("learned", learned), ("still", still)];
        let mut step = Step::new(self.store, &tape, &fetched, Options::default())?;
        let mut sums = [0.0; 2];
        for chunk in indices.chunks(size) {
            interrupt::check()?;
            step.run(&particles.batch(chunk, size)?.feeds())?;
            for (sum, (name, _)) in sums.iter_mut().zip(&fetched) {
                *sum += step.fetch(name)?.to_f32()[..chunk.len()].iter().map(|&v| f64::from(v)).sum::<f64>();
            }
        }
        Ok(sums.map(|sum| sum / indices.len().max(1) as f64))
    }

    /// Clusters, axes and motion of latents `[n, z]`.
    pub fn find(&self, latents: &[f32], clusters: usize) -> Result<Findings> {
        let z = Matrix::new(latents, self.network.encoder.z)?;
        let clusters = kmeans(z, clusters.min(z.rows()), ROUNDS, 0)?;
        let pca = (z.rows() > 1).then(|| Pca::fit(z, z.cols())).transpose()?;
        let scores = pca.as_ref().map_or(Ok(vec![]), |pca| pca.transform(z))?;
        let series = |particles: Vec<usize>| {
            let structures = self.structures(&rows(z, &particles))?;
            Ok(Series { particles, structures })
        };
        let along = pca.as_ref().map_or(Ok(vec![]), |pca| along_axes(z, pca, &scores))?;
        let axes = along.into_iter().map(series).collect::<Result<Vec<_>>>()?;
        let centres = series(clusters.center_indices.clone())?;
        let spread: Vec<usize> = (0..z.rows()).step_by(z.rows().div_ceil(SPREAD).max(1)).collect();
        let rmsf = fluctuation(&self.structures(&rows(z, &spread))?);
        Ok(Findings {
            width: z.cols(),
            latents: latents.to_vec(),
            pca,
            scores,
            clusters,
            centres,
            axes,
            rmsf,
        })
    }
}

/// Structures of some particles.
pub struct Series {
    pub particles: Vec<usize>,
    pub structures: Vec<Vec<[f64; 3]>>,
}

/// What is in the latents of a stack. All structures are those of real particles.
pub struct Findings {
    pub width: usize,
    /// `[n, width]`
    pub latents: Vec<f32>,
    /// None of a single particle.
    pub pca: Option<Pca>,
    /// `[n, components]`
    pub scores: Vec<f32>,
    pub clusters: KMeans,
    pub centres: Series,
    /// Along the axes of most variance, from the 5th to the 95th percentile.
    pub axes: Vec<Series>,
    /// Root mean square fluctuation of each residue over the particles, without superposition, Å.
    pub rmsf: Vec<f64>,
}

impl Findings {
    /// Scores of all particles along a component, from 0.
    pub fn component(&self, k: usize) -> Vec<f64> {
        let kept = self.pca.as_ref().map_or(1, Pca::len);
        self.scores.iter().skip(k).step_by(kept.max(1)).map(|&v| f64::from(v)).collect()
    }

    /// `z.npy`, `pred.pdb` (centres of clusters) and `pca-1.pdb` and so on in a folder.
    pub fn write(&self, folder: &Path, reference: &Reference) -> Result<()> {
        atomic::folder(folder)?;
        let n = self.latents.len() / self.width;
        npy::write_npy(&folder.join("z.npy"), &Array::f32(&[n, self.width], self.latents.clone())?)?;
        reference.structure(&self.centres.structures).write(&folder.join("pred.pdb"))?;
        for (axis, series) in self.axes.iter().enumerate() {
            reference.structure(&series.structures).write(&folder.join(format!("pca-{}.pdb", axis + 1)))?;
        }
        Ok(())
    }
}

fn rows(z: Matrix, particles: &[usize]) -> Vec<f32> {
    particles.iter().flat_map(|&i| z.row(i)).copied().collect()
}

/// Root mean square distance of two structures as they stand, Å.
pub fn distance(a: &[[f64; 3]], b: &[[f64; 3]]) -> f64 {
    let sum: f64 = a.iter().flatten().zip(b.iter().flatten()).map(|(x, y)| (x - y).powi(2)).sum();
    (sum / a.len().max(1) as f64).sqrt()
}

/// Root mean square fluctuation of each point about its mean over structures, Å.
pub fn fluctuation(structures: &[Vec<[f64; 3]>]) -> Vec<f64> {
    let count = structures.len().max(1) as f64;
    let points = structures.first().map_or(0, Vec::len);
    (0..points)
        .map(|i| {
            let variance = |k: usize| {
                let mean = structures.iter().map(|s| s[i][k]).sum::<f64>() / count;
                structures.iter().map(|s| (s[i][k] - mean).powi(2)).sum::<f64>() / count
            };
            (variance(0) + variance(1) + variance(2)).sqrt()
        })
        .collect()
}

/// Particles along the axes of most variance, from the 5th to the 95th percentile.
pub fn along_axes(z: Matrix, pca: &Pca, scores: &[f32]) -> Result<Vec<Vec<usize>>> {
    let kept = pca.len();
    (0..kept.min(AXES))
        .map(|axis| {
            let along: Vec<f64> = scores.iter().skip(axis).step_by(kept).map(|&v| f64::from(v)).collect();
            let ends = percentiles(&along, &LIMITS);
            let mut stops = vec![0.0; STOPS * kept];
            for (i, stop) in stops.chunks_mut(kept).enumerate() {
                stop[axis] = (ends[0] + (ends[1] - ends[0]) * i as f64 / (STOPS - 1) as f64) as f32;
            }
            let points = pca.inverse_transform(Matrix::new(&stops, kept)?)?;
            Ok(points.chunks(z.cols()).map(|point| nearest(z, point)).collect())
        })
        .collect()
}

fn nearest(z: Matrix, point: &[f32]) -> usize {
    let away = |i: &usize| squared_distance(z.row(*i), point);
    (0..z.rows()).min_by(|a, b| away(a).total_cmp(&away(b))).unwrap_or(0)
}
