//! Tensors laid one behind the other along an axis.

use super::{Array, Operation, all_f32, around_axis};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Concat {
    pub axis: usize,
}

impl Operation for Concat {
    fn stem(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, inputs.len())?;
        let first = inputs.first().ok_or("needs a part")?;
        if self.axis >= first.rank() {
            return Err(format!("there is no axis {}", self.axis));
        }
        let mut shape = first.shape.clone();
        shape[self.axis] = 0;
        for part in inputs {
            let alike = part.rank() == shape.len()
                && (0..shape.len()).all(|i| i == self.axis || part.shape[i] == shape[i]);
            if !alike {
                return Err(format!("parts differ beside axis {}", self.axis));
            }
            shape[self.axis] += part.shape[self.axis];
        }
        Ok(Meta::f32(&shape))
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let mut start = 0;
        inputs
            .iter()
            .map(|part| {
                let len = part.dim(self.axis);
                let piece = g.slice(self.axis, start, len);
                start += len;
                Some(piece)
            })
            .collect()
    }

    fn flop(&self, _: &[Meta], _: &Meta) -> u64 {
        0
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let (before, total, after) = around_axis(&output.shape, self.axis);
        let mut y = Vec::with_capacity(before * total * after);
        for b in 0..before {
            for part in inputs {
                let width = part.shape[self.axis] * after;
                y.extend_from_slice(&part.data[b * width..(b + 1) * width]);
            }
        }
        y
    }
}

pub fn samples() -> Vec<Sample> {
    let sample = |name: &str, axis| Sample::new(name.to_string(), move |t, v| t.special(Concat { axis }, v));
    vec![
        sample("concat rows", 0).normal(&[2, 3]).normal(&[4, 3]),
        sample("concat columns of three", 1).normal(&[2, 3]).normal(&[2, 1]).normal(&[2, 4]),
        sample("concat with an empty part", 1).normal(&[2, 3, 2]).normal(&[2, 0, 2]),
        sample("concat of one", 0).normal(&[3]),
    ]
}
