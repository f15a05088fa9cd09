//! One group a row.

use super::{Call, Number, softmax};
use crate::ops::norm::Norm;

pub fn lower(op: &Norm, call: &mut Call<'_>) {
    let pass = softmax::rows("norm", call).number("EPSILON", Number::F32(op.epsilon));
    call.finish(pass);
}
