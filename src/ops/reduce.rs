//! Reductions over any set of axes, which stay with length 1. The sum of nothing is 0, the maximum -inf.

use super::{Array, Operation, all_f32, rows};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reduction {
    Sum,
    /// At a tie the derivative is shared.
    Max,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reduce {
    pub kind: Reduction,
    /// Sorted, without repetition.
    pub axes: Vec<usize>,
}

impl Reduce {
    pub fn new(kind: Reduction, axes: &[usize]) -> Self {
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        axes.dedup();
        Reduce { kind, axes }
    }

    pub fn identity(&self) -> f64 {
        match self.kind {
            Reduction::Sum => 0.0,
            Reduction::Max => f64::NEG_INFINITY,
        }
    }
}

impl Operation for Reduce {
    fn stem(&self) -> &'static str {
        "reduce"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, 1)?;
        let mut shape = inputs[0].shape.clone();
        for &axis in &self.axes {
            *shape.get_mut(axis).ok_or(format!("there is no axis {axis}"))? = 1;
        }
        Ok(Meta::f32(&shape))
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], y: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let x = inputs[0];
        vec![Some(match self.kind {
            Reduction::Sum => g.expand(&x.shape()),
            Reduction::Max => {
                let hit = x.row(&rows::equal, &[y]);
                hit * (g / hit.sum_keep(&self.axes))
            }
        })]
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        inputs[0].len() as u64
    }

    fn takes_prologue(&self) -> bool {
        true
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let x = &inputs[0];
        let strides = crate::tensor::strides(&x.shape);
        let kept = crate::tensor::strides(&output.shape);
        let mut y = vec![self.identity(); output.len()];
        for (i, &value) in x.data.iter().enumerate() {
            let mut at = 0;
            for (axis, &length) in x.shape.iter().enumerate() {
                if !self.axes.contains(&axis) {
                    at += (i / strides[axis] as usize % length) * kept[axis] as usize;
                }
            }
            y[at] = match self.kind {
                Reduction::Sum => y[at] + value,
                Reduction::Max if y[at].is_nan() || value.is_nan() => f64::NAN,
                Reduction::Max => y[at].max(value),
            };
        }
        y
    }
}

pub fn samples() -> Vec<Sample> {
    let cases: [(&[usize], &[usize]); 10] = [
        (&[5], &[0]),
        (&[], &[]),
        (&[3, 4], &[0]),
        (&[3, 4], &[1]),
        (&[70, 130], &[0]),
        (&[70, 130], &[1]),
        (&[2, 3, 4], &[0, 2]),
        (&[2, 3, 4, 5], &[1, 3]),
        (&[100_003], &[0]),
        (&[3, 1], &[1]),
    ];
    let mut samples = vec![];
    for kind in [Reduction::Sum, Reduction::Max] {
        for (shape, axes) in cases {
            let sample = Sample::new(format!("{kind:?} of {shape:?} over {axes:?}"), move |t, v| {
                t.special(Reduce::new(kind, axes), v)
            });
            samples.push(sample.normal(shape));
        }
    }
    // Chains that end in a reduction.
    let of_a_chain: [(&[usize], &[usize], &[usize]); 7] = [
        (&[20, 130], &[130], &[1]),
        (&[20, 130], &[20, 1], &[0]),
        (&[2, 3, 4, 5], &[3, 1, 5], &[1, 3]),
        (&[5_003], &[1], &[0]),
        (&[2, 4_500], &[2, 1], &[1]),
        (&[5, 3], &[5, 3], &[]),
        (&[3, 0], &[3, 1], &[1]),
    ];
    for (shape, other, axes) in of_a_chain {
        let sample = Sample::new(format!("sum of a chain of {shape:?} over {axes:?}"), move |_, v| {
            ((v[0] * v[1]).sin() + v[0]).sum_keep(axes)
        });
        samples.push(sample.normal(shape).normal(other));
    }
    samples.push(
        Sample::new("sum of a chain in another shape", |_, v| {
            v[0].transpose(0, 1).square().reshape(&[5, 6]).sum(&[0]) + v[1].square().max_keep(&[0])
        })
        .normal(&[6, 5])
        .normal(&[6]),
    );
    samples.push(Sample::new("sum over an empty axis", |_, v| v[0].sum(&[1])).normal(&[3, 0]));
    samples
}
