//! `volumes`: maps of chosen latents from a checkpoint of the density stage.

use std::path::PathBuf;

use super::sample::indices;
use crate::cli::progress::{Progress, note};
use crate::device;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::plan::Store;
use crate::stats::Matrix;
use crate::stats::kmeans::kmeans;
use crate::systems::dyna::density::checkpoint::{Checkpoint, find};
use crate::systems::dyna::density::evaluate::{Maps, ROUNDS, Scale, write_numbers};
use crate::systems::dyna::run::read_latents;

/// Maps of chosen latents, from a trained density stage
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna volumes maps -o picked --indices 1,20,300
  kinesome dyna volumes maps/0020_0015620/ckpt.pt -o picked --n-clusters 5
  kinesome dyna volumes --work_dir maps --step_num 15620 --indices picked.npy --output_dir picked
  kinesome dyna volumes maps -o path --z path.npy

Writes 00.mrc, 01.mrc and so on, and, where latents of particles are chosen, which particles these are \
(sampled_indices.txt, counted from 0).")]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct Args {
    /// Checkpoint (ckpt.pt), the folder of an evaluation, or a run's folder, of which the newest is taken
    #[arg(value_name = "CKPT", required_unless_present = "work_dir")]
    checkpoint: Option<PathBuf>,
    /// The same, as the reference calls it
    #[arg(long, alias = "work_dir", value_name = "DIR", hide = true, conflicts_with = "checkpoint")]
    work_dir: Option<PathBuf>,
    /// In a run's folder: the evaluation after this step
    #[arg(long, alias = "step_num", value_name = "STEP")]
    step_num: Option<u64>,
    /// Latents, a row each (.npy)
    #[arg(long, value_name = "FILE", group = "which")]
    z: Option<PathBuf>,
    /// Particles by number, from 0: 1,2,3 or a file (.npy, .pkl, .txt)
    #[arg(long, value_name = "LIST", group = "which")]
    indices: Option<String>,
    /// The particles nearest to the centres of so many clusters
    #[arg(long, alias = "n_clusters", value_name = "K", group = "which")]
    n_clusters: Option<usize>,
    /// Folder to write
    #[arg(short, long = "output-dir", aliases = ["output_dir", "outdir"], value_name = "DIR")]
    out: PathBuf,
    /// Å per voxel [default: as the checkpoint says]
    #[arg(long, alias = "pixel_size", value_name = "Å")]
    pixel_size: Option<f64>,
    /// Device: auto, cpu, cuda, wgpu; `kinesome devices` lists them
    #[arg(long, default_value = "auto")]
    device: String,
}

pub fn run(args: Args) -> Result<()> {
    let Some(given) = args.checkpoint.as_ref().or(args.work_dir.as_ref()) else {
        return Err(Error::usage("which checkpoint? kinesome dyna volumes CKPT -o DIR --indices 1,2"));
    };
    let path = find(given, args.step_num)?;
    let checkpoint = Checkpoint::read(&path)?;
    let width = checkpoint.decoder.z;
    // Beside it stand those that the network was trained on.
    let latents = read_latents(&args.z.clone().unwrap_or(path.with_file_name("z.npy")), width)?;
    let count = latents.len() / width;
    let chosen = match (&args.indices, args.n_clusters) {
        (Some(text), _) => indices(text)?,
        (_, Some(k)) => kmeans(Matrix::new(&latents, width)?, k, ROUNDS, 0)?.center_indices,
        _ => (0..count).collect(),
    };
    if let Some(i) = chosen.iter().find(|&&i| i >= count) {
        return Err(Error::usage(format!("there is no particle {i}: there are {count}, counted from 0")));
    }
    if checkpoint.scale.is_none() && args.pixel_size.is_none() {
        note("the checkpoint does not say its pixel size: 1 Å is written (--pixel-size)");
    }
    let mut scale = checkpoint.scale.unwrap_or(Scale { apix: 1.0, f_std: 1.0, radius: 1.0 });
    scale.apix = args.pixel_size.unwrap_or(scale.apix);
    let store = Store::new(device::open(&args.device)?, 0);
    checkpoint.load(&store)?;
    let mut maps = Maps::new(checkpoint.decoder, &store, scale)?;
    atomic::folder(&args.out)?;
    if args.z.is_none() {
        write_numbers(&args.out.join("sampled_indices.txt"), &chosen)?;
    }
    let mut bar = Progress::new("maps", "maps");
    for (i, &row) in chosen.iter().enumerate() {
        maps.write(&args.out.join(format!("{i:02}.mrc")), &latents[row * width..][..width])?;
        bar.tick(i + 1, chosen.len())?;
    }
    drop(bar);
    println!("{}: {} maps of {} voxels a side", args.out.display(), chosen.len(), maps.decoder.side);
    Ok(())
}
