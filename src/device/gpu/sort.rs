//! Short rows by counting, for every key, those before it; long ones digit by digit from the lowest (radix
//! sort), each pass stable: count the digits of a tile, add up where each tile's share of a digit begins,
//! and move.

use super::{Call, Pass};
use crate::ops::sort::Sort;
use crate::tensor::DType;

/// Longest row that is counted.
const SHORT: usize = 2048;
/// Keys of a tile, as many as a digit has values.
const TILE: usize = 256;

pub fn lower(op: &Sort, call: &mut Call<'_>) {
    let n = call.result.shape.last().copied().unwrap_or(1);
    let count = call.result.len();
    let is_integer = call.inputs[0].dtype == DType::I32;
    let common = |pass: Pass| {
        pass.size("N", n).flag("DESCENDING", op.descending).flag("FLAT", op.flat).flag("INTEGER", is_integer)
    };
    if n <= SHORT {
        let pass = common(Pass::elements("sort", "count_before", count)).reads("keys", call.reads[0]);
        return call.finish(pass);
    }
    let (rows, tiles) = (count / n, n.div_ceil(TILE));
    let mut from = [call.scratch(DType::I32, count), call.scratch(DType::I32, count)];
    let mut to = [call.scratch(DType::I32, count), call.scratch(DType::I32, count)];
    let starts = call.scratch(DType::I32, rows * TILE * tiles);
    let spell = common(Pass::elements("sort", "spell_keys", count));
    call.push(spell.reads("keys", call.reads[0]).writes("bits", from[0]).writes("order", from[1]));
    for digit in 0..4 {
        let pass = |entry, groups| {
            common(Pass::new("sort", entry, TILE as u32, groups))
                .size("TILES", tiles)
                .size("SHIFT", 8 * digit)
        };
        call.push(pass("count_digits", rows * tiles).reads("bits", from[0]).writes("starts", starts));
        call.push(pass("add_up", rows).bind("starts", super::Access::ReadWrite, starts));
        let is_last = digit == 3;
        if is_last {
            to[1] = call.out();
        }
        call.push(
            pass("move_keys", rows * tiles)
                .flag("LAST", is_last)
                .reads("bits", from[0])
                .reads("order", from[1])
                .reads("starts", starts)
                .writes("bits_to", to[0])
                .writes("order_to", to[1]),
        );
        std::mem::swap(&mut from, &mut to);
    }
}
