//! Training of a stage: epochs over the particles, evaluations, checkpoints, resume.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::{self, Checkpoint, EpochLosses, Position, Score};
use super::config::Config;
use super::data::Particles;
use super::evaluate::Evaluator;
use super::model::{BETA, Network, RESIDENT};
use super::modes;
use super::pictures;
use super::reference::Reference;
use super::split::Split;
use crate::device::Device;
use crate::io::npy::{self, Array};
use crate::plan::{Options, Program, Step, Store};
use crate::tape::Tape;
use crate::tensor::{DType, Tensor};
use crate::train::{Adam, epoch_order, optimiser, prefetch, random_key};
use crate::{Error, Result, interrupt};

/// A prepared stack up to this size stays on the device.
const RESIDENT_BYTES: usize = 2 << 30;
/// Images that are put there together.
const PORTION: usize = 256;
/// Images that tell the contrast.
const CONTRAST_OF: usize = 256;
/// Without motion long enough: the mean of the last losses (of beads ten times as much), and the most epochs.
const STILL: f64 = 1e-4;
const STILL_STEPS: usize = 20;
const STILL_EPOCHS: u64 = 3;

/// What training tells while it runs; an error stops it.
pub trait Watch {
    fn note(&mut self, text: &str) -> Result<()>;
    fn begin_epoch(&mut self, epoch: usize, epochs: usize, images: usize) -> Result<()>;
    fn images(&mut self, done: usize) -> Result<()>;
    fn end_epoch(&mut self, losses: &EpochLosses) -> Result<()>;
    fn evaluated(&mut self, folder: &Path) -> Result<()>;
}

pub struct Trainer {
    pub config: Config,
    pub reference: Reference,
    pub particles: Particles,
    pub network: Network,
    pub store: Store,
    split: Split,
    folder: PathBuf,
    position: Position,
    adam: Adam,
}

impl Trainer {
    /// Opens what the configuration names and checks that it belongs together.
    pub fn new(mut config: Config, device: Arc<dyn Device>, folder: &Path) -> Result<Trainer> {
        let particles = Particles::open(&config)?;
        let length = particles.side() as f64 * particles.apix();
        let reference = Reference::read(&config, length)?;
        if particles.len() < 2 {
            return Err(Error::usage("there is 1 particle: motion is learned from many"));
        }
        let modes = modes::asked(&config, &reference)?;
        if let Some(modes) = &modes {
            config.extra_input_data_attr.nma_modes = modes.shape[1];
        }
        let network =
            Network::new(&config, &reference, particles.side(), particles.apix(), particles.compared())?;
        let adam = Adam { lr: config.optimizer.lr, weight_decay: 0.01, decoupled: true, ..Adam::default() };
        let store = Store::new(device, config.own_seed());
        if let Some(modes) = &modes {
            store.set(modes::STATE, modes)?;
        }
        let position =
            Position { epoch: 0, step: 0, images: particles.len(), history: vec![], scores: vec![] };
        let split = Split::new(particles.len(), &config.data_loader, config.seed);
        if split.training.len() < 2 {
            return Err(Error::usage(format!(
                "{} of {} particles are left to learn from: raise --train-ratio",
                split.training.len(),
                particles.len()
            )));
        }
        let folder = folder.into();
        let mut trainer =
            Trainer { config, reference, particles, network, store, split, folder, position, adam };
        trainer.look_at_contrast()?;
        Ok(trainer)
    }

    pub fn history(&self) -> &[EpochLosses] {
        &self.position.history
    }

    /// Images of a step: all steps have as many.
    fn batch(&self) -> usize {
        self.config.data_loader.train_batch_per_gpu.min(self.split.training.len())
    }

    fn steps_of_an_epoch(&self) -> usize {
        self.split.training.len() / self.batch()
    }

    /// The number of particles, where all of them stay on the device.
    fn resident(&self) -> Option<usize> {
        let count = self.particles.len();
        let bytes = count.saturating_mul(12 * self.particles.side().pow(2) + 36);
        (bytes <= RESIDENT_BYTES).then_some(count)
    }

