//! Training of a cryoDRGN model: epochs over the particle stack, checkpoints, latents, resume.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::config::{Config, ModelArgs};
use super::data::Images;
use super::evaluate::Evaluator;
use super::files::Latents;
use super::model::{Network, Objective};
use super::run::{self, EpochLosses, Position};
use crate::device::Device;
use crate::io::mrc::write_volume;
use crate::plan::{Options, Program, Step, Store};
use crate::tape::{Tape, Var};
use crate::tensor::{DType, Tensor};
use crate::train::{epoch_order, loss_scale, prefetch, random_key};
use crate::{Error, Result, interrupt};

/// Weight of the divergence.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Beta {
    Constant(f64),
    /// (value, images seen) at the start and at the end, linear between.
    Linear {
        from: (f64, f64),
        to: (f64, f64),
    },
}

impl Beta {
    /// `a`, `b`, `c`, `d` or a number.
    pub fn parse(text: &str) -> Result<Beta> {
        let linear = |v0, v1, t0, t1| Ok(Beta::Linear { from: (v0, t0), to: (v1, t1) });
        match text {
            "a" => linear(0.001, 15.0, 0.0, 1e6),
            "b" => linear(5.0, 15.0, 2e5, 8e5),
            "c" => linear(5.0, 18.0, 2e5, 8e5),
            "d" => linear(5.0, 18.0, 1e6, 5e6),
            number => number.parse().map(Beta::Constant).map_err(|_| {
                Error::usage(format!("--beta {number}: give a number or one of the schedules a, b, c, d"))
            }),
        }
    }

    pub fn at(self, images_seen: u64) -> f64 {
        match self {
            Beta::Constant(value) => value,
            Beta::Linear { from: (v0, t0), to: (v1, t1) } => {
                v0 + (v1 - v0) * ((images_seen as f64 - t0) / (t1 - t0)).clamp(0.0, 1.0)
            }
        }
    }
}

pub struct Settings {
    pub epochs: usize,
    pub batch: usize,
    pub beta: Beta,
    pub objective: Objective,
    pub seed: u64,
    pub shuffle_seed: u64,
    /// Epochs between checkpoints.
    pub checkpoint: usize,
    /// Node by node with a check of every value.
    pub eager: bool,
    /// What matrix products read.
    pub precision: DType,
}

/// What training tells while it runs; an error stops it.
pub trait Watch {
    fn begin_epoch(&mut self, epoch: usize, epochs: usize, images: usize) -> Result<()>;
    /// `losses` so far in this epoch.
    fn images(&mut self, done: usize, losses: &EpochLosses) -> Result<()>;
    fn end_epoch(&mut self, losses: &EpochLosses) -> Result<()>;
}

pub struct Trainer<'a> {
    pub config: &'a Config,
    pub network: Network,
    pub images: &'a Images,
    pub store: Store,
    pub options: Settings,
    pub folder: PathBuf,
    position: Position,
}

impl<'a> Trainer<'a> {
    pub fn new(
        config: &'a Config,
        images: &'a Images,
        device: Arc<dyn Device>,
        folder: &Path,
        options: Settings,
    ) -> Result<Self> {
        let network = Network::new(config)?;
        let store = Store::new(device, options.seed);
        let position = Position {
            epoch: 0,
            step: 0,
            seed: options.seed,
            shuffle_seed: options.shuffle_seed,
            batch: options.batch,
            images: images.len(),
            history: vec![],
            loss_scale: None,
        };
        Ok(Trainer { config, network, images, store, options, folder: folder.into(), position })
    }

    /// Goes on from a checkpoint.
    pub fn resume(&mut self, weights: &Path) -> Result<()> {
        let checkpoint = run::load(weights, &self.network, &self.store, true)?;
        let held = run::read_position(weights, &checkpoint)?;
        let same = |what: &str, held: u64, now: u64, flag: &str| {
            if held == now {
                return Ok(());
            }
            let text = format!(
                "{} was trained with {what} {held}, this run has {now}: use {flag} {held}",
                weights.display()
            );
            Err(Error::usage(text))
        };
        if held.batch > 0 {
            same("batch size", held.batch as u64, self.options.batch as u64, "-b")?;
            same("seed", held.seed, self.options.seed, "--seed")?;
            same("shuffle seed", held.shuffle_seed, self.options.shuffle_seed, "--shuffle-seed")?;
            same("images", held.images as u64, self.images.len() as u64, "the same stack, of")?;
        }
        self.position.epoch = held.epoch;
        self.position.step = held.step;
        self.position.history = held.history;
        if let (Some(held), Some(_)) = (held.loss_scale, self.options.objective.loss_scale) {
            for (name, value) in loss_scale::STATES.iter().zip(held) {
                self.store.set(name, &Tensor::scalar(value))?;
            }
        }
        Ok(())
    }

    pub fn history(&self) -> &[EpochLosses] {
        &self.position.history
    }

