//! Softmax over the last axis, shifted by the maximum so that it neither overflows nor divides by zero.

use super::{Array, Operation, all_f32};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Softmax;

impl Operation for Softmax {
    fn stem(&self) -> &'static str {
        "softmax"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, 1)?;
        if inputs[0].rank() == 0 {
            return Err("needs an axis".into());
        }
        Ok(inputs[0].clone())
    }

    fn derive<'t>(&self, _: &[Var<'t>], y: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let last = y.rank() - 1;
        vec![Some(y * (g - (g * y).sum_keep(&[last])))]
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        5 * inputs[0].len() as u64
    }

    fn oracle(&self, inputs: &[Array], _: &Meta) -> Vec<f64> {
        let n = inputs[0].shape.last().copied().unwrap_or(1).max(1);
        inputs[0]
            .data
            .chunks(n)
            .flat_map(|row| {
                let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let e: Vec<f64> = row.iter().map(|x| (x - top).exp()).collect();
                let sum: f64 = e.iter().sum();
                e.into_iter().map(move |x| x / sum)
            })
            .collect()
    }
}

pub fn samples() -> Vec<Sample> {
    let shapes: [&[usize]; 5] = [&[7], &[3, 5], &[1, 1], &[2, 3, 33], &[0, 4]];
    shapes
        .into_iter()
        .map(|shape| Sample::new(format!("softmax {shape:?}"), |t, v| t.special(Softmax, v)).normal(shape))
        .chain([Sample::new("softmax of large values", |t, v| t.special(Softmax, &[v[0].scale(80.0)]))
            .normal(&[4, 9])])
        .collect()
}
