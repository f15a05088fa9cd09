//! The demo: a particle stack made from two structures of adenylate kinase, a VAE trained on it, and how close
//! the motion it finds is to the true one. Nothing of the truth enters the training.

mod report;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::config::{Config, DatasetArgs, LatticeArgs, ModelArgs, SharedArgs, VaeArgs};
use super::data::{Images, Source};
use super::evaluate::Evaluator;
use super::files::{CtfTable, Latents, Poses};
use super::import;
use super::model::Objective;
use super::reconstruct::{Views, backproject, maps};
use super::run::EpochLosses;
use super::train::{Beta, Settings, Trainer, Watch};
use crate::cryo::backproject::Options as Backprojection;
use crate::cryo::fsc::fsc;
use crate::cryo::simulate::{Ensemble, SimulateOptions, Stage, Summary, simulate};
use crate::cryo::volume::correlation;
use crate::io::atomic;
use crate::io::mrc::{Volume, write_volume};
use crate::io::particles::ParticleStack;
use crate::io::structure::Structure;
use crate::report::chimerax;
use crate::report::volume::{Contour, contour_level};
use crate::stats::Matrix;
use crate::stats::pca::Pca;
use crate::stats::rank::{percentile, spearman};
use crate::tensor::DType;
use crate::train::Adam;
use crate::{Error, Result, device};

const OPEN: &str = include_str!("../../../data/adk_open.pdb");
const CLOSED: &str = include_str!("../../../data/adk_closed.pdb");

/// Volumes along the first principal component.
const VOLUMES: usize = 10;
/// True maps on the path: volumes are compared with the nearest.
const TRUE_MAPS: usize = 41;

#[derive(Clone, Debug, Serialize)]
pub struct DemoOptions {
    pub images: usize,
    /// Box in pixels.
    pub side: usize,
    pub snr: f64,
    /// How far the poses given to the training are off, rms degrees.
    pub pose_error_deg: f64,
    pub epochs: usize,
    pub batch: usize,
    pub zdim: usize,
    /// Width and hidden layers of encoder and decoder.
    pub width: usize,
    pub layers: usize,
    /// Frequencies an axis of the positional encoding.
    pub frequencies: usize,
    pub lr: f64,
    pub beta: f64,
    pub seed: u64,
    pub device: String,
}

/// Told what the demo is doing; an error stops it.
pub trait Audience: Watch {
    /// `done` of `total` `unit` of what `label` says.
    fn progress(&mut self, label: &str, unit: &'static str, done: usize, total: usize) -> Result<()>;
}

/// A volume along the first component beside the truth.
#[derive(Clone, Debug, Serialize)]
pub struct VolumeScore {
    pub file: String,
    /// Coordinate along the first component.
    pub pc1: f64,
    /// Mean true conformation of the images nearest to it, 0 open .. 1 closed.
    pub t: f64,
    /// Correlation with the true map of that conformation.
    pub correlation: f64,
    /// That of the consensus map (backprojection of all images) with the same true map.
    pub consensus: f64,
    /// That of the mean of the true maps: the best that any one map could do, near enough.
    pub best_single_map: f64,
    /// Resolution where the FSC with the true map falls below 0.5, Å.
    pub resolution: Option<f64>,
    #[serde(skip)]
    pub fsc: Vec<f64>,
}

/// The numbers of `metrics.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Metrics {
    pub options: DemoOptions,
    pub apix: f64,
    /// |Spearman correlation| of the first principal component with the true conformation.
    pub spearman: f64,
    pub explained_variance: Vec<f64>,
    pub losses: Vec<EpochLosses>,
    pub volumes: Vec<VolumeScore>,
    pub mean_correlation: f64,
    pub mean_consensus: f64,
    pub mean_best_single_map: f64,
    pub device: String,
    pub images_per_second: f64,
    pub seconds: f64,
}

/// What the demo found and where it lies.
pub struct Outcome {
    pub metrics: Metrics,
    pub folder: PathBuf,
}

impl DemoOptions {
    /// Refuses what cannot be run, before anything is written.
    pub fn check(&self) -> Result<()> {
        if self.side < 32 || self.side % 2 == 1 {
            return Err(Error::usage(format!(
                "--box {}: give an even number of pixels, at least 32",
                self.side
            )));
        }
        if self.images < 100 || self.epochs == 0 {
            return Err(Error::usage("the demo needs at least 100 images and one epoch"));
        }
        if !(self.snr > 0.0 && self.snr.is_finite()) {
            return Err(Error::usage(format!("--snr {}: give a positive number", self.snr)));
        }
        Ok(())
    }
}

