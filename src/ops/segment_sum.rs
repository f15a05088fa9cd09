//! Sums of rows that share an index: `y[s, :] = sum of x[i, :] over i with index[i] = s`, in the order of i,
//! so that the same bits come out whatever the number of threads. Indices outside are left out.

use super::gather::Gather;
use super::{Array, Operation};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::{DType, Meta};

/// Inputs: x `[M, ..]`, index i32 `[M]`; result `[segments, ..]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SegmentSum {
    pub segments: usize,
}

impl Operation for SegmentSum {
    fn stem(&self) -> &'static str {
        "segment_sum"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        let [x, index] = inputs else { return Err("takes rows and an index".into()) };
        if x.dtype != DType::F32 || index.dtype != DType::I32 || x.rank() == 0 {
            return Err("takes f32 rows of at least one axis and an i32 index".into());
        }
        if index.shape != x.shape[..1] {
            return Err("needs one index a row".into());
        }
        let mut shape = x.shape.clone();
        shape[0] = self.segments;
        Ok(Meta::f32(&shape))
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        vec![Some(g.tape().special(Gather, &[g, inputs[1]])), None]
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        inputs[0].len() as u64
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let (x, index) = (&inputs[0], &inputs[1]);
        let width: usize = x.shape[1..].iter().product();
        let mut y = vec![0.0; output.len()];
        for (i, &s) in index.data.iter().enumerate() {
            if s >= 0.0 && (s as usize) < self.segments {
                for w in 0..width {
                    y[s as usize * width + w] += x.data[i * width + w];
                }
            }
        }
        y
    }
}

pub fn samples() -> Vec<Sample> {
    let sample = |name: &str, segments: usize| {
        Sample::new(name.to_string(), move |t, v| t.special(SegmentSum { segments }, v))
    };
    vec![
        sample("segment sum", 4).normal(&[9, 3]).index(&[9], 4),
        sample("segment sum of numbers, one segment", 1).normal(&[7]).index(&[7], 1),
        sample("segment sum with empty segments", 20).normal(&[5, 2]).index(&[5], 20),
        sample("segment sum with indices outside", 3).normal(&[8, 2]).index(&[8], 6),
        sample("segment sum of nothing", 3).normal(&[0, 2]).index(&[0], 3),
    ]
}
