//! Rows in the order of their keys, equal keys in the order of the rows: a radix sort from the lowest digit up
//! that uses no atomics. Each thread counts and places a run of neighbouring rows by itself, so the order is
//! the same whenever it is run.

use super::{Call, Pass, Whole};
use crate::tensor::DType;

/// Bits of a digit.
const BITS: u32 = 4;
/// Rows of one thread.
const RUN: usize = 32;

/// Keys in order, and the row that each belongs to.
pub struct Sorted {
    pub keys: Whole,
    pub rows: Whole,
}

/// Sorts `keys` (i32, from 0 to `most`); `rows[i]` is i, filled by whoever filled the keys.
pub fn sort(call: &mut Call<'_>, first: Sorted, most: usize) -> Sorted {
    let count = first.keys.len;
    let runs = count.div_ceil(RUN);
    if count == 0 {
        return first;
    }
    let counts = call.scratch(DType::I32, runs << BITS);
    let other = begin(call, count);
    let (mut from, mut to) = (first, other);
    let digits = (usize::BITS - most.leading_zeros()).div_ceil(BITS).max(1);
    for digit in 0..digits {
        let pass = |entry, threads: usize, groups| {
            Pass::new("order", entry, threads as u32, groups)
                .size("COUNT", count)
                .size("RUN", RUN)
                .size("RUNS", runs)
                .size("SHIFT", (digit * BITS) as usize)
        };
        let groups = runs.div_ceil(64);
        call.push(pass("tally", 64, groups).reads("keys", from.keys).writes("counts", counts));
        call.push(pass("places", 256, 1).bind("counts", super::Access::ReadWrite, counts));
        let place = pass("deal", 64, groups)
            .reads("keys", from.keys)
            .reads("rows", from.rows)
            .reads("counts", counts)
            .writes("sorted_keys", to.keys)
            .writes("sorted_rows", to.rows);
        call.push(place);
        std::mem::swap(&mut from, &mut to);
    }
    from
}

/// Scratch for keys and rows.
pub fn begin(call: &mut Call<'_>, count: usize) -> Sorted {
    Sorted { keys: call.scratch(DType::I32, count), rows: call.scratch(DType::I32, count) }
}
