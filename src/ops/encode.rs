//! Positional encoding of coordinates: sines and cosines of `coordinates . frequencies`.
//!
//! Inputs: coordinates `[.., 3]`, frequencies `[F, 3]` (radians per unit). Result `[.., 2F]`: for each group
//! of `group` frequencies its sines, then its cosines. One group of F is cryoDRGN's gaussian encoding
//! (Zhong et al. 2021; Tancik et al. 2020); three groups, one an axis, are its axis-wise ones.

use super::{Array, Operation, all_f32};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Encode {
    pub group: usize,
}

impl Operation for Encode {
    fn stem(&self) -> &'static str {
        "encode"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, 2)?;
        let (x, f) = (&inputs[0], &inputs[1]);
        if x.shape.last() != Some(&3) || f.rank() != 2 || f.shape[1] != 3 {
            return Err("takes coordinates [.., 3] and frequencies [F, 3]".into());
        }
        if self.group == 0 || f.shape[0] % self.group != 0 {
            return Err(format!("groups of {} do not divide {} frequencies", self.group, f.shape[0]));
        }
        let mut shape = x.shape.clone();
        shape[x.rank() - 1] = 2 * f.shape[0];
        Ok(Meta::f32(&shape))
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], y: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let (x, f) = (inputs[0], inputs[1]);
        let (count, points) = (f.dim(0), x.meta().len() / 3);
        // d sin a = cos a, d cos a = -sin a: the halves of a group change places.
        let halves = [points, count / self.group, 2, self.group];
        let (y, g) = (y.reshape(&halves), g.reshape(&halves));
        let (sine, cosine) = (y.slice(2, 0, 1), y.slice(2, 1, 1));
        let phase = g.slice(2, 0, 1) * cosine - g.slice(2, 1, 1) * sine;
        let phase = phase.reshape(&[points, count]);
        let by_x = phase.matmul(f).reshape(&x.shape());
        let by_f = phase.t_matmul(x.reshape(&[points, 3]));
        vec![Some(by_x), Some(by_f)]
    }

    fn flop(&self, _: &[Meta], output: &Meta) -> u64 {
        output.len() as u64 * 20
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let (x, f) = (&inputs[0].data, &inputs[1].data);
        let count = f.len() / 3;
        let mut y = vec![0.0; output.len()];
        for (point, out) in x.chunks(3).zip(y.chunks_mut(2 * count)) {
            for (j, w) in f.chunks(3).enumerate() {
                let phase = point[0] * w[0] + point[1] * w[1] + point[2] * w[2];
                let at = j / self.group * 2 * self.group + j % self.group;
                out[at] = phase.sin();
                out[at + self.group] = phase.cos();
            }
        }
        y
    }
}

pub fn samples() -> Vec<Sample> {
    let sample =
        |name: &str, group| Sample::new(name.to_string(), move |t, v| t.special(Encode { group }, v));
    vec![
        sample("encode, one group", 5).normal(&[7, 3]).normal(&[5, 3]),
        sample("encode, three groups", 4).normal(&[2, 3, 3]).normal(&[12, 3]),
        sample("encode a point", 1).normal(&[3]).normal(&[1, 3]),
        sample("encode nothing", 2).normal(&[0, 3]).normal(&[2, 3]),
    ]
}
