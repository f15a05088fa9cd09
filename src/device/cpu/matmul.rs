//! Matrix products by the `gemm` crate, cut into tiles by shape alone; an epilogue runs over a tile while it
//! is in cache.

use std::borrow::Cow;

use half::{bf16, f16};
use rayon::prelude::*;

use super::panel::{self, Rows};
use super::{Call, Raw, chain, with_scratch};
use crate::ops::matmul::{Extent, MatMul};
use crate::tensor::DType;

/// Rows of a tile: enough to pay for packing the right factor anew, few enough that most of the tile is in
/// cache when its epilogue runs and that the derivative of a weight is several tasks.
const ROWS: usize = 256;
/// Least work of a task, in multiply-adds.
const TASK: usize = 4 << 20;
/// Multiply-adds that make several tasks.
const LARGE: usize = 16 * TASK;
/// Least inner length of one partial sum where the inner axis is what is long.
const SPLIT: usize = 1024;
/// Most elements of all partial sums together.
const PARTIAL: usize = 8 << 20;

pub fn run(op: &MatMul, call: &Call<'_>) {
    let extent = op.extent(&call.inputs[0], &call.inputs[1]);
    let (a, b) = (floats(call.reads[0]), floats(call.reads[1]));
    let left = Matrix::new(&a, extent.m, extent.k, op.transpose_left);
    let right = Matrix::new(&b, extent.k, extent.n, op.transpose_right);
    let Extent { batch, m, n, k, shared_right } = extent;
    if batch * m * n == 0 {
        return;
    }
    for_each_task(batch, m * n * k, |member, parallel| {
        let left = left.at(member * m * k);
        let right = right.at(if shared_right { 0 } else { member * k * n });
        let out = Out { call, base: member * m * n };
        let parts = (k / SPLIT).min(PARTIAL / (m * n)).max(1);
        let rows = ROWS.max(TASK / (n * k.max(1))).min(m);
        // Tiles of equal height.
        let rows = m.div_ceil(m.div_ceil(rows));
        let tile = |r0: usize| {
            let rows = rows.min(m - r0);
            row_tile(r0 * n, rows * n, &out, |tile| {
                product(&left, &right, [r0, 0, 0], [rows, n, k], tile, n)
            });
        };
        if !parallel {
            (0..m).step_by(rows).for_each(tile);
        } else if m < n && k > panel::DEPTH && panel::suits(&right.transposed(), n, m, panel::DEPTH) {
            turned(&left, &right, m, n, k, &out);
        } else if panel::suits_columns(&left, m, n, k) && parts < 4 {
            packed_both(&left, &right, m, n, k, &out);
        } else if parts >= 4 && m.max(n) <= k {
            // A power of two falls to any usual number of threads in equal shares.
            split_inner(&left, &right, m, n, k, 1 << parts.ilog2(), &out);
        } else if m < 64 && m * n * k > TASK {
            split_columns(&left, &right, m, n, k, &out);
        } else if panel::suits(&left, m, n, k.min(panel::DEPTH)) {
            packed_right(&left, &right, m, n, k, &out);
        } else {
            (0..m.div_ceil(rows)).into_par_iter().for_each(|t| tile(t * rows));
        }
    });
}

/// A batch is spread over threads as a whole; large products are cut inside, one after the other.
fn for_each_task(batch: usize, work: usize, product: impl Fn(usize, bool) + Sync) {
    if batch == 1 || work > LARGE {
        (0..batch).for_each(|member| product(member, true));
    } else {
        (0..batch).into_par_iter().for_each(|member| product(member, false));
    }
}

#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub data: &'a [f32],
    pub row_stride: isize,
    pub column_stride: isize,
}

impl<'a> Matrix<'a> {
    fn new(data: &'a [f32], rows: usize, columns: usize, transposed: bool) -> Self {
        let (row_stride, column_stride) = if transposed { (1, rows as isize) } else { (columns as isize, 1) };
        Matrix { data, row_stride, column_stride }
    }

    fn at(&self, offset: usize) -> Self {
        Matrix { data: &self.data[offset.min(self.data.len())..], ..*self }
    }

    fn transposed(&self) -> Self {
        Matrix { data: self.data, row_stride: self.column_stride, column_stride: self.row_stride }
    }

    /// The part below and right of an element.
    fn from(&self, row: usize, column: usize) -> Self {
        self.at(row * self.row_stride as usize + column * self.column_stride as usize)
    }

    pub fn holds(&self, rows: usize, columns: usize) -> bool {
        let last = |count: usize, stride: isize| count.saturating_sub(1) * stride as usize;
        let needed = last(rows, self.row_stride) + last(columns, self.column_stride) + 1;
        rows * columns == 0 || needed <= self.data.len()
    }
}

