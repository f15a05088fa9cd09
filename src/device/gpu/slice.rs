//! Gathering: one thread a value. Scattering in gather form: points in the order of the cell that they are in,
//! then one thread a voxel, which adds what the points of its eight cells give it, always in the same order.

use super::{Call, Pass, order};
use crate::ops::slice::{Direction, Slice};

pub fn lower(op: &Slice, call: &mut Call<'_>) {
    let channels = op.channels.unwrap_or(1);
    let points = call.inputs[1].len() / 3;
    let sized = |pass: Pass| pass.size("SIDE", op.side).size("CHANNELS", channels);
    match op.direction {
        Direction::Gather => {
            let pass = sized(Pass::elements("slice", "collect", call.result.len()))
                .reads("volume", call.reads[0])
                .reads("points", call.reads[1]);
            call.finish(pass);
        }
        Direction::Coordinates => {
            let pass = sized(Pass::elements("slice", "slope", points))
                .reads("volume", call.reads[0])
                .reads("points", call.reads[1])
                .reads("upstream", call.reads[2]);
            call.finish(pass);
        }
        Direction::Scatter => {
            let unsorted = order::begin(call, points);
            if points > 0 {
                let pass = sized(Pass::elements("slice", "cells", points))
                    .reads("points", call.reads[1])
                    .writes("keys", unsorted.keys)
                    .writes("rows", unsorted.rows);
                call.push(pass);
            }
            let sorted = order::sort(call, unsorted, (op.side + 1).pow(3));
            let pass = sized(Pass::elements("slice", "spread", call.result.len()))
                .size("POINTS", points)
                .reads("values", call.reads[0])
                .reads("points", call.reads[1])
                .reads("keys", sorted.keys)
                .reads("rows", sorted.rows);
            call.finish(pass);
        }
    }
}
