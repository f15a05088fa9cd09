//! The loss of the interpolant and a whole training step.

use super::dirichlet::TYPES;
use super::model::{Conditions, Network};
use super::transport::Path;
use crate::ops::random::{Distribution, Random};
use crate::tape::{Init, Tape, Var};
use crate::tensor::{DType, Tensor};
use crate::train::{Adam, clip_by_norm, ema};

#[derive(Clone, Copy, Debug)]
pub struct Objective {
    pub adam: Adam,
    /// Joint norm of the gradients at most.
    pub clip: Option<f32>,
    /// Decay of the moving average of the weights.
    pub ema: Option<f32>,
}

impl Objective {
    /// Records what becomes of parameters (name and value) with these gradients.
    #[track_caller]
    fn update<'t>(&self, tape: &'t Tape, parameters: &[(String, Var<'t>)], gradients: Vec<Var<'t>>) {
        let gradients = match self.clip {
            Some(most) => clip_by_norm(tape, &gradients, most),
            None => gradients,
        };
        self.adam.record(tape, parameters, &gradients);
        if let Some(decay) = self.ema {
            ema(tape, parameters, decay);
        }
    }
}

/// Normal noise by the input `key`.
#[track_caller]
fn drawn_noise<'t>(tape: &'t Tape, shape: &[usize]) -> Var<'t> {
    let key = tape.input("key", &[4], DType::I32);
    let normal = Random { distribution: Distribution::Normal, shape: shape.to_vec(), stream: 0 };
    tape.special(normal, &[key])
}

/// The sum of a parameter's gradients.
#[track_caller]
fn gathered<'t>(tape: &'t Tape, name: &str, value: Var<'t>) -> Var<'t> {
    tape.state_of(&format!("gathered.{name}"), value.meta(), Init::Zeros)
}

/// Recorded losses: the mean over the batch, and its parts where there are two.
#[derive(Clone, Copy)]
pub struct Losses<'t> {
    pub total: Var<'t>,
    /// Of each window, `[B]`: mean squared error of the velocity.
    pub velocity: Var<'t>,
    /// Cross-entropy of residue types, `[B]`.
    pub types: Option<Var<'t>>,
}

