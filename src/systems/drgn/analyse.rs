//! What a trained model has found: principal components, clusters and UMAP of the latents, volumes along components
//! and at cluster centres, figures, ChimeraX scripts and one report, in a folder laid out as cryoDRGN's `analyze` does.

mod figures;
mod history;
mod page;
mod series;

use std::path::{Path, PathBuf};

use super::config::Config;
use super::data::resolve;
use super::evaluate::Model;
use super::files::{self, Checkpoint, CtfTable, Latents};
use super::model::Network;
use super::run::{self, EpochLosses};
use super::traverse::{LatentPath, PcOptions, along_component};
use crate::cryo::volume::PostProcess;
use crate::io::atomic;
use crate::stats::Matrix;
use crate::stats::kmeans::{KMeans, kmeans};
use crate::stats::pca::Pca;
use crate::stats::rank;
use crate::stats::umap::Umap;
use crate::{Error, Result, interrupt};

pub use series::Series;

/// Percentiles of a component between which volumes are made.
const LIMITS: [f64; 2] = [5.0, 95.0];
/// Rounds of k-means.
const ROUNDS: usize = 10;
/// Variance of its means from which on a latent variable counts as used (Burda, Grosse and Salakhutdinov 2016).
const ACTIVE: f64 = 0.01;

/// Told what is being done, how much of it is done, of how much; an error it returns stops the work.
pub type Progress<'a> = &'a mut dyn FnMut(&str, usize, usize) -> Result<()>;

/// What to make, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder to write; `analyze.N` in the run's folder, with the number of the epoch, if none is given.
    pub outdir: Option<PathBuf>,
    /// No volumes.
    pub skip_volumes: bool,
    pub skip_umap: bool,
    /// Number in the name of each first volume.
    pub first_volume: usize,
    /// Pixel size in Å of the model's box; that of the run's CTF parameters if none is given.
    pub apix: Option<f64>,
    /// Side of the volumes: a Fourier crop.
    pub downsample: Option<usize>,
    pub post_process: PostProcess,
    /// Principal components along which volumes are made, and volumes on each.
    pub components: usize,
    pub points: usize,
    /// Clusters of k-means.
    pub clusters: usize,
    pub device: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            outdir: None,
            skip_volumes: false,
            skip_umap: false,
            first_volume: 1,
            apix: None,
            downsample: None,
            post_process: PostProcess::default(),
            components: 2,
            points: 10,
            clusters: 20,
            device: "auto".into(),
        }
    }
}

/// A volume series along one principal component.
#[derive(Clone, Debug)]
pub struct Traversal {
    /// From 0.
    pub component: usize,
    pub series: Series,
    /// The particle whose latent is nearest to each point.
    pub nearest: Vec<usize>,
}

/// k-means of the latents; labels count from 0, names of volumes from 1.
#[derive(Clone, Debug)]
pub struct Clusters {
    pub kmeans: KMeans,
    pub series: Series,
}

/// All that was found.
#[derive(Debug)]
pub struct Summary {
    pub outdir: PathBuf,
    /// Epochs that the model was trained.
    pub epoch: usize,
    pub latents: Latents,
    pub pca: Pca,
    /// Coordinates along the components, [N, k].
    pub scores: Vec<f32>,
    /// Along the components; for a single latent variable along itself.
    pub traversals: Vec<Traversal>,
    /// None with a single latent variable.
    pub clusters: Option<Clusters>,
    pub umap: Option<Vec<[f32; 2]>>,
    /// Latent variables that hold anything.
    pub active: usize,
    /// Losses of the epochs up to this one; empty if the run left none.
    pub history: Vec<EpochLosses>,
    /// Pixel size of the volumes in Å, if it is known.
    pub apix: Option<f64>,
    /// Side of the volumes before cropping.
    pub side: usize,
    pub report: PathBuf,
    /// Remarks for the user.
    pub notes: Vec<String>,
}

impl Summary {
    /// Coordinates of all particles along component `k` (from 0).
    pub fn component(&self, k: usize) -> Vec<f64> {
        self.scores.iter().skip(k).step_by(self.pca.len().max(1)).map(|v| f64::from(*v)).collect()
    }
}

/// A checkpoint with what belongs to it, checked.
struct Run {
    model: Model,
    latents: Latents,
    latents_path: PathBuf,
    epoch: usize,
    history: Vec<EpochLosses>,
    /// Å/px of the model's box by the run's CTF parameters.
    apix: Option<f64>,
    notes: Vec<String>,
}

