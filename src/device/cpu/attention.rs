//! Blocks of queries (or keys) to tasks; each walks the tiles of the other side in order, so no score leaves
//! the cache and sums do not depend on the number of threads.

use rayon::prelude::*;

use super::few_keys::{self, Member};
use super::matmul::Matrix;
use super::panel::{has_kernel, small as product};
use super::{Call, with_scratch};
use crate::ops::attention::{Attention, Extent, Part};
use crate::ops::vocabulary::single::exp;

/// Queries and keys of a tile.
const QUERIES: usize = 128;
const KEYS: usize = 128;
const TILE: usize = QUERIES * KEYS;
/// Rows of scores are filled up to a multiple of this, with keys that are not there.
const LANES: usize = 16;

pub fn run(op: &Attention, call: &Call<'_>) {
    let e = op.extent(call.inputs);
    if call.result.is_empty() {
        return;
    }
    let derivative = (op.part != Part::Forward).then(|| op.result_input());
    let heads = Heads {
        e,
        scale: op.scale,
        q: call.f32(0),
        k: call.f32(1),
        v: call.f32(2),
        bias: op.bias.then(|| call.f32(3)),
        mask: op.mask.then(|| call.f32(op.mask_input())),
        y: derivative.map_or(&[], |at| call.f32(at)),
        g: derivative.map_or(&[], |at| call.f32(at + 1)),
        delta: derivative.map_or(&[], |at| call.f32(at + 2)),
    };
    let members = e.batch * e.heads;
    // A block of one task's own rows of the result; whole members if they are small.
    let blocks =
        |rows: usize, width: usize, block: usize, work: &(dyn Fn(usize, usize, &mut [f32]) + Sync)| {
            let count = rows.div_ceil(block);
            (0..members * count).into_par_iter().with_min_len((16 / count).max(1)).for_each(|task| {
                let (member, first) = (task / count, task % count * block);
                let len = block.min(rows - first) * width;
                // Blocks do not overlap.
                let out = unsafe { call.writes[0].slice_mut((member * rows + first) * width, len) };
                if few_keys::suits(&e) && op.part != Part::Bias {
                    return few_keys::run(op.part, &heads.member(member), out);
                }
                work(member, first, out);
            });
        };
    match op.part {
        Part::Forward => blocks(e.queries, e.width + 1, QUERIES, &|m, i, out| heads.forward(m, i, out)),
        Part::Queries => blocks(e.queries, e.depth, QUERIES, &|m, i, out| heads.queries(m, i, out)),
        Part::KeysValues => {
            blocks(e.keys, e.depth + e.width, KEYS, &|m, j, out| heads.keys_values(m, j, out))
        }
        Part::Bias => {
            let [batch, heads_of_bias, rows] = e.bias;
            let block = rows.min(QUERIES);
            let count = rows.div_ceil(block);
            (0..batch * heads_of_bias * count).into_par_iter().for_each(|task| {
                let (first, owner) = (task % count * block, task / count);
                let len = block.min(rows - first) * e.keys;
                let out = unsafe { call.writes[0].slice_mut((owner * rows + first) * e.keys, len) };
                heads.bias(owner / heads_of_bias, owner % heads_of_bias, first, out);
            });
        }
    }
}

struct Heads<'a> {
    e: Extent,
    scale: f32,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    bias: Option<&'a [f32]>,
    mask: Option<&'a [f32]>,
    y: &'a [f32],
    g: &'a [f32],
    delta: &'a [f32],
}

/// Queries `i..` and keys `j..` of one member of batch and heads.
#[derive(Clone, Copy)]
struct Tile {
    member: usize,
    i: usize,
    j: usize,
    queries: usize,
    keys: usize,
}

impl Tile {
    /// From one row of scores to the next.
    fn stride(&self) -> usize {
        self.keys.next_multiple_of(LANES)
    }
}

/// Joins the elements of a row of scores, side by side and then across.
fn in_lanes(row: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    for chunk in row.chunks_exact(LANES) {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &v)| *lane = join(*lane, v));
    }
    lanes.into_iter().fold(start, join)
}

/// `p = e^(s - level)` for scores that are not above their level, and the sum of the row.
pub fn exponentials(s: &[f32], level: f32, p: &mut [f32]) -> f32 {
    #[inline(always)]
    fn each(s: &[f32], p: &mut [f32], weight: impl Fn(f32) -> f32) -> f32 {
        let mut lanes = [0.0; LANES];
        for (s, p) in s.as_chunks::<LANES>().0.iter().zip(p.as_chunks_mut::<LANES>().0) {
            for i in 0..LANES {
                p[i] = weight(s[i]);
                lanes[i] += p[i];
            }
        }
        lanes.into_iter().sum()
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn fused(s: &[f32], level: f32, p: &mut [f32]) -> f32 {
        each(s, p, |s| exp_below(s - level))
    }
    #[cfg(target_arch = "x86_64")]
    if has_kernel() {
        // Detected just now.
        return unsafe { fused(s, level, p) };
    }
    each(s, p, |s| exp(s - level))
}

/// As [`exp`], for arguments below 88 and where multiplications and additions fuse: half the instructions.
/// Relative error below 1e-7, zero below -87.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn exp_below(x: f32) -> f32 {
    use crate::ops::vocabulary::single::pow2;
    let c = if x < -87.0 { -87.0 } else { x };
    let n = c.mul_add(std::f32::consts::LOG2_E, 0.5).floor();
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, c));
    let low = 1.987_569_1e-4_f32.mul_add(r, 1.398_199_9e-3).mul_add(r, 8.333_452e-3);
    let p = low.mul_add(r, 4.166_579_6e-2).mul_add(r, 1.666_666_5e-1).mul_add(r, 5e-1);
    let y = p.mul_add(r * r, r) + 1.0;
    if x < -87.0 { 0.0 } else { y * pow2(n) }
}

