//! Training of MDGen: windows drawn from trajectories, losses of each epoch, checkpoints, resume.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::{self, Checkpoint, EpochLoss, Position};
use super::config::{Config, Task};
use super::dirichlet;
use super::model::Network;
use super::objective::{Objective, path_feeds};
use super::store::Store as Trajectory;
use super::transport::Path as Transport;
use super::window::{Batch, Window, lines};
use crate::device::Device;
use crate::plan::{Options, Program, Step, Store};
use crate::stats::random::Philox;
use crate::tape::{Tape, Var};
use crate::tensor::{DType, Tensor};
use crate::train::{epoch_order, half_cosine, prefetch, random_key};
use crate::{Error, Result, interrupt};

pub struct Settings {
    pub epochs: usize,
    pub batch: usize,
    /// Batches whose gradients make one update.
    pub accumulate: usize,
    /// Windows of each trajectory in an epoch.
    pub repeat: usize,
    pub objective: Objective,
    /// The learning rate falls to 0 along half a cosine over all epochs; else it stays.
    pub cosine: bool,
    pub seed: u64,
    /// Epochs between checkpoints.
    pub checkpoint: usize,
    /// Epochs between looks at the windows held out.
    pub validate: usize,
    pub precision: DType,
    /// As [`Network`] has it.
    pub recompute: bool,
}

/// What training tells while it runs; an error stops it.
pub trait Watch {
    fn begin_epoch(&mut self, epoch: usize, epochs: usize, windows: usize) -> Result<()>;
    fn windows(&mut self, done: usize, mean: f64) -> Result<()>;
    fn end_epoch(&mut self, loss: &EpochLoss) -> Result<()>;
}

pub struct Trainer<'a> {
    pub network: Network,
    pub store: Store,
    pub settings: Settings,
    transport: Transport,
    /// To learn from.
    trajectories: &'a [Trajectory],
    /// To look at.
    held_out: &'a [Trajectory],
    folder: PathBuf,
    position: Position,
}

/// A batch with the times and draws of its windows.
struct Prepared {
    batch: Batch,
    extra: Vec<(&'static str, Tensor)>,
}

/// Streams of random numbers, away from those of initial values.
const WINDOWS: u64 = 0x7769_6e00_0000_0000;
const TIMES: u64 = 0x7469_6d00_0000_0000;
/// The same windows, times and noise at every look.
const LOOK: u64 = 0x6c6f_6f6b;

/// Windows of each trajectory that tell how far frames depart from straight lines.
const LOOKED_AT: usize = 16;

/// Root mean square departure of each number of a token from straight lines between given frames.
fn departures(config: &Config, trajectories: &[Trajectory]) -> Result<Vec<f32>> {
    let plain = Config { spread: vec![], ..config.clone() };
    let (d, span) = (config.token(), (config.num_frames - 1) * config.frame_interval + 1);
    let (mut sums, mut counts) = (vec![0.0f64; d], vec![0.0f64; d]);
    for trajectory in trajectories {
        let last = trajectory.frames() - span;
        for i in 0..LOOKED_AT {
            let atoms =
                trajectory.window(last * i / (LOOKED_AT - 1), config.num_frames, config.frame_interval)?;
            let window = Window::new(&plain, trajectory.kinds(), &atoms)?;
            let lines = lines(&window.tokens, config.crop * d, config.cond_interval);
            for (at, (token, line)) in window.tokens.iter().zip(&lines).enumerate() {
                let counted = (1.0 - window.is_given[at / d]) * window.loss_mask[at % (config.crop * d)];
                sums[at % d] += f64::from(counted * (token - line).powi(2));
                counts[at % d] += f64::from(counted);
            }
        }
    }
    // What never departs still has to be divided by something.
    Ok(sums.iter().zip(&counts).map(|(sum, n)| ((sum / n.max(1.0)).sqrt() as f32).max(1e-3)).collect())
}

impl<'a> Trainer<'a> {
    pub fn new(
        config: &Config,
        trajectories: &'a [Trajectory],
        held_out: &'a [Trajectory],
        device: Arc<dyn Device>,
        folder: &Path,
        settings: Settings,
    ) -> Result<Trainer<'a>> {
        let span = (config.num_frames - 1) * config.frame_interval + 1;
        for trajectory in trajectories.iter().chain(held_out) {
            let (frames, residues) = (trajectory.frames(), trajectory.residues());
            if frames < span {
                return Err(Error::usage(format!(
                    "{} has {frames} frames and a window takes {span}; lower --num-frames or --frame-interval",
                    trajectory.path().display()
                )));
            }
            if residues > config.crop {
                return Err(Error::usage(format!(
                    "{} has {residues} residues and the network {}; raise --crop",
                    trajectory.path().display(),
                    config.crop
                )));
            }
        }
        if trajectories.is_empty() || [settings.batch, settings.repeat, settings.accumulate].contains(&0) {
            return Err(Error::usage(
                "training needs a trajectory, and --batch-size, --repeat and --accumulate-grad of at least 1",
            ));
        }
        let mut config = config.clone();
        if config.task == Task::Upsample && !config.parity {
            config.spread = departures(&config, trajectories)?;
        }
        let network = Network { recompute: settings.recompute, ..Network::new(&config)? };
        let position = Position {
            epoch: 0,
            step: 0,
            seed: settings.seed,
            batch: settings.batch,
            accumulate: settings.accumulate,
            windows: trajectories.len() * settings.repeat,
            history: vec![],
        };
        let store = Store::new(device, settings.seed);
        let transport = config.path()?;
        let folder = folder.into();
        Ok(Trainer { network, store, settings, transport, trajectories, held_out, folder, position })
    }

