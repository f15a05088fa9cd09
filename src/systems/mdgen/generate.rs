//! Trajectories from a trained network: windows sampled one after the other, each from what is known of it.

use std::path::Path;
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::config::{Config, Task};
use super::dirichlet::{self, TYPES};
use super::model::{Conditions, Network};
use super::sampler::{Effort, Solver};
use super::window::{Batch, Window};
use crate::device::Device;
use crate::plan::{Options, Step, Store};
use crate::protein::residue::Atoms;
use crate::stats::random::Philox;
use crate::tape::Tape;
use crate::tensor::{DType, Tensor};
use crate::{Error, Result};

/// A network ready to sample windows of one peptide, `batch` at a time.
pub struct Generator {
    network: Network,
    step: Step,
    batch: usize,
    solver: Solver,
    seed: u64,
    pub effort: Effort,
}

/// A window that came out.
pub struct Sample {
    /// `[T, residues]`, Å
    pub atoms: Vec<Atoms>,
    /// Type of each residue: for design the likeliest one.
    pub kinds: Vec<usize>,
}

impl Generator {
    pub fn open(
        checkpoint: &Path,
        device: Arc<dyn Device>,
        task: Task,
        frames: Option<usize>,
        batch: usize,
        solver: Solver,
        seed: u64,
    ) -> Result<Generator> {
        solver.check()?;
        let held = Checkpoint::read(checkpoint)?;
        let mut config = held.config.clone();
        if config.task != task {
            return Err(Error::usage(format!(
                "{} was trained to {:?}, not to {task:?}",
                checkpoint.display(),
                config.task
            )));
        }
        config.hyena_longest = held.config.longest();
        config.num_frames = frames.unwrap_or(config.num_frames);
        let most = held.config.longest();
        if config.hyena && config.num_frames > most {
            return Err(Error::usage(format!(
                "a network with --hyena makes windows of at most {most} frames"
            )));
        }
        let network = Network::new(&config)?;
        let store = Store::new(device, seed);
        held.load(checkpoint, &Network::new(&held.config)?, &store, true, false)?;
        let step = velocity_step(&network, &store, batch.max(1))?;
        let batch = batch.max(1);
        Ok(Generator { network, step, batch, solver, seed, effort: Effort::default() })
    }

    pub fn config(&self) -> &Config {
        &self.network.config
    }

    pub fn batch(&self) -> usize {
        self.batch
    }

