//! Choosing particles, and cutting tables and stacks down to the choice.

use super::indices;
use crate::cli::progress::Progress;
use crate::error::{Error, Result};
use crate::io::cs::CsTable;
use crate::io::outputs::Outputs;
use crate::io::particles::ParticleStack;
use crate::io::pickle::{self, Value};
use crate::systems::drgn::config::Config;
use crate::systems::drgn::files::{Latents, read_indices, read_labels, read_umap, write_indices};
use crate::systems::drgn::images;
use crate::systems::drgn::select::{self, Range};
use std::path::{Path, PathBuf};

/// Choose particles by number, cluster, or place in latent space
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn filter trained --clusters 3 7 8 --name junk
  kinesome drgn filter trained --range pc1:-1.5:0.5 --range umap2:4: --name left
  kinesome drgn filter trained --ind by_hand.pkl --name by_hand

Writes NAME.pkl and NAME_inverse.pkl into the folder of the model (or --sel-dir): numbers from 0 of the particles of \
the original stack, also where the model was trained on a selection. Clusters count from 1, like the volumes vol_001.mrc; an open side of a range is left empty; several conditions must all hold. This takes the \
place of cryoDRGN's window in which a lasso is drawn.")]
#[command(group = clap::ArgGroup::new("how").required(true).multiple(true))]
pub struct FilterArgs {
    /// Folder of a trained model
    #[arg(value_name = "WORKDIR")]
    outdir: PathBuf,

    /// Epoch whose latents and analysis are used; -1 is the end of training
    #[arg(short, long, default_value_t = -1, allow_negative_numbers = true)]
    epoch: i64,

    /// Which k-means: analyze.EPOCH/kmeansK [default: the only one there]
    #[arg(short, long, value_name = "K")]
    kmeans: Option<usize>,

    /// Particles by number (.pkl or .npy)
    #[arg(long, alias = "plot-inds", value_name = "PKL", group = "how")]
    ind: Option<PathBuf>,

    /// Particles of these k-means clusters, counted from 1 like the volumes vol_001.mrc
    #[arg(long, num_args = 1.., value_name = "C", group = "how")]
    clusters: Vec<i64>,

    /// Particles between bounds along z, pc or umap, as pc1:-1:2
    #[arg(long, value_name = "AXIS:LOW:HIGH", group = "how", allow_hyphen_values = true)]
    range: Vec<Range>,

    /// Name of the selection
    #[arg(long, default_value = "indices", value_name = "NAME")]
    name: String,

    /// Folder for the selection [default: the folder of the model]
    #[arg(long, value_name = "DIR")]
    sel_dir: Option<PathBuf>,

    /// Replace files that exist
    #[arg(short, long)]
    force: bool,
}

/// Choose the particles of k-means clusters
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn select_clusters trained/analyze.19/kmeans20/labels.pkl --sel 2 5 -o chosen.pkl

Clusters count from 1, like the volumes vol_001.mrc.")]
pub struct ClusterArgs {
    /// labels.pkl of a k-means
    labels: PathBuf,

    /// Clusters, from 1
    #[arg(long, required = true, num_args = 1.., value_name = "C")]
    sel: Vec<i64>,

    /// Numbers of the particles that the model was trained on; the result is in these
    #[arg(long, value_name = "PKL")]
    parent_ind: Option<PathBuf>,

    /// Particles of the original stack; accepted for cryoDRGN's sake
    #[arg(long = "N-orig", hide = true)]
    n_orig: Option<usize>,

    /// Selection to write
    #[arg(short, value_name = "PKL")]
    out: PathBuf,
}

/// Choose particles at random
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn select_random 100000 -n 10000 -o subset.pkl -s rest.pkl

