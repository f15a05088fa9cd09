//! Short rows by counting, for every key, those before it. Long ones by radix sort: all keys of all rows, then,
//! since equal ones keep their order, by row.

use super::{Call, Pass, order};
use crate::ops::sort::Sort;
use crate::tensor::DType;

/// Longest row that is counted.
const SHORT: usize = 2048;

pub fn lower(op: &Sort, call: &mut Call<'_>) {
    let n = call.result.shape.last().copied().unwrap_or(1);
    let count = call.result.len();
    let is_integer = call.inputs[0].dtype == DType::I32;
    let pass = |entry| {
        Pass::elements("sort", entry, count)
            .size("N", n)
            .flag("DESCENDING", op.descending)
            .flag("FLAT", op.flat)
            .flag("INTEGER", is_integer)
    };
    let keys = call.reads[0];
    if n <= SHORT {
        return call.finish(pass("count_before").reads("keys", keys));
    }
    let first = order::begin(call, count);
    call.push(pass("spell_keys").reads("keys", keys).writes("bits", first.keys).writes("order", first.rows));
    let mut sorted = order::sort(call, first, u32::MAX as usize);
    if count > n {
        call.push(pass("rows_of").reads("order", sorted.rows).writes("bits", sorted.keys));
        sorted = order::sort(call, sorted, count / n - 1);
    }
    call.finish(pass("positions").reads("order", sorted.rows));
}