pub(super) struct Out<'a> {
    pub call: &'a Call<'a>,
    /// First element of this member of the batch.
    pub base: usize,
}

impl Out<'_> {
    /// The place for elements `start .. start + len` where the product can stand as it is.
    #[allow(clippy::mut_from_ref)]
    fn plain(&self, start: usize, len: usize) -> Option<&mut [f32]> {
        let raw = self.call.writes[0];
        let plain = self.call.epilogue.is_none() && raw.dtype == DType::F32;
        plain.then(|| unsafe { raw.slice_mut(self.base + start, len) })
    }

    /// Puts finished elements through the epilogue, or converts them.
    pub fn finish(&self, start: usize, values: &[f32]) {
        let range = self.base + start..self.base + start + values.len();
        match self.call.epilogue {
            Some(epilogue) => {
                chain::run_range(epilogue, range, self.call.reads, self.call.writes, Some(values));
            }
            None => unsafe { convert(values, self.call.writes[0], range.start) },
        }
    }
}

pub(super) unsafe fn convert(values: &[f32], raw: Raw, start: usize) {
    match raw.dtype {
        DType::F32 => unsafe { raw.slice_mut::<f32>(start, values.len()) }.copy_from_slice(values),
        DType::F16 => {
            let out: &mut [f16] = unsafe { raw.slice_mut(start, values.len()) };
            out.iter_mut().zip(values).for_each(|(o, &v)| *o = f16::from_f32(v));
        }
        DType::BF16 => {
            let out: &mut [bf16] = unsafe { raw.slice_mut(start, values.len()) };
            out.iter_mut().zip(values).for_each(|(o, &v)| *o = bf16::from_f32(v));
        }
        DType::I32 => {}
    }
}

/// Has `product` fill elements `start .. start + len` of the result and finishes them.
pub(super) fn row_tile(start: usize, len: usize, out: &Out, product: impl FnOnce(&mut [f32])) {
    match out.plain(start, len) {
        Some(tile) => product(tile),
        None => with_scratch(len, |tile| {
            product(tile);
            out.finish(start, tile);
        }),
    }
}

fn packed_right(left: &Matrix, right: &Matrix, m: usize, n: usize, k: usize, out: &Out) {
    tiles(left, right, [m, n, k], |start, len, product| row_tile(start, len, out, product));
}

/// A left factor in columns against a long inner axis: the derivative of a weight. Piece after piece of the inner axis,
/// so that what is packed stays in cache.
fn packed_both(left: &Matrix, right: &Matrix, m: usize, n: usize, k: usize, out: &Out) {
    row_tile(0, m * n, out, |sum| add_pieces(left, right, n, k, sum));
}

fn add_pieces(left: &Matrix, right: &Matrix, n: usize, k: usize, sum: &mut [f32]) {
    /// Rows of a task: a few tasks for each thread, and few enough that their piece stays in a second-level cache.
    const ROWS: usize = 48;
    let depth = k.div_ceil(k.div_ceil(panel::DEPTH));
    with_scratch(panel::packed_len(n, depth), |packed| {
        for (k0, depth) in (0..k).step_by(depth).map(|k0| (k0, depth.min(k - k0))) {
            let packed = &mut packed[..panel::packed_len(n, depth)];
            panel::pack(&right.from(k0, 0), n, depth, packed);
            sum.par_chunks_mut(ROWS * n).enumerate().for_each(|(t, tile)| {
                let rows = tile.len() / n;
                with_scratch(panel::packed_columns_len(rows, depth), |columns| {
                    panel::pack_columns(&left.from(t * ROWS, k0), rows, depth, columns);
                    panel::multiply((columns, 0), Rows::Packed, packed, [n, depth], (tile, k0 > 0));
                });
            });
        }
    });
}

/// Fewer rows than columns, and columns that stand as rows do: as the product of the transposed factors, which takes
/// the longer one as it stands.
fn turned(left: &Matrix, right: &Matrix, m: usize, n: usize, k: usize, out: &Out) {
    with_scratch(2 * m * n, |scratch| {
        let (columns, rows) = scratch.split_at_mut(m * n);
        let raw =
            Raw { pointer: columns.as_mut_ptr().cast(), len: m * n, dtype: DType::F32, is_state: false };
        tiles(&right.transposed(), &left.transposed(), [n, m, k], |start, len, product| {
            // Tiles do not overlap.
            product(unsafe { raw.slice_mut(start, len) });
        });
        for (r, row) in rows.chunks_mut(n).enumerate() {
            row.iter_mut().zip(columns.iter().skip(r).step_by(m)).for_each(|(to, &v)| *to = v);
        }
        out.finish(0, rows);
    });
}