/// The numbers of the path at the time of each window.
pub fn path_feeds(path: Path, times: &[f64]) -> [(&'static str, Tensor); 5] {
    let of =
        |f: &dyn Fn(f64) -> f64| Tensor::f32(&[times.len()], times.iter().map(|&t| f(t) as f32).collect());
    [
        ("t", of(&|t| t)),
        ("path.a", of(&|t| path.at(t).a)),
        ("path.s", of(&|t| path.at(t).s)),
        ("path.a_rate", of(&|t| path.at(t).a_rate)),
        ("path.s_rate", of(&|t| path.at(t).s_rate)),
    ]
}

impl Network {
    /// Losses of a batch, with the noise `[B, T, L, D]` that `noise` records. Inputs: those of [`Conditions`],
    /// `tokens`, `loss_mask`, `weights`, [`path_feeds`], for design `corners` (true types) and `types.drawn` (points
    /// of the simplex), both `[B, L, 20]`.
    #[track_caller]
    pub fn losses<'t>(
        &self,
        tape: &'t Tape,
        batch: usize,
        noise: impl FnOnce(&[usize]) -> Var<'t>,
    ) -> Losses<'t> {
        let [frames, residues, d] = [self.config.num_frames, self.config.crop, self.config.token()];
        let shape = [batch, frames, residues, d];
        let input = |name: &str, shape: &[usize]| tape.input(name, shape, DType::F32);
        let conditions = Conditions::inputs(tape, &self.config, batch);
        let tokens = input("tokens", &shape);
        let mask = input("loss_mask", &[batch, 1, residues, d]);
        let weights = input("weights", &[batch]);
        let t = input("t", &[batch]);
        let of_path = |name: &str| input(name, &[batch]).reshape(&[batch, 1, 1, 1]);
        let noise = noise(&shape);
        let noisy = tokens * of_path("path.a") + noise * of_path("path.s");
        let wanted = tokens * of_path("path.a_rate") + noise * of_path("path.s_rate");
        let design = self.config.task == super::config::Task::Inpaint;
        let drawn = design.then(|| input("types.drawn", &[batch, residues, TYPES]));
        let found = self.record(noisy, drawn, t, &conditions);
        let count = mask.sum(&[1, 2, 3]).scale(frames as f32).maximum(tape.scalar(1.0));
        let velocity = ((found.velocity - wanted).square() * mask).sum(&[1, 2, 3]) / count;
        let types = found.logits.map(|logits| {
            let corners = input("corners", &[batch, residues, TYPES]);
            let level = logits.max_keep(&[3]);
            let logarithm = (logits - level).exp().sum_keep(&[3]).log() + level;
            let right = (logits * corners.reshape(&[batch, 1, residues, TYPES])).sum_keep(&[3]);
            let there = conditions.mask.reshape(&[batch, 1, residues, 1]);
            let count = conditions.mask.sum(&[1]).scale(frames as f32).maximum(tape.scalar(1.0));
            ((logarithm - right) * there).sum(&[1, 2, 3]) / count
        });
        let each = match types {
            Some(types) => {
                let share = self.config.discrete_loss_weight as f32;
                types.scale(share) + velocity.scale(1.0 - share)
            }
            None => velocity,
        };
        Losses { total: (each * weights).sum_all(), velocity, types }
    }

    /// A training step; more inputs: the random `key`, and what the optimiser's schedule feeds.
    #[track_caller]
    pub fn training_step<'t>(&self, tape: &'t Tape, batch: usize, objective: &Objective) -> Losses<'t> {
        self.training_step_with(tape, batch, objective, |shape| drawn_noise(tape, shape))
    }

    /// As [`Network::training_step`] with noise from elsewhere.
    #[track_caller]
    pub fn training_step_with<'t>(
        &self,
        tape: &'t Tape,
        batch: usize,
        objective: &Objective,
        noise: impl FnOnce(&[usize]) -> Var<'t>,
    ) -> Losses<'t> {
        let losses = self.losses(tape, batch, noise);
        let parameters = self.parameters(tape);
        let values: Vec<Var<'t>> = parameters.iter().map(|p| p.1).collect();
        let gradients = tape.grad(losses.total, &values);
        objective.update(tape, &parameters, gradients);
        losses
    }

    /// The part of a training step that adds its gradients to those of batches before it.
    #[track_caller]
    pub fn gather_step<'t>(&self, tape: &'t Tape, batch: usize) -> Losses<'t> {
        let losses = self.losses(tape, batch, |shape| drawn_noise(tape, shape));
        let parameters = self.parameters(tape);
        let values: Vec<Var<'t>> = parameters.iter().map(|p| p.1).collect();
        for ((name, value), gradient) in parameters.iter().zip(tape.grad(losses.total, &values)) {
            let sum = gathered(tape, name, *value);
            tape.assign(sum, sum + gradient);
        }
        losses
    }

    /// The part that moves the parameters by what was gathered, times the input `share`, and forgets it.
    #[track_caller]
    pub fn update_step(&self, tape: &Tape, objective: &Objective) {
        let declared = Tape::new();
        self.declare(&declared);
        let parameters: Vec<(String, Var)> = declared
            .states()
            .into_iter()
            .map(|state| (state.name.clone(), tape.state_of(&state.name, state.meta, state.init)))
            .collect();
        let share = tape.input("share", &[], DType::F32);
        let sums: Vec<Var> = parameters.iter().map(|(name, value)| gathered(tape, name, *value)).collect();
        objective.update(tape, &parameters, sums.iter().map(|&sum| sum * share).collect());
        sums.iter().for_each(|&sum| tape.assign(sum, tape.scalar(0.0).expand(&sum.meta().shape)));
    }

    /// Every parameter recorded so far, and its value.
    pub fn parameters<'t>(&self, tape: &'t Tape) -> Vec<(String, Var<'t>)> {
        tape.states().into_iter().map(|s| (s.name, tape.var(s.node))).collect()
    }

    /// Declares every parameter.
    pub fn declare(&self, tape: &Tape) {
        let noise = |shape: &[usize]| tape.input("noise", shape, DType::F32);
        self.losses(tape, 1, noise);
    }
}
