//! One thread an element of the result.

use super::{Call, Pass};
use crate::ops::gather::Gather;

pub fn lower(_: &Gather, call: &mut Call<'_>) {
    let table = &call.inputs[0].shape;
    let pass = Pass::elements("gather", "gather", call.result.len())
        .size("ROWS", table[0])
        .size("WIDTH", table[1..].iter().product())
        .reads("table", call.reads[0])
        .reads("index", call.reads[1]);
    call.finish(pass);
}
