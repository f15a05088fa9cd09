//! `sample`: structures of chosen latents.

use std::path::{Path, PathBuf};

use crate::device;
use crate::error::{Error, Result};
use crate::stats::Matrix;
use crate::stats::kmeans::kmeans;
use crate::systems::drgn::files::read_indices;
use crate::systems::dyna::run::{Run, read_latents};

/// Rounds of k-means.
const ROUNDS: usize = 100;

/// Structures of chosen particles, clusters or latents, as one multi-model PDB
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna sample run --indices 0,17,42 -o chosen.pdb
  kinesome dyna sample run --indices chosen.npy --step-num 4600 -o chosen.pdb
  kinesome dyna sample run --n-clusters 20 -o clusters.pdb
  kinesome dyna sample run --z path.npy -o path.pdb")]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct Args {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Particles from 0: 0,17,42 or a file (.npy, .pkl, .txt)
    #[arg(long, value_name = "LIST", group = "which")]
    indices: Option<String>,
    /// Particles at the centres of this many clusters
    #[arg(long, value_name = "K", group = "which")]
    n_clusters: Option<usize>,
    /// Latents, a row each (.npy)
    #[arg(long, value_name = "FILE", group = "which")]
    z: Option<PathBuf>,
    /// Evaluation after this many steps [default: the last]
    #[arg(long, value_name = "N")]
    step_num: Option<u64>,
    /// The model, if it lies elsewhere by now
    #[arg(long, value_name = "PDB")]
    model: Option<PathBuf>,
    /// Structures: .pdb or .cif
    #[arg(short, long = "output-path", value_name = "PDB")]
    out: PathBuf,
    /// Device: auto, cpu, cuda, wgpu
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Numbers as the command line has them, or the file that holds them.
pub fn indices(text: &str) -> Result<Vec<usize>> {
    let list: std::result::Result<Vec<usize>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    if let Ok(list) = list {
        return Ok(list);
    }
    let path = Path::new(text);
    if path.extension().is_none_or(|e| e != "txt") {
        return read_indices(path);
    }
    let held = std::fs::read_to_string(path).map_err(|e| Error::os("read", path, e))?;
    let number = |(line, word): (usize, &str)| {
        let bad = |_| Error::malformed(path, format!("line {}", line + 1), format!("{word} is no index"));
        word.parse().map_err(bad)
    };
    let words =
        held.lines().enumerate().flat_map(|(i, line)| line.split([' ', ',', '\t']).map(move |w| (i, w)));
    words.filter(|(_, word)| !word.is_empty()).map(number).collect()
}

pub fn run(args: Args) -> Result<()> {
    let run = Run::open(&args.run, args.step_num, args.model.as_deref(), device::open(&args.device)?)?;
    let width = run.network.encoder.z;
    let rows = |chosen: &[usize]| -> Result<Vec<f32>> {
        let row = |&i: &usize| {
            run.latents.get(i * width..(i + 1) * width).ok_or_else(|| {
                Error::usage(format!("there is no particle {i}: the run has {}, counted from 0", run.len()))
            })
        };
        Ok(chosen.iter().map(row).collect::<Result<Vec<_>>>()?.concat())
    };
    let latents = match (&args.indices, args.n_clusters, &args.z) {
        (Some(text), ..) => rows(&indices(text)?)?,
        (_, Some(k), _) => kmeans(Matrix::new(&run.latents, width)?, k, ROUNDS, 0)?.centers,
        (.., Some(path)) => read_latents(path, width)?,
        _ => vec![],
    };
    if latents.is_empty() {
        return Err(Error::usage("no latents are chosen"));
    }
    let structures = run.evaluator().structures(&latents)?;
    run.reference.structure(&structures).write(&args.out)?;
    println!("{} structures in {}", structures.len(), args.out.display());
    Ok(())
}