The same seed gives the same choice (not the one that NumPy's generator makes of it).")]
pub struct RandomArgs {
    /// Number of particles
    #[arg(value_name = "N")]
    total: usize,

    /// Particles to choose
    #[arg(short, value_name = "M", required_unless_present = "frac", conflicts_with = "frac")]
    n: Option<usize>,

    /// Fraction of particles to choose
    #[arg(long, value_name = "F")]
    frac: Option<f64>,

    /// Seed
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Selection to write
    #[arg(short, value_name = "PKL")]
    out: PathBuf,

    /// Write the others too
    #[arg(short, value_name = "PKL")]
    s: Option<PathBuf>,
}

/// Keep chosen rows of a cryoSPARC .cs file
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn filter_cs particles.cs --ind chosen.pkl -o chosen.cs

Rows are copied byte for byte.")]
pub struct CsArgs {
    /// The .cs file
    input: PathBuf,

    /// Numbers from 0 of the rows to keep (.pkl or .npy)
    #[arg(long, value_name = "PKL")]
    ind: PathBuf,

    /// The .cs file to write
    #[arg(short, value_name = "CS")]
    out: PathBuf,
}

/// Keep chosen images of a stack
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn filter_mrcs particles.mrcs --ind chosen.pkl -o chosen.mrcs")]
pub struct MrcsArgs {
    /// Particles (.mrcs, .mrc, .star, .cs, .txt)
    input: PathBuf,

    /// Numbers from 0 of the images to keep, in this order (.pkl or .npy)
    #[arg(long, value_name = "PKL")]
    ind: PathBuf,

    /// Folder in which to look for images that the .star, .cs or .txt names
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,

    /// Stack to write
    #[arg(short, value_name = "MRCS")]
    out: PathBuf,
}

/// Keep chosen rows of poses, CTF, latents or labels
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn filter_pkl pose.pkl --ind chosen.pkl -o pose_chosen.pkl
  kinesome drgn filter_pkl ctf.pkl --first 10000 -o ctf_first.pkl")]
pub struct PklArgs {
    /// A .pkl file of arrays with one row for each particle
    input: PathBuf,

    /// Numbers from 0 of the rows to keep (.pkl or .npy)
    #[arg(long, value_name = "PKL", required_unless_present = "first", conflicts_with = "first")]
    ind: Option<PathBuf>,

    /// Keep the first N rows
    #[arg(long, value_name = "N")]
    first: Option<usize>,

    /// The .pkl to write
    #[arg(short, value_name = "PKL")]
    out: PathBuf,
}

/// Join .pkl tables one after another
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn concat_pkls pose_a.pkl pose_b.pkl -o pose.pkl")]
pub struct ConcatArgs {
    /// Tables of one kind
    #[arg(required = true, num_args = 1..)]
    input: Vec<PathBuf>,

    /// The .pkl to write
    #[arg(short, value_name = "PKL")]
    out: PathBuf,
}

pub fn run_filter(args: FilterArgs) -> Result<()> {
    let config_path = args.outdir.join("config.yaml");
    let parent = match config_path.exists() {
        true => Config::read(&config_path)?.dataset_args.ind,
        false => None,
    };
    let latents = Latents::read(&file_of_epoch(&args.outdir, "z", args.epoch))?;
    // Particles of the original stack, in the order of the latents.
    let all = match &parent {
        Some(path) => read_indices(Path::new(path))?,
        None => (0..latents.len()).collect(),
    };
    if all.len() != latents.len() {
        let (a, b) = (all.len(), latents.len());
        return Err(Error::usage(format!(
            "the model was trained on a selection of {a} particles, but z has {b}"
        )));
    }
    let analysis = analysis_folder(&args.outdir, args.epoch)?;
    let mut kept: Vec<bool> = vec![true; all.len()];
    let mut keep_only = |rows: Vec<usize>| {
        let rows: std::collections::HashSet<usize> = rows.into_iter().collect();
        kept.iter_mut().enumerate().for_each(|(i, kept)| *kept &= rows.contains(&i));
    };
    if !args.clusters.is_empty() {
        let folder = analysis.as_ref().ok_or_else(|| no_analysis(&args.outdir))?;
        let labels = read_labels(&kmeans_folder(folder, args.kmeans)?.join("labels.pkl"))?;
        if labels.len() != all.len() {
            let (a, b) = (labels.len(), all.len());
            return Err(Error::usage(format!("{a} cluster labels for {b} particles; run analyze again")));
        }
        keep_only(select::clusters(&labels, &from_one(&args.clusters)?)?);
    }
    if !args.range.is_empty() {
        let umap = analysis.as_ref().map(|f| f.join("umap.pkl")).filter(|p| p.exists());
        let umap = umap.as_deref().map(read_umap).transpose()?;
        keep_only(select::within(&latents, umap.as_deref(), &args.range)?);
    }
    if let Some(path) = &args.ind {
        let wanted = read_indices(path)?;
        let known: std::collections::HashMap<usize, usize> =
            all.iter().enumerate().map(|(i, p)| (*p, i)).collect();
        let rows = wanted.iter().map(|p| {
            known.get(p).copied().ok_or_else(|| {
                Error::malformed(
                    path,
                    "",
                    format!("particle {p} is not among the {} of the model", all.len()),
                )
            })
        });
        keep_only(rows.collect::<Result<_>>()?);
    }
    let chosen: Vec<usize> = all.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(p, _)| *p).collect();
    if chosen.is_empty() {
        return Err(Error::usage("no particle meets the conditions; nothing was written"));
    }
    let folder = args.sel_dir.unwrap_or(args.outdir);
    let name = args.name.strip_suffix(".pkl").unwrap_or(&args.name);
    let [path, other] = [format!("{name}.pkl"), format!("{name}_inverse.pkl")].map(|file| folder.join(file));
    if let Some(taken) = [&path, &other].into_iter().find(|p| p.exists() && !args.force) {
        return Err(Error::usage(format!("{} exists; give --force or another --name", taken.display())));
    }
    let mut outputs = Outputs::new();
    outputs.folder(&folder)?;
    write_indices(&outputs.file(&path), &chosen)?;
    write_indices(&outputs.file(&other), &select::inverse(&all, &chosen))?;
    outputs.keep();
    println!(
        "{}: {} of {} particles; the others in {}",
        path.display(),
        chosen.len(),
        all.len(),
        other.display()
    );
    if let Some(analysis) = analysis {
        println!("clusters and UMAP are those of {}", analysis.display());
    }
    Ok(())
}

