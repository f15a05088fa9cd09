//! Positions of the k largest or smallest numbers of the last axis, in that order; of equal ones the first.
//! Ordered, counted and without derivative as [`Sort`](super::sort::Sort) is.

use super::{Array, Operation, sort};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

/// Keys f32 or i32 `[.., N]`; result i32 `[.., count]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TopK {
    pub count: usize,
    pub largest: bool,
    pub flat: bool,
}

impl Operation for TopK {
    fn stem(&self) -> &'static str {
        "topk"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        sort::positions(inputs, Some(self.count))
    }

    fn derive<'t>(&self, _: &[Var<'t>], _: Var<'t>, _: Var<'t>) -> Vec<Option<Var<'t>>> {
        vec![None]
    }

    fn flop(&self, _: &[Meta], _: &Meta) -> u64 {
        0
    }

    fn oracle(&self, inputs: &[Array], _: &Meta) -> Vec<f64> {
        sort::oracle(&inputs[0], self.count, self.largest, self.flat)
    }
}

pub fn samples() -> Vec<Sample> {
    let mut samples = vec![];
    for (largest, flat) in [(false, false), (true, true)] {
        let cases: [(&[usize], usize); 6] =
            [(&[1], 1), (&[9], 3), (&[3, 5], 5), (&[2, 3, 40], 16), (&[3000], 7), (&[3, 4], 0)];
        for (shape, count) in cases {
            let op = TopK { count, largest, flat };
            let sample = |kind| {
                Sample::new(format!("{op:?} {kind} {shape:?}"), move |t, v: &[Var<'_>]| t.special(op, v))
            };
            samples.push(sample("f32").normal(shape).first_order());
            // Few different keys: ties.
            samples.push(sample("i32").index(shape, 4));
        }
    }
    samples.push(
        Sample::new("topk, nearest neighbours by gather", |t, v| {
            let (n, c) = (v[0].dim(0), v[0].dim(1));
            let apart = v[0].reshape(&[n, 1, c]) - v[0].reshape(&[1, n, c]);
            let index = TopK { count: 3, largest: false, flat: false };
            let near = t.special(index, &[apart.square().sum(&[2])]);
            t.special(super::gather::Gather, &[v[0], near])
        })
        .normal(&[8, 3]),
    );
    samples
}