    /// A window for each of `known`, at most as many as a batch, each with the noise of its own stream; what is given
    /// of them comes out as it went in, unless `parity`.
    pub fn windows(&mut self, known: &[Window], streams: &[u64]) -> Result<Vec<Sample>> {
        let Some(&stream) = streams.first() else { return Ok(vec![]) };
        let config = self.network.config.clone();
        let [t, l, d] = [config.num_frames, config.crop, config.token()];
        let design = config.task == Task::Inpaint;
        let wide = d + if design { TYPES } else { 0 };
        let batch = Batch::new(&config, known, self.batch);
        let feeds: Vec<(&str, &Tensor)> = batch.feeds().collect();
        let mut first = Some(feeds);
        let mut start = Vec::with_capacity(self.batch * t * l * wide);
        for i in 0..self.batch {
            let own = streams.get(i).unwrap_or(&stream);
            let mut philox = Philox::new(self.seed, 0x6d64_0000_0000_0000 ^ own);
            let types: Vec<f32> =
                (0..l).flat_map(|_| dirichlet::draw(None, 1.0, &mut philox)).map(|v| v as f32).collect();
            for at in 0..t * l {
                start.extend((0..d).map(|_| philox.normal() as f32));
                if design {
                    start.extend(&types[at % l * TYPES..][..TYPES]);
                }
            }
        }
        let (step, size) = (&mut self.step, self.batch);
        let rate = config.alpha_max - 1.0;
        let mut field = |x: &[f32], time: f64| -> Result<Vec<f32>> {
            let times = Tensor::f32(&[size], vec![time as f32; size]);
            // Conditions stay on the device between evaluations.
            let mut feeds = first.take().unwrap_or_default();
            feeds.push(("t", &times));
            let column = |range: std::ops::Range<usize>| -> Vec<f32> {
                x.chunks_exact(wide).flat_map(|token| token[range.clone()].iter().copied()).collect()
            };
            let noisy = Tensor::f32(&[size, t, l, d], column(0..d));
            feeds.push(("x", &noisy));
            // The network sees the mean over frames, in which they may drift apart.
            let drawn = design.then(|| mean_types(x, size, t, l, wide));
            if let Some(drawn) = &drawn {
                feeds.push(("types.drawn", drawn));
            }
            step.run(&feeds)?;
            let velocity = step.fetch("velocity")?.to_f32();
            if !design {
                return Ok(velocity);
            }
            let chances = step.fetch("chances")?.to_f32();
            let mut all = Vec::with_capacity(x.len());
            for (at, token) in x.chunks_exact(wide).enumerate() {
                all.extend(&velocity[at * d..][..d]);
                let point: [f64; TYPES] = std::array::from_fn(|k| token[d + k] as f64);
                let chance: [f64; TYPES] = std::array::from_fn(|k| chances[at * TYPES + k] as f64);
                let flow = dirichlet::velocity(&point, &chance, 1.0 + rate * time, rate);
                all.extend(flow.map(|v| v as f32));
            }
            Ok(all)
        };
        let path = config.path()?;
        let solver = self.solver.with_noise(self.seed, stream);
        let (states, effort) = solver.run(start, &[1.0], path, &mut field)?;
        self.effort.evaluations += effort.evaluations;
        let last = &states[0];
        known
            .iter()
            .enumerate()
            .map(|(b, window)| {
                let tokens = &last[b * t * l * wide..][..t * l * wide];
                let mut kinds = window.kinds.clone();
                if design {
                    for (residue, kind) in kinds.iter_mut().enumerate() {
                        let types = &tokens[residue * wide + d..][..TYPES];
                        let best = (0..TYPES).max_by(|&i, &j| types[i].total_cmp(&types[j]));
                        *kind = best.unwrap_or(*kind);
                    }
                }
                let plain: Vec<f32> =
                    tokens.chunks_exact(wide).flat_map(|token| token[..d].iter().copied()).collect();
                let mut plain = window.whole_tokens(&config, &plain);
                if !config.parity {
                    for (at, _) in window.is_given.iter().enumerate().filter(|(_, given)| **given != 0.0) {
                        plain[at * d..][..d].copy_from_slice(&window.given[at * d..][..d]);
                    }
                }
                let mut atoms = window.decode(&config, &plain, &kinds)?;
                for (frame, given) in window.whole.iter().filter(|_| !config.parity) {
                    atoms[frame * given.len()..][..given.len()].copy_from_slice(given);
                }
                Ok(Sample { atoms, kinds })
            })
            .collect()
    }
}

/// Simplex points averaged over the frames, `[B, L, 20]`.
fn mean_types(x: &[f32], size: usize, t: usize, l: usize, wide: usize) -> Tensor {
    let mut mean = vec![0.0_f32; size * l * TYPES];
    for (at, token) in x.chunks_exact(wide).enumerate() {
        let (b, residue) = (at / (t * l), at % l);
        let into = &mut mean[(b * l + residue) * TYPES..][..TYPES];
        into.iter_mut().zip(&token[wide - TYPES..]).for_each(|(m, v)| *m += v / t as f32);
    }
    Tensor::f32(&[size, l, TYPES], mean)
}

/// The velocity at `x` and `t`, and for design the chances of each residue type.
pub fn velocity_step(network: &Network, store: &Store, batch: usize) -> Result<Step> {
    let tape = Tape::new();
    let config = &network.config;
    let input = |name: &str, shape: &[usize]| tape.input(name, shape, DType::F32);
    let conditions = Conditions::inputs(&tape, config, batch);
    let x = input("x", &[batch, config.num_frames, config.crop, config.token()]);
    let types = (config.task == Task::Inpaint).then(|| input("types.drawn", &[batch, config.crop, TYPES]));
    let found = network.record(x, types, input("t", &[batch]), &conditions);
    let mut outputs = vec![("velocity", found.velocity)];
    outputs.extend(
        found.logits.map(|logits| ("chances", tape.special(crate::ops::softmax::Softmax, &[logits]))),
    );
    Step::new(store, &tape, &outputs, Options::default())
}
