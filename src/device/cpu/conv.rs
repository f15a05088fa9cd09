//! Convolutions as matrix products with columns: what the taps see from a block of results. A block's columns
//! stay in cache; those of a whole image never exist.

use rayon::prelude::*;

use super::matmul::{Matrix, Out, accumulate, row_tile};
use super::{Call, with_scratch};
use crate::ops::conv::{Conv, Direction, Extent};

/// Elements of the columns of a block.
const COLUMNS: usize = 1 << 18;
/// Taps and channels that a task of the transpose or of the weight takes together.
const DEPTH: usize = 256;
/// Tasks that the derivative by the weight is cut into where channels alone give fewer.
const TASKS: usize = 16;
/// Most elements of all its partial sums together.
const PARTIAL: usize = 8 << 20;

pub fn run(op: &Conv, call: &Call<'_>) {
    let Ok(e) = op.extent(call.inputs) else { return };
    if call.result.is_empty() {
        return;
    }
    let sum = Sum { op, e, a: call.f32(0), b: call.f32(1) };
    match op.direction {
        Direction::Forward => sum.forward(call),
        Direction::Input(_) => sum.input(call),
        Direction::Weight(_) => sum.weight(call),
    }
}

struct Sum<'a> {
    op: &'a Conv,
    e: Extent,
    a: &'a [f32],
    b: &'a [f32],
}

/// Channels `first .. first + count` of a group.
#[derive(Clone, Copy)]
struct Channels {
    group: usize,
    first: usize,
    count: usize,
}

