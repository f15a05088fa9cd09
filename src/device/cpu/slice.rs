//! Points to tasks when gathering. When scattering, slabs of the volume to tasks: each walks all points in
//! order and takes those that touch it, so the sums do not depend on the number of threads.

use rayon::prelude::*;

use super::Call;
use crate::ops::slice::{Direction, Slice};

const POINTS: usize = 256;
const SLABS: usize = 16;

/// Lower corner and fractions of a point, by axis (x, y, z).
fn locate(side: usize, p: &[f32]) -> ([isize; 3], [f32; 3]) {
    let centre = (side / 2) as f32;
    let base: [f32; 3] = std::array::from_fn(|i| (p[i] + centre).floor());
    (
        base.map(|b| b.clamp(-4.0, side as f32 + 4.0) as isize),
        std::array::from_fn(|i| p[i] + centre - base[i]),
    )
}

/// The corners inside the volume: voxel index, weight, bits (x, y, z).
fn corners(side: usize, base: [isize; 3], rest: [f32; 3]) -> impl Iterator<Item = (usize, f32, [bool; 3])> {
    (0..8).filter_map(move |corner| {
        let bits = [corner & 1 != 0, corner & 2 != 0, corner & 4 != 0];
        let mut weight = 1.0;
        let mut index = 0;
        for axis in [2, 1, 0] {
            let at = base[axis] + bits[axis] as isize;
            if at < 0 || at >= side as isize {
                return None;
            }
            weight *= if bits[axis] { rest[axis] } else { 1.0 - rest[axis] };
            index = index * side + at as usize;
        }
        Some((index, weight, bits))
    })
}

pub fn run(op: &Slice, call: &Call<'_>) {
    let c = op.channels.unwrap_or(1);
    let (first, points) = (call.f32(0), call.f32(1));
    let side = op.side;
    if call.result.is_empty() {
        return;
    }
    match op.direction {
        Direction::Gather => {
            let task = |(out, points): (&mut [f32], &[f32])| {
                for (out, p) in out.chunks_mut(c).zip(points.chunks(3)) {
                    out.fill(0.0);
                    let (base, rest) = locate(side, p);
                    for (index, weight, _) in corners(side, base, rest) {
                        out.iter_mut().zip(&first[index * c..]).for_each(|(o, v)| *o += weight * v);
                    }
                }
            };
            call.out().par_chunks_mut(POINTS * c).zip(points.par_chunks(POINTS * 3)).for_each(task);
        }
        Direction::Scatter => {
            let planes = side.div_ceil(SLABS);
            let plane = side * side * c;
            call.out().par_chunks_mut(planes * plane).enumerate().for_each(|(slab, out)| {
                out.fill(0.0);
                let z0 = (slab * planes) as isize;
                let z1 = z0 + (out.len() / plane) as isize;
                for (value, p) in first.chunks(c).zip(points.chunks(3)) {
                    let (base, rest) = locate(side, p);
                    if base[2] + 1 < z0 || base[2] >= z1 {
                        continue;
                    }
                    for (index, weight, bits) in corners(side, base, rest) {
                        let z = base[2] + bits[2] as isize;
                        if z >= z0 && z < z1 {
                            let at = index * c - z0 as usize * plane;
                            out[at..at + c].iter_mut().zip(value).for_each(|(o, v)| *o += weight * v);
                        }
                    }
                }
            });
        }
        Direction::Coordinates => {
            let upstream = call.f32(2);
            let task = |((out, points), upstream): ((&mut [f32], &[f32]), &[f32])| {
                for ((out, p), g) in out.chunks_mut(3).zip(points.chunks(3)).zip(upstream.chunks(c)) {
                    out.fill(0.0);
                    let (base, rest) = locate(side, p);
                    for (index, _, bits) in corners(side, base, rest) {
                        let value: f32 = g.iter().zip(&first[index * c..]).map(|(g, v)| g * v).sum();
                        let w = |i: usize| if bits[i] { rest[i] } else { 1.0 - rest[i] };
                        let sign = |i: usize| if bits[i] { value } else { -value };
                        out[0] += sign(0) * w(1) * w(2);
                        out[1] += sign(1) * w(0) * w(2);
                        out[2] += sign(2) * w(0) * w(1);
                    }
                }
            };
            call.out()
                .par_chunks_mut(POINTS * 3)
                .zip(points.par_chunks(POINTS * 3))
                .zip(upstream.par_chunks(POINTS * c))
                .for_each(task);
        }
    }
}
