//! Linear layers and the residual multi-layer perceptron of coordinate networks.

use super::encoding::Entry;
use crate::ops::mlp::{self, Part};
use crate::tape::{Init, Tape, Var};
use crate::{Error, Result};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    Relu,
    LeakyRelu,
}

impl Activation {
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "relu" => Ok(Activation::Relu),
            "leaky_relu" => Ok(Activation::LeakyRelu),
            other => Err(Error::usage(format!("activation {other:?}: choose relu or leaky_relu"))),
        }
    }

    #[track_caller]
    pub fn of<'t>(self, x: Var<'t>) -> Var<'t> {
        match self {
            Activation::Relu => x.relu(),
            Activation::LeakyRelu => x.leaky_relu(self.slope()),
        }
    }

    /// Below zero.
    fn slope(self) -> f32 {
        match self {
            Activation::Relu => 0.0,
            Activation::LeakyRelu => 0.01,
        }
    }
}

/// Weight and bias drawn from U(±1/sqrt(in)) as PyTorch does.
fn usual_start(input: usize) -> [Init; 2] {
    let bound = Init::Uniform(1.0 / (input.max(1) as f32).sqrt());
    [bound.clone(), bound]
}

/// The weight `[out, in]` and bias `[out]` of a linear layer.
fn parameters<'t>(tape: &'t Tape, input: usize, output: usize, start: [Init; 2]) -> (Var<'t>, Var<'t>) {
    let [weight, bias] = start;
    (tape.state("weight", &[output, input], weight), tape.state("bias", &[output], bias))
}

/// `x W^T + b` over the last axis; parameters `name.weight`, `name.bias`.
#[track_caller]
pub fn linear<'t>(name: &str, x: Var<'t>, output: usize) -> Var<'t> {
    linear_from(name, x, output, usual_start(x.dim(x.rank().saturating_sub(1))))
}

/// [`linear`] with another start of weight and bias.
#[track_caller]
pub fn linear_from<'t>(name: &str, x: Var<'t>, output: usize, start: [Init; 2]) -> Var<'t> {
    let tape = x.tape();
    tape.scope(name, || {
        let (weight, bias) = parameters(tape, x.dim(x.rank().saturating_sub(1)), output, start);
        x.matmul_t(weight) + bias
    })
}

/// `Linear(in, hidden)`, then `layers` hidden layers, then `Linear(hidden, out)`, with activations in between.
/// Residual layers add their input wherever widths agree; their parameters stand under `.linear`.
#[derive(Clone, Copy, Debug)]
pub struct Mlp {
    pub hidden: usize,
    pub layers: usize,
    pub output: usize,
    pub activation: Activation,
    pub residual: bool,
}

/// Least rows that fill a device with tiles; few rows want products that are cut along their inner axis.
const LEAST_ROWS: usize = 1024;
/// Most outputs: more deserve a matrix product of their own.
const MOST_OUTPUTS: usize = 8;

impl Mlp {
    /// On `entry` `[.., F]`, or on `entry` `[B, N, F]` with `shared` `[B, Z]` appended to each of the N.
    /// The shared part goes through its columns of the first weight once a member of the batch, not N times.
    #[track_caller]
    pub fn record<'t>(&self, entry: Entry<'t>, shared: Option<Var<'t>>) -> Var<'t> {
        let tape = entry.rows().tape();
        tape.scope("main", || {
            let width = entry.width() + shared.map_or(0, |z| z.dim(1));
            if self.stays_on_chip(entry, width) {
                return self.on_chip(entry, shared);
            }
            let mut h = self.activation.of(self.first(entry.features(), shared));
            for layer in 0..self.layers {
                h = self.activation.of(self.layer(2 * (layer + 1), h, self.hidden));
            }
            self.layer(2 * (self.layers + 1), h, self.output)
        })
    }

    fn adds_input(&self, input: usize, output: usize) -> bool {
        self.residual && input == output
    }