impl Sum<'_> {
    fn taps(&self) -> usize {
        self.e.kernel[0] * self.e.kernel[1]
    }

    fn positions(&self) -> usize {
        self.e.result[0] * self.e.result[1]
    }

    fn pixels(&self) -> usize {
        self.e.image[0] * self.e.image[1]
    }

    /// Results of a block whose columns have `depth` rows.
    fn block(&self, depth: usize) -> usize {
        (COLUMNS / depth.max(1)).clamp(64, 1024).min(self.positions())
    }

    /// The groups' channels in pieces.
    fn pieces(&self) -> Vec<Channels> {
        let step = (DEPTH / self.taps()).clamp(1, self.e.inputs.max(1));
        (0..self.op.groups)
            .flat_map(|group| {
                let piece = move |first| Channels { group, first, count: step.min(self.e.inputs - first) };
                (0..self.e.inputs).step_by(step).map(piece)
            })
            .collect()
    }

    /// First pixel of a channel of x.
    fn plane(&self, member: usize, group: usize, channel: usize) -> usize {
        ((member * self.op.groups + group) * self.e.inputs + channel) * self.pixels()
    }

    /// Results `first..` of all channels of a group in `y`.
    fn results<'y>(&self, y: &'y [f32], member: usize, group: usize, first: usize) -> Matrix<'y> {
        let positions = self.positions();
        let start = (member * self.op.groups + group) * self.e.outputs * positions + first;
        Matrix { data: &y[start..], row_stride: positions as isize, column_stride: 1 }
    }

    /// The weights of some channels, `[O, channels x taps]`.
    fn weights<'w>(&self, w: &'w [f32], c: Channels) -> Matrix<'w> {
        let row = self.e.inputs * self.taps();
        let start = c.group * self.e.outputs * row + c.first * self.taps();
        Matrix { data: &w[start..], row_stride: row as isize, column_stride: 1 }
    }

    /// For a tap, the runs of results `first .. first + count` that see inside a plane: place in the block,
    /// first pixel, length. Pixels of a run are a stride apart.
    fn runs(&self, tap: usize, first: usize, count: usize, mut each: impl FnMut(usize, usize, usize)) {
        let [i, j] = [tap / self.e.kernel[1], tap % self.e.kernel[1]];
        let ([high, wide], across) = (self.e.image, self.e.result[1]);
        let (stride, padding, shift) = (self.op.stride[1], self.op.padding[1], j * self.op.dilation[1]);
        let from = padding.saturating_sub(shift).div_ceil(stride);
        let to = (wide + padding).saturating_sub(shift).div_ceil(stride);
        let mut at = first;
        while at < first + count {
            let (row, column) = (at / across, at % across);
            let n = (across - column).min(first + count - at);
            let (from, to) = (from.max(column), to.min(column + n));
            if let (Some(y), true) = (self.op.source(0, row, i, high), from < to) {
                each(at - first + from - column, y * wide + from * stride + shift - padding, to - from);
            }
            at += n;
        }
    }

    /// What every tap of some channels sees from results `first .. first + count`: `[channels x taps, count]`.
    fn columns(&self, x: &[f32], member: usize, c: Channels, [first, count]: [usize; 2], into: &mut [f32]) {
        let stride = self.op.stride[1];
        into.fill(0.0);
        for (row, into) in into.chunks_mut(count).enumerate() {
            let plane = &x[self.plane(member, c.group, c.first + row / self.taps())..];
            self.runs(row % self.taps(), first, count, |at, pixel, n| {
                if stride == 1 {
                    into[at..at + n].copy_from_slice(&plane[pixel..pixel + n]);
                } else {
                    let seen = plane[pixel..].iter().step_by(stride);
                    into[at..at + n].iter_mut().zip(seen).for_each(|(o, &v)| *o = v);
                }
            });
        }
    }

    /// The transpose of [`Sum::columns`]: adds columns to the pixels they came from.
    fn fold(&self, columns: &[f32], [first, count]: [usize; 2], planes: &mut [f32]) {
        for (row, from) in columns.chunks(count).enumerate() {
            let plane = &mut planes[row / self.taps() * self.pixels()..][..self.pixels()];
            self.runs(row % self.taps(), first, count, |at, pixel, n| {
                let seen = plane[pixel..].iter_mut().step_by(self.op.stride[1]);
                seen.zip(&from[at..at + n]).for_each(|(o, v)| *o += v);
            });
        }
    }

    fn forward(&self, call: &Call<'_>) {
        let (e, positions) = (&self.e, self.positions());
        let depth = e.inputs * self.taps();
        let block = self.block(depth);
        let blocks = positions.div_ceil(block);
        (0..e.batch * blocks).into_par_iter().for_each(|task| {
            let (member, first) = (task / blocks, task % blocks * block);
            let count = block.min(positions - first);
            with_scratch(depth * count + e.outputs * count, |scratch| {
                let (columns, tile) = scratch.split_at_mut(depth * count);
                for group in 0..self.op.groups {
                    let c = Channels { group, first: 0, count: e.inputs };
                    self.columns(self.a, member, c, [first, count], columns);
                    let right = Matrix { data: columns, row_stride: count as isize, column_stride: 1 };
                    let size = [e.outputs, count, depth];
                    accumulate(&self.weights(self.b, c), &right, size, tile, count, 0.0, 1.0);
                    let start = (member * self.op.groups + group) * e.outputs * positions + first;
                    for (o, row) in tile.chunks(count).enumerate() {
                        Out { call, base: start }.finish(o * positions, row);
                    }
                }
            });
        });
    }

    fn input(&self, call: &Call<'_>) {
        let (e, positions) = (&self.e, self.positions());
        let pieces = self.pieces();
        (0..e.batch * pieces.len()).into_par_iter().for_each(|task| {
            let (member, c) = (task / pieces.len(), pieces[task % pieces.len()]);
            let depth = c.count * self.taps();
            let weights = self.weights(self.b, c);
            let weights = Matrix { row_stride: 1, column_stride: weights.row_stride, ..weights };
            let out = Out { call, base: self.plane(member, c.group, c.first) };
            row_tile(0, c.count * self.pixels(), &out, |planes| {
                planes.fill(0.0);
                let block = self.block(depth);
                with_scratch(depth * block, |columns| {
                    for first in (0..positions).step_by(block) {
                        let count = block.min(positions - first);
                        let columns = &mut columns[..depth * count];
                        let right = self.results(self.a, member, c.group, first);
                        accumulate(&weights, &right, [depth, count, e.outputs], columns, count, 0.0, 1.0);
                        self.fold(columns, [first, count], planes);
                    }
                });
            });
        });
    }

    /// Each task sums over a share of the batch for some channels; the shares are added in order.
    fn weight(&self, call: &Call<'_>) {
        let (e, positions) = (&self.e, self.positions());
        let pieces = self.pieces();
        let largest = pieces.iter().map(|c| e.outputs * c.count * self.taps()).max().unwrap_or(1);
        let shares =
            TASKS.div_ceil(pieces.len()).min(PARTIAL / (largest * pieces.len())).clamp(1, e.batch.max(1));
        let members = e.batch.div_ceil(shares);
        with_scratch(shares * pieces.len() * largest, |sums| {
            sums.par_chunks_mut(largest).enumerate().for_each(|(task, sum)| {
                let (share, c) = (task / pieces.len(), pieces[task % pieces.len()]);
                let depth = c.count * self.taps();
                let block = self.block(depth);
                sum.fill(0.0);
                with_scratch(depth * block, |columns| {
                    for member in share * members..e.batch.min((share + 1) * members) {
                        for first in (0..positions).step_by(block) {
                            let count = block.min(positions - first);
                            let columns = &mut columns[..depth * count];
                            self.columns(self.a, member, c, [first, count], columns);
                            let left = self.results(self.b, member, c.group, first);
                            let right =
                                Matrix { data: columns, row_stride: 1, column_stride: count as isize };
                            accumulate(&left, &right, [e.outputs, depth, count], sum, depth, 1.0, 1.0);
                        }
                    }
                });
            });
            let out = call.out();
            for (piece, c) in pieces.iter().enumerate() {
                let depth = c.count * self.taps();
                for o in 0..e.outputs {
                    let row = (c.group * e.outputs + o) * e.inputs + c.first;
                    let row = &mut out[row * self.taps()..][..depth];
                    row.fill(0.0);
                    for share in 0..shares {
                        let sum = &sums[(share * pieces.len() + piece) * largest + o * depth..];
                        row.iter_mut().zip(sum).for_each(|(r, s)| *r += s);
                    }
                }
            }
        });
    }
}
