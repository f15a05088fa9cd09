//! One thread a row of the result, or an element of the bias's derivative.

use super::{Call, Number, Pass};
use crate::ops::attention::{Attention, Part};

pub fn lower(op: &Attention, call: &mut Call<'_>) {
    let e = op.extent(call.inputs);
    let [batch, heads, queries] = e.bias;
    let members = e.batch * e.heads;
    let (entry, count) = match op.part {
        Part::Forward => ("forward", members * e.queries),
        Part::Queries => ("by_queries", members * e.queries),
        Part::KeysValues => ("by_keys_values", members * e.keys),
        Part::Bias => ("by_bias", batch * heads * queries * e.keys),
    };
    // What is absent is never read, but its name must be known.
    let input = |present: bool, at: usize| call.reads[if present { at } else { 0 }];
    let mut pass = Pass::new("attention", entry, 64, count.div_ceil(64))
        .size("COUNT", count)
        .size("BATCH", e.batch)
        .size("HEADS", e.heads)
        .size("QUERIES", e.queries)
        .size("KEYS", e.keys)
        .size("DEPTH", e.depth)
        .size("WIDTH", e.width)
        .size("BIAS_BATCH", batch)
        .size("BIAS_HEADS", heads)
        .size("BIAS_QUERIES", queries)
        .number("SCALE", Number::F32(op.scale))
        .flag("BIAS", op.bias)
        .flag("MASK", op.mask)
        .reads("q", call.reads[0])
        .reads("k", call.reads[1])
        .reads("v", call.reads[2])
        .reads("bias", input(op.bias, 3))
        .reads("mask", input(op.mask, op.mask_input()));
    if op.part != Part::Forward {
        for (name, at) in ["result", "g", "delta"].into_iter().zip(op.result_input()..) {
            pass = pass.reads(name, call.reads[at]);
        }
    }
    call.finish(pass);
}
