//! Rows in the order of their segments, then one thread an element of the result.

use super::{Call, Pass, order};
use crate::ops::segment_sum::SegmentSum;

pub fn lower(op: &SegmentSum, call: &mut Call<'_>) {
    let count = call.inputs[1].len();
    let unsorted = order::begin(call, count);
    if count > 0 {
        let keys = Pass::elements("segment_sum", "keys", count)
            .size("SEGMENTS", op.segments)
            .reads("index", call.reads[1])
            .writes("keys", unsorted.keys)
            .writes("rows", unsorted.rows);
        call.push(keys);
    }
    let sorted = order::sort(call, unsorted, op.segments);
    let pass = Pass::elements("segment_sum", "sum", call.result.len())
        .size("ROWS", count)
        .size("WIDTH", call.inputs[0].shape[1..].iter().product())
        .reads("x", call.reads[0])
        .reads("keys", sorted.keys)
        .reads("rows", sorted.rows);
    call.finish(pass);
}
