//! One group a query (or a key) and all its heads; the weights of a tile of the other side are in its shared
//! memory.

use super::{Call, Number, Pass};
use crate::ops::ipa::{Ipa, Part};

const THREADS: usize = 128;
/// Weights of a tile, over all heads.
const WEIGHTS: usize = 1024;

pub fn lower(op: &Ipa, call: &mut Call<'_>) {
    let e = op.extent(call.inputs);
    let entry = match op.part {
        Part::Forward => "forward",
        Part::Pairs => "by_pairs",
        Part::Queries | Part::KeysValues => "by_side",
    };
    let values = if op.part == Part::Queries { 0 } else { e.width };
    // What is absent is never read, but its name must be known.
    let input = |present: bool, at: usize| call.reads[if present { at } else { 0 }];
    let mut pass = Pass::new("ipa", entry, THREADS as u32, e.batch * e.rows)
        .size("ROWS", e.rows)
        .size("HEADS", e.heads)
        .size("DEPTH", e.depth)
        .size("DOTS", e.depth - e.coordinates)
        .size("WIDTH", e.width)
        .size("VALUES", values)
        .size("PAIR", e.pair)
        .size("PAIR_STEP", e.pair.max(1))
        // Elements of a row that one thread sums.
        .size("OWN_FEATURES", (e.heads * e.depth).div_ceil(THREADS))
        .size("OWN_VALUES", (e.heads * values).div_ceil(THREADS).max(1))
        .size("OWN_COLUMNS", e.pair.div_ceil(THREADS).max(1))
        .size("TILE", (WEIGHTS / e.heads).clamp(1, 32))
        .number("SCALE", Number::F32(op.scale))
        .flag("KEYS", op.part == Part::KeysValues)
        .flag("PAIRS", op.pairs)
        .flag("MASK", op.mask)
        .reads("q", call.reads[0])
        .reads("k", call.reads[1])
        .reads("v", call.reads[2])
        .reads("bias", input(op.pairs, 3))
        .reads("z", input(op.pairs, 4))
        .reads("mask", input(op.mask, op.mask_input()));
    if op.part != Part::Forward {
        let at = op.result_input();
        for (i, name) in ["result", "g", "delta"].into_iter().enumerate() {
            pass = pass.reads(name, call.reads[at + i]);
        }
        if op.part != Part::Pairs {
            pass = pass.reads("slopes", input(op.takes_slopes(), at + 3));
        }
    }
    call.finish(pass);
}
