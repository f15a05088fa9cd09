//! One group a row.

use super::{Call, Pass};
use crate::ops::softmax::Softmax;

pub fn lower(_: &Softmax, call: &mut Call<'_>) {
    let pass = rows("softmax", call);
    call.finish(pass);
}

/// A pass with one group a row of the last axis, x bound.
pub fn rows(stem: &'static str, call: &Call<'_>) -> Pass {
    let length = call.result.shape.last().copied().unwrap_or(1);
    let threads = length.next_power_of_two().clamp(32, 256);
    Pass::new(stem, stem, threads as u32, call.result.len() / length.max(1))
        .size("LENGTH", length)
        .reads("x", call.reads[0])
}
