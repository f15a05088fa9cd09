//! The order that sorts the last axis: `y[.., i]` is the position of the i-th key. Equal keys keep their order.
//!
//! Floats are ordered as IEEE 754's totalOrder has it: -0 before 0, NaN at the ends. The order has no
//! derivative; a gather by it has.

use super::{Array, Operation};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::{DType, Meta};

/// Keys f32 or i32 `[.., N]`; result i32 `[.., N]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Sort {
    pub descending: bool,
    /// Positions count through the whole tensor, as a gather from it reshaped to one axis takes them, and not
    /// from the start of their row.
    pub flat: bool,
}

/// Checks keys, and says how positions of `count` of them a row are typed.
pub(super) fn positions(inputs: &[Meta], count: Option<usize>) -> Result<Meta, String> {
    let [keys] = inputs else { return Err("takes keys".into()) };
    if !matches!(keys.dtype, DType::F32 | DType::I32) {
        return Err("keys are f32 or i32: cast first".into());
    }
    if keys.len() > i32::MAX as usize {
        return Err("more keys than an i32 can count".into());
    }
    let mut shape = keys.shape.clone();
    let last = shape.last_mut().ok_or("keys need an axis")?;
    match count {
        Some(count) if count > *last => return Err(format!("there are {last} keys a row, not {count}")),
        count => *last = count.unwrap_or(*last),
    }
    Ok(Meta::new(&shape, DType::I32))
}

/// The first `count` positions of every row.
pub(super) fn oracle(keys: &Array, count: usize, descending: bool, flat: bool) -> Vec<f64> {
    let n = keys.shape.last().copied().unwrap_or(1).max(1);
    let mut y = vec![];
    for (row, keys) in keys.data.chunks(n).enumerate() {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| {
            let rising = keys[a].total_cmp(&keys[b]);
            if descending { rising.reverse() } else { rising }
        });
        let start = if flat { row * n } else { 0 };
        y.extend(order[..count].iter().map(|&i| (start + i) as f64));
    }
    y
}

impl Operation for Sort {
    fn stem(&self) -> &'static str {
        "sort"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        positions(inputs, None)
    }

    fn derive<'t>(&self, _: &[Var<'t>], _: Var<'t>, _: Var<'t>) -> Vec<Option<Var<'t>>> {
        vec![None]
    }

    fn flop(&self, _: &[Meta], _: &Meta) -> u64 {
        0
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        oracle(&inputs[0], output.shape.last().copied().unwrap_or(1), self.descending, self.flat)
    }
}

pub fn samples() -> Vec<Sample> {
    let mut samples = vec![];
    for (descending, flat) in [(false, false), (true, true)] {
        let op = Sort { descending, flat };
        for shape in [&[1][..], &[9], &[3, 5], &[2, 1, 40], &[3000], &[2, 2500], &[4, 0]] {
            let sample = |kind| {
                Sample::new(format!("{op:?} {kind} {shape:?}"), move |t, v: &[Var<'_>]| t.special(op, v))
            };
            samples.push(sample("f32").normal(shape).first_order());
            // Few different keys: ties.
            samples.push(sample("i32").index(shape, 4));
        }
        let special = [0.5, f64::INFINITY, -0.0, 0.0, -3.0, f64::NEG_INFINITY, 1e-30, -1e-30, 0.5, 2.0];
        samples.push(
            Sample::new(format!("{op:?} of signed zeros and infinities"), move |t, v| t.special(op, v))
                .given(&special)
                .first_order(),
        );
    }
    samples.push(
        Sample::new("sort, values by gather", |t, v| {
            let order = t.special(Sort { descending: true, flat: true }, &[v[0]]);
            t.special(super::gather::Gather, &[v[0].reshape(&[12]), order])
        })
        .normal(&[3, 4]),
    );
    samples
}