/// Analyses a run's checkpoint of `epoch`, or the end of the run.
pub fn analyse(
    workdir: &Path,
    epoch: Option<usize>,
    options: &Options,
    progress: Progress,
) -> Result<Summary> {
    let mut run = Run::open(workdir, epoch, &options.device)?;
    let n = run.latents.len();
    let zdim = run.latents.dim;
    let evaluator = run.model.evaluator();
    let (side, apix) = check_volumes(&run, options)?;
    let decoder = evaluator.volumes(options.downsample)?;
    if apix.is_none() {
        run.notes.push("the pixel size is unknown: 1 Å is written into the volumes (give --Apix)".into());
    }
    let folder = match &options.outdir {
        Some(folder) => folder.clone(),
        None => workdir.join(format!("analyze.{}", run.epoch)),
    };
    atomic::folder(&folder)?;

    progress("principal components", 0, 1)?;
    let z = Matrix::new(&run.latents.mu, zdim)?;
    let pca = Pca::fit(z, zdim)?;
    let scores = pca.transform(z)?;
    progress("principal components", 1, 1)?;
    interrupt::check()?;

    let umap = match zdim > 2 && !options.skip_umap {
        true => Some(umap(&folder.join("umap.pkl"), &run.latents_path, z, &mut run.notes, progress)?),
        false => None,
    };
    let clusters = if zdim > 1 {
        let k = options.clusters.min(n);
        if k < options.clusters {
            run.notes
                .push(format!("there are only {n} particles: {k} clusters instead of {}", options.clusters));
        }
        progress("k-means", 0, 1)?;
        let found = kmeans(z, k, ROUNDS, 0)?;
        progress("k-means", 1, 1)?;
        Some(found)
    } else {
        None
    };
    interrupt::check()?;

    let components = options.components.min(pca.len());
    if components < options.components {
        run.notes
            .push(format!("the latent space has {} components: volumes are made along these", pca.len()));
    }
    let (skip, points) = (options.skip_volumes, options.points * components);
    let mut maker = series::Maker {
        decoder,
        norm: run.model.norm(),
        side,
        apix: apix.unwrap_or(1.0),
        options,
        progress,
        done: 0,
        total: if skip { 0 } else { points + clusters.as_ref().map_or(0, |c| c.counts.len()) },
    };
    let along = PcOptions { points: options.points, limits: LIMITS, by_percentile: false };
    let mut traversals = Vec::new();
    for component in 0..components {
        let path = along_component(&run.latents, component, &along)?;
        let nearest = nearest(z, &path);
        let (into, what) = match zdim {
            1 => (folder.clone(), "the latent variable".to_string()),
            _ => (
                folder.join(format!("pc{}", component + 1)),
                format!("principal component {}", component + 1),
            ),
        };
        let title = format!("Volumes along {what}, {:.0} to {:.0} % of the particles", LIMITS[0], LIMITS[1]);
        let series = maker.run(&into, path, &title, series::Tinge::Order)?;
        traversals.push(Traversal { component, series, nearest });
    }
    let clusters = match clusters {
        Some(kmeans) => {
            let into = folder.join(format!("kmeans{}", kmeans.counts.len()));
            let path = LatentPath { dim: zdim, points: kmeans.centers.clone() };
            let series = maker.run(&into, path, "Volumes at cluster centres", series::Tinge::Cluster)?;
            write_clusters(&into, &kmeans, zdim)?;
            Some(Clusters { kmeans, series })
        }
        None => None,
    };

    let summary = Summary {
        epoch: run.epoch,
        active: active(&run.latents),
        report: folder.join("report.html"),
        outdir: folder,
        latents: run.latents,
        pca,
        scores,
        traversals,
        clusters,
        umap,
        history: run.history,
        apix,
        side,
        notes: run.notes,
    };
    figures::write(&summary, options)?;
    interrupt::check()?;
    let html = page::report(&summary, workdir, &run.model.config, options)?;
    atomic::write(&summary.report, |out| out.write_all(html.as_bytes()))?;
    Ok(summary)
}

