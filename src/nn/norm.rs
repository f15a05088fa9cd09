//! Normalisations with their parameters.

use crate::ops::norm::Norm;
use crate::tape::{Init, Var};

/// Over the last axis, then `weight` and `bias`.
#[track_caller]
pub fn layer_norm<'t>(name: &str, x: Var<'t>, epsilon: f32) -> Var<'t> {
    let tape = x.tape();
    let width = x.dim(x.rank().saturating_sub(1));
    tape.scope(name, || {
        let (weight, bias) =
            (tape.state("weight", &[width], Init::Constant(1.0)), tape.state("bias", &[width], Init::Zeros));
        tape.special(Norm { epsilon }, &[x]) * weight + bias
    })
}

/// Each channel of `[B, C, ..]` over all others axes (Ioffe and Szegedy 2015), then `weight` and `bias`.
/// Training normalises by the batch and moves `running_mean` and `running_var` a tenth of the way to its mean
/// and unbiased variance; otherwise those two normalise.
#[track_caller]
pub fn batch_norm<'t>(name: &str, x: Var<'t>, training: bool) -> Var<'t> {
    const EPSILON: f32 = 1e-5;
    const MOMENTUM: f32 = 0.1;
    let tape = x.tape();
    let channels = x.dim(1);
    let others: Vec<usize> = (0..x.rank()).filter(|&axis| axis != 1).collect();
    let mut along = vec![1; x.rank()];
    if let Some(length) = along.get_mut(1) {
        *length = channels;
    }
    tape.scope(name, || {
        let state = |name: &str, value| tape.state(name, &[channels], Init::Constant(value));
        let (running_mean, running_var) = (state("running_mean", 0.0), state("running_var", 1.0));
        let (centred, variance) = if training {
            let mean = x.mean_keep(&others);
            let centred = x - mean;
            let variance = centred.square().mean_keep(&others);
            let count = (x.meta().len() / channels.max(1)) as f32;
            let unbiased = variance.scale(count / (count - 1.0).max(1.0));
            for (running, batch) in [(running_mean, mean), (running_var, unbiased)] {
                let batch = batch.reshape(&[channels]);
                tape.assign(running, batch.row(&crate::ops::rows::blend, &[running, tape.scalar(MOMENTUM)]));
            }
            (centred, variance)
        } else {
            (x - running_mean.reshape(&along), running_var.reshape(&along))
        };
        let (weight, bias) = (state("weight", 1.0).reshape(&along), state("bias", 0.0).reshape(&along));
        centred * (variance.add_scalar(EPSILON).rsqrt() * weight) + bias
    })
}