/// Has `place` give every tile of rows, `len` elements of the product from `start`, memory to be computed in.
fn tiles(
    left: &Matrix,
    right: &Matrix,
    [m, n, k]: [usize; 3],
    place: impl Fn(usize, usize, &dyn Fn(&mut [f32])) + Sync,
) {
    // The inner axis in equal pieces, one packed behind the other.
    let depth = k.div_ceil(k.div_ceil(panel::DEPTH));
    let pieces = || (0..k).step_by(depth).map(|k0| (k0, depth.min(k - k0)));
    let packed_before = |k0| panel::packed_len(n, k0);
    with_scratch(panel::packed_len(n, k), |packed| {
        for (k0, depth) in pieces() {
            let piece = &mut packed[packed_before(k0)..][..panel::packed_len(n, depth)];
            panel::pack(&right.from(k0, 0), n, depth, piece);
        }
        let packed = &*packed;
        (0..m.div_ceil(panel::TILE)).into_par_iter().for_each(|t| {
            let r0 = t * panel::TILE;
            let rows = panel::TILE.min(m - r0);
            place(r0 * n, rows * n, &|tile| {
                for (k0, depth) in pieces() {
                    let (left, packed) = (left.from(r0, k0), &packed[packed_before(k0)..]);
                    let left = (left.data, left.row_stride as usize);
                    panel::multiply(left, Rows::InMemory, packed, [n, depth], (&mut *tile, k0 > 0));
                }
            });
        });
    });
}

/// A few rows against a wide matrix: columns to tasks.
fn split_columns(left: &Matrix, right: &Matrix, m: usize, n: usize, k: usize, out: &Out) {
    let columns = (TASK / (m * k)).next_multiple_of(64).max(64);
    let parts: Vec<Vec<f32>> = (0..n.div_ceil(columns))
        .into_par_iter()
        .map(|t| {
            let c0 = t * columns;
            let width = columns.min(n - c0);
            let mut part = vec![0.0; m * width];
            product(left, right, [0, c0, 0], [m, width, k], &mut part, width);
            part
        })
        .collect();
    let mut whole = vec![0.0; m * n];
    for (t, part) in parts.iter().enumerate() {
        let width = part.len() / m;
        for (row, values) in part.chunks(width).enumerate() {
            whole[row * n + t * columns..][..width].copy_from_slice(values);
        }
    }
    out.finish(0, &whole);
}

/// A long inner axis: partial sums of fixed length, added in order.
fn split_inner(left: &Matrix, right: &Matrix, m: usize, n: usize, k: usize, parts: usize, out: &Out) {
    /// Elements added up by one task.
    const BLOCK: usize = 8192;
    let depth = k.div_ceil(parts);
    with_scratch(parts * m * n, |sums| {
        sums.par_chunks_mut(m * n).enumerate().for_each(|(t, sum)| {
            product(left, right, [0, 0, t * depth], [m, n, depth.min(k - t * depth)], sum, n);
        });
        let (first, rest) = sums.split_at_mut(m * n);
        first.par_chunks_mut(BLOCK).enumerate().for_each(|(at, sum)| {
            for part in rest.chunks(m * n) {
                sum.iter_mut().zip(&part[at * BLOCK..]).for_each(|(s, p)| *s += p);
            }
            out.finish(at * BLOCK, sum);
        });
    });
}

/// `out = left[r0.., k0..] right[k0.., c0..]`, row-major with `stride`.
fn product(
    left: &Matrix,
    right: &Matrix,
    [r0, c0, k0]: [usize; 3],
    size: [usize; 3],
    out: &mut [f32],
    stride: usize,
) {
    accumulate(&left.from(r0, k0), &right.from(k0, c0), size, out, stride, 0.0, 1.0);
}

/// `out = keep out + factor left right`, row-major with `stride`; `keep` is 0 or 1, sizes are `[m, n, k]`.
pub(super) fn accumulate(
    left: &Matrix,
    right: &Matrix,
    [m, n, k]: [usize; 3],
    out: &mut [f32],
    stride: usize,
    keep: f32,
    factor: f32,
) {
    if m * n == 0 {
        return;
    }
    assert!(out.len() >= (m - 1) * stride + n && left.holds(m, k) && right.holds(k, n));
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            keep != 0.0,
            left.data.as_ptr(),
            left.column_stride,
            left.row_stride,
            right.data.as_ptr(),
            right.column_stride,
            right.row_stride,
            keep,
            factor,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

pub(super) fn floats<'a>(raw: Raw) -> Cow<'a, [f32]> {
    match raw.dtype {
        DType::F32 => Cow::Borrowed(unsafe { raw.slice() }),
        DType::F16 => unsafe { raw.slice::<f16>() }.iter().map(|v| v.to_f32()).collect(),
        DType::BF16 => unsafe { raw.slice::<bf16>() }.iter().map(|v| v.to_f32()).collect(),
        DType::I32 => unsafe { raw.slice::<i32>() }.iter().map(|&v| v as f32).collect(),
    }
}
