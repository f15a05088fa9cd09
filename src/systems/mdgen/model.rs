//! The network of MDGen recorded onto a tape (Jing et al., NeurIPS 2024): invariant point attention on the key
//! frames, then blocks of attention over residues and over time, all modulated by the interpolation time.
//! Parameters have the names of the reference's state dict.

use super::config::{Config, Task};
use super::dirichlet::TYPES;
use crate::nn::attention::{MultiHead, Rotary};
use crate::nn::frame::Frames;
use crate::nn::hyena::Hyena;
use crate::nn::ipa::PointAttention;
use crate::nn::mlp::linear_from;
use crate::nn::norm::layer_norm;
use crate::ops::gather::Gather;
use crate::ops::norm::Norm;
use crate::protein::residue::UNKNOWN;
use crate::tape::{Init, Tape, Var};
use crate::tensor::{DType, Tensor};

/// Sines and cosines of the interpolation time.
const TIME_FEATURES: usize = 256;
pub(super) const ROTARY_BASE: f64 = 10_000.0;

/// What the network is told besides the noisy tokens. B windows of T frames of L residues.
#[derive(Clone, Copy)]
pub struct Conditions<'t> {
    /// Residue types, `[B, L]` of i32, 20 where hidden.
    pub types: Var<'t>,
    /// 1 for residues that there are, `[B, L]`.
    pub mask: Var<'t>,
    /// Clean tokens where given, else 0: `[B, T, L, D]`.
    pub given: Var<'t>,
    /// 1 where tokens are given, `[B, T, L]`.
    pub is_given: Var<'t>,
    pub start: Frames<'t>,
    /// The last frame, its offsets from the first and those of the first from it, `[B, L, 7]`.
    pub end: Option<(Frames<'t>, [Var<'t>; 2])>,
}

impl<'t> Conditions<'t> {
    /// As inputs of a step, under the names that [`super::window::Batch`] feeds.
    pub fn inputs(tape: &'t Tape, config: &Config, batch: usize) -> Conditions<'t> {
        let [t, l, d] = [config.num_frames, config.crop, config.token()];
        let input = |name: &str, shape: &[usize]| tape.input(name, shape, DType::F32);
        let frames = |name: &str| Frames {
            rotation: input(&format!("{name}.rotations"), &[batch, l, 3, 3]),
            translation: input(&format!("{name}.translations"), &[batch, l, 3]),
        };
        let end = (config.task.key_frames() == 2).then(|| {
            let offsets = ["forward", "backward"].map(|name| input(name, &[batch, l, 7]));
            (frames("end"), offsets)
        });
        Conditions {
            types: tape.input("types", &[batch, l], DType::I32),
            mask: input("mask", &[batch, l]),
            given: input("given", &[batch, t, l, d]),
            is_given: input("is_given", &[batch, t, l]),
            start: frames("start"),
            end,
        }
    }
}

/// What comes out: the velocity of tokens `[B, T, L, D]`, and for design the logits of residue types
/// `[B, T, L, 20]`.
#[derive(Clone, Copy)]
pub struct Prediction<'t> {
    pub velocity: Var<'t>,
    pub logits: Option<Var<'t>>,
}

#[derive(Clone, Debug)]
pub struct Network {
    pub config: Config,
    /// Blocks are computed again for their derivatives: a third more work, and memory for one block's values and
    /// not for all.
    pub recompute: bool,
}

/// Glorot and Bengio (2010), biases zero.
#[track_caller]
fn linear<'t>(name: &str, x: Var<'t>, output: usize) -> Var<'t> {
    let input = x.dim(x.rank().saturating_sub(1));
    let bound = (6.0 / (input + output).max(1) as f32).sqrt();
    linear_from(name, x, output, [Init::Uniform(bound), Init::Zeros])
}

/// A layer that starts as nothing.
#[track_caller]
fn silent<'t>(name: &str, x: Var<'t>, output: usize) -> Var<'t> {
    linear_from(name, x, output, [Init::Zeros, Init::Zeros])
}

#[track_caller]
fn norm<'t>(x: Var<'t>) -> Var<'t> {
    x.tape().special(Norm { epsilon: 1e-6 }, &[x])
}

#[track_caller]
fn gelu_pair<'t>(names: [&str; 2], x: Var<'t>, hidden: usize) -> Var<'t> {
    let width = x.dim(x.rank().saturating_sub(1));
    linear(names[1], linear(names[0], x, hidden).gelu(), width)
}

/// Shift, scale and gate of a part of a block, from the embedded time (Peebles and Xie 2023).
struct Modulation<'t> {
    parts: Var<'t>,
    width: usize,
    /// Shape to broadcast over a block's values.
    along: Vec<usize>,
}

