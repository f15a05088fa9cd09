//! `pc_traversal`, `direct_traversal`, `graph_traversal`: paths through latent space for eval_vol.

use crate::error::{Error, Result};
use crate::io::atomic;
use crate::io::outputs::Outputs;
use crate::systems::drgn::files::{Latents, read_indices};
use crate::systems::drgn::traverse::{self, LatentPath, PcOptions};
use std::path::{Path, PathBuf};

/// Paths along principal components of the latents
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn pc_traversal trained/z.pkl -o paths
  kinesome drgn eval_vol trained/weights.pkl -c trained/config.yaml --zfile paths/z.pc1.txt -o volumes

Writes DIR/z.pc1.txt, ...: a point a line, from the 5th to the 95th percentile of the particles, through their mean.")]
pub struct PcArgs {
    /// Latents (z.pkl)
    zfile: PathBuf,

    /// Principal components, from 1 [default: all]
    #[arg(long, num_args = 1.., value_name = "PC")]
    pc: Vec<usize>,

    /// Points on each path
    #[arg(short, default_value_t = 10, value_name = "N")]
    n: usize,

    /// Percentiles where paths begin and end
    #[arg(long, num_args = 2, value_names = ["LOW", "HIGH"], default_values_t = [5.0, 95.0])]
    lim: Vec<f64>,

    /// Points at equal steps of percentile instead of equal distances
    #[arg(long)]
    use_percentile_spacing: bool,

    /// Folder for the paths; without it they go to standard output
    #[arg(short, long, value_name = "DIR")]
    outdir: Option<PathBuf>,
}

/// A path straight from particle to particle
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn direct_traversal trained/z.pkl --anchors 12 480 991 -n 6 -o path.txt

A point a line: -n on every leg, both ends included. Anchors are particle numbers from 0, or a file of them, for example \
kmeans20/centers_ind.txt.")]
pub struct DirectArgs {
    /// Latents (z.pkl)
    zfile: PathBuf,

    /// Particle numbers from 0, or files of them (.txt, .pkl)
    #[arg(long, required = true, num_args = 1.., value_name = "I")]
    anchors: Vec<String>,

    /// Points on each leg
    #[arg(short, default_value_t = 6, value_name = "N")]
    n: usize,

    /// Return to the first anchor
    #[arg(long = "loop")]
    back: bool,

    /// Path to write; without it it goes to standard output
    #[arg(short, long = "outtxt", value_name = "TXT")]
    out: Option<PathBuf>,
}

/// The shortest path through neighbouring particles
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn graph_traversal trained/z.pkl --anchors 12 480 -o path.txt --outind path_ind.txt

Steps lead only from a particle to one of its nearest neighbours, so the path stays where particles are. Anchors are \
particle numbers from 0, or a file of them.")]
pub struct GraphArgs {
    /// Latents (z.pkl)
    zfile: PathBuf,

    /// Particle numbers from 0, or files of them (.txt, .pkl)
    #[arg(long, required = true, num_args = 1.., value_name = "I")]
    anchors: Vec<String>,

    /// Neighbours of a particle at most
    #[arg(long, default_value_t = 10, value_name = "K")]
    max_neighbors: usize,

    /// Neighbours of a particle on average; sets how far neighbours may be apart
    #[arg(long, default_value_t = 5.0, value_name = "K")]
    avg_neighbors: f64,

    /// Accepted for cryoDRGN's sake
    #[arg(short, long, hide = true)]
    batch_size: Option<usize>,

    /// Search among the first N particles only
    #[arg(long, value_name = "N")]
    max_images: Option<usize>,

    /// Path to write; without it it goes to standard output
    #[arg(short, long = "outtxt", value_name = "TXT")]
    out: Option<PathBuf>,

    /// Write the particle numbers along the path
    #[arg(long, value_name = "TXT")]
    outind: Option<PathBuf>,
}

