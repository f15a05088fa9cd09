//! The sum of the squares of all elements of all inputs, whatever their shapes: of gradients it is the square of
//! their joint norm, in one launch.

use super::{Array, Operation, all_f32};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SumSquares;

impl Operation for SumSquares {
    fn stem(&self) -> &'static str {
        "sum_squares"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, inputs.len())?;
        Ok(Meta::f32(&[]))
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        inputs.iter().map(|&x| Some(x * g.scale(2.0))).collect()
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        2 * inputs.iter().map(Meta::len).sum::<usize>() as u64
    }

    fn oracle(&self, inputs: &[Array], _: &Meta) -> Vec<f64> {
        vec![inputs.iter().flat_map(|x| &x.data).map(|x| x * x).sum()]
    }
}

pub fn samples() -> Vec<Sample> {
    let cases: [&[&[usize]]; 4] =
        [&[&[]], &[&[0], &[3, 0]], &[&[7], &[], &[0], &[3, 5], &[1031], &[40, 33]], &[&[5000]]];
    let sample = |shapes: &&[&[usize]]| {
        let sample = Sample::new(format!("sum_squares {shapes:?}"), |t, v: &[Var<'_>]| {
            t.special(SumSquares, v).add_scalar(1.0).sqrt()
        });
        shapes.iter().fold(sample, |sample, shape| sample.normal(shape))
    };
    cases.iter().map(sample).collect()
}
