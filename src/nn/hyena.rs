//! The Hyena operator of order two (Poli et al. 2023): gates around a convolution whose filter is as long as the
//! sequence and is itself a small network of the lag.

use super::mlp::linear_from;
use crate::ops::long_conv::{Direction, LongConv};
use crate::tape::{Init, Tape, Var};
use crate::tensor::Tensor;

/// Width of the filter's network.
const WIDTH: usize = 64;
/// A filter falls to this within a share of the longest sequence, each channel at its own.
const TARGET: f64 = 0.01;
const SHARES: [f64; 2] = [1.5, 0.3];

/// Parameters `in_proj`, `short_filter`, `filter_fn.pos_emb.z` (features of each lag), `filter_fn.implicit_filter.*`,
/// `filter_fn.bias` (each channel's own value's factor) and `out_proj`.
#[derive(Clone, Copy, Debug)]
pub struct Hyena {
    /// The length that lags are measured by; sequences may be shorter.
    pub longest: usize,
    /// Only later steps are seen, the most distant with the tap of lag 0, as published weights expect it; else
    /// all steps are.
    pub parity: bool,
}

impl Hyena {
    /// `x` `[B, T, C]` to the same shape, T at most `longest`.
    #[track_caller]
    pub fn record<'t>(&self, name: &str, x: Var<'t>) -> Var<'t> {
        let tape = x.tape();
        let [batch, length, width] = [x.dim(0), x.dim(1), x.dim(2)];
        tape.scope(name, || {
            let parts = short_filter(project("in_proj", x, 3 * width));
            let part = |at: usize| parts.slice(2, at * width, width).permute(&[0, 2, 1]);
            let (filter, bias) = tape.scope("filter_fn", || {
                (self.filter(tape, length, width), tape.state("bias", &[width], Init::Normal(1.0)))
            });
            let gated = part(1) * part(2);
            let op = LongConv { direction: Direction::Forward, centre: length.saturating_sub(1) };
            let seen = tape.special(op, &[gated, filter]) + gated * bias.reshape(&[width, 1]);
            let y = (part(0) * seen).permute(&[0, 2, 1]);
            project("out_proj", y.reshape(&[batch, length, width]), width)
        })
    }

    /// The taps of a sequence of this length, `[C, 2 T - 1]`, or `[C, T]` for parity.
    #[track_caller]
    pub fn filter<'t>(&self, tape: &'t Tape, length: usize, width: usize) -> Var<'t> {
        let longest = self.longest;
        let last = longest.saturating_sub(1).max(1) as f64;
        // All lags there are, and the first of those there are here.
        let (lowest, first) = match self.parity {
            true => (0, 0),
            false => (1 - longest as isize, longest.saturating_sub(length)),
        };
        let lags: Vec<f64> = (lowest..longest as isize).map(|lag| lag as f64).collect();
        let count = if self.parity { length } else { (2 * length).saturating_sub(1) };
        let features = lags.iter().flat_map(|lag| {
            let turn = 1e-4 * 2.0 * std::f64::consts::PI * lag / longest.max(1) as f64;
            [lag / last, turn.cos(), -turn.sin()].map(|v| v as f32)
        });
        let start = Init::Given(features.collect());
        let features = tape.scope("pos_emb", || tape.state("z", &[1, lags.len(), 3], start));
        let mut h = features.reshape(&[lags.len(), 3]).slice(0, first, count);
        tape.scope("implicit_filter", || {
            // One frequency a unit for all layers.
            let frequency = tape.scope("1", || tape.state("freq", &[1, WIDTH], Init::Constant(1.0)));
            for layer in 0..3 {
                h = (project(&(2 * layer).to_string(), h, WIDTH) * frequency).sin();
            }
            let weight = tape.scope("6", || tape.state("weight", &[width, WIDTH], glorot(WIDTH, width)));
            h = h.matmul_t(weight);
        });
        let rates = (0..width).map(|c| decay(c, width) as f32).collect();
        let rates = tape.constant(Tensor::f32(&[width, 1], rates));
        let away: Vec<f32> =
            lags.iter().skip(first).take(count).map(|lag| -(lag.abs() / last) as f32).collect();
        let away = tape.constant(Tensor::f32(&[away.len()], away));
        h.permute(&[1, 0]) * (rates * away).exp()
    }
}

/// How fast the filter of channel `c` of `width` falls with the lag as a share of the longest: exp(-decay share).
pub fn decay(c: usize, width: usize) -> f64 {
    let [slow, fast] = SHARES.map(|share| (TARGET.ln() / share).abs());
    slow + (fast - slow) * c as f64 / width.saturating_sub(1).max(1) as f64
}

fn glorot(input: usize, output: usize) -> Init {
    Init::Uniform((6.0 / (input + output).max(1) as f32).sqrt())
}

#[track_caller]
fn project<'t>(name: &str, x: Var<'t>, output: usize) -> Var<'t> {
    let input = x.dim(x.rank().saturating_sub(1));
    linear_from(name, x, output, [glorot(input, output), Init::Zeros])
}

/// Each channel of `[B, T, C]` with its own three taps on this step and the two before.
#[track_caller]
fn short_filter<'t>(x: Var<'t>) -> Var<'t> {
    let tape = x.tape();
    let [batch, length, width] = [x.dim(0), x.dim(1), x.dim(2)];
    tape.scope("short_filter", || {
        let bound = Init::Uniform(1.0 / 3.0_f32.sqrt());
        let weight = tape.state("weight", &[width, 1, 3], bound.clone()).reshape(&[width, 3]);
        let tap = |at| weight.slice(1, at, 1).reshape(&[width]);
        let before = tape.scalar(0.0).expand(&[batch, 2, width]);
        let x = Var::concat(&[before, x], 1);
        let step = |at| x.slice(1, at, length) * tap(at);
        step(0) + step(1) + step(2) + tape.state("bias", &[width], bound)
    })
}
