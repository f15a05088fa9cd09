//! What a network says of a stack: latents of all particles, structures along them, and the files of both.

use std::path::Path;

use super::data::Particles;
use super::model::Network;
use super::reference::Reference;
use crate::io::atomic;
use crate::io::npy::{self, Array};
use crate::plan::{Options, Step, Store};
use crate::stats::kmeans::kmeans;
use crate::stats::matrix::{Matrix, squared_distance};
use crate::stats::pca::Pca;
use crate::tape::Tape;
use crate::tensor::Tensor;
use crate::{Error, Result, interrupt};

/// Structures along an axis.
const STOPS: usize = 10;
const AXES: usize = 3;
/// Rounds of k-means.
const ROUNDS: usize = 100;

pub struct Evaluator<'a> {
    pub network: &'a Network,
    pub store: &'a Store,
    /// Images or structures that go through together. An image's latent depends on those it is encoded with.
    pub batch: usize,
}

impl Evaluator<'_> {
    /// Latents of all particles in the order of the file, `[n, z]`.
    pub fn latents(&self, particles: &Particles) -> Result<Vec<f32>> {
        let z = self.network.encoder.z;
        let size = self.batch.min(particles.len()).max(1);
        let tape = Tape::new();
        let latents = self.network.encoding(&tape, size);
        let mut step = Step::new(self.store, &tape, &[("z", latents)], Options::default())?;
        let all: Vec<usize> = (0..particles.len()).collect();
        let mut found = Vec::with_capacity(all.len() * z);
        for indices in all.chunks(size) {
            interrupt::check()?;
            let (images, present) = particles.seen(indices, size)?;
            step.run(&[("images", &images), ("present", &present)])?;
            found.extend_from_slice(&step.fetch("z")?.to_f32()[..indices.len() * z]);
        }
        match found.iter().position(|v| !v.is_finite()) {
            Some(at) => Err(Error::NotFinite(format!("the latent of image {} is not finite", at / z))),
            None => Ok(found),
        }
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
            let each = self.network.decoder.residues() * 3;
            structures.extend(
                values.chunks(each).take(chunk.len() / z).map(|structure| {
                    structure.chunks(3).map(|p| [p[0], p[1], p[2]].map(f64::from)).collect()
                }),
            );
        }
        Ok(structures)
    }

    /// `z.npy`, `pred.pdb` (centres of clusters) and `pca-1.pdb` and so on (along the axes of most variance) in a
    /// folder. All structures are those of real particles.
    pub fn write(
        &self,
        folder: &Path,
        reference: &Reference,
        latents: &[f32],
        clusters: usize,
    ) -> Result<()> {
        let z = self.network.encoder.z;
        let n = latents.len() / z;
        atomic::folder(folder)?;
        npy::write_npy(&folder.join("z.npy"), &Array::f32(&[n, z], latents.to_vec())?)?;
        let matrix = Matrix::new(latents, z)?;
        let write = |name: &str, rows: &[f32]| -> Result<()> {
            reference.structure(&self.structures(rows)?).write(&folder.join(name))
        };
        let centres = kmeans(matrix, clusters.min(n), ROUNDS, 0)?.centers;
        write("pred.pdb", &centres)?;
        if n > 1 {
            for (axis, rows) in along_axes(matrix)?.iter().enumerate() {
                write(&format!("pca-{}.pdb", axis + 1), rows)?;
            }
        }
        Ok(())
    }
}

/// Latents of particles along the axes of most variance, from the 5th to the 95th percentile, `[10, z]` each.
pub fn along_axes(z: Matrix) -> Result<Vec<Vec<f32>>> {
    let rows = |along: Vec<usize>| along.into_iter().flat_map(|i| z.row(i)).copied().collect();
    Ok(particles_along_axes(z)?.into_iter().map(rows).collect())
}

/// The numbers of these particles.
pub fn particles_along_axes(z: Matrix) -> Result<Vec<Vec<usize>>> {
    let pca = Pca::fit(z, z.cols())?;
    let kept = pca.len();
    let scores = pca.transform(z)?;
    (0..kept.min(AXES))
        .map(|axis| {
            let mut along: Vec<f32> = scores.iter().skip(axis).step_by(kept).copied().collect();
            along.sort_unstable_by(f32::total_cmp);
            let (low, high) = (percentile(&along, 0.05), percentile(&along, 0.95));
            let mut stops = vec![0.0; STOPS * kept];
            for (i, stop) in stops.chunks_mut(kept).enumerate() {
                stop[axis] = low + (high - low) * i as f32 / (STOPS - 1) as f32;
            }
            let points = pca.inverse_transform(Matrix::new(&stops, kept)?)?;
            Ok(points.chunks(z.cols()).map(|point| nearest(z, point)).collect())
        })
        .collect()
}

/// Of sorted values, between the two nearest ranks.
fn percentile(sorted: &[f32], share: f64) -> f32 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, part) = (place.floor() as usize, place.fract() as f32);
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + part * (sorted[high] - sorted[low])
}

fn nearest(z: Matrix, point: &[f32]) -> usize {
    let mut best = (0, f32::INFINITY);
    for i in 0..z.rows() {
        let there = squared_distance(z.row(i), point);
        if there < best.1 {
            best = (i, there);
        }
    }
    best.0
}
