//! Linear layers and the residual multi-layer perceptron of coordinate networks.

use crate::tape::{Init, Tape, Var};
use crate::{Error, Result};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    Relu,
    /// Slope 0.01.
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
            Activation::LeakyRelu => x.leaky_relu(0.01),
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

impl Mlp {
    /// On `features` `[.., F]`, or on `features` `[B, N, F]` with `shared` `[B, Z]` appended to each of the N.
    /// The shared part goes through its columns of the first weight once a member of the batch, not N times.
    #[track_caller]
    pub fn record<'t>(&self, features: Var<'t>, shared: Option<Var<'t>>) -> Var<'t> {
        let tape = features.tape();
        tape.scope("main", || {
            let mut h = self.activation.of(self.first(features, shared));
            for layer in 0..self.layers {
                h = self.activation.of(self.layer(2 * (layer + 1), h, self.hidden));
            }
            self.layer(2 * (self.layers + 1), h, self.output)
        })
    }

    fn layer<'t>(&self, at: usize, x: Var<'t>, output: usize) -> Var<'t> {
        if self.residual && x.dim(x.rank() - 1) == output {
            x.tape().scope(at.to_string(), || linear("linear", x, output) + x)
        } else {
            linear(&at.to_string(), x, output)
        }
    }

    fn first<'t>(&self, features: Var<'t>, shared: Option<Var<'t>>) -> Var<'t> {
        let tape = features.tape();
        let width = features.dim(features.rank() - 1);
        let Some(shared) = shared else { return self.layer(0, features, self.hidden) };
        let extra = shared.dim(1);
        if self.residual && width + extra == self.hidden {
            let [b, n] = [features.dim(0), features.dim(1)];
            let shared = shared.reshape(&[b, 1, extra]).expand(&[b, n, extra]);
            return self.layer(0, Var::concat(&[features, shared], 2), self.hidden);
        }
        tape.scope("0", || {
            let (weight, bias) = parameters(tape, width + extra, self.hidden, usual_start(width + extra));
            let offset = shared.matmul_t(weight.slice(1, width, extra)) + bias;
            let offset = offset.reshape(&[features.dim(0), 1, self.hidden]);
            features.matmul_t(weight.slice(1, 0, width)) + offset
        })
    }
}
