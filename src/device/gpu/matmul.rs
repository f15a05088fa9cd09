//! Tiles of the result in registers, 16 columns of threads by 16 rows. A long inner axis behind few tiles is
//! cut into parts, whose sums are added in order.

use super::reduce::{self, Axes};
use super::{Call, Pass};
use crate::ops::matmul::{Extent, MatMul};
use crate::ops::reduce::Reduction;
use crate::tensor::DType;

/// Elements of the inner axis that are in shared memory at a time.
const STEP: usize = 16;
/// Columns of a tile.
const COLUMNS: usize = 64;
/// Groups that keep a device busy.
const BUSY: usize = 256;
/// Least inner length of a part.
const PART: usize = 256;
/// Most elements of all parts together.
const MOST_PARTIAL: usize = 1 << 25;

pub fn lower(op: &MatMul, call: &mut Call<'_>) {
    let Extent { batch, m, n, k, shared_right } = op.extent(&call.inputs[0], &call.inputs[1]);
    // Four rows a thread, or one where there are few.
    let rows = if m > 32 { 4 } else { 1 };
    let (down, across) = (m.div_ceil(16 * rows), n.div_ceil(COLUMNS));
    let groups = batch * down * across;
    let result = batch * m * n;
    let parts = (k / PART).min(BUSY / groups).min(MOST_PARTIAL / result).max(1);
    let depth = k.div_ceil(parts).max(1).next_multiple_of(STEP);
    let parts = k.div_ceil(depth).max(1);
    let pass = Pass::new("matmul", "matmul", 256, groups * parts)
        .size("M", m)
        .size("N", n)
        .size("K", k)
        .size("BATCH", batch)
        .size("ROWS", rows)
        .size("DOWN", down)
        .size("ACROSS", across)
        .size("DEPTH", depth)
        .flag("TRANSPOSE_LEFT", op.transpose_left)
        .flag("TRANSPOSE_RIGHT", op.transpose_right)
        .flag("SHARED_RIGHT", shared_right)
        .reads("a", call.reads[0])
        .reads("b", call.reads[1]);
    if parts == 1 {
        return call.finish(pass);
    }
    let partial = call.scratch(DType::F32, parts * result);
    call.push(pass.writes("y", partial));
    reduce::last(call, Reduction::Sum, Some(partial), Axes { before: 1, along: parts, after: result });
}
