//! Places in the arena: buffers whose lives do not overlap share bytes. Largest first, each at the lowest
//! offset that is free throughout its life.

use super::{Place, Program};

/// What the strictest device asks of the place where a buffer begins.
const ALIGNMENT: usize = 256;

/// Where a device with smaller buffers may cut the arena: no value that is not larger itself lies across a
/// multiple of this.
pub const SEGMENT: usize = 1 << 30;

/// The first place from `offset` on that obeys [`SEGMENT`].
fn fitting(offset: usize, size: usize) -> usize {
    let crosses = offset / SEGMENT != (offset + size.max(1) - 1) / SEGMENT;
    if crosses { offset.next_multiple_of(SEGMENT) } else { offset }
}

pub fn place(program: &mut Program, reuse: bool) {
    let end = program.launches.len();
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; program.buffers.len()];
    for (at, launch) in program.launches.iter().enumerate() {
        for &buffer in launch.writes.iter().chain(&launch.reads) {
            let life = lives[buffer].get_or_insert((at, at));
            life.1 = if reuse { at } else { end };
        }
    }
    for &(_, buffer) in &program.outputs {
        if let Some(life) = &mut lives[buffer] {
            life.1 = end;
        }
    }
    let mut order: Vec<usize> = (0..program.buffers.len())
        .filter(|&b| matches!(program.buffers[b].place, Place::Arena(_)) && lives[b].is_some())
        .collect();
    order.sort_by_key(|&b| (std::cmp::Reverse(program.buffers[b].meta.bytes()), b));
    // (first byte, end byte, first launch, last launch)
    let mut placed: Vec<(usize, usize, usize, usize)> = vec![];
    for b in order {
        let Some((first, last)) = lives[b] else { continue };
        let size = program.buffers[b].meta.bytes().next_multiple_of(ALIGNMENT);
        let mut offset = 0;
        for &(from, to, born, dead) in &placed {
            let overlaps = born <= last && first <= dead;
            if overlaps && from < offset + size && offset < to {
                offset = fitting(to, size);
            }
        }
        program.buffers[b].place = Place::Arena(offset);
        program.arena_bytes = program.arena_bytes.max(offset + size);
        placed.push((offset, offset + size, first, last));
        placed.sort_unstable();
    }
}
