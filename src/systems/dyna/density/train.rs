//! Training of the density stage: epochs over the particles, evaluations, checkpoints, resume.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::{self, Checkpoint, EpochLoss, Position};
use super::config::Config;
use super::evaluate::{Maps, Scale};
use super::images::Images;
use super::model::Network;
use crate::device::Device;
use crate::plan::{Options, Program, Step, Store};
use crate::tape::{Tape, Var};
use crate::tensor::{DType, Tensor};
use crate::train::{Adam, epoch_order, prefetch};
use crate::{Error, Result, interrupt};

/// What training tells while it runs; an error stops it.
pub trait Watch {
    fn begin_epoch(&mut self, epoch: usize, epochs: usize, images: usize) -> Result<()>;
    fn images(&mut self, done: usize) -> Result<()>;
    fn end_epoch(&mut self, losses: &EpochLoss) -> Result<()>;
    fn maps(&mut self, done: usize, total: usize) -> Result<()>;
    fn evaluated(&mut self, folder: &Path) -> Result<()>;
}

pub struct Trainer {
    pub config: Config,
    pub images: Images,
    pub network: Network,
    pub store: Store,
    folder: PathBuf,
    position: Position,
    adam: Adam,
}

impl Trainer {
    /// Opens what the configuration names and checks that it belongs together.
    pub fn new(config: Config, device: Arc<dyn Device>, folder: &Path) -> Result<Trainer> {
        let images = Images::open(&config)?;
        let network = Network::new(&config, &images);
        let adam = Adam { lr: config.optimizer.lr, weight_decay: 0.01, decoupled: true, ..Adam::default() };
        let store = Store::new(device, config.seed);
        let position = Position { epoch: 0, step: 0, images: images.len(), history: vec![] };
        Ok(Trainer { config, images, network, store, folder: folder.into(), position, adam })
    }

    pub fn history(&self) -> &[EpochLoss] {
        &self.position.history
    }

    /// Images of a step: the last of an epoch is filled up.
    fn batch(&self) -> usize {
        self.config.data_loader.train_batch_per_gpu.min(self.images.len())
    }

    fn options(&self) -> Options {
        let precision = if self.config.trainer.precision == "32" { DType::F32 } else { DType::BF16 };
        Options { precision, ..Options::default() }
    }

    fn record<'t>(&self, tape: &'t Tape) -> [(&'static str, Var<'t>); 1] {
        [("loss", self.network.training_step(tape, self.batch(), &self.adam))]
    }

    /// The step as it would be replayed.
    pub fn program(&self) -> Result<Program> {
        let tape = Tape::new();
        Program::new(&tape, &self.record(&tape), self.options())
    }

    /// Goes on from a checkpoint of a run like this one.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let held = Checkpoint::read(path)?;
        let (config, position) = (held.config()?, held.position()?);
        // What may change between the parts of a run.
        let free = |config: &Config| {
            let mut config = config.clone();
            config.trainer.max_epochs = 0;
            config.trainer.check_val_every_n_epoch = 0;
            config.analyze = Default::default();
            config.dataset_attr.starfile_path = Default::default();
            config.dataset_attr.dataset_dir = None;
            config.extra_input_data_attr = Default::default();
            config
        };
        if free(&config) != free(&self.config)
            || held.decoder != self.network.decoder
            || position.images != self.images.len()
        {
            return Err(Error::usage(format!(
                "{} was made with other settings, particles or latents; resume with the same (config.toml in the \
                 run's folder)",
                path.display()
            )));
        }
        held.load(&self.store)?;
        self.position = position;
        Ok(())
    }

    /// Trains to the last epoch. With no epoch left to do, only the final files are written.
    pub fn run(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let tape = Tape::new();
        let mut step = Step::new(&self.store, &tape, &self.record(&tape), self.options())?;
        let (epochs, every) = (self.config.trainer.max_epochs, self.config.trainer.check_val_every_n_epoch);
        while self.position.epoch < epochs {
            let losses = self.epoch(&mut step, watch)?;
            watch.end_epoch(&losses)?;
            if losses.epoch.is_multiple_of(every) && losses.epoch < epochs {
                self.evaluate(watch)?;
            }
        }
        self.evaluate(watch)
    }

    fn epoch(&mut self, step: &mut Step, watch: &mut dyn Watch) -> Result<EpochLoss> {
        let epoch = self.position.epoch + 1;
        let (count, size) = (self.images.len(), self.batch());
        watch.begin_epoch(epoch, self.config.trainer.max_epochs, count)?;
        let started = Instant::now();
        let order = epoch_order(count, self.config.seed, epoch as u64);
        let (mut done, mut sum) = (0, 0.0);
        let (images, position, adam) = (&self.images, &mut self.position, &self.adam);
        prefetch(
            &order,
            size,
            |indices| images.batch(indices, size),
            |indices, batch| {
                interrupt::check()?;
                position.step += 1;
                let schedule = adam.schedule(position.step).feeds();
                let mut feeds: Vec<(&str, &Tensor)> = batch.feeds().to_vec();
                feeds.extend(schedule.iter().map(|(name, value)| (*name, value)));
                step.run(&feeds)?;
                sum += f64::from(step.number("loss")?) * indices.len() as f64;
                if !sum.is_finite() {
                    return Err(Error::NotFinite(format!(
                        "the loss is no longer finite at epoch {epoch}, step {}: try a smaller --lr",
                        position.step
                    )));
                }
                done += indices.len();
                watch.images(done)
            },
        )?;
        let images_per_second = done as f64 / started.elapsed().as_secs_f64().max(1e-9);
        let losses = EpochLoss { epoch, loss: sum / done.max(1) as f64, images_per_second };
        position.epoch = epoch;
        position.history.push(losses);
        Ok(losses)
    }

    pub fn maps(&self) -> Result<Maps> {
        let (apix, f_std) = (self.images.particles.apix(), self.images.f_std);
        let scale = Scale { apix, f_std, radius: self.config.radius() };
        Maps::new(self.network.decoder, &self.store, scale)
    }

    /// The folder of the last evaluation: `0005_0000230`, epoch and step.
    pub fn last_folder(&self) -> PathBuf {
        self.folder.join(format!("{:04}_{:07}", self.position.epoch, self.position.step))
    }

    /// The checkpoint first: maps take longer than an epoch of a small stack, and can be made again.
    fn evaluate(&self, watch: &mut dyn Watch) -> Result<()> {
        let folder = self.last_folder();
        crate::io::atomic::folder(&folder)?;
        let mut maps = self.maps()?;
        let path = folder.join("ckpt.pt");
        checkpoint::save(&path, &self.config, &maps.decoder, &self.store, &maps.scale, &self.position)?;
        let clusters = self.config.analyze.cluster_k;
        maps.evaluate(&folder, &self.images.latents, clusters, &mut |done, total| watch.maps(done, total))?;
        watch.evaluated(&folder)
    }
}
