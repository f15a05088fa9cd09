//! Images: one group a tile, which finds the atoms that reach it and shares their factors along both axes. Moments:
//! one small group an atom.

use super::{Call, Number, Pass};
use crate::ops::splat::{Direction, Splat};

/// Pixels along an axis of a tile; a thread has one.
const TILE: usize = 16;
const LANES: u32 = 32;

pub fn lower(op: &Splat, call: &mut Call<'_>) {
    let e = op.extent(call.inputs);
    let pass = match op.direction {
        Direction::Image => {
            let tiles = op.side.div_ceil(TILE);
            Pass::new("splat", "image", (TILE * TILE) as u32, e.batch * tiles * tiles)
                .size("TILES", tiles)
                .reads("amplitudes", call.reads[1])
        }
        Direction::Moments => {
            Pass::new("splat", "moments", LANES, e.batch * e.atoms).reads("upstream", call.reads[2])
        }
    };
    let pass = pass
        .size("SIDE", op.side)
        .size("ATOMS", e.atoms)
        .number("CENTRE", Number::F32(op.centre as f32))
        .number("REACH", Number::F32(op.reach))
        .reads("places", call.reads[0])
        .reads("widths", call.reads[op.widths()]);
    call.finish(pass);
}