    fn options(&self) -> Options {
        let precision = if self.config.trainer.precision == "32" { DType::F32 } else { DType::BF16 };
        Options { precision, ..Options::default() }
    }

    /// Whether particles are light on dark, as they have to be: by how they correlate with the reference.
    fn look_at_contrast(&mut self) -> Result<()> {
        match self.config.dataset_attr.contrast.as_str() {
            "light" => return Ok(()),
            "dark" => {
                self.particles.invert();
                return Ok(());
            }
            "" | "auto" => {}
            other => {
                return Err(Error::usage(format!("--contrast {other}: choose auto, light or dark")));
            }
        }
        let size = self.batch();
        let tape = Tape::new();
        let inputs = self.network.inputs(&tape, size, None);
        let correlation = self.network.correlation_with_reference(&inputs);
        let mut step = Step::new(&self.store, &tape, &[("correlation", correlation)], Options::default())?;
        let spread = self.particles.len().div_ceil(CONTRAST_OF).max(1);
        let chosen: Vec<usize> = (0..self.particles.len()).step_by(spread).collect();
        let mut found = vec![];
        for indices in chosen.chunks(size) {
            step.run(&self.particles.batch(indices, size)?.feeds())?;
            found.extend(step.fetch("correlation")?.to_f32()[..indices.len()].iter().map(|&v| f64::from(v)));
        }
        let n = found.len() as f64;
        let mean = found.iter().sum::<f64>() / n;
        let variance = found.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        let error = (variance / n).sqrt().max(1e-12);
        let notes = &mut self.particles.notes;
        if mean < -4.0 * error {
            notes.push(format!(
                "particles are dark on light (correlation with the reference {mean:.4}): they are inverted"
            ));
            self.particles.invert();
        } else if mean < 4.0 * error {
            notes.push(format!(
                "particles do not correlate with the reference ({mean:.4} +- {error:.4}): check poses, pixel size and \
                 whether the model is docked (--origin)"
            ));
        }
        Ok(())
    }

