//! Tiles of the result in registers; CUDA has larger ones, and tensor cores. A long inner axis behind few tiles is
//! cut into parts, whose sums are added in order.

use super::reduce::{self, Axes};
use super::{Call, Language, Number, Pass};
use crate::ops::matmul::{Extent, MatMul};
use crate::ops::reduce::Reduction;
use crate::tensor::DType;

/// Elements of the inner axis that are in shared memory at a time, at most.
const STEP: usize = 32;
/// Columns of a tile.
const COLUMNS: usize = 64;
/// Groups that keep a device busy.
const BUSY: usize = 256;
/// Least inner length of a part.
const PART: usize = 256;
/// Most elements of all parts together.
const MOST_PARTIAL: usize = 1 << 25;

/// How a tile is multiplied.
enum Way {
    /// 16 columns of threads by 16 rows; takes any shape.
    Plain { rows: usize },
    /// CUDA: 8 x 8 sums a thread.
    Wide,
    /// CUDA: tensor cores, for tiles of this side.
    Tensor { side: usize, kind: u32 },
}

impl Way {
    fn of(call: &Call<'_>, extent: Extent) -> Way {
        let Extent { m, n, k, .. } = extent;
        let kind = match call.inputs[0].dtype {
            DType::F16 => Some(0),
            DType::BF16 => Some(1),
            _ => call.tf32.then_some(2),
        };
        match kind {
            _ if call.language != Language::Cuda => {}
            Some(kind) if m > 64 && n > 64 => return Way::Tensor { side: 128, kind },
            Some(kind) if m > 8 && n > 8 && k > 8 => return Way::Tensor { side: 64, kind },
            None if m > 64 && n > 64 => return Way::Wide,
            _ => {}
        }
        // Four rows a thread, or one where there are few.
        Way::Plain { rows: if m > 32 { 4 } else { 1 } }
    }

    fn tile(&self) -> (usize, usize) {
        match *self {
            Way::Plain { rows } => (16 * rows, COLUMNS),
            Way::Wide => (128, 128),
            Way::Tensor { side, .. } => (side, side),
        }
    }
}

pub fn lower(op: &MatMul, call: &mut Call<'_>) {
    let extent = op.extent(&call.inputs[0], &call.inputs[1]);
    let Extent { batch, m, n, k, shared_right } = extent;
    let way = Way::of(call, extent);
    let (tall, broad) = way.tile();
    let (down, across) = (m.div_ceil(tall), n.div_ceil(broad));
    let groups = batch * down * across;
    let result = batch * m * n;
    let parts = (k / PART).min(BUSY / groups).min(MOST_PARTIAL / result).max(1);
    let depth = k.div_ceil(parts).max(1).next_multiple_of(STEP);
    let parts = k.div_ceil(depth).max(1);
    let pass = |entry| Pass::new("matmul", entry, 256, groups * parts);
    let pass = match way {
        Way::Plain { rows } => pass("matmul").size("ROWS", rows),
        Way::Wide => pass("wide"),
        Way::Tensor { side, kind } => pass("tensor").size("SIDE", side).number("KIND", Number::U32(kind)),
    };
    let pass = pass
        .size("M", m)
        .size("N", n)
        .size("K", k)
        .size("BATCH", batch)
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