    fn record<'t>(&self, tape: &'t Tape) -> Vec<(&'static str, Var<'t>)> {
        let losses = self.network.training_step(tape, self.options.batch, &self.options.objective);
        let mut outputs = vec![("total", losses.total), ("reconstruction", losses.reconstruction)];
        outputs.extend(losses.divergence.map(|d| ("divergence", d)));
        outputs
    }

    /// The step as it would be replayed: parameters, memory, FLOP.
    pub fn program(&self) -> Result<Program> {
        let tape = Tape::new();
        let outputs = self.record(&tape);
        Program::new(&tape, &outputs, self.plan_options())
    }

    /// The same with a launch for every node.
    pub fn unfused(&self) -> Result<Program> {
        let tape = Tape::new();
        let outputs = self.record(&tape);
        Program::new(&tape, &outputs, Options { fuse: false, ..self.plan_options() })
    }

    fn plan_options(&self) -> Options {
        Options { precision: self.options.precision, ..Options::default() }
    }

    fn step(&self) -> Result<Step> {
        let tape = Tape::new();
        let outputs = self.record(&tape);
        if self.options.eager {
            Step::eager(&self.store, &tape, &outputs)
        } else {
            Step::new(&self.store, &tape, &outputs, self.plan_options())
        }
    }

    /// Trains to the last epoch. With no epoch left to do, only the final files are written.
    pub fn run(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let mut step = self.step()?;
        let has_latents = self.network.encoder.is_some();
        while self.position.epoch < self.options.epochs {
            let epoch = self.position.epoch + 1;
            watch.begin_epoch(epoch, self.options.epochs, self.images.len())?;
            let order = epoch_order(self.images.len(), self.options.shuffle_seed, epoch as u64);
            let started = Instant::now();
            let (mut done, mut sums) = (0, [0.0_f64; 3]);
            let (images, options, position) = (self.images, &self.options, &mut self.position);
            let size = options.batch;
            let mut losses = EpochLosses {
                epoch,
                reconstruction: 0.0,
                divergence: 0.0,
                total: 0.0,
                images_per_second: 0.0,
            };
            prefetch(
                &order,
                size,
                |indices| images.batch(indices, size),
                |indices, batch| {
                    interrupt::check()?;
                    position.step += 1;
                    let seen = (epoch - 1) as u64 * images.len() as u64 + done as u64;
                    let beta = Tensor::scalar(options.beta.at(seen) as f32);
                    let key = random_key(options.seed, position.step);
                    let schedule = options.objective.adam.schedule(position.step).feeds();
                    let mut feeds: Vec<(&str, &Tensor)> = batch.feeds().to_vec();
                    feeds.extend([("beta", &beta), ("key", &key)]);
                    feeds.extend(schedule.iter().map(|(name, value)| (*name, value)));
                    step.run(&feeds)?;
                    let n = indices.len() as f64;
                    let names = ["reconstruction", "divergence", "total"];
                    for (sum, name) in
                        sums.iter_mut().zip(names).filter(|(_, n)| has_latents || *n != "divergence")
                    {
                        *sum += step.number(name)? as f64 * n;
                    }
                    if !sums[2].is_finite() {
                        let advice =
                            "run again with --eager to see which value broke first, or with a smaller --lr";
                        return Err(Error::NotFinite(format!(
                            "the loss is no longer finite at epoch {epoch}, step {}: {advice}",
                            position.step
                        )));
                    }
                    done += indices.len();
                    let mean = sums.map(|s| s / done as f64);
                    losses = EpochLosses {
                        epoch,
                        reconstruction: mean[0],
                        divergence: mean[1],
                        total: mean[2],
                        images_per_second: done as f64 / started.elapsed().as_secs_f64(),
                    };
                    watch.images(done, &losses)
                },
            )?;
            self.position.epoch = epoch;
            self.position.history.push(losses);
            watch.end_epoch(&losses)?;
            if self.options.checkpoint > 0
                && epoch.is_multiple_of(self.options.checkpoint)
                && epoch < self.options.epochs
            {
                self.save(Some(epoch))?;
            }
        }
        let last = self.position.epoch;
        self.save(Some(last))?;
        self.save(None)
    }

    /// Latents first: a checkpoint that is there means that its latents are too.
    fn save(&self, epoch: Option<usize>) -> Result<()> {
        if self.network.encoder.is_some() {
            let latents = self.latents()?;
            latents.write(&run::latents_path(&self.folder, epoch))?;
        } else {
            let mut decoder = Evaluator::new(&self.network, &self.store).volumes(None)?;
            let volume = decoder.decode(&vec![0.0; self.network.zdim()], self.images.norm())?;
            let path = run::numbered(&self.folder, "reconstruct", epoch, "mrc");
            write_volume(
                &path,
                &volume,
                [self.images.side(); 3],
                self.images.apix().unwrap_or(1.0),
                [0.0; 3],
            )?;
        }
        let norm = match self.config.model_args {
            ModelArgs::Vae(_) => None,
            ModelArgs::Decoder(_) => Some([self.images.norm().0 as f64, self.images.norm().1 as f64]),
        };
        let path = run::weights_path(&self.folder, epoch);
        let mut position = self.position.clone();
        if self.options.objective.loss_scale.is_some() {
            let [factor, good_steps] = loss_scale::STATES.map(|name| self.store.get(name));
            position.loss_scale = Some([factor?.to_f32()[0], good_steps?.to_f32()[0]]);
        }
        run::save(&path, &self.network, &self.store, &self.options.objective.adam, norm, &position)
    }

    fn latents(&self) -> Result<Latents> {
        Evaluator::new(&self.network, &self.store).latents(self.images, |_| {})
    }
}