    pub fn history(&self) -> &[EpochLoss] {
        &self.position.history
    }

    /// Goes on from a checkpoint of a run like this one.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let checkpoint = Checkpoint::read(path)?;
        let differ = |what: &str| {
            Error::usage(format!(
                "{} was made with another {what}; resume with the same flags",
                path.display()
            ))
        };
        if checkpoint.config != self.network.config {
            return Err(differ("network or task"));
        }
        checkpoint.load(path, &self.network, &self.store, false, true)?;
        let Some(held) = checkpoint.position else {
            return Err(Error::malformed(
                path,
                "",
                "does not say where its run stood; start from it with --ckpt",
            ));
        };
        for (what, same) in [
            ("--seed", held.seed == self.position.seed),
            ("--batch-size", held.batch == self.position.batch),
            ("--accumulate-grad", held.accumulate == self.position.accumulate),
            ("set of trajectories or --repeat", held.windows == self.position.windows),
        ] {
            if !same {
                return Err(differ(what));
            }
        }
        self.position = held;
        Ok(())
    }

    /// Starts from the weights of a checkpoint.
    pub fn start_from(&mut self, path: &Path) -> Result<()> {
        let checkpoint = Checkpoint::read(path)?;
        checkpoint.load(path, &self.network, &self.store, true, false)
    }

    fn record<'t>(&self, tape: &'t Tape) -> Vec<(&'static str, Var<'t>)> {
        let size = self.settings.batch;
        let losses = match self.settings.accumulate {
            1 => self.network.training_step(tape, size, &self.settings.objective),
            _ => self.network.gather_step(tape, size),
        };
        vec![("total", losses.total)]
    }

    fn options(&self) -> Options {
        Options { precision: self.settings.precision, ..Options::default() }
    }

    /// The step as it would be replayed.
    pub fn program(&self) -> Result<Program> {
        let tape = Tape::new();
        let outputs = self.record(&tape);
        Program::new(&tape, &outputs, self.options())
    }

    /// Windows by number: trajectory, then which of its draws in this epoch.
    fn prepare(&self, from: &[Trajectory], indices: &[usize], seed: u64, epoch: u64) -> Result<Prepared> {
        let config = &self.network.config;
        let span = (config.num_frames - 1) * config.frame_interval + 1;
        let (mut windows, mut times, mut drawn) = (vec![], vec![], vec![]);
        for &index in indices {
            let trajectory = &from[index % from.len()];
            let mut philox = Philox::new(seed, WINDOWS | (epoch << 24) | index as u64);
            let places = trajectory.frames() - span + 1;
            let first = ((philox.uniform_f64() * places as f64) as usize).min(places - 1);
            let atoms = trajectory.window(first, config.num_frames, config.frame_interval)?;
            let window = Window::new(config, trajectory.kinds(), &atoms)?;
            let mut philox = Philox::new(seed, TIMES | (epoch << 24) | index as u64);
            let t = philox.uniform_f64();
            let alpha = 1.0 + t * (config.alpha_max - 1.0);
            let corner = |residue: usize| window.kinds.get(residue).copied();
            drawn.extend((0..config.crop).flat_map(|l| dirichlet::draw(corner(l), alpha, &mut philox)));
            times.push(t);
            windows.push(window);
        }
        let size = self.settings.batch;
        times.resize(size, 0.5);
        drawn.resize(size * config.crop * dirichlet::TYPES, 1.0 / dirichlet::TYPES as f64);
        let mut extra: Vec<(&'static str, Tensor)> = path_feeds(self.transport, &times).into();
        if config.task == Task::Inpaint {
            let shape = [size, config.crop, dirichlet::TYPES];
            extra.push(("types.drawn", Tensor::f32(&shape, drawn.into_iter().map(|v| v as f32).collect())));
        }
        Ok(Prepared { batch: Batch::new(config, &windows, size), extra })
    }

    /// Trains to the last epoch.
    pub fn run(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let tape = Tape::new();
        let outputs = self.record(&tape);
        let mut step = Step::new(&self.store, &tape, &outputs, self.options())?;
        let mut update = self.updating()?;
        let mut look = self.looking()?;
        let updates = self.position.windows.div_ceil(self.settings.batch).div_ceil(self.settings.accumulate);
        while self.position.epoch < self.settings.epochs {
            let epoch = self.position.epoch + 1;
            let windows = self.position.windows;
            watch.begin_epoch(epoch, self.settings.epochs, windows)?;
            let order = epoch_order(windows, self.settings.seed, epoch as u64);
            let started = Instant::now();
            let (mut done, mut sum) = (0, 0.0);
            let mut steps = self.position.step;
            let (mut updated, mut gathered) = ((self.position.epoch * updates) as u64, 0);
            prefetch(
                &order,
                self.settings.batch,
                |indices| self.prepare(self.trajectories, indices, self.settings.seed, epoch as u64),
                |indices, prepared| {
                    interrupt::check()?;
                    steps += 1;
                    let key = random_key(self.settings.seed, steps);
                    gathered += 1;
                    let full = gathered == self.settings.accumulate || done + indices.len() == windows;
                    updated += u64::from(full);
                    let mut adam = self.settings.objective.adam;
                    if self.settings.cosine {
                        adam.lr *= half_cosine(updated, (self.settings.epochs * updates) as u64);
                    }
                    let schedule = adam.schedule(updated).feeds();
                    let mut feeds: Vec<(&str, &Tensor)> = prepared.batch.feeds().collect();
                    feeds.extend(prepared.extra.iter().map(|(name, value)| (*name, value)));
                    feeds.push(("key", &key));
                    let scheduled = schedule.iter().map(|(name, value)| (*name, value));
                    match &mut update {
                        None => {
                            feeds.extend(scheduled);
                            step.run(&feeds)?;
                        }
                        Some(update) => {
                            step.run(&feeds)?;
                            if full {
                                let share = Tensor::scalar(1.0 / gathered as f32);
                                update.run(&scheduled.chain([("share", &share)]).collect::<Vec<_>>())?;
                            }
                        }
                    }
                    if full {
                        gathered = 0;
                    }
                    sum += step.number("total")? as f64 * indices.len() as f64;
                    done += indices.len();
                    if !sum.is_finite() {
                        let text = format!(
                            "the loss is no longer finite at epoch {epoch}, step {steps}: try a smaller --lr, or --grad-clip"
                        );
                        return Err(Error::NotFinite(text));
                    }
                    watch.windows(done, sum / done as f64)
                },
            )?;
            let seconds = started.elapsed().as_secs_f64();
            let held_out = match &mut look {
                Some(look)
                    if epoch.is_multiple_of(self.settings.validate) || epoch == self.settings.epochs =>
                {
                    Some(self.look(look)?)
                }
                _ => None,
            };
            let loss = EpochLoss {
                epoch,
                train: sum / done.max(1) as f64,
                held_out,
                windows_per_second: done as f64 / seconds.max(1e-9),
            };
            self.position.epoch = epoch;
            self.position.step = steps;
            self.position.history.push(loss);
            watch.end_epoch(&loss)?;
            let due = self.settings.checkpoint > 0 && epoch.is_multiple_of(self.settings.checkpoint);
            if due && epoch < self.settings.epochs {
                self.save(&self.folder.join(format!("epoch={epoch}.ckpt")))?;
            }
        }
        self.save(&self.folder.join("last.ckpt"))
    }

    fn save(&self, path: &Path) -> Result<()> {
        checkpoint::save(path, &self.network, &self.store, Some(&self.position))
    }

    /// The step that moves the parameters by gathered gradients, where several batches make one update.
    fn updating(&self) -> Result<Option<Step>> {
        if self.settings.accumulate == 1 {
            return Ok(None);
        }
        let tape = Tape::new();
        self.network.update_step(&tape, &self.settings.objective);
        Step::new(&self.store, &tape, &[], self.options()).map(Some)
    }

    /// A step that only looks: losses without any change.
    fn looking(&self) -> Result<Option<Step>> {
        if self.held_out.is_empty() || self.settings.validate == 0 {
            return Ok(None);
        }
        let tape = Tape::new();
        let size = self.settings.batch;
        let losses = self.network.losses(&tape, size, |shape| tape.input("noise", shape, DType::F32));
        Step::new(&self.store, &tape, &[("total", losses.total)], self.options()).map(Some)
    }

    /// Mean loss over the windows held out, with the same draws each time.
    fn look(&self, step: &mut Step) -> Result<f64> {
        let config = &self.network.config;
        // Enough draws of the time to tell epochs apart.
        let windows: Vec<usize> = (0..self.held_out.len() * self.settings.repeat.max(8)).collect();
        let shape = [self.settings.batch, config.num_frames, config.crop, config.token()];
        let (mut sum, mut done) = (0.0, 0);
        for (part, indices) in windows.chunks(self.settings.batch).enumerate() {
            interrupt::check()?;
            let prepared = self.prepare(self.held_out, indices, LOOK, 0)?;
            let mut philox = Philox::new(LOOK, part as u64);
            let count = shape.iter().product();
            let noise = Tensor::f32(&shape, (0..count).map(|_| philox.normal() as f32).collect());
            let mut feeds: Vec<(&str, &Tensor)> = prepared.batch.feeds().collect();
            feeds.extend(prepared.extra.iter().map(|(name, value)| (*name, value)));
            feeds.push(("noise", &noise));
            step.run(&feeds)?;
            sum += step.number("total")? as f64 * indices.len() as f64;
            done += indices.len();
        }
        Ok(sum / done.max(1) as f64)
    }
}

/// The checkpoint to go on from: the one of the most epochs.
pub fn latest(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).ok()?.flatten().filter_map(|e| e.file_name().into_string().ok());
    let epoch =
        |name: &str| -> Option<usize> { name.strip_prefix("epoch=")?.strip_suffix(".ckpt")?.parse().ok() };
    let newest = names.filter_map(|name| epoch(&name)).max();
    // A finished run that goes on writes numbered ones again.
    let last = folder.join("last.ckpt");
    let ended = Checkpoint::read(&last).ok().and_then(|held| held.position).map(|held| held.epoch);
    match newest {
        Some(newest) if ended.is_none_or(|ended| newest > ended) => {
            Some(folder.join(format!("epoch={newest}.ckpt")))
        }
        _ => ended.map(|_| last),
    }
}
