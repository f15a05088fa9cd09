//! Convolution along the last axis with a filter as long as the axis, each channel its own, by Fourier transforms:
//! work as T log T, memory as T.
//!
//! `y[b, c, t] = sum over m of k[c, t - m + centre] u[b, c, m]` for u `[B, C, T]` and k `[C, K]`, taps outside k
//! being zero: `centre` is the tap of lag 0. A causal filter has centre 0, one that sees both sides equally
//! 2 T - 1 taps and centre T - 1. The derivative by u is the same with the taps in reverse order; the one by k
//! (`Taps`) is the other direction, whose derivatives are convolutions again.

use super::{Array, Operation, all_f32};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// u, k -> y
    Forward,
    /// u, y -> k of this many taps, summed over the batch
    Taps(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LongConv {
    pub direction: Direction,
    pub centre: usize,
}

/// The sizes of a long convolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    pub batch: usize,
    pub channels: usize,
    /// T
    pub length: usize,
    /// K
    pub taps: usize,
    /// Length of the transforms, with what keeps the ends of the axis apart: a product of 2, 3 and 5.
    pub period: usize,
}

impl LongConv {
    pub fn extent(&self, inputs: &[Meta]) -> Extent {
        let u = &inputs[0].shape;
        let taps = match self.direction {
            Direction::Forward => inputs[1].shape[1],
            Direction::Taps(taps) => taps,
        };
        // Lags reach from -centre to taps - 1 - centre; one more period must lie outside.
        let reach = self.centre.max(taps.saturating_sub(self.centre + 1));
        let least = (u[2] + reach).max(1);
        Extent { batch: u[0], channels: u[1], length: u[2], taps, period: smooth(least) }
    }
}

/// The least product of 2, 3 and 5 that is not below `least`.
fn smooth(least: usize) -> usize {
    let is_smooth = |&n: &usize| {
        let without = |mut n: usize, factor: usize| {
            while n.is_multiple_of(factor) {
                n /= factor;
            }
            n
        };
        [2, 3, 5].into_iter().fold(n, without) == 1
    };
    (least..=least.next_power_of_two()).find(is_smooth).unwrap_or(least)
}

impl Operation for LongConv {
    fn stem(&self) -> &'static str {
        "long_conv"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, 2)?;
        let (a, b) = (&inputs[0].shape, &inputs[1].shape);
        if a.len() != 3 {
            return Err("takes an input of three axes: batch, channels, length".into());
        }
        let taps = match self.direction {
            Direction::Forward => {
                if b.len() != 2 || b[0] != a[1] {
                    return Err(format!("the filter must be {:?}", [a[1], b.last().copied().unwrap_or(0)]));
                }
                b[1]
            }
            Direction::Taps(taps) => {
                if a != b {
                    return Err("input and result differ in shape".into());
                }
                taps
            }
        };
        if self.centre >= taps {
            return Err(format!("lag 0 cannot be tap {} of {taps}", self.centre));
        }
        Ok(match self.direction {
            Direction::Forward => inputs[0].clone(),
            Direction::Taps(_) => Meta::f32(&[a[1], taps]),
        })
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let convolve = |u: Var<'t>, k: Var<'t>, centre| {
            Some(u.tape().special(LongConv { direction: Direction::Forward, centre }, &[u, k]))
        };
        let reverse = |taps: usize| taps.saturating_sub(self.centre + 1);
        let [u, other] = [inputs[0], inputs[1]];
        match self.direction {
            Direction::Forward => {
                let taps = other.dim(1);
                let by_taps = LongConv { direction: Direction::Taps(taps), ..*self };
                vec![convolve(g, other.flip(1), reverse(taps)), Some(g.tape().special(by_taps, &[u, g]))]
            }
            Direction::Taps(taps) => {
                vec![convolve(other, g.flip(1), reverse(taps)), convolve(u, g, self.centre)]
            }
        }
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        let e = self.extent(inputs);
        let transforms = e.channels * (2 * e.batch.div_ceil(2) + 1);
        let each = 5.0 * e.period as f64 * (e.period.max(2) as f64).log2();
        transforms as u64 * each as u64
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let metas: Vec<Meta> = inputs.iter().map(|a| Meta::f32(&a.shape)).collect();
        let e = self.extent(&metas);
        let mut out = vec![0.0; output.len()];
        for line in 0..e.batch * e.channels {
            let c = line % e.channels;
            let u = &inputs[0].data[line * e.length..][..e.length];
            for t in 0..e.length {
                for (m, u) in u.iter().enumerate() {
                    let tap = (t + self.centre).wrapping_sub(m);
                    if tap >= e.taps {
                        continue;
                    }
                    match self.direction {
                        Direction::Forward => {
                            out[line * e.length + t] += inputs[1].data[c * e.taps + tap] * u;
                        }
                        Direction::Taps(_) => {
                            out[c * e.taps + tap] += inputs[1].data[line * e.length + t] * u;
                        }
                    }
                }
            }
        }
        out
    }

    fn takes_epilogue(&self) -> bool {
        true
    }
}

pub fn samples() -> Vec<Sample> {
    let mut samples = vec![];
    // batch, channels, length, taps, centre
    let sizes: [[usize; 5]; 11] = [
        [2, 3, 16, 16, 0],
        [2, 3, 16, 31, 15],
        [3, 2, 7, 7, 6],
        [1, 1, 1, 1, 0],
        [3, 1, 5, 3, 1],
        [1, 2, 4, 9, 2],
        [1, 2, 300, 599, 299],
        [5, 1, 70, 40, 0],
        [0, 2, 4, 4, 0],
        [2, 1, 0, 3, 1],
        // A period that fits no group's memory, of few terms.
        [3, 2, 5, 4200, 4150],
    ];
    for [b, c, t, k, centre] in sizes {
        for direction in [Direction::Forward, Direction::Taps(k)] {
            let op = LongConv { direction, centre };
            let name = format!("long_conv {direction:?} {:?}", [b, c, t, k, centre]);
            let sample = Sample::new(name, move |tape, v| tape.special(op, v)).normal(&[b, c, t]);
            samples.push(match direction {
                Direction::Forward => sample.normal(&[c, k]),
                Direction::Taps(_) => sample.normal(&[b, c, t]),
            });
        }
    }
    samples.push(
        Sample::new("long_conv between gates", |tape, v| {
            let op = LongConv { direction: Direction::Forward, centre: 0 };
            (tape.special(op, &[v[0] * v[1], v[2]]) + v[0] * v[3]) * v[1]
        })
        .normal(&[2, 3, 20])
        .normal(&[2, 3, 20])
        .normal(&[3, 20])
        .normal(&[3, 1]),
    );
    samples
}
