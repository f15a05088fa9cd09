//! Normalisation over the last axis to mean 0 and variance 1 (layer norm without its affine part):
//! `y = (x - mean) / sqrt(var + epsilon)`, var being the biased one.

use super::{Array, Operation, all_f32};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Norm {
    pub epsilon: f32,
}

impl Operation for Norm {
    fn stem(&self) -> &'static str {
        "norm"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, 1)?;
        if inputs[0].rank() == 0 {
            return Err("needs an axis".into());
        }
        Ok(inputs[0].clone())
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], y: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let x = inputs[0];
        let last = [x.rank() - 1];
        let variance = (x - x.mean_keep(&last)).square().mean_keep(&last);
        let scale = variance.add_scalar(self.epsilon).rsqrt();
        vec![Some(scale * (g - g.mean_keep(&last) - y * (g * y).mean_keep(&last)))]
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        8 * inputs[0].len() as u64
    }

    fn oracle(&self, inputs: &[Array], _: &Meta) -> Vec<f64> {
        let n = inputs[0].shape.last().copied().unwrap_or(1).max(1);
        inputs[0]
            .data
            .chunks(n)
            .flat_map(|row| {
                let mean = row.iter().sum::<f64>() / n as f64;
                let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
                let scale = 1.0 / (variance + self.epsilon as f64).sqrt();
                row.iter().map(move |x| (x - mean) * scale)
            })
            .collect()
    }
}

pub fn samples() -> Vec<Sample> {
    let shapes: [&[usize]; 5] = [&[7], &[3, 5], &[2, 3, 65], &[4, 1], &[0, 3]];
    shapes
        .into_iter()
        .map(|shape| {
            Sample::new(format!("norm {shape:?}"), |t, v| t.special(Norm { epsilon: 1e-5 }, v)).normal(shape)
        })
        .collect()
}