impl Run {
    fn open(workdir: &Path, epoch: Option<usize>, device: &str) -> Result<Run> {
        let config_path = workdir.join("config.yaml");
        if !config_path.is_file() {
            let why = "is no folder of a training run: there is no config.yaml in it";
            return Err(Error::usage(format!("{} {why}", workdir.display())));
        }
        if Network::new(&Config::read(&config_path)?)?.zdim() == 0 {
            let why =
                "this run has no latent variables (train_nn), so there is nothing to analyse; its maps are";
            return Err(Error::usage(format!("{}: {why} reconstruct.N.mrc", workdir.display())));
        }
        let (weights, latents_path) = locate(workdir, epoch)?;
        let model = Model::load(&config_path, &weights, device)?;
        let (reached, remembered) = trained(&weights, &model.checkpoint)?;
        let epoch = epoch.unwrap_or(reached);
        let latents = Latents::read(&latents_path)?;
        let wrong = |problem: String| Err(Error::malformed(&latents_path, "", problem));
        if latents.dim != model.network.zdim() {
            let (has, needs) = (latents.dim, model.network.zdim());
            return wrong(format!(
                "has {has} latent variables, the model has {needs}: does it belong to this run?"
            ));
        }
        if latents.len() < 2 {
            return wrong(format!("holds the latents of {} particles; at least 2 are needed", latents.len()));
        }
        if let Some(at) = latents.mu.iter().position(|v| !v.is_finite()) {
            return wrong(format!("the latent of particle {} is not finite", at / latents.dim));
        }
        let history = history::of(workdir, &remembered, epoch)?;
        let mut notes = Vec::new();
        if history.is_empty() {
            notes.push(
                "neither run.log nor the checkpoint tells the losses: there is no learning curve".into(),
            );
        }
        let apix = read_ctf(workdir, &model.config, &latents_path, latents.len(), &mut notes)?;
        Ok(Run { model, latents, latents_path, epoch, history, apix, notes })
    }
}

/// Epochs that a checkpoint was trained, and their losses if it remembers them.
fn trained(weights: &Path, checkpoint: &Checkpoint) -> Result<(usize, Vec<EpochLosses>)> {
    if run::position_path(weights).is_file() {
        let position = run::read_position(weights, checkpoint)?;
        return Ok((position.epoch, position.history));
    }
    // cryoDRGN's own: its field is 1 after the first epoch.
    Ok((usize::try_from(checkpoint.epoch).unwrap_or(0), vec![]))
}

/// The files of a checkpoint: weights and latents.
fn locate(workdir: &Path, epoch: Option<usize>) -> Result<(PathBuf, PathBuf)> {
    let pair = |epoch| (run::weights_path(workdir, epoch), run::latents_path(workdir, epoch));
    let mut found = pair(epoch);
    if !found.0.is_file() && epoch.is_some() {
        // The last epoch may have its files under the names of the end only.
        let last = pair(None);
        if last.0.is_file() && Some(trained(&last.0, &Checkpoint::read(&last.0)?)?.0) == epoch {
            found = last;
        }
    }
    let missing = [&found.0, &found.1].into_iter().find(|p| !p.is_file());
    let Some(missing) = missing else { return Ok(found) };
    let name = missing.file_name().unwrap_or_default().to_string_lossy();
    let mut there = epochs(workdir).iter().map(usize::to_string).collect::<Vec<_>>();
    if pair(None).0.is_file() && pair(None).1.is_file() {
        there.push("-1 (the end)".into());
    }
    let advice = match there.is_empty() {
        true => "there is no complete checkpoint (weights.N.pkl with z.N.pkl) yet".to_string(),
        false => format!("epochs that can be analysed: {}", there.join(", ")),
    };
    Err(Error::usage(format!("there is no {name} in {}; {advice}", workdir.display())))
}

/// Epochs with both weights and latents.
fn epochs(workdir: &Path) -> Vec<usize> {
    let names = std::fs::read_dir(workdir).into_iter().flatten().flatten();
    let number = |name: String| name.strip_prefix("weights.")?.strip_suffix(".pkl")?.parse::<usize>().ok();
    let mut epochs: Vec<usize> = names.filter_map(|e| number(e.file_name().into_string().ok()?)).collect();
    epochs.retain(|n| run::latents_path(workdir, Some(*n)).is_file());
    epochs.sort_unstable();
    epochs
}

