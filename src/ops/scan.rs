//! Running sums along an axis: `y[i] = x[0] + .. + x[i]`; exclusive ones leave out x[i], backward ones begin
//! at the far end.

use super::{Array, Operation, all_f32, around_axis};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Scan {
    pub axis: usize,
    pub exclusive: bool,
    pub backward: bool,
}

impl Operation for Scan {
    fn stem(&self) -> &'static str {
        "scan"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, 1)?;
        if self.axis >= inputs[0].rank() {
            return Err(format!("there is no axis {}", self.axis));
        }
        Ok(inputs[0].clone())
    }

    fn derive<'t>(&self, _: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        vec![Some(g.tape().special(Scan { backward: !self.backward, ..*self }, &[g]))]
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        inputs[0].len() as u64
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let (before, count, after) = around_axis(&output.shape, self.axis);
        let mut y = vec![0.0; output.len()];
        for (b, a) in (0..before).flat_map(|b| (0..after).map(move |a| (b, a))) {
            let mut sum = 0.0;
            for i in 0..count {
                let i = if self.backward { count - 1 - i } else { i };
                let at = (b * count + i) * after + a;
                let with = sum + inputs[0].data[at];
                y[at] = if self.exclusive { sum } else { with };
                sum = with;
            }
        }
        y
    }
}

pub fn samples() -> Vec<Sample> {
    let mut samples = vec![];
    let cases: [(&[usize], usize); 7] =
        [(&[1], 0), (&[7], 0), (&[3, 5], 1), (&[3, 5], 0), (&[2, 70, 3], 1), (&[5003], 0), (&[2, 0], 1)];
    for (exclusive, backward) in [(false, false), (true, false), (false, true), (true, true)] {
        for (shape, axis) in cases {
            let op = Scan { axis, exclusive, backward };
            samples.push(
                Sample::new(format!("{op:?} of {shape:?}"), move |t, v| t.special(op, v)).normal(shape),
            );
        }
    }
    samples
}
