//! One thread a block of four words.

use super::{Call, Number, Pass};
use crate::ops::random::{Distribution, Random};

pub fn lower(op: &Random, call: &mut Call<'_>) {
    let len = call.result.len();
    let blocks = len.div_ceil(4);
    let pass = Pass::new("random", "random", 256, blocks.div_ceil(256))
        .size("COUNT", len)
        .number("STREAM", Number::U32(op.stream))
        .flag("NORMAL", op.distribution == Distribution::Normal)
        .reads("key", call.reads[0]);
    call.finish(pass);
}
