//! One thread a point and frequency: it makes the sine and the cosine.

use super::{Call, Pass};
use crate::ops::encode::Encode;

pub fn lower(op: &Encode, call: &mut Call<'_>) {
    let pass = Pass::elements("encode", "encode", call.result.len() / 2)
        .size("FREQUENCIES", call.inputs[1].shape[0])
        .size("GROUP", op.group)
        .reads("x", call.reads[0])
        .reads("f", call.reads[1]);
    call.finish(pass);
}