    fn parameters<'t>(&self, tape: &'t Tape, at: usize, input: usize, output: usize) -> (Var<'t>, Var<'t>) {
        let name = if self.adds_input(input, output) { format!("{at}.linear") } else { at.to_string() };
        tape.scope(name, || parameters(tape, input, output, usual_start(input)))
    }

    fn layer<'t>(&self, at: usize, x: Var<'t>, output: usize) -> Var<'t> {
        let input = x.dim(x.rank().saturating_sub(1));
        let (weight, bias) = self.parameters(x.tape(), at, input, output);
        let y = x.matmul_t(weight) + bias;
        if self.adds_input(input, output) { y + x } else { y }
    }

    fn first<'t>(&self, features: Var<'t>, shared: Option<Var<'t>>) -> Var<'t> {
        let tape = features.tape();
        let width = features.dim(features.rank().saturating_sub(1));
        let Some(shared) = shared else { return self.layer(0, features, self.hidden) };
        let extra = shared.dim(1);
        if self.adds_input(width + extra, self.hidden) {
            let [b, n] = [features.dim(0), features.dim(1)];
            let shared = shared.reshape(&[b, 1, extra]).expand(&[b, n, extra]);
            return self.layer(0, Var::concat(&[features, shared], 2), self.hidden);
        }
        let (weight, bias) = self.parameters(tape, 0, width + extra, self.hidden);
        let offset = shared.matmul_t(weight.slice(1, width, extra)) + bias;
        let offset = offset.reshape(&[features.dim(0), 1, self.hidden]);
        features.matmul_t(weight.slice(1, 0, width)) + offset
    }

    /// Whether the layers between a first layer of `width` inputs and the last one are a tower of equal ones that
    /// the special takes.
    fn stays_on_chip(&self, entry: Entry<'_>, width: usize) -> bool {
        let rows = entry.rows().meta().shape.iter().rev().skip(1).product::<usize>();
        (1..=mlp::MOST_WIDTH).contains(&self.hidden)
            && self.layers > 0
            && self.output <= MOST_OUTPUTS
            && rows >= LEAST_ROWS
            && !self.adds_input(width, self.hidden)
            && !self.adds_input(self.hidden, self.output)
    }

    /// All layers as one special.
    #[track_caller]
    fn on_chip<'t>(&self, entry: Entry<'t>, shared: Option<Var<'t>>) -> Var<'t> {
        let tape = entry.rows().tape();
        let (width, hidden) = (entry.width(), self.hidden);
        let extra = shared.map_or(0, |z| z.dim(1));
        let (weight, bias) = self.parameters(tape, 0, width + extra, hidden);
        let offset = match shared {
            Some(shared) => shared.matmul_t(weight.slice(1, width, extra)) + bias,
            None => bias.reshape(&[1, hidden]),
        };
        let first = if extra > 0 { weight.slice(1, 0, width) } else { weight };
        let (weights, biases): (Vec<_>, Vec<_>) = (0..self.layers)
            .map(|layer| {
                let (weight, bias) = self.parameters(tape, 2 * (layer + 1), hidden, hidden);
                (weight.reshape(&[1, hidden, hidden]), bias.reshape(&[1, hidden]))
            })
            .unzip();
        let (last, last_bias) = self.parameters(tape, 2 * (self.layers + 1), hidden, self.output);
        let tower = [offset, first, Var::concat(&weights, 0), Var::concat(&biases, 0), last, last_bias];
        let (entered, encode) = match entry {
            Entry::Features(features) => (vec![features], None),
            Entry::Coordinates { coordinates, frequencies, group } => {
                (vec![coordinates, frequencies], Some(group))
            }
        };
        let op = mlp::Mlp {
            parts: vec![Part::Output],
            encode,
            residual: self.residual,
            slope: self.activation.slope(),
        };
        tape.special(op, &[&entered[..], &tower].concat())
    }
}
