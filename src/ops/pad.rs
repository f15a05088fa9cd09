//! Zeros around: the adjoint of a slice. `y[.., start + i step, ..] = x[.., i, ..]`, zero elsewhere.

use super::{Array, Operation, all_f32, around_axis};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pad {
    pub axis: usize,
    pub start: usize,
    pub step: isize,
    /// Length of the axis in the result.
    pub len: usize,
}

impl Pad {
    /// Where position `i` of the input goes.
    pub fn target(&self, i: usize) -> usize {
        (self.start as isize + i as isize * self.step) as usize
    }
}

impl Operation for Pad {
    fn stem(&self) -> &'static str {
        "pad"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, 1)?;
        let mut shape = inputs[0].shape.clone();
        let count = *shape.get(self.axis).ok_or(format!("there is no axis {}", self.axis))?;
        let last = self.start as isize + self.step * (count as isize - 1);
        if self.step == 0 || (count > 0 && (self.start >= self.len || last < 0 || last as usize >= self.len))
        {
            return Err(format!("{self:?} leaves its own length"));
        }
        shape[self.axis] = self.len;
        Ok(Meta::f32(&shape))
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        vec![Some(g.slice_step(self.axis, self.start, self.step, inputs[0].dim(self.axis)))]
    }

    fn flop(&self, _: &[Meta], _: &Meta) -> u64 {
        0
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let (before, count, after) = around_axis(&inputs[0].shape, self.axis);
        let mut y = vec![0.0; output.len()];
        for b in 0..before {
            for i in 0..count {
                for a in 0..after {
                    y[(b * self.len + self.target(i)) * after + a] =
                        inputs[0].data[(b * count + i) * after + a];
                }
            }
        }
        y
    }
}

pub fn samples() -> Vec<Sample> {
    let sample = |axis, start, step, len| {
        let op = Pad { axis, start, step, len };
        Sample::new(format!("{op:?}"), move |t, v| t.special(op, v))
    };
    vec![
        sample(0, 1, 1, 6).normal(&[3]),
        sample(1, 4, -2, 7).normal(&[2, 3, 2]),
        sample(0, 0, 1, 3).normal(&[3, 2]),
        sample(2, 2, 1, 5).normal(&[2, 2, 1]),
        sample(0, 0, 1, 4).normal(&[0, 2]),
    ]
}
