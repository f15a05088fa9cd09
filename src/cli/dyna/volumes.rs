//! `volumes`: maps of chosen latents from a checkpoint of the density stage.

use std::path::{Path, PathBuf};

use crate::cli::drgn::evaluate::read_latents;
use crate::cli::progress::{Progress, note};
use crate::device;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::plan::Store;
use crate::stats::Matrix;
use crate::stats::kmeans::kmeans;
use crate::systems::drgn::files::{Latents, read_indices};
use crate::systems::dyna::density::checkpoint::{Checkpoint, find};
use crate::systems::dyna::density::evaluate::{Maps, ROUNDS, Scale, write_numbers};

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
    /// Latents: rows of an array (.npy) or of a text
    #[arg(long, value_name = "FILE", group = "which")]
    z: Option<PathBuf>,
    /// Particles by number, from 0: 1,2,3 or a file (.npy, .txt)
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

/// Numbers behind one another, or in a file.
fn numbers(text: &str) -> Result<Vec<usize>> {
    let bad = |word: &str| Error::usage(format!("--indices {text}: {word:?} is no particle number (from 0)"));
    let parse = |words: &str| -> Result<Vec<usize>> {
        let words = words.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        words.map(|word| word.parse().map_err(|_| bad(word))).collect()
    };
    let path = Path::new(text);
    let found = match path.extension().and_then(|e| e.to_str()) {
        Some("npy" | "pkl") => read_indices(path)?,
        Some(_) => parse(&std::fs::read_to_string(path).map_err(|e| Error::os("read", path, e))?)?,
        None => parse(text)?,
    };
    if found.is_empty() {
        return Err(Error::usage(format!("--indices {text}: no number")));
    }
    Ok(found)
}

/// The latents that a checkpoint's network was trained on stand beside it.
fn trained_on(checkpoint: &Path, dim: usize) -> Result<Latents> {
    let path = checkpoint.with_file_name("z.npy");
    let latents = Latents::read(&path)?;
    if latents.dim != dim {
        let why = format!("holds latents of {} numbers, the network takes {dim}", latents.dim);
        return Err(Error::malformed(path, "", why));
    }
    Ok(latents)
}

pub fn run(args: Args) -> Result<()> {
    let Some(given) = args.checkpoint.as_ref().or(args.work_dir.as_ref()) else {
        return Err(Error::usage("which checkpoint? kinesome dyna volumes CKPT -o DIR --indices 1,2"));
    };
    let path = find(given, args.step_num)?;
    let checkpoint = Checkpoint::read(&path)?;
    let z = checkpoint.decoder.z;
    let (rows, particles): (Vec<Vec<f32>>, Option<Vec<usize>>) = match (&args.z, &args.indices) {
        (Some(file), _) => (read_latents(file, z)?, None),
        (None, indices) => {
            let latents = trained_on(&path, z)?;
            let matrix = Matrix::new(&latents.mu, z)?;
            let chosen = match (indices, args.n_clusters) {
                (Some(text), _) => numbers(text)?,
                (None, clusters) => kmeans(matrix, clusters.unwrap_or(1), ROUNDS, 0)?.center_indices,
            };
            if let Some(&i) = chosen.iter().find(|&&i| i >= matrix.rows()) {
                let count = matrix.rows();
                return Err(Error::usage(format!("particle {i}: there are {count}, 0 to {}", count - 1)));
            }
            (chosen.iter().map(|&i| matrix.row(i).to_vec()).collect(), Some(chosen))
        }
    };
    if let Some(row) = rows.iter().position(|row| row.iter().any(|v| !v.is_finite())) {
        return Err(Error::NotFinite(format!("latent {row}: a number is not finite")));
    }
    let mut scale = match (checkpoint.scale, args.pixel_size) {
        (Some(scale), _) => scale,
        (None, Some(apix)) => Scale { apix, f_std: 1.0, radius: 1.0 },
        (None, None) => {
            note("the checkpoint does not say its pixel size: 1 Å is written (--pixel-size)");
            Scale { apix: 1.0, f_std: 1.0, radius: 1.0 }
        }
    };
    scale.apix = args.pixel_size.unwrap_or(scale.apix);
    let store = Store::new(device::open(&args.device)?, 0);
    checkpoint.load(&store)?;
    let mut maps = Maps::new(checkpoint.decoder, &store, scale)?;
    atomic::folder(&args.out)?;
    if let Some(particles) = &particles {
        write_numbers(&args.out.join("sampled_indices.txt"), particles)?;
    }
    let mut bar = Progress::new("maps", "maps");
    for (i, row) in rows.iter().enumerate() {
        maps.write(&args.out.join(format!("{i:02}.mrc")), row)?;
        bar.tick(i + 1, rows.len())?;
    }
    drop(bar);
    println!("{}: {} maps of {} voxels a side", args.out.display(), rows.len(), maps.decoder.side);
    Ok(())
}
