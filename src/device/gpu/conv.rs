//! A matrix product whose factors are read through the convolution's indices, by square tiles. The sum over a
//! batch that the derivative by the weight is, being long, is cut into parts that a second pass adds in order.

use super::{Call, Pass};
use crate::ops::conv::{Conv, Direction};
use crate::tensor::DType;

/// Rows and columns of a tile.
const TILE: usize = 64;
/// Least inner length of a part, and how many groups keep a device busy.
const PART: usize = 512;
const BUSY: usize = 256;

pub fn lower(op: &Conv, call: &mut Call<'_>) {
    let Ok(e) = op.extent(call.inputs) else { return };
    let product = |lengths: [usize; 2]| lengths[0] * lengths[1];
    let (pixels, taps, results) = (product(e.image), product(e.kernel), product(e.result));
    let (entry, [m, n, k]) = match op.direction {
        Direction::Forward => ("forward", [e.outputs, e.batch * results, e.inputs * taps]),
        Direction::Input(_) => ("input", [e.inputs, e.batch * pixels, e.outputs * taps]),
        Direction::Weight(_) => ("weight", [e.outputs, e.inputs * taps, e.batch * results]),
    };
    let tiles = op.groups * m.div_ceil(TILE) * n.div_ceil(TILE);
    let parts = match op.direction {
        Direction::Weight(_) => BUSY.div_ceil(tiles).min(k / PART).max(1),
        _ => 1,
    };
    let pass = Pass::new("conv", entry, 256, tiles * parts)
        .size("M", m)
        .size("N", n)
        .size("K", k)
        .size("PARTS", parts)
        .size("PART", k.div_ceil(parts))
        .size("COUNT", call.result.len())
        .size("CHANNEL_GROUPS", op.groups)
        .size("INPUTS", e.inputs)
        .size("OUTPUTS", e.outputs)
        .size("HEIGHT", e.image[0])
        .size("LENGTH", e.image[1])
        .size("TAPS_DOWN", e.kernel[0])
        .size("TAPS_ACROSS", e.kernel[1])
        .size("RESULTS_DOWN", e.result[0])
        .size("RESULTS_ACROSS", e.result[1])
        .size("STRIDE_DOWN", op.stride[0])
        .size("STRIDE_ACROSS", op.stride[1])
        .size("PADDING_DOWN", op.padding[0])
        .size("PADDING_ACROSS", op.padding[1])
        .size("DILATION_DOWN", op.dilation[0])
        .size("DILATION_ACROSS", op.dilation[1])
        .reads("a", call.reads[0])
        .reads("b", call.reads[1]);
    if parts == 1 {
        return call.finish(pass);
    }
    let count = call.result.len();
    let sums = call.scratch(DType::F32, parts * count);
    call.push(pass.writes("y", sums));
    call.finish(Pass::elements("conv", "add_parts", count).size("PARTS", parts).reads("sums", sums));
}