fn steps(len: usize, step: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len).step_by(step).map(move |start| (start, step.min(len - start)))
}

fn matrix(data: &[f32], first: usize, row: usize) -> Matrix<'_> {
    Matrix { data: &data[first * row..], row_stride: row as isize, column_stride: 1 }
}

fn transposed(m: Matrix<'_>) -> Matrix<'_> {
    Matrix { data: m.data, row_stride: m.column_stride, column_stride: m.row_stride }
}

impl Heads<'_> {
    fn query_rows(&self, t: Tile) -> Matrix<'_> {
        matrix(self.q, t.member * self.e.queries + t.i, self.e.depth)
    }

    fn key_rows(&self, t: Tile) -> Matrix<'_> {
        matrix(self.k, t.member * self.e.keys + t.j, self.e.depth)
    }

    fn value_rows(&self, t: Tile) -> Matrix<'_> {
        matrix(self.v, t.member * self.e.keys + t.j, self.e.width)
    }

    fn upstream_rows(&self, t: Tile) -> Matrix<'_> {
        matrix(self.g, t.member * self.e.queries + t.i, self.e.width + 1)
    }

    /// Everything of one member of batch and heads.
    fn member(&self, member: usize) -> Member<'_> {
        fn rows(data: &[f32], member: usize, len: usize) -> &[f32] {
            if data.is_empty() { data } else { &data[member * len..][..len] }
        }
        let e = self.e;
        let (b, h) = (member / e.heads, member % e.heads);
        let with_log = e.queries * (e.width + 1);
        Member {
            e,
            scale: self.scale,
            q: rows(self.q, member, e.queries * e.depth),
            k: rows(self.k, member, e.keys * e.depth),
            v: rows(self.v, member, e.keys * e.width),
            bias: self.bias.map(|bias| {
                let [first, second] = [0, 1].map(|query| e.bias_row(b, h, query));
                (&bias[first..], second - first)
            }),
            mask: self.mask.map(|mask| &mask[b * e.keys..][..e.keys]),
            y: rows(self.y, member, with_log),
            g: rows(self.g, member, with_log),
            delta: rows(self.delta, member, e.queries),
        }
    }

    /// The scores of a tile, row by row.
    fn scores(&self, t: Tile, s: &mut [f32]) {
        let e = &self.e;
        let (size, stride) = ([t.queries, t.keys, e.depth], t.stride());
        product(&self.query_rows(t), &transposed(self.key_rows(t)), size, s, stride, 0.0, self.scale);
        let (b, h) = (t.member / e.heads, t.member % e.heads);
        if let Some(bias) = self.bias {
            for (at, row) in s.chunks_mut(stride).enumerate() {
                let bias = &bias[e.bias_row(b, h, t.i + at) + t.j..][..t.keys];
                row.iter_mut().zip(bias).for_each(|(s, b)| *s += b);
            }
        }
        if let Some(mask) = self.mask {
            let mask = &mask[b * e.keys + t.j..][..t.keys];
            for row in s.chunks_mut(stride) {
                for (s, &here) in row.iter_mut().zip(mask) {
                    *s = if here == 0.0 { f32::NEG_INFINITY } else { *s };
                }
            }
        }
        if t.keys < stride {
            s.chunks_mut(stride).for_each(|row| row[t.keys..].fill(f32::NEG_INFINITY));
        }
    }

    fn forward(&self, member: usize, i: usize, out: &mut [f32]) {
        let width = self.e.width + 1;
        let queries = out.len() / width;
        let mut top = [f32::NEG_INFINITY; QUERIES];
        let mut sum = [0.0_f32; QUERIES];
        out.fill(0.0);
        with_scratch(2 * TILE, |scratch| {
            let (s, p) = scratch.split_at_mut(TILE);
            for (j, keys) in steps(self.e.keys, KEYS) {
                let tile = Tile { member, i, j, queries, keys };
                let stride = tile.stride();
                let (s, p) = (&mut s[..queries * stride], &mut p[..queries * stride]);
                self.scores(tile, s);
                for (row, s) in s.chunks_mut(stride).enumerate() {
                    let larger = |a: f32, b: f32| if a > b { a } else { b };
                    let highest = larger(top[row], in_lanes(s, f32::NEG_INFINITY, larger));
                    // Where no key was there yet, everything so far is zero.
                    let level = if highest == f32::NEG_INFINITY { 0.0 } else { highest };
                    if j > 0 {
                        let shrink = (top[row] - level).exp();
                        sum[row] *= shrink;
                        out[row * width..][..width].iter_mut().for_each(|y| *y *= shrink);
                    }
                    top[row] = highest;
                    sum[row] += exponentials(s, level, &mut p[row * stride..][..stride]);
                }
                let size = [queries, self.e.width, keys];
                product(&matrix(p, 0, stride), &self.value_rows(tile), size, out, width, 1.0, 1.0);
            }
        });
        for (row, y) in out.chunks_mut(width).enumerate() {
            let there = top[row] != f32::NEG_INFINITY;
            let factor = if there { 1.0 / sum[row] } else { 0.0 };
            y.iter_mut().for_each(|y| *y *= factor);
            y[width - 1] = if there { top[row] + sum[row].ln() } else { 0.0 };
        }
    }

    /// The weights of a tile and the derivative by its scores, made again from the rows' logarithms.
    fn slopes(&self, t: Tile, p: &mut [f32], ds: &mut [f32]) {
        let width = self.e.width + 1;
        let first = t.member * self.e.queries + t.i;
        let stride = t.stride();
        self.scores(t, ds);
        for (at, (s, p)) in ds.chunks(stride).zip(p.chunks_mut(stride)).enumerate() {
            exponentials(s, self.y[(first + at) * width + width - 1], p);
        }
        let size = [t.queries, t.keys, self.e.width];
        product(&self.upstream_rows(t), &transposed(self.value_rows(t)), size, ds, stride, 0.0, 1.0);
        for (at, (ds, p)) in ds.chunks_mut(stride).zip(p.chunks(stride)).enumerate() {
            let delta = self.delta[first + at];
            ds.iter_mut().zip(p).for_each(|(ds, p)| *ds = p * (*ds - delta));
        }
    }

    fn queries(&self, member: usize, i: usize, out: &mut [f32]) {
        let depth = self.e.depth;
        let queries = out.len() / depth;
        out.fill(0.0);
        with_scratch(2 * TILE, |scratch| {
            let (p, ds) = scratch.split_at_mut(TILE);
            for (j, keys) in steps(self.e.keys, KEYS) {
                let tile = Tile { member, i, j, queries, keys };
                let stride = tile.stride();
                let (p, ds) = (&mut p[..queries * stride], &mut ds[..queries * stride]);
                self.slopes(tile, p, ds);
                let size = [queries, depth, keys];
                product(&matrix(ds, 0, stride), &self.key_rows(tile), size, out, depth, 1.0, self.scale);
            }
        });
    }

    fn keys_values(&self, member: usize, j: usize, out: &mut [f32]) {
        let (depth, width) = (self.e.depth, self.e.width);
        let row = depth + width;
        let keys = out.len() / row;
        out.fill(0.0);
        with_scratch(2 * TILE, |scratch| {
            let (p, ds) = scratch.split_at_mut(TILE);
            for (i, queries) in steps(self.e.queries, QUERIES) {
                let tile = Tile { member, i, j, queries, keys };
                let stride = tile.stride();
                let (p, ds) = (&mut p[..queries * stride], &mut ds[..queries * stride]);
                self.slopes(tile, p, ds);
                let (p, ds) = (transposed(matrix(p, 0, stride)), transposed(matrix(ds, 0, stride)));
                let (q, g) = (self.query_rows(tile), self.upstream_rows(tile));
                product(&ds, &q, [keys, depth, queries], out, row, 1.0, self.scale);
                product(&p, &g, [keys, width, queries], &mut out[depth..], row, 1.0, 1.0);
            }
        });
    }

    /// Rows `first..` of the bias at (b, h), summed over everything it was broadcast to.
    fn bias(&self, b: usize, h: usize, first: usize, out: &mut [f32]) {
        let e = &self.e;
        let [batch, heads, rows] = e.bias;
        let all = |own: usize, at: usize, full: usize| if own == full { at..at + 1 } else { 0..full };
        // A bias of one row stands for every query.
        let queries = if rows == e.queries { first..first + out.len() / e.keys } else { 0..e.queries };
        out.fill(0.0);
        with_scratch(2 * TILE, |scratch| {
            let (p, ds) = scratch.split_at_mut(TILE);
            for member in
                all(batch, b, e.batch).flat_map(|b| all(heads, h, e.heads).map(move |h| b * e.heads + h))
            {
                for (i, count) in steps(queries.len(), QUERIES) {
                    for (j, keys) in steps(e.keys, KEYS) {
                        let tile = Tile { member, i: queries.start + i, j, queries: count, keys };
                        let stride = tile.stride();
                        let (p, ds) = (&mut p[..count * stride], &mut ds[..count * stride]);
                        self.slopes(tile, p, ds);
                        for (at, ds) in ds.chunks(stride).enumerate() {
                            let row = if rows == e.queries { i + at } else { 0 };
                            out[row * e.keys + j..][..keys].iter_mut().zip(ds).for_each(|(o, d)| *o += d);
                        }
                    }
                }
            }
        });
    }
}