/// Å/px of the model's box, and whether there is a latent for each image.
fn read_ctf(
    workdir: &Path,
    config: &Config,
    latents: &Path,
    n: usize,
    notes: &mut Vec<String>,
) -> Result<Option<f64>> {
    let data = &config.dataset_args;
    let Some(name) = &data.ctf else { return Ok(None) };
    let path = resolve(name, workdir);
    let table = match CtfTable::read(&path) {
        Ok(table) => table,
        Err(e) => {
            notes.push(format!("the run's CTF parameters cannot be read ({e})"));
            return Ok(None);
        }
    };
    let selected = match &data.ind {
        None => Some(table.rows.len()),
        Some(ind) => files::read_indices(&resolve(ind, workdir)).ok().map(|ind| ind.len()),
    };
    // Of tilt series there is one latent for many images.
    if let Some(selected) = selected.filter(|s| *s != n && data.ntilts.is_none()) {
        let whose = data
            .ind
            .as_ref()
            .map_or(path.display().to_string(), |ind| resolve(ind, workdir).display().to_string());
        let problem = format!(
            "holds the latents of {n} particles, but {whose} has {selected}: these files belong to different runs"
        );
        return Err(Error::malformed(latents, "", problem));
    }
    let apix = |row: &[f32; 9]| f64::from(row[0]) * f64::from(row[1]) / config.box_size() as f64;
    Ok(table.rows.first().map(apix))
}

/// Side and pixel size of the volumes, once the options are known to make sense.
fn check_volumes(run: &Run, options: &Options) -> Result<(usize, Option<f64>)> {
    let bad = |text: String| Err(Error::usage(text));
    let n = run.model.config.box_size();
    let side = options.downsample.unwrap_or(n);
    if side < 2 || side > n || !side.is_multiple_of(2) {
        return bad(format!("-d {side}: give an even number of voxels up to the box, {n}"));
    }
    if let Some(apix) = options.apix.filter(|a| !(*a > 0.0 && a.is_finite())) {
        return bad(format!("--Apix {apix}: the pixel size must be a positive number of Å"));
    }
    if let Some(crop) = options.post_process.crop.filter(|c| *c == 0 || *c > side) {
        return bad(format!("--crop {crop}: give a number of voxels up to the volumes' side, {side}"));
    }
    if let Some(low_pass) = options.post_process.low_pass.filter(|r| !(*r > 0.0 && r.is_finite())) {
        return bad(format!("--low-pass {low_pass}: give a resolution in Å"));
    }
    if options.points == 0 || options.clusters == 0 {
        return bad("--n-per-pc and --ksample must be at least 1".into());
    }
    Ok((side, options.apix.or(run.apix).map(|apix| apix * n as f64 / side as f64)))
}

/// Reads the embedding if it belongs to these latents, else makes it and keeps it.
fn umap(
    path: &Path,
    latents: &Path,
    z: Matrix,
    notes: &mut Vec<String>,
    progress: Progress,
) -> Result<Vec<[f32; 2]>> {
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    if path.is_file() {
        let held = files::read_umap(path)?;
        if held.len() != z.rows() {
            notes.push(format!(
                "umap.pkl had {} points for {} particles: it was made anew",
                held.len(),
                z.rows()
            ));
        } else if modified(path) < modified(latents) {
            notes.push("umap.pkl was older than the latents: it was made anew".into());
        } else {
            return Ok(held);
        }
    }
    let mut tick = |done: usize, of: usize| {
        interrupt::check()?;
        progress("UMAP", done, of)
    };
    let flat = Umap::default().fit(z, &mut tick)?;
    let points: Vec<[f32; 2]> = flat.as_chunks::<2>().0.to_vec();
    files::write_umap(path, &points)?;
    Ok(points)
}

/// The row of `z` nearest to each point of a path.
fn nearest(z: Matrix, path: &LatentPath) -> Vec<usize> {
    let closest = |point: &[f32]| {
        let away = |i: &usize| crate::stats::matrix::squared_distance(z.row(*i), point);
        (0..z.rows()).min_by(|a, b| away(a).total_cmp(&away(b))).unwrap_or(0)
    };
    path.points.chunks_exact(path.dim.max(1)).map(closest).collect()
}

fn write_clusters(folder: &Path, kmeans: &KMeans, dim: usize) -> Result<()> {
    let labels: Vec<i64> = kmeans.labels.iter().map(|l| i64::from(*l)).collect();
    files::write_labels(&folder.join("labels.pkl"), &labels)?;
    LatentPath { dim, points: kmeans.centers.clone() }.write(&folder.join("centers.txt"))?;
    let lines: String = kmeans.center_indices.iter().map(|i| format!("{i}\n")).collect();
    atomic::write(&folder.join("centers_ind.txt"), |out| out.write_all(lines.as_bytes()))
}

fn active(latents: &Latents) -> usize {
    let column =
        |k: usize| latents.mu.iter().skip(k).step_by(latents.dim).map(|v| f64::from(*v)).collect::<Vec<_>>();
    (0..latents.dim).filter(|k| rank::std(&column(*k)).powi(2) > ACTIVE).count()
}