impl Outcome {
    /// What was found, in a sentence.
    pub fn summary(&self) -> String {
        let remark = report::verdict(&self.metrics).1;
        format!("{remark} ({} images, {:.0} s)", self.metrics.options.images, self.metrics.seconds)
    }

    pub fn report(&self) -> PathBuf {
        self.folder.join("report.html")
    }

    pub fn chimerax(&self) -> PathBuf {
        self.folder.join("volumes/motion.cxc")
    }
}

/// Everything that the report shows.
struct Findings<'a> {
    metrics: &'a Metrics,
    /// True conformation of each image.
    truth: &'a [f64],
    /// Scores of each image on the first two components (one if there is only one).
    scores: &'a [Vec<f64>],
    volumes: &'a [Vec<f32>],
    true_maps: &'a [Vec<f32>],
    /// Some raw images of the stack.
    examples: &'a [Vec<f32>],
}

/// Runs the demo into `folder`.
pub fn run(options: &DemoOptions, folder: &Path, audience: &mut dyn Audience) -> Result<Outcome> {
    let started = std::time::Instant::now();
    let run_folder = folder.join("run");
    let volume_folder = folder.join("volumes");
    for path in [folder, &run_folder, &volume_folder] {
        atomic::folder(path)?;
    }
    let simulated = make_stack(options, folder, audience)?;
    let truth = read_truth(&simulated.truth())?;

    let device = device::open(&options.device)?;
    let (poses, ctf) = import_tables(&simulated, &run_folder)?;
    let source = Source {
        particles: simulated.star(),
        datadir: None,
        ind: None,
        invert: true,
        window: Some(0.85),
        norm: None,
    };
    let images = Images::open(&source, poses, Some(ctf))?;
    let config = config(options, &images, &simulated);
    config.write(&run_folder.join("config.yaml"))?;
    let mut trainer = Trainer::new(&config, &images, device.clone(), &run_folder, settings(options))?;
    trainer.run(audience)?;

    let latents = Latents::read(&super::run::latents_path(&run_folder, None))?;
    let pca = Pca::fit(Matrix::new(&latents.mu, latents.dim)?, latents.dim)?;
    let (scores, sign) = oriented_scores(&pca, &latents, &truth)?;
    let mut decoder = Evaluator::new(&trainer.network, &trainer.store).volumes(None)?;
    let consensus = consensus(&simulated, &run_folder, audience)?;
    let true_maps = simulated
        .maps
        .iter()
        .map(|m| Ok(Volume::read(simulated.folder.join(&m.file))?.data))
        .collect::<Result<Vec<_>>>()?;
    let mean_map = mean_of(&true_maps);
    let ends = [percentile(&scores[0], 5.0), percentile(&scores[0], 95.0)];
    let (mut volumes, mut decoded, mut compared) = (vec![], vec![], vec![]);
    for i in 0..VOLUMES {
        let pc1 = ends[0] + (ends[1] - ends[0]) * i as f64 / (VOLUMES - 1) as f64;
        let mut point = vec![0.0; pca.len()];
        point[0] = (pc1 * sign) as f32;
        let z = pca.inverse_transform(Matrix::new(&point, pca.len())?)?;
        let map = decoder.decode(&z, images.norm())?;
        let file = format!("vol_{:03}.mrc", i + 1);
        write_volume(&volume_folder.join(&file), &map, [options.side; 3], simulated.apix, [0.0; 3])?;
        let t = conformation_near(&scores[0], &truth, pc1);
        let nearest = (t * (TRUE_MAPS - 1) as f64).round() as usize;
        let true_map = &true_maps[nearest.min(true_maps.len() - 1)];
        let curve = fsc(&map, true_map, None, options.side)?;
        volumes.push(VolumeScore {
            file,
            pc1,
            t,
            correlation: correlation(&map, true_map)?,
            consensus: correlation(&consensus, true_map)?,
            best_single_map: correlation(&mean_map, true_map)?,
            resolution: curve.resolution(0.5, simulated.apix),
            fsc: curve.values,
        });
        decoded.push(map);
        compared.push(true_map.clone());
        audience.progress("decoding volumes", "volumes", i + 1, VOLUMES)?;
    }
    write_volume(
        &volume_folder.join("consensus.mrc"),
        &consensus,
        [options.side; 3],
        simulated.apix,
        [0.0; 3],
    )?;
    let level = contour_level(&decoded[VOLUMES / 2], Contour::Auto);
    let names: Vec<PathBuf> = volumes.iter().map(|v| v.file.clone().into()).collect();
    let script = chimerax::cxc(&names, level, "Adenylate kinase along the first principal component");
    atomic::write(&volume_folder.join("motion.cxc"), |out| out.write_all(script.as_bytes()))?;

    let mean = |of: fn(&VolumeScore) -> f64| volumes.iter().map(of).sum::<f64>() / volumes.len() as f64;
    let history = trainer.history();
    let metrics = Metrics {
        apix: simulated.apix,
        spearman: spearman(&scores[0], &truth).abs(),
        explained_variance: pca.explained_variance_ratio.clone(),
        losses: history.to_vec(),
        mean_correlation: mean(|v| v.correlation),
        mean_consensus: mean(|v| v.consensus),
        mean_best_single_map: mean(|v| v.best_single_map),
        device: device.describe(),
        images_per_second: history.iter().map(|h| h.images_per_second).sum::<f64>()
            / history.len().max(1) as f64,
        seconds: started.elapsed().as_secs_f64(),
        volumes,
        options: options.clone(),
    };
    let examples = examples(&simulated)?;
    let findings = Findings {
        metrics: &metrics,
        truth: &truth,
        scores: &scores,
        volumes: &decoded,
        true_maps: &compared,
        examples: &examples,
    };
    let page = report::page(&findings)?;
    let json = serde_json::to_vec_pretty(&metrics).map_err(|e| Error::usage(e.to_string()))?;
    atomic::write(&folder.join("metrics.json"), |out| out.write_all(&json))?;
    atomic::write(&folder.join("report.html"), |out| out.write_all(page.as_bytes()))?;
    Ok(Outcome { metrics, folder: folder.to_path_buf() })
}