    /// Goes on from a checkpoint of a run like this one.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let checkpoint = Checkpoint::read(path)?;
        let free = |config: &Config| {
            let mut config = config.clone();
            config.trainer = Default::default();
            config.analyze = Default::default();
            let dataset = &mut config.dataset_attr;
            (dataset.starfile_path, dataset.ref_pdb_path, dataset.ref_cg_pdb_path) = Default::default();
            dataset.dataset_dir = None;
            config.extra_input_data_attr.nma_path = Default::default();
            config
        };
        if free(&checkpoint.config) != free(&self.config)
            || checkpoint.config.trainer.precision != self.config.trainer.precision
            || checkpoint.position.images != self.particles.len()
        {
            return Err(Error::usage(format!(
                "{} was made with other settings or particles; resume with the same (config.toml beside it)",
                path.display()
            )));
        }
        checkpoint.load(path, &self.network, &self.store)?;
        self.position = checkpoint.position;
        Ok(())
    }

    /// The step as it would be replayed.
    pub fn program(&self) -> Result<Program> {
        let tape = Tape::new();
        let losses = self.network.training_step(&tape, self.batch(), None, &self.adam);
        Program::new(&tape, &losses.named(), self.options())
    }

    /// Puts the prepared stack on the device.
    fn settle(&self, count: usize, watch: &mut dyn Watch) -> Result<()> {
        let pixels = self.particles.side().pow(2);
        let tables = [("images", pixels), ("targets", pixels), ("filters", pixels), ("rotations", 9)];
        let mut held = tables.map(|(_, width)| Vec::with_capacity(count * width));
        let all: Vec<usize> = (0..count).collect();
        for indices in all.chunks(PORTION) {
            interrupt::check()?;
            let batch = self.particles.batch(indices, indices.len())?;
            for (held, (_, tensor)) in held.iter_mut().zip(batch.feeds()) {
                held.extend(tensor.to_f32());
            }
        }
        for ((name, width), values) in tables.into_iter().zip(held) {
            self.store.set(&format!("{RESIDENT}{name}"), &Tensor::f32(&[count, width], values))?;
        }
        watch.note(&format!("{count} particles stay on the device"))
    }

    /// Calls `each` with what a step is fed, for one epoch's batches.
    fn epoch(
        &self,
        epoch: u64,
        first_step: u64,
        resident: bool,
        mut each: impl FnMut(u64, &[(&str, &Tensor)]) -> Result<bool>,
    ) -> Result<u64> {
        let size = self.batch();
        let training = &self.split.training;
        let mut order = epoch_order(training.len(), self.config.own_seed(), epoch);
        order.iter_mut().for_each(|i| *i = training[*i]);
        order.truncate(self.steps_of_an_epoch() * size);
        let mut step = first_step;
        let mut run = |feeds: &[(&str, &Tensor)]| -> Result<bool> {
            interrupt::check()?;
            step += 1;
            let key = random_key(self.config.own_seed(), step);
            let beta = Tensor::f32(&[], vec![self.config.loss.beta(step)]);
            let schedule = self.adam.schedule(step).feeds();
            let mut all = feeds.to_vec();
            all.extend([("key", &key), (BETA, &beta)]);
            all.extend(schedule.iter().map(|(name, value)| (*name, value)));
            each(step, &all)
        };
        if resident {
            for indices in order.chunks(size) {
                let index = Tensor::i32(&[size], indices.iter().map(|&i| i as i32).collect());
                if !run(&[("index", &index)])? {
                    break;
                }
            }
        } else {
            let mut goes_on = true;
            prefetch(
                &order,
                size,
                |indices| self.particles.batch(indices, size),
                |_, batch| {
                    if goes_on {
                        goes_on = run(&batch.feeds())?;
                    }
                    Ok(())
                },
            )?;
        }
        Ok(step)
    }

    /// Learns to predict no motion.
    fn hold_still(&self, resident: Option<usize>, watch: &mut dyn Watch) -> Result<()> {
        let adam = Adam { lr: 1e-4, ..self.adam };
        let tape = Tape::new();
        let loss = self.network.still_step(&tape, self.batch(), resident, &adam);
        let mut step = Step::new(&self.store, &tape, &[("loss", loss)], self.options())?;
        // As many steps may go by before the mean can fall.
        let mut recent = vec![10.0];
        let mut taken = 0;
        let still = if self.reference.beads.is_some() { 10.0 * STILL } else { STILL };
        let mean = |recent: &[f64]| recent.iter().sum::<f64>() / recent.len() as f64;
        for epoch in 0..STILL_EPOCHS {
            taken = self.epoch(epoch, taken, resident.is_some(), |_, feeds| {
                step.run(feeds)?;
                recent.push(f64::from(step.number("loss")?));
                let tail = &recent[recent.len().saturating_sub(STILL_STEPS)..];
                Ok(mean(tail) > still)
            })?;
            if mean(&recent[recent.len().saturating_sub(STILL_STEPS)..]) <= still {
                break;
            }
        }
        // The optimiser begins anew.
        for state in tape.states() {
            for moment in optimiser::moments(&state.name) {
                if let Ok(held) = self.store.get(&moment) {
                    self.store.set(&moment, &Tensor::zeros(&held.meta()))?;
                }
            }
        }
        let last = recent.last().copied().unwrap_or(0.0).sqrt();
        watch.note(&format!("learned to hold still in {taken} steps: shifts of {last:.3} Å"))
    }

    /// Trains to the last epoch.
    pub fn run(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let resident = self.resident();
        if let Some(count) = resident.filter(|_| self.position.epoch < self.config.trainer.max_epochs) {
            self.settle(count, watch)?;
        }
        if self.config.do_ref_init && self.position.epoch == 0 {
            self.hold_still(resident, watch)?;
        }
        let tape = Tape::new();
        let losses = self.network.training_step(&tape, self.batch(), resident, &self.adam);
        let named = losses.named();
        let mut step = Step::new(&self.store, &tape, &named, self.options())?;
        let epochs = self.config.trainer.max_epochs;
        while self.position.epoch < epochs {
            let epoch = self.position.epoch + 1;
            let images = self.steps_of_an_epoch() * self.batch();
            watch.begin_epoch(epoch, epochs, images)?;
            let started = Instant::now();
            let mut sums = vec![0.0; named.len()];
            let mut done = 0;
            let last = self.epoch(epoch as u64, self.position.step, resident.is_some(), |at, feeds| {
                step.run(feeds)?;
                for (sum, (name, _)) in sums.iter_mut().zip(&named) {
                    *sum += f64::from(step.number(name)?);
                }
                if !sums[0].is_finite() {
                    return Err(Error::NotFinite(format!(
                        "the loss is no longer finite at epoch {epoch}, step {at}: try a smaller --lr"
                    )));
                }
                done += self.batch();
                watch.images(done)?;
                Ok(true)
            })?;
            let means = named
                .iter()
                .zip(&sums)
                .map(|((name, _), sum)| (name.to_string(), sum / self.steps_of_an_epoch() as f64));
            let mut parts: Vec<(String, f64)> = means.collect();
            let total = parts.remove(0).1;
            let images_per_second = images as f64 / started.elapsed().as_secs_f64().max(1e-9);
            let losses = EpochLosses { epoch, total, parts, images_per_second };
            self.position.epoch = epoch;
            self.position.step = last;
            watch.end_epoch(&losses)?;
            self.position.history.push(losses);
            if epoch.is_multiple_of(self.config.trainer.check_val_every_n_epoch) || epoch == epochs {
                self.evaluate(watch)?;
            }
        }
        Ok(())
    }

    pub fn evaluator(&self) -> Evaluator<'_> {
        let batch = self.config.data_loader.val_batch_per_gpu;
        Evaluator { network: &self.network, store: &self.store, batch }
    }

    /// The folder of the last evaluation.
    pub fn last_folder(&self) -> PathBuf {
        self.folder.join(checkpoint::folder_name(&self.position))
    }

    /// How well particles that were not learned from agree with their structures.
    fn score(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let Split { training, held } = &self.split;
        if held.is_empty() {
            return Ok(());
        }
        let evaluator = self.evaluator();
        let [held_out, still] = evaluator.agreement(&self.particles, held)?;
        let like: Vec<usize> = (0..held.len()).map(|i| training[i * training.len() / held.len()]).collect();
        let [trained, _] = evaluator.agreement(&self.particles, &like)?;
        watch.note(&format!(
            "correlation with {} held-out particles {held_out:.4} (the model as it stands {still:.4}), with as many \
             that were learned from {trained:.4}",
            held.len()
        ))?;
        self.position.scores.push(Score { epoch: self.position.epoch, trained, held: held_out, still });
        Ok(())
    }

    /// Structures and latents first: a checkpoint that is there means that they are too.
    fn evaluate(&mut self, watch: &mut dyn Watch) -> Result<()> {
        self.score(watch)?;
        let folder = self.last_folder();
        let evaluator = self.evaluator();
        let (latents, log_variances) = evaluator.posteriors(&self.particles)?;
        let findings = evaluator.find(&latents, self.config.analyze.cluster_k)?;
        findings.write(&folder, &self.reference)?;
        if let Some(values) = log_variances {
            let shape = [self.particles.len(), self.network.encoder.z];
            npy::write_npy(&folder.join("z_logvar.npy"), &Array::f32(&shape, values)?)?;
        }
        pictures::write(&folder, &evaluator, &self.particles, &findings)?;
        let path = folder.join("ckpt.pt");
        checkpoint::save(&path, &self.config, &self.network, &self.store, &self.position)?;
        watch.evaluated(&folder)
    }
}