pub fn run_pc(args: PcArgs) -> Result<()> {
    let latents = read(&args.zfile)?;
    let components = match args.pc.is_empty() {
        true => (1..=latents.dim.min(latents.len())).collect(),
        false => args.pc,
    };
    let [low, high] = args.lim[..] else { return Err(Error::usage("--lim takes two percentiles")) };
    let options =
        PcOptions { points: args.n, limits: [low, high], by_percentile: args.use_percentile_spacing };
    let mut paths = Vec::new();
    for number in components {
        let Some(component) = number.checked_sub(1) else {
            return Err(Error::usage("principal components count from 1"));
        };
        paths.push((number, traverse::along_component(&latents, component, &options)?));
    }
    let Some(folder) = &args.outdir else {
        for (number, path) in &paths {
            print!("# pc {number}\n{}", path.to_text());
        }
        return Ok(());
    };
    let mut outputs = Outputs::new();
    outputs.folder(folder)?;
    for (number, path) in &paths {
        path.write(&outputs.file(folder.join(format!("z.pc{number}.txt"))))?;
    }
    outputs.keep();
    println!("{}: {} paths of {} points", folder.display(), paths.len(), args.n);
    Ok(())
}

pub fn run_direct(args: DirectArgs) -> Result<()> {
    let latents = read(&args.zfile)?;
    let path = traverse::straight(&latents, &anchors(&args.anchors)?, args.n, args.back)?;
    write(&path, args.out.as_deref())
}

pub fn run_graph(args: GraphArgs) -> Result<()> {
    let mut latents = read(&args.zfile)?;
    if let Some(first) = args.max_images {
        latents.mu.truncate(first.saturating_mul(latents.dim));
    }
    let anchors = anchors(&args.anchors)?;
    let steps = traverse::through_neighbours(&latents, &anchors, args.max_neighbors, args.avg_neighbors)?;
    let mut outputs = Outputs::new();
    if let Some(path) = &args.outind {
        let text: String = steps.indices.iter().map(|i| format!("{i}\n")).collect();
        atomic::write(&outputs.file(path), |out| out.write_all(text.as_bytes()))?;
    }
    write(&steps.path, args.out.as_deref())?;
    outputs.keep();
    if args.out.is_some() {
        println!("{} particles on the path, length {:.4}", steps.indices.len(), steps.length);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Latents> {
    let latents = Latents::read(path)?;
    if latents.is_empty() {
        return Err(Error::malformed(path, "", "there are no particles in it"));
    }
    Ok(latents)
}

fn write(path: &LatentPath, out: Option<&Path>) -> Result<()> {
    match out {
        Some(out) => {
            path.write(out)?;
            println!("{}: {} points", out.display(), path.points.len() / path.dim.max(1));
        }
        None => print!("{}", path.to_text()),
    }
    Ok(())
}

/// Numbers, or files of numbers.
fn anchors(words: &[String]) -> Result<Vec<usize>> {
    let mut all = Vec::new();
    for word in words {
        if let Ok(number) = word.parse() {
            all.push(number);
            continue;
        }
        let path = Path::new(word);
        if word.ends_with(".pkl") || word.ends_with(".npy") {
            all.extend(read_indices(path)?);
            continue;
        }
        let text = std::fs::read_to_string(path).map_err(|e| Error::os("read anchors from", path, e))?;
        for (line, value) in
            text.lines().enumerate().flat_map(|(n, l)| l.split_whitespace().map(move |v| (n, v)))
        {
            // NumPy writes whole numbers as 12 or 1.200000e+01.
            let number = value.parse::<f64>().ok().filter(|v| *v >= 0.0 && v.trunc() == *v);
            all.push(number.ok_or_else(|| {
                Error::malformed(
                    path,
                    format!("line {}", line + 1),
                    format!("`{value}` is no particle number"),
                )
            })? as usize);
        }
    }
    Ok(all)
}