fn make_stack(options: &DemoOptions, folder: &Path, audience: &mut dyn Audience) -> Result<Summary> {
    let structure = |text: &str, name: &str| Structure::parse_pdb(text, Path::new(name));
    let ends = [structure(OPEN, "adk_open.pdb")?, structure(CLOSED, "adk_closed.pdb")?];
    audience.progress("moving the domains from open to closed", "conformations", 0, 50)?;
    let ensemble = Ensemble::path(&ends, 50, true)?;
    let simulation = SimulateOptions {
        images: options.images,
        box_side: options.side,
        snr: Some(options.snr),
        pose_error_deg: options.pose_error_deg,
        volumes: Some(TRUE_MAPS),
        seed: options.seed,
        overwrite: true,
        ..SimulateOptions::default()
    };
    simulate(&simulation, ensemble, &folder.join("simulated"), &mut |stage, done, total| {
        let (label, unit) = match stage {
            Stage::Measure => ("measuring the signal", "images"),
            Stage::Images => ("simulating images", "images"),
            Stage::Maps => ("making true maps", "maps"),
        };
        audience.progress(label, unit, done, total)
    })
}

/// Column `t` of the truth.
fn read_truth(path: &Path) -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::os("read", path, e))?;
    let mut lines = text.lines();
    let column = lines.next().and_then(|h| h.split(',').position(|c| c == "t"));
    let column = column.ok_or_else(|| Error::malformed(path, "line 1", "has no column t"))?;
    lines
        .enumerate()
        .map(|(i, line)| {
            let value = line.split(',').nth(column).and_then(|v| v.parse().ok());
            value.ok_or_else(|| Error::malformed(path, format!("line {}", i + 2), "t is no number"))
        })
        .collect()
}

fn import_tables(simulated: &Summary, run_folder: &Path) -> Result<(Poses, CtfTable)> {
    let given = import::Given { box_side: Some(simulated.box_side as f64), ..Default::default() };
    let poses = import::poses_from_star(&simulated.star(), &given)?.table;
    let ctf = import::ctf_from_star(&simulated.star(), &given)?.table;
    poses.write(&run_folder.join("pose.pkl"))?;
    ctf.write(&run_folder.join("ctf.pkl"))?;
    Ok((poses, ctf))
}

