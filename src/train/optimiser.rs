//! Optimisers recorded onto the tape: the whole update is part of the step. What changes from step to step is
//! fed ([`Schedule`]), so that one recorded step serves the whole run.

use crate::ops::rows;
use crate::ops::sum_squares::SumSquares;
use crate::tape::{Init, Tape, Var};
use crate::tensor::{DType, Tensor};

/// Adam (Kingma and Ba 2015); with `decoupled` decay AdamW (Loshchilov and Hutter 2019).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Adam {
    pub lr: f64,
    pub betas: [f64; 2],
    pub epsilon: f64,
    pub weight_decay: f64,
    pub decoupled: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { lr: 1e-4, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

/// Names of the moments of a parameter in the store.
pub fn moments(parameter: &str) -> [String; 2] {
    [format!("adam.first.{parameter}"), format!("adam.second.{parameter}")]
}

impl Adam {
    /// Records the update of `parameters` (name and value) by `gradients`; feed [`Schedule::feeds`] each step.
    pub fn record<'t>(&self, tape: &'t Tape, parameters: &[(String, Var<'t>)], gradients: &[Var<'t>]) {
        let input = |name: &str| tape.input(name, &[], DType::F32);
        let (rate, bias, keep) = (input("adam.rate"), input("adam.bias"), input("adam.keep"));
        let constant = |value: f64| tape.scalar(value as f32);
        for ((name, parameter), &gradient) in parameters.iter().zip(gradients) {
            let [first, second] = moments(name).map(|m| tape.state_of(&m, parameter.meta(), Init::Zeros));
            let gradient = if self.weight_decay > 0.0 && !self.decoupled {
                gradient + *parameter * constant(self.weight_decay)
            } else {
                gradient
            };
            let m = gradient.row(&rows::blend, &[first, constant(1.0 - self.betas[0])]);
            let v = second.row(&rows::blend_square, &[gradient, constant(self.betas[1])]);
            let next = parameter.row(&rows::adam, &[m, v, rate, bias, constant(self.epsilon), keep]);
            tape.assign(first, m);
            tape.assign(second, v);
            tape.assign(*parameter, next);
        }
    }

    /// What step `step` (from 1) feeds.
    pub fn schedule(&self, step: u64) -> Schedule {
        let t = step as f64;
        let keep = if self.decoupled { 1.0 - self.lr * self.weight_decay } else { 1.0 };
        Schedule {
            rate: (self.lr / (1.0 - self.betas[0].powf(t))) as f32,
            bias: (1.0 / (1.0 - self.betas[1].powf(t)).sqrt()) as f32,
            keep: keep as f32,
        }
    }
}

/// The share of the learning rate for update `step` (from 1) of `steps`: it falls to 0 along half a cosine
/// (Loshchilov and Hutter 2017).
pub fn half_cosine(step: u64, steps: u64) -> f64 {
    let done = (step.saturating_sub(1) as f64 / steps.max(1) as f64).min(1.0);
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

pub struct Schedule {
    pub rate: f32,
    pub bias: f32,
    pub keep: f32,
}

impl Schedule {
    pub fn feeds(&self) -> [(&'static str, Tensor); 3] {
        [("adam.rate", self.rate), ("adam.bias", self.bias), ("adam.keep", self.keep)]
            .map(|(name, value)| (name, Tensor::scalar(value)))
    }
}

/// Scales gradients so that their joint Euclidean norm is at most `most`.
pub fn clip_by_norm<'t>(tape: &'t Tape, gradients: &[Var<'t>], most: f32) -> Vec<Var<'t>> {
    let total = tape.special(SumSquares, gradients);
    let factor = (tape.scalar(most) / total.sqrt().add_scalar(1e-6)).minimum(tape.scalar(1.0));
    gradients.iter().map(|&g| g * factor).collect()
}

/// Keeps `ema.<name>`, the exponential moving average of each parameter: it starts as the parameter and
/// takes `decay` of itself and `1 - decay` of the next value.
pub fn ema<'t>(tape: &'t Tape, parameters: &[(String, Var<'t>)], decay: f32) {
    let next: Vec<_> = tape.states();
    for (name, parameter) in parameters {
        let updated = next.iter().find(|s| s.name == *name).and_then(|s| s.next).map(|id| tape.var(id));
        let average = tape.state_of(&format!("ema.{name}"), parameter.meta(), Init::Copy(name.clone()));
        let value = updated.unwrap_or(*parameter);
        tape.assign(average, average.row(&rows::blend, &[value, tape.scalar(decay)]));
    }
}
