//! `analyze`: the report of a run.

use std::path::{Path, PathBuf};

use crate::cli::progress::{Progress, note};
use crate::device;
use crate::error::Result;
use crate::io::atomic;
use crate::io::npy::{self, Array};
use crate::report::Figure;
use crate::stats::Matrix;
use crate::stats::umap::Umap;
use crate::systems::dyna::evaluate::Findings;
use crate::systems::dyna::page;
use crate::systems::dyna::run::Run;

/// Write the report of a run: clusters, axes, structures, UMAP
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna analyze run
  kinesome dyna analyze run --step-num 4600 -k 6 --skip-umap

Writes report.html, pred.pdb (centres of clusters), pca-1.pdb and so on, umap.npy and z_distribution.png into the folder \
of the evaluation, or into -o.")]
pub struct Args {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Evaluation after this many steps [default: the last]
    #[arg(long, value_name = "N")]
    step_num: Option<u64>,
    /// Clusters [default: as the run's settings say]
    #[arg(short = 'k', long = "n-clusters", alias = "cluster-k", value_name = "N")]
    clusters: Option<usize>,
    /// No UMAP: it takes minutes for a hundred thousand particles
    #[arg(long)]
    skip_umap: bool,
    /// The model, if it lies elsewhere by now
    #[arg(long, value_name = "PDB")]
    model: Option<PathBuf>,
    /// Folder for the results [default: the evaluation's]
    #[arg(short, long = "outdir", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Device: auto, cpu, cuda, wgpu
    #[arg(long, default_value = "auto")]
    device: String,
}

pub fn run(args: Args) -> Result<()> {
    let run = Run::open(&args.run, args.step_num, args.model.as_deref(), device::open(&args.device)?)?;
    for text in &run.reference.notes {
        note(text);
    }
    let findings =
        run.evaluator().find(&run.latents, args.clusters.unwrap_or(run.config.analyze.cluster_k))?;
    let folder = args.out.unwrap_or_else(|| run.folder.clone());
    findings.write(&folder, &run.reference)?;
    let umap = match args.skip_umap || findings.width < 3 || run.len() < 3 {
        true => None,
        false => {
            let mut bar = Progress::new("UMAP", "rounds");
            let z = Matrix::new(&run.latents, findings.width)?;
            let flat = Umap::default().fit(z, &mut |done, of| bar.tick(done, of))?;
            Some(flat.as_chunks::<2>().0.to_vec())
        }
    };
    if let Some(points) = &umap {
        npy::write_npy(
            &folder.join("umap.npy"),
            &Array::f32(&[run.len(), 2], points.as_flattened().to_vec())?,
        )?;
        let axis = |k: usize| points.iter().map(|p| f64::from(p[k])).collect::<Vec<_>>();
        let figure =
            Figure::new("Latents of the particles", "UMAP 1", "UMAP 2").hexbin(&axis(0), &axis(1), 40);
        let png = figure.png()?;
        atomic::write(&folder.join("z_distribution.png"), |out| out.write_all(&png))?;
    }
    println!("{}", report(&run, &findings, umap.as_deref(), &folder)?.display());
    Ok(())
}

/// Writes the page of a run.
pub fn report(run: &Run, findings: &Findings, umap: Option<&[[f32; 2]]>, folder: &Path) -> Result<PathBuf> {
    let path = folder.join("report.html");
    let html = page::page(run, findings, umap)?;
    atomic::write(&path, |out| out.write_all(html.as_bytes()))?;
    Ok(path)
}