/// `z.19.pkl`, or `z.pkl` at the end.
fn file_of_epoch(folder: &Path, stem: &str, epoch: i64) -> PathBuf {
    folder.join(if epoch < 0 { format!("{stem}.pkl") } else { format!("{stem}.{epoch}.pkl") })
}

/// `analyze.EPOCH`; for the end of training `analyze.-1`, or else the last one there is.
fn analysis_folder(folder: &Path, epoch: i64) -> Result<Option<PathBuf>> {
    let exact = folder.join(format!("analyze.{epoch}"));
    if exact.is_dir() || epoch >= 0 {
        return Ok(exact.is_dir().then_some(exact));
    }
    let last = numbered(folder, "analyze.")?.into_iter().max();
    Ok(last.map(|n| folder.join(format!("analyze.{n}"))))
}

fn no_analysis(folder: &Path) -> Error {
    Error::usage(format!(
        "there is no analysis of this epoch in {}; run `kinesome drgn analyze` first",
        folder.display()
    ))
}

fn kmeans_folder(analysis: &Path, k: Option<usize>) -> Result<PathBuf> {
    let known = numbered(analysis, "kmeans")?;
    let list = known.iter().map(|k| format!("kmeans{k}")).collect::<Vec<_>>().join(", ");
    match (k, &known[..]) {
        (Some(k), _) if known.contains(&k) => Ok(analysis.join(format!("kmeans{k}"))),
        (None, [k]) => Ok(analysis.join(format!("kmeans{k}"))),
        (_, []) => {
            Err(Error::usage(format!("there is no k-means in {}; run analyze first", analysis.display())))
        }
        (Some(k), _) => {
            Err(Error::usage(format!("there is no kmeans{k} in {}, only {list}", analysis.display())))
        }
        (None, _) => Err(Error::usage(format!("{} holds {list}; choose with -k", analysis.display()))),
    }
}

/// Numbers behind a prefix among the entries of a folder, ascending.
fn numbered(folder: &Path, prefix: &str) -> Result<Vec<usize>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::os("read", folder, e))?;
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut found: Vec<usize> =
        entries.flatten().filter_map(|e| name(e).strip_prefix(prefix)?.parse().ok()).collect();
    found.sort_unstable();
    Ok(found)
}