fn config(options: &DemoOptions, images: &Images, simulated: &Summary) -> Config {
    let (mean, std) = images.norm();
    let absolute =
        |path: &Path| std::path::absolute(path).unwrap_or(path.into()).to_string_lossy().into_owned();
    let run = simulated.folder.with_file_name("run");
    Config {
        cmd: std::env::args().collect(),
        dataset_args: DatasetArgs {
            particles: absolute(&simulated.star()),
            datadir: None,
            ctf: Some(absolute(&run.join("ctf.pkl"))),
            poses: Some(absolute(&run.join("pose.pkl"))),
            ind: None,
            norm: [mean as f64, std as f64],
            invert_data: true,
            keepreal: false,
            window: true,
            window_r: 0.85,
            do_pose_sgd: false,
            ntilts: None,
            other: Default::default(),
        },
        lattice_args: LatticeArgs {
            d: options.side + 1,
            extent: 0.5,
            ignore_dc: true,
            other: Default::default(),
        },
        model_args: ModelArgs::Vae(VaeArgs {
            qlayers: options.layers,
            qdim: options.width,
            players: options.layers,
            pdim: options.width,
            zdim: options.zdim,
            encode_mode: "resid".into(),
            enc_mask: Some((options.side / 2) as i64),
            shared: SharedArgs {
                pe_type: "gaussian".into(),
                feat_sigma: Some(0.5),
                pe_dim: Some(options.frequencies),
                domain: "fourier".into(),
                activation: "relu".into(),
            },
            tilt_params: None,
            other: Default::default(),
        }),
        seed: Some(options.seed as i64),
        time: None,
        version: Some(format!("kinesome {}", env!("CARGO_PKG_VERSION"))),
        other: Default::default(),
    }
}

fn settings(options: &DemoOptions) -> Settings {
    Settings {
        epochs: options.epochs,
        batch: options.batch,
        beta: Beta::Constant(options.beta),
        objective: Objective {
            beta_control: None,
            adam: Adam { lr: options.lr, ..Adam::default() },
            clip: None,
            loss_scale: None,
        },
        seed: options.seed,
        shuffle_seed: options.seed,
        checkpoint: 5,
        eager: false,
        precision: DType::F32,
    }
}

/// Scores by component, the first turned so that it grows with the true conformation, and its sign.
fn oriented_scores(pca: &Pca, latents: &Latents, truth: &[f64]) -> Result<(Vec<Vec<f64>>, f64)> {
    let flat = pca.transform(Matrix::new(&latents.mu, latents.dim)?)?;
    let mut scores: Vec<Vec<f64>> =
        (0..pca.len()).map(|c| flat.iter().skip(c).step_by(pca.len()).map(|&v| v as f64).collect()).collect();
    let sign = if spearman(&scores[0], truth) < 0.0 { -1.0 } else { 1.0 };
    scores[0].iter_mut().for_each(|v| *v *= sign);
    Ok((scores, sign))
}

/// Mean true conformation of the 2 % of images whose score is nearest to `at`.
fn conformation_near(scores: &[f64], truth: &[f64], at: f64) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| (scores[a] - at).abs().total_cmp(&(scores[b] - at).abs()));
    let count = (scores.len() / 50).max(1);
    order[..count].iter().map(|&i| truth[i]).sum::<f64>() / count as f64
}

/// The one map that all images give.
fn consensus(simulated: &Summary, run_folder: &Path, audience: &mut dyn Audience) -> Result<Vec<f32>> {
    let stack = ParticleStack::open(&simulated.star(), None, None)?;
    let ctf = run_folder.join("ctf.pkl");
    let views = Views::load(&stack, &run_folder.join("pose.pkl"), Some(&ctf), None)?;
    let options = Backprojection { half_maps: false, ..Backprojection::default() };
    let sums = backproject(&stack, &views.views, options, (stack.len(), 1000), &mut |done, total| {
        audience.progress("backprojecting a consensus map", "images", done, total)
    })?;
    Ok(maps(&sums, 1.0, false)?.full)
}

fn mean_of(maps: &[Vec<f32>]) -> Vec<f32> {
    let mut mean = vec![0.0; maps.first().map_or(0, Vec::len)];
    for map in maps {
        mean.iter_mut().zip(map).for_each(|(m, v)| *m += v / maps.len() as f32);
    }
    mean
}

fn examples(simulated: &Summary) -> Result<Vec<Vec<f32>>> {
    let stack = ParticleStack::open(&simulated.star(), None, None)?;
    (0..stack.len().min(6))
        .map(|i| {
            let mut image = vec![0.0; stack.box_size().pow(2)];
            stack.read(i, &mut image)?;
            Ok(image)
        })
        .collect()
}
