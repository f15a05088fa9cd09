//! Attention layers: scaled dot products over heads, rotary positions (Su et al. 2021), a learned extra key.

use super::mlp::linear_from;
use crate::ops::attention::{Attention, Part};
use crate::tape::{Init, Tape, Var};
use crate::tensor::Tensor;

/// `softmax(q k^T / sqrt D + bias) v` for q `[B, H, Nq, D]`, k `[B, H, Nk, D]`, v `[B, H, Nk, V]`; a bias
/// `[B or 1, H or 1, Nq or 1, Nk]` is added to the scores, a mask `[B, Nk]` takes away the keys where it is 0.
#[track_caller]
pub fn attend<'t>([q, k, v]: [Var<'t>; 3], bias: Option<Var<'t>>, mask: Option<Var<'t>>) -> Var<'t> {
    let scale = 1.0 / (q.dim(3).max(1) as f32).sqrt();
    let op = Attention { part: Part::Forward, scale, bias: bias.is_some(), mask: mask.is_some() };
    let inputs: Vec<Var<'t>> = [q, k, v].into_iter().chain(bias).chain(mask).collect();
    q.tape().special(op, &inputs).slice(3, 0, v.dim(3))
}

/// Turns of feature pairs by angles that grow with the position, so that scores depend on distances.
/// Feature i of the first half pairs with feature i of the second.
#[derive(Clone, Copy)]
pub struct Rotary<'t> {
    cosine: Var<'t>,
    /// With the sign of each half.
    sine: Var<'t>,
}

impl<'t> Rotary<'t> {
    /// Tables for positions `0 .. count` and `depth` features (an even number).
    #[track_caller]
    pub fn record(tape: &'t Tape, count: usize, depth: usize, base: f64) -> Self {
        let half = depth / 2;
        // Whole rows, both halves of them, so that a chain reads the tables as they lie.
        let table = |f: fn(f64) -> f64, first: f32| {
            let value = |at: usize| {
                let (row, feature) = (at / (2 * half), at % half);
                let angle = row as f64 * base.powf(-2.0 * feature as f64 / depth as f64);
                f(angle) as f32 * if at % (2 * half) < half { first } else { 1.0 }
            };
            tape.constant(Tensor::f32(&[count, 2, half], (0..count * 2 * half).map(value).collect()))
        };
        Rotary { cosine: table(f64::cos, 1.0), sine: table(f64::sin, -1.0) }
    }

    /// `x` `[.., N, 2, D/2]`, the halves of each row's features, with row i turned to position i.
    #[track_caller]
    pub fn turn(&self, x: Var<'t>) -> Var<'t> {
        let halves = x.rank().saturating_sub(2);
        let count = x.dim(halves.saturating_sub(1));
        let [cosine, sine] = [self.cosine, self.sine].map(|table| table.slice(0, 0, count));
        x * cosine + x.flip(halves) * sine
    }
}

/// Multi-head self-attention; parameters `q_proj`, `k_proj`, `v_proj`, `out_proj` start as Glorot and Bengio
/// (2010) have it, biases at zero.
#[derive(Clone, Copy)]
pub struct MultiHead<'t> {
    pub heads: usize,
    /// Applied to queries and keys, the extra key's position being the one behind the last.
    pub rotary: Option<Rotary<'t>>,
    /// A learned key and value (`bias_k`, `bias_v`) that every query sees beside the others.
    pub extra_key: bool,
}

impl<'t> MultiHead<'t> {
    /// `x` `[B, N, C]` to the same shape; bias and mask as [`attend`] takes them, over the N keys.
    #[track_caller]
    pub fn record(&self, name: &str, x: Var<'t>, bias: Option<Var<'t>>, mask: Option<Var<'t>>) -> Var<'t> {
        let tape = x.tape();
        let [batch, count, width] = [x.dim(0), x.dim(1), x.dim(2)];
        let depth = width / self.heads.max(1);
        tape.scope(name, || {
            let project = |name, x: Var<'t>| {
                let bound = (6.0 / (2 * width.max(1)) as f32).sqrt();
                linear_from(name, x, width, [Init::Uniform(bound), Init::Zeros])
            };
            // One more row of ones or of a parameter behind the last.
            let longer = |x: Var<'t>, axis: usize, row: Var<'t>| {
                let mut shape = x.shape();
                if let (true, Some(length)) = (self.extra_key, shape.get_mut(axis)) {
                    *length = 1;
                    return Var::concat(&[x, row.expand(&shape)], axis);
                }
                x
            };
            let extra =
                |name| tape.state(name, &[1, 1, width], Init::Normal(1.0 / (width.max(1) as f32).sqrt()));
            let with_extra = |x, name| if self.extra_key { longer(x, 1, extra(name)) } else { x };
            let heads = |x: Var<'t>| x.reshape(&[batch, x.dim(1), self.heads, depth]).permute(&[0, 2, 1, 3]);
            let turned = |x: Var<'t>| {
                let Some(rotary) = self.rotary else { return heads(x) };
                // Halves first: a permutation that is reshaped has to be copied before.
                let halves =
                    x.reshape(&[batch, x.dim(1), self.heads, 2, depth / 2]).permute(&[0, 2, 1, 3, 4]);
                rotary.turn(halves).reshape(&[batch, self.heads, x.dim(1), depth])
            };
            let q = turned(project("q_proj", x));
            let k = turned(with_extra(project("k_proj", x), "bias_k"));
            let v = heads(with_extra(project("v_proj", x), "bias_v"));
            let bias = bias.map(|b| longer(b, 3, tape.scalar(0.0)));
            let mask = mask.map(|m| longer(m, 1, tape.scalar(1.0)));
            let y = attend([q, k, v], bias, mask).permute(&[0, 2, 1, 3]);
            project("out_proj", y.reshape(&[batch, count, width]))
        })
    }
}
