//! `cluster`: particles of clusters, as lists that other programs refine again.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::io::npy;
use crate::io::outputs::Outputs;
use crate::io::star::ParticleTable;
use crate::stats::Matrix;
use crate::stats::kmeans::kmeans;
use crate::systems::drgn::files::write_indices;

/// Rounds of k-means.
const ROUNDS: usize = 100;

/// Cluster particles by their latents; lists of each cluster's particles, as .star and index files
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna cluster run/0020_0000920/z.npy -k 4 --star particles.star -o clusters

Writes cluster_1.pkl .. (numbers from 0, as cryoDRGN and NumPy read them), cluster_1.star .. (the rows of the star file as \
they are: refine each again in RELION or cryoSPARC, without the model) and clusters.txt (a cluster for each particle). \
With the run's number of clusters they are those of pred.pdb and of the report.")]
pub struct Args {
    /// Latents of the particles
    #[arg(value_name = "Z.npy")]
    z: PathBuf,
    /// Clusters
    #[arg(short = 'k', long, value_name = "K", default_value_t = 10)]
    n_clusters: usize,
    /// Star file of the same particles
    #[arg(long, value_name = "STAR")]
    star: Option<PathBuf>,
    /// Seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for the lists
    #[arg(short, long = "output-dir", value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    let array = npy::read(&args.z)?;
    let &[n, width] = array.shape.as_slice() else {
        let why = format!("has shape {:?}, not [particles, latent]", array.shape);
        return Err(Error::malformed(&args.z, "", why));
    };
    let values = array.to_f32();
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::malformed(&args.z, format!("row {}", at / width.max(1)), "is not finite"));
    }
    let table = args.star.as_ref().map(ParticleTable::open).transpose()?;
    if let (Some(table), Some(path)) = (table.as_ref().filter(|table| table.len() != n), &args.star) {
        let why = format!("has {} particles, {} has latents of {n}", table.len(), args.z.display());
        return Err(Error::malformed(path, "", why));
    }
    let found = kmeans(Matrix::new(&values, width)?, args.n_clusters, ROUNDS, args.seed)?;
    let mut outputs = Outputs::new();
    outputs.folder(&args.out)?;
    for (cluster, count) in found.counts.iter().enumerate() {
        let members: Vec<usize> = (0..n).filter(|&i| found.labels[i] as usize == cluster).collect();
        let name = |kind: &str| args.out.join(format!("cluster_{}.{kind}", cluster + 1));
        write_indices(&outputs.file(name("pkl")), &members)?;
        if let Some(table) = &table {
            table.select(&members)?.write(&outputs.file(name("star")))?;
        }
        println!(
            "cluster {}: {count} particles, centre at particle {}",
            cluster + 1,
            found.center_indices[cluster]
        );
    }
    let lines: String = found.labels.iter().map(|label| format!("{}\n", label + 1)).collect();
    crate::io::atomic::write(&outputs.file(args.out.join("clusters.txt")), |out| {
        out.write_all(lines.as_bytes())
    })?;
    outputs.keep();
    Ok(())
}
