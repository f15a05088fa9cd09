//! Rows of a table by index: `y[i.., :] = table[index[i..], :]`. An index outside the table gives zeros.

use super::segment_sum::SegmentSum;
use super::{Array, Operation};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::{DType, Meta};

/// Inputs: table `[N, ..]`, index i32 `[..]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Gather;

impl Operation for Gather {
    fn stem(&self) -> &'static str {
        "gather"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        let [table, index] = inputs else { return Err("takes a table and an index".into()) };
        if table.dtype != DType::F32 || index.dtype != DType::I32 || table.rank() == 0 {
            return Err("takes an f32 table of at least one axis and an i32 index".into());
        }
        let shape: Vec<usize> = index.shape.iter().chain(&table.shape[1..]).copied().collect();
        Ok(Meta::f32(&shape))
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let (table, index) = (inputs[0], inputs[1]);
        let count = index.meta().len();
        let rows: Vec<usize> = [count].into_iter().chain(table.shape()[1..].iter().copied()).collect();
        let op = SegmentSum { segments: table.dim(0) };
        vec![Some(g.tape().special(op, &[g.reshape(&rows), index.reshape(&[count])])), None]
    }

    fn flop(&self, _: &[Meta], _: &Meta) -> u64 {
        0
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let (table, index) = (&inputs[0], &inputs[1]);
        let width: usize = table.shape[1..].iter().product();
        let mut y = Vec::with_capacity(output.len());
        for &i in &index.data {
            match (i >= 0.0 && (i as usize) < table.shape[0]).then_some(i as usize * width) {
                Some(at) => y.extend_from_slice(&table.data[at..at + width]),
                None => y.extend(std::iter::repeat_n(0.0, width)),
            }
        }
        y
    }
}

pub fn samples() -> Vec<Sample> {
    vec![
        Sample::new("gather rows", |t, v| t.special(Gather, v)).normal(&[5, 3]).index(&[7], 5),
        Sample::new("gather in two axes", |t, v| t.special(Gather, v)).normal(&[4, 2, 3]).index(&[3, 2], 4),
        Sample::new("gather numbers", |t, v| t.special(Gather, v)).normal(&[6]).index(&[9], 6),
        Sample::new("gather with indices outside", |t, v| t.special(Gather, v))
            .normal(&[3, 2])
            .index(&[9], 5),
        Sample::new("gather nothing", |t, v| t.special(Gather, v)).normal(&[3, 2]).index(&[0], 3),
    ]
}