/// Cluster numbers of the command line to those of the file.
fn from_one(clusters: &[i64]) -> Result<Vec<i64>> {
    match clusters.iter().find(|c| **c < 1) {
        Some(c) => {
            Err(Error::usage(format!("there is no cluster {c}; clusters count from 1, like vol_001.mrc")))
        }
        None => Ok(clusters.iter().map(|c| c - 1).collect()),
    }
}

pub fn run_clusters(args: ClusterArgs) -> Result<()> {
    let labels = read_labels(&args.labels)?;
    let mut chosen = select::clusters(&labels, &from_one(&args.sel)?)
        .map_err(|e| Error::malformed(&args.labels, "", format!("{e} (here counted from 0)")))?;
    if let Some(parent) = indices(args.parent_ind.as_deref())? {
        if parent.len() != labels.len() {
            let (a, b) = (parent.len(), labels.len());
            return Err(Error::usage(format!("--parent-ind has {a} particles, the labels {b}")));
        }
        chosen = chosen.into_iter().map(|i| parent[i]).collect();
    }
    write_indices(&args.out, &chosen)?;
    println!("{}: {} of {} particles", args.out.display(), chosen.len(), labels.len());
    Ok(())
}

pub fn run_random(args: RandomArgs) -> Result<()> {
    let size = match (args.n, args.frac) {
        (Some(n), _) => n,
        (None, Some(f)) if f > 0.0 && f <= 1.0 => (f * args.total as f64) as usize,
        (None, f) => {
            return Err(Error::usage(format!("--frac {}: must be above 0, at most 1", f.unwrap_or(0.0))));
        }
    };
    let chosen = select::random(args.total, size, args.seed)?;
    let mut outputs = Outputs::new();
    write_indices(&outputs.file(&args.out), &chosen)?;
    if let Some(rest) = &args.s {
        let all: Vec<usize> = (0..args.total).collect();
        write_indices(&outputs.file(rest), &select::inverse(&all, &chosen))?;
    }
    outputs.keep();
    println!("{}: {size} of {} particles", args.out.display(), args.total);
    Ok(())
}

pub fn run_cs(args: CsArgs) -> Result<()> {
    let table = CsTable::open(&args.input)?;
    images::not_onto_input(&args.out, [args.input.as_path()])?;
    let rows = read_indices(&args.ind)?;
    if rows.is_empty() {
        return Err(Error::usage("the selection (--ind) is empty"));
    }
    table.write_rows(&args.out, &rows)?;
    println!("{}: {} of {} rows", args.out.display(), rows.len(), table.len());
    Ok(())
}

pub fn run_mrcs(args: MrcsArgs) -> Result<()> {
    let ind = read_indices(&args.ind)?;
    let stack = ParticleStack::open(&args.input, args.datadir.as_deref(), Some(&ind))?;
    let mut progress = Progress::new("copying", "images");
    let n = images::select(&stack, &args.out, &mut progress.ticker())?;
    println!("{}: {n} images; {}", args.out.display(), progress.finish());
    Ok(())
}

pub fn run_pkl(args: PklArgs) -> Result<()> {
    // Latents are several pickles in one file; each is cut.
    let tables = pickle::read_all(&args.input)?;
    let chosen: Vec<usize> = match (&args.ind, args.first) {
        (Some(path), _) => read_indices(path)?,
        (None, first) => (0..first.unwrap_or(0)).collect(),
    };
    if chosen.is_empty() {
        return Err(Error::usage("the selection is empty; there would be nothing to write"));
    }
    let cut = tables
        .iter()
        .map(|table| select::rows(&args.input, table, &chosen))
        .collect::<Result<Vec<Value>>>()?;
    pickle::write_all(&args.out, &cut)?;
    println!("{}: {} rows", args.out.display(), chosen.len());
    Ok(())
}

pub fn run_concat(args: ConcatArgs) -> Result<()> {
    let tables = args
        .input
        .iter()
        .map(|path| Ok((path.as_path(), pickle::read(path)?)))
        .collect::<Result<Vec<_>>>()?;
    pickle::write(&args.out, &select::concatenate(&tables)?)?;
    println!("{}: {} tables joined", args.out.display(), tables.len());
    Ok(())
}
