//! A group a row picks one position after the other: the least key behind the one before.

use super::{Call, Pass};
use crate::ops::topk::TopK;
use crate::tensor::DType;

pub fn lower(op: &TopK, call: &mut Call<'_>) {
    let n = call.inputs[0].shape.last().copied().unwrap_or(1);
    let pass = Pass::new("topk", "pick", 128, call.inputs[0].len() / n.max(1))
        .size("N", n)
        .size("PICKS", op.count)
        .flag("LARGEST", op.largest)
        .flag("FLAT", op.flat)
        .flag("INTEGER", call.inputs[0].dtype == DType::I32)
        .reads("keys", call.reads[0]);
    call.finish(pass);
}
