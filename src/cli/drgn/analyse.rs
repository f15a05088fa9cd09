//! `analyze`: what a trained model has found.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args as ClapArgs};

use super::evaluate::Finish;
use crate::cli::progress::{Stages, note};
use crate::cryo::volume::PostProcess;
use crate::systems::drgn::analyse::{Options, Summary, analyse};
use crate::{Error, Result};

/// Look at a trained model: PCA, clusters and UMAP of the latents, volumes, figures, one report
#[derive(ClapArgs, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn analyze out                       the end of the run
  kinesome drgn analyze out 20 --pc 3 --ksample 50
  kinesome drgn analyze out 20 --skip-vol         figures only

Begin with report.html in the folder it writes: it opens in any browser. Volumes lie in pc1, pc2 (10 along each
principal component) and kmeans20 (at the centres of clusters), each with vol_series.cxc to drop on ChimeraX. Figures,
umap.pkl, labels.pkl, centers.txt and z_values.txt have cryoDRGN's names. Runs of cryoDRGN itself can be analysed too.")]
pub struct Args {
    /// Folder of a training run
    workdir: PathBuf,

    /// Epoch to analyse, as in weights.N.pkl; -1 is the end of the run
    #[arg(default_value_t = -1, allow_negative_numbers = true)]
    epoch: i64,

    /// Folder to write [default: analyze.N in WORKDIR, with the number of the epoch]
    #[arg(short, long, value_name = "DIR")]
    outdir: Option<PathBuf>,

    /// Make no volumes
    #[arg(long)]
    skip_vol: bool,

    /// Make no UMAP (it takes longest when there are many particles)
    #[arg(long)]
    skip_umap: bool,

    /// Number in the name of the first volume of each folder
    #[arg(long, default_value_t = 1, value_name = "N")]
    vol_start_index: usize,

    /// Principal components to make volumes along
    #[arg(long, default_value_t = 2, value_name = "N")]
    pc: usize,

    /// Volumes along each
    #[arg(long, default_value_t = 10, value_name = "N")]
    n_per_pc: usize,

    /// Clusters of k-means
    #[arg(long, default_value_t = 20, value_name = "K")]
    ksample: usize,

    #[command(flatten)]
    finish: Finish,

    /// Device: auto, cpu, cuda, wgpu; `kinesome devices` lists them
    #[arg(long, default_value = "auto")]
    device: String,

    #[arg(short, long, hide = true, action = ArgAction::Count)]
    verbose: u8,
}

pub fn run(args: Args) -> Result<()> {
    let epoch = match args.epoch {
        -1 => None,
        epoch => Some(usize::try_from(epoch).map_err(|_| {
            Error::usage(format!("epoch {epoch}: give the number of an epoch, or -1 for the end of the run"))
        })?),
    };
    let Finish { apix, flip, invert, downsample, low_pass, crop } = args.finish;
    let options = Options {
        outdir: args.outdir,
        skip_volumes: args.skip_vol,
        skip_umap: args.skip_umap,
        first_volume: args.vol_start_index,
        apix,
        downsample,
        post_process: PostProcess { flip, invert, low_pass, crop },
        components: args.pc,
        points: args.n_per_pc,
        clusters: args.ksample,
        device: args.device,
    };
    show(&args.workdir, epoch, &options)
}

/// What training does at its end.
pub fn run_after_training(outdir: &Path, epochs: usize) -> Result<()> {
    show(outdir, Some(epochs), &Options::default())
}

fn show(workdir: &Path, epoch: Option<usize>, options: &Options) -> Result<()> {
    let mut stages = Stages::default();
    let summary = analyse(workdir, epoch, options, &mut |what, done, total| {
        stages.show(what, unit(what), done, total)
    })?;
    stages.end();
    summary.notes.iter().for_each(|text| note(text));
    tell(&summary);
    Ok(())
}

fn unit(what: &str) -> &'static str {
    match what {
        "UMAP" => "epochs",
        "volumes" => "volumes",
        _ => "steps",
    }
}

fn tell(summary: &Summary) {
    let variance: Vec<String> =
        summary.pca.explained_variance_ratio.iter().take(3).map(|v| format!("{:.1} %", 100.0 * v)).collect();
    println!(
        "{} particles, epoch {}: {} of {} latent variables in use; variance along the first components: {}",
        summary.latents.len(),
        summary.epoch,
        summary.active,
        summary.latents.dim,
        variance.join(", ")
    );
    if let Some(clusters) = &summary.clusters {
        let counts = &clusters.kmeans.counts;
        let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
        println!("{} clusters of {least} to {most} particles", counts.len());
    }
    println!("report: {}", summary.report.display());
    let series = summary.traversals.first().map(|t| &t.series).filter(|s| !s.volumes.is_empty());
    if let Some(series) = series {
        println!("motion in ChimeraX: chimerax {}", series.folder.join("vol_series.cxc").display());
    }
}
