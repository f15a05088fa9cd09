//! Maps of latents, and the files of an evaluation.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::decoder::Decoder;
use crate::cryo::fft::Hartley3;
use crate::io::atomic;
use crate::io::mrc::write_volume;
use crate::io::npy::{self, Array};
use crate::plan::Store;
use crate::stats::Matrix;
use crate::stats::kmeans::kmeans;
use crate::stats::pca::Pca;
use crate::systems::drgn::evaluate::Sampler;
use crate::systems::drgn::files::Latents;
use crate::systems::dyna::evaluate::along_axes;
use crate::{Error, Result};

/// Rounds of k-means.
pub const ROUNDS: usize = 10;

/// What turns values of a network into a map.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Å.
    pub apix: f64,
    /// Standard deviation of the transforms that the network learned.
    pub f_std: f64,
    /// Up to where frequencies were learned, 1: Nyquist.
    pub radius: f64,
}

/// Told of each map that is done, and of how many; an error it returns stops the work.
pub type Tick<'a> = &'a mut dyn FnMut(usize, usize) -> Result<()>;

/// Makes maps of latents.
pub struct Maps {
    sampler: Sampler,
    /// Where the sampler's values stand in the D^3 transform.
    voxels: Vec<usize>,
    pub decoder: Decoder,
    pub scale: Scale,
}

impl Maps {
    pub fn new(decoder: Decoder, store: &Store, scale: Scale) -> Result<Maps> {
        let n = decoder.side;
        let axis = decoder.axis();
        let limit = (scale.radius * (n / 2) as f64).powi(2);
        let squared = |i: usize| (i as f64 - (n / 2) as f64).powi(2);
        let place = |voxel: usize| [voxel % n, voxel / n % n, voxel / (n * n)];
        let inside = |&voxel: &usize| place(voxel).into_iter().map(squared).sum::<f64>() <= limit;
        let voxels: Vec<usize> = (0..n * n * n).filter(inside).collect();
        let points = voxels.iter().map(|&voxel| place(voxel).map(|i| axis[i])).collect();
        let sampler = Sampler::new(store, decoder.z, points, |points, z| {
            // There always is a latent.
            z.map_or(points, |z| decoder.record(points, z))
        })?;
        Ok(Maps { sampler, voxels, decoder, scale })
    }

    /// The map of a latent `[D, D, D]` (z, y, x), in the units of the images.
    pub fn map(&mut self, z: &[f32]) -> Result<Vec<f32>> {
        let n = self.decoder.side;
        let mut map = vec![0.0; n * n * n];
        for (value, &voxel) in self.sampler.values(z)?.into_iter().zip(&self.voxels) {
            map[voxel] = value * self.scale.f_std as f32;
        }
        Hartley3::new(n).inverse(&mut map)?;
        Ok(map)
    }

    /// Writes the map of a latent. Its middle is the origin, as the structures of the other stages have it.
    pub fn write(&mut self, path: &Path, z: &[f32]) -> Result<()> {
        let (n, apix) = (self.decoder.side, self.scale.apix);
        let map = self.map(z)?;
        if map.iter().any(|v| !v.is_finite()) {
            return Err(Error::NotFinite(format!("the map for {} is not finite", path.display())));
        }
        write_volume(path, &map, [n; 3], apix, [-((n / 2) as f64) * apix; 3])
    }

    /// Maps of cluster centres and along the axes of most variance, with the latents and particles they belong to.
    pub fn evaluate(&mut self, folder: &Path, latents: &Latents, clusters: usize, tick: Tick) -> Result<()> {
        atomic::folder(folder)?;
        let shape = [latents.len(), latents.dim];
        npy::write_npy(&folder.join("z.npy"), &Array::f32(&shape, latents.mu.clone())?)?;
        let z = Matrix::new(&latents.mu, latents.dim)?;
        let centres = kmeans(z, clusters.min(z.rows()), ROUNDS, 0)?.center_indices;
        let mut series =
            vec![("kmeans".to_string(), "z_kmeans.txt".to_string(), "z_kmeans_ind.txt".into(), centres)];
        if z.rows() > 1 {
            let pca = Pca::fit(z, z.cols())?;
            for (k, along) in (1..).zip(along_axes(z, &pca, &pca.transform(z)?)?) {
                series.push((
                    format!("pca_{k}"),
                    format!("z_pca_{k}.txt"),
                    format!("z_pca_ind_{k}.txt"),
                    along,
                ));
            }
        }
        let total = series.iter().map(|(.., chosen)| chosen.len()).sum();
        let mut done = 0;
        for (name, latents, numbers, chosen) in series {
            write_rows(&folder.join(latents), chosen.iter().map(|&i| z.row(i)))?;
            write_numbers(&folder.join(numbers), &chosen)?;
            for (at, &i) in chosen.iter().enumerate() {
                self.write(&folder.join(format!("vol_{name}_{at:03}.mrc")), z.row(i))?;
                done += 1;
                tick(done, total)?;
            }
        }
        Ok(())
    }
}

/// A row of numbers a line.
pub fn write_rows<'a>(path: &Path, rows: impl Iterator<Item = &'a [f32]>) -> Result<()> {
    let line = |row: &[f32]| row.iter().map(f32::to_string).collect::<Vec<_>>().join(" ") + "\n";
    let text: String = rows.map(line).collect();
    atomic::write(path, |to| to.write_all(text.as_bytes()))
}

pub fn write_numbers(path: &Path, numbers: &[usize]) -> Result<()> {
    let text: String = numbers.iter().map(|n| format!("{n}\n")).collect();
    atomic::write(path, |to| to.write_all(text.as_bytes()))
}