impl<'t> Modulation<'t> {
    #[track_caller]
    fn record(time: Var<'t>, count: usize, rank: usize, start_silent: bool) -> Modulation<'t> {
        let (batch, width) = (time.dim(0), time.dim(1));
        let layer = if start_silent { silent } else { linear };
        let tape = time.tape();
        let parts = tape.scope("adaLN_modulation", || layer("1", time.silu(), count * width));
        let mut along = vec![1; rank];
        along[0] = batch;
        along[rank - 1] = width;
        Modulation { parts, width, along }
    }

    #[track_caller]
    fn part(&self, at: usize) -> Var<'t> {
        self.parts.slice(1, at * self.width, self.width).reshape(&self.along)
    }

    #[track_caller]
    fn apply(&self, part: usize, x: Var<'t>) -> Var<'t> {
        x * self.part(part + 1).add_scalar(1.0) + self.part(part)
    }
}

impl Network {
    pub fn new(config: &Config) -> crate::Result<Network> {
        config.check()?;
        Ok(Network { config: config.clone(), recompute: false })
    }

    fn design(&self) -> bool {
        self.config.task == Task::Inpaint
    }

    /// The velocity of noisy tokens `x` `[B, T, L, D]` at times `t` `[B]`; for design with points of the simplex
    /// `types` `[B, L, 20]`.
    #[track_caller]
    pub fn record<'t>(
        &self,
        x: Var<'t>,
        types: Option<Var<'t>>,
        t: Var<'t>,
        conditions: &Conditions<'t>,
    ) -> Prediction<'t> {
        let tape = x.tape();
        let width = self.config.embed_dim;
        let [batch, frames, residues] = [x.dim(0), x.dim(1), x.dim(2)];
        let time = self.embed_time(t);
        let seen = match types {
            Some(types) => {
                let all = types.reshape(&[batch, 1, residues, TYPES]);
                Var::concat(&[x, all.expand(&[batch, frames, residues, TYPES])], 3)
            }
            None => x,
        };
        let mut h = linear("latent_to_emb", seen, width);
        if self.config.abs_pos_emb {
            h = h + tape.constant(positions(residues, width));
        }
        let marks = tape.state("mask_to_emb.weight", &[2, width], Init::Normal(1.0));
        let [absent, given] = [0, 1].map(|row| marks.slice(0, row, 1).reshape(&[1, 1, 1, width]));
        let is_given = conditions.is_given.reshape(&[batch, frames, residues, 1]);
        h = h + linear("cond_to_emb", conditions.given, width) + is_given.choose(given, absent);
        h = h + self.key_frames(types, time, conditions).reshape(&[batch, 1, residues, width]);
        for layer in 0..self.config.num_layers {
            let block = || self.block(h, time, conditions.mask);
            h = tape.scope(format!("layers.{layer}"), || {
                if self.recompute { tape.recomputed(block) } else { block() }
            });
        }
        let d = self.config.token();
        let output = d + if self.design() { TYPES } else { 0 };
        let found = tape.scope("emb_to_latent", || {
            let modulation = Modulation::record(time, 2, 4, true);
            silent("linear", modulation.apply(0, norm(h)), output)
        });
        let logits = self.design().then(|| {
            let mean = gelu_pair(["fc1", "fc2"], h, width).mean_keep(&[1]);
            found.slice(3, d, TYPES) + linear("emb_to_logits", linear("fc3", mean, width).gelu(), TYPES)
        });
        Prediction { velocity: found.slice(3, 0, d), logits }
    }

    #[track_caller]
    fn embed_time<'t>(&self, t: Var<'t>) -> Var<'t> {
        let tape = t.tape();
        let half = TIME_FEATURES / 2;
        let rate =
            |i: usize| (self.config.time_multiplier * 10_000_f64.powf(-(i as f64) / half as f64)) as f32;
        let rates = tape.constant(Tensor::f32(&[half], (0..half).map(rate).collect()));
        let angles = t.reshape(&[t.dim(0), 1]) * rates;
        let features = Var::concat(&[angles.cos(), angles.sin()], 1);
        let width = self.config.embed_dim;
        tape.scope("t_embedder.mlp", || {
            let layer = |name, x: Var<'t>| linear_from(name, x, width, [Init::Normal(0.02), Init::Zeros]);
            layer("2", layer("0", features).silu())
        })
    }

    /// What the key frames say of each residue, `[B, L, C]`. Two key frames go through the same layers side by
    /// side, as one batch.
    #[track_caller]
    fn key_frames<'t>(&self, types: Option<Var<'t>>, time: Var<'t>, conditions: &Conditions<'t>) -> Var<'t> {
        let tape = time.tape();
        let width = self.config.embed_dim;
        let [batch, residues] = [conditions.mask.dim(0), conditions.mask.dim(1)];
        let mut start = if self.config.no_aa_emb {
            tape.scalar(0.0).expand(&[batch, residues, width])
        } else {
            let table = tape.state("aatype_to_emb.weight", &[UNKNOWN + 1, width], Init::Normal(1.0));
            let rows = tape.special(Gather, &[table, conditions.types.reshape(&[batch * residues])]);
            rows.reshape(&[batch, residues, width])
        };
        if let Some(types) = types {
            start = start + linear("x_d_to_emb", types, width);
        }
        let Some((end, [forward, backward])) = conditions.end else {
            return self.point_layers(start, &conditions.start, time, conditions.mask);
        };
        let states = [
            linear("latent_to_emb_r", backward, width) + start,
            linear("latent_to_emb_f", forward, width) + start,
        ];
        let twice = |x: Var<'t>| Var::concat(&[x, x], 0);
        let frames = Frames {
            rotation: Var::concat(&[conditions.start.rotation, end.rotation], 0),
            translation: Var::concat(&[conditions.start.translation, end.translation], 0),
        };
        let both = self.point_layers(Var::concat(&states, 0), &frames, twice(time), twice(conditions.mask));
        both.slice(0, 0, batch) + both.slice(0, batch, batch)
    }

    #[track_caller]
    fn point_layers<'t>(&self, s: Var<'t>, frames: &Frames<'t>, time: Var<'t>, mask: Var<'t>) -> Var<'t> {
        let Config { ipa_heads, ipa_head_dim, ipa_qk, ipa_v, .. } = self.config;
        let points = PointAttention {
            heads: ipa_heads,
            hidden: ipa_head_dim,
            query_points: ipa_qk,
            value_points: ipa_v,
        };
        (0..self.config.num_layers).fold(s, |s, layer| {
            s.tape().scope(format!("ipa_layers.{layer}"), || {
                let modulation = Modulation::record(time, 6, 3, false);
                let s = s + points.record("ipa", layer_norm("ipa_norm", s, 1e-5), frames, None, Some(mask));
                let attended = self.attention("mha_l", modulation.apply(0, norm(s)), mask);
                let s = s + modulation.part(2) * attended;
                let wide = 4 * self.config.embed_dim;
                s + modulation.part(5) * gelu_pair(["fc1", "fc2"], modulation.apply(3, norm(s)), wide)
            })
        })
    }

    /// Self-attention over the second axis of `[N, K, C]`.
    #[track_caller]
    fn attention<'t>(&self, name: &str, x: Var<'t>, mask: Var<'t>) -> Var<'t> {
        let tape = x.tape();
        let depth = self.config.embed_dim / self.config.mha_heads;
        let rotary = Rotary::record(tape, x.dim(1) + 1, depth, ROTARY_BASE);
        let heads = MultiHead { heads: self.config.mha_heads, rotary: Some(rotary), extra_key: true };
        tape.scope(name, || heads.record("attn", x, None, Some(mask)))
    }

    #[track_caller]
    fn block<'t>(&self, h: Var<'t>, time: Var<'t>, mask: Var<'t>) -> Var<'t> {
        let [batch, frames, residues, width] = [h.dim(0), h.dim(1), h.dim(2), h.dim(3)];
        let modulation = Modulation::record(time, 9, 4, true);

        let over_residues = modulation.apply(0, norm(h)).reshape(&[batch * frames, residues, width]);
        let masks = mask.reshape(&[batch, 1, residues]).expand(&[batch, frames, residues]);
        let y = self.attention("mha_l", over_residues, masks.reshape(&[batch * frames, residues]));
        let h = h + modulation.part(2) * y.reshape(&[batch, frames, residues, width]);

        let over_time = modulation.apply(3, norm(h)).permute(&[0, 2, 1, 3]);
        let over_time = over_time.reshape(&[batch * residues, frames, width]);
        let y = if self.config.hyena {
            Hyena { longest: self.config.longest(), parity: self.config.parity }.record("mha_t", over_time)
        } else {
            let masks = mask.reshape(&[batch, residues, 1]).expand(&[batch, residues, frames]);
            self.attention("mha_t", over_time, masks.reshape(&[batch * residues, frames]))
        };
        let y = y.reshape(&[batch, residues, frames, width]).permute(&[0, 2, 1, 3]);
        let h = h + modulation.part(5) * y;

        let wide = gelu_pair(["fc1", "fc2"], modulation.apply(6, norm(h)), 4 * width);
        h + modulation.part(8) * wide
    }
}

/// Sines, then cosines, of each residue's number: `[L, C]`.
pub(super) fn positions(residues: usize, width: usize) -> Tensor {
    let half = width / 2;
    let value = |at: usize| {
        let (residue, i) = (at / width, at % width);
        let angle = residue as f64 * 10_000_f64.powf(-((i % half) as f64) / half as f64);
        if i < half { angle.sin() as f32 } else { angle.cos() as f32 }
    };
    Tensor::f32(&[residues, width], (0..residues * width).map(value).collect())
}
