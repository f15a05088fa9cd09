//! One thread an element of the result: it finds out whether one of the input stands there.

use super::{Call, Number, Pass};
use crate::ops::around_axis;
use crate::ops::pad::Pad;

pub fn lower(op: &Pad, call: &mut Call<'_>) {
    let (_, length, after) = around_axis(&call.inputs[0].shape, op.axis);
    let pass = Pass::elements("pad", "pad", call.result.len())
        .size("LENGTH", length)
        .size("LEN", op.len)
        .size("AFTER", after)
        .number("START", Number::I32(op.start as i32))
        .number("STEP", Number::I32(op.step as i32))
        .reads("x", call.reads[0]);
    call.finish(pass);
}
