//! Blocks of queries (or keys) to tasks; each walks the tiles of the other side in order, all heads of a tile
//! together, so that what belongs to a pair of rows is read once and sums do not depend on the number of threads.

use rayon::prelude::*;

use super::matmul::{Matrix, accumulate};
use super::{Call, chain, with_scratch};
use crate::ops::ipa::{Extent, Ipa, Part};
use crate::ops::rows;

/// Queries and keys of a tile.
const QUERIES: usize = 16;
const KEYS: usize = 128;
const TILE: usize = QUERIES * KEYS;

pub fn run(op: &Ipa, call: &Call<'_>) {
    let e = op.extent(call.inputs);
    if call.result.is_empty() {
        return;
    }
    let given = |at: usize, there: bool| if there { call.f32(op.result_input() + at) } else { &[] };
    let derivative = op.part != Part::Forward;
    let rows = Rows {
        e,
        scale: op.scale,
        q: call.f32(0),
        k: call.f32(1),
        v: call.f32(2),
        pairs: op.pairs.then(|| (call.f32(3), call.f32(4))),
        mask: op.mask.then(|| call.f32(op.mask_input())),
        y: given(0, derivative),
        g: given(1, derivative),
        delta: given(2, derivative),
        slopes: op.takes_slopes().then(|| given(3, true)),
    };
    let (block, width) = match op.part {
        Part::Forward => (QUERIES, e.heads * e.result()),
        Part::Pairs => (QUERIES, e.rows * (e.heads + e.pair)),
        Part::Queries => (QUERIES, e.heads * e.depth),
        Part::KeysValues => (KEYS, e.heads * (e.depth + e.width)),
    };
    let count = e.rows.div_ceil(block);
    (0..e.batch * count).into_par_iter().for_each(|task| {
        let (b, first) = (task / count, task % count * block);
        let len = block.min(e.rows - first) * width;
        // Blocks do not overlap.
        let out = unsafe { call.writes[0].slice_mut((b * e.rows + first) * width, len) };
        match op.part {
            Part::Forward => rows.forward(b, first, out),
            Part::Pairs => rows.pairs(b, first, out),
            Part::Queries => rows.queries(b, first, out),
            Part::KeysValues => rows.keys_values(b, first, out),
        }
    });
}

struct Rows<'a> {
    e: Extent,
    scale: f32,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    /// Bias and features.
    pairs: Option<(&'a [f32], &'a [f32])>,
    mask: Option<&'a [f32]>,
    y: &'a [f32],
    g: &'a [f32],
    delta: &'a [f32],
    slopes: Option<&'a [f32]>,
}

/// Queries `i..` and keys `j..` of member b of the batch.
#[derive(Clone, Copy)]
struct Tile {
    b: usize,
    i: usize,
    j: usize,
    queries: usize,
    keys: usize,
}

fn steps(len: usize, step: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len).step_by(step).map(move |start| (start, step.min(len - start)))
}

fn transposed(m: Matrix<'_>) -> Matrix<'_> {
    Matrix { data: m.data, row_stride: m.column_stride, column_stride: m.row_stride }
}

/// `s -= (q - k)^2 / 2` along a row of keys.
#[inline(always)]
fn fall(q: f32, k: &[f32], s: &mut [f32]) {
    for (s, k) in s.iter_mut().zip(k) {
        let away = q - k;
        *s -= 0.5 * away * away;
    }
}

/// `to += factor (towards - from)`
#[inline(always)]
fn pull(factor: f32, towards: &[f32], from: &[f32], to: &mut [f32]) {
    for ((to, towards), from) in to.iter_mut().zip(towards).zip(from) {
        *to += factor * (towards - from);
    }
}

impl Rows<'_> {
    /// Features `first..` of a head in rows `row..`.
    fn head<'m>(&self, data: &'m [f32], row: usize, h: usize, len: usize, first: usize) -> Matrix<'m> {
        let at = (row * self.e.heads + h) * len + first;
        Matrix {
            data: &data[at.min(data.len())..],
            row_stride: (self.e.heads * len) as isize,
            column_stride: 1,
        }
    }

    fn row<'m>(&self, data: &'m [f32], row: usize, h: usize, len: usize) -> &'m [f32] {
        &data[(row * self.e.heads + h) * len..][..len]
    }

    /// The scores of a tile, row by row.
    fn scores(&self, t: Tile, h: usize, s: &mut [f32]) {
        let e = &self.e;
        let (qi, kj, dots) = (t.b * e.rows + t.i, t.b * e.rows + t.j, e.depth - e.coordinates);
        let (q, k) = (self.head(self.q, qi, h, e.depth, 0), self.head(self.k, kj, h, e.depth, 0));
        accumulate(&q, &transposed(k), [t.queries, t.keys, dots], s, t.keys, 0.0, self.scale);
        with_scratch(t.keys, |line| {
            for c in dots..e.depth {
                for (j, k) in line.iter_mut().enumerate() {
                    *k = self.row(self.k, kj + j, h, e.depth)[c];
                }
                for (i, s) in s.chunks_mut(t.keys).enumerate() {
                    fall(self.row(self.q, qi + i, h, e.depth)[c], line, s);
                }
            }
        });
        for (i, s) in s.chunks_mut(t.keys).enumerate() {
            if let Some((bias, _)) = self.pairs {
                let bias = &bias[((qi + i) * e.rows + t.j) * e.heads + h..];
                s.iter_mut().zip(bias.iter().step_by(e.heads)).for_each(|(s, b)| *s += b);
            }
            if let Some(mask) = self.mask {
                for (s, &here) in s.iter_mut().zip(&mask[kj..]) {
                    *s = if here == 0.0 { f32::NEG_INFINITY } else { *s };
                }
            }
        }
    }

    fn forward(&self, b: usize, i: usize, out: &mut [f32]) {
        let e = self.e;
        let (len, stride) = (e.result(), e.heads * e.result());
        let queries = out.len() / stride;
        out.fill(0.0);
        with_scratch(TILE * (e.heads + 1) + 2 * QUERIES * e.heads, |scratch| {
            let (levels, scratch) = scratch.split_at_mut(2 * QUERIES * e.heads);
            let (top, sum) = levels.split_at_mut(QUERIES * e.heads);
            top.fill(f32::NEG_INFINITY);
            sum.fill(0.0);
            for (j, keys) in steps(e.rows, KEYS) {
                let t = Tile { b, i, j, queries, keys };
                let (s, p) = scratch.split_at_mut(TILE);
                let s = &mut s[..queries * keys];
                for (h, p) in p.chunks_mut(TILE).enumerate().take(e.heads) {
                    let p = &mut p[..queries * keys];
                    self.scores(t, h, s);
                    for (row, s) in s.chunks_mut(keys).enumerate() {
                        let at = row * e.heads + h;
                        let highest = s.iter().copied().fold(top[at], f32::max);
                        // Where no key was there yet, everything so far is zero.
                        let level = if highest == f32::NEG_INFINITY { 0.0 } else { highest };
                        s.iter_mut().for_each(|s| *s -= level);
                        let shrink = (top[at] - level).exp();
                        top[at] = highest;
                        sum[at] *= shrink;
                        out[at * len..][..len].iter_mut().for_each(|y| *y *= shrink);
                    }
                    chain::sweep(&rows::exponential, &[s], p);
                    for (row, p) in p.chunks(keys).enumerate() {
                        sum[row * e.heads + h] += p.iter().sum::<f32>();
                    }
                    let weights = Matrix { data: p, row_stride: keys as isize, column_stride: 1 };
                    let values = self.head(self.v, b * e.rows + j, h, e.width, 0);
                    accumulate(
                        &weights,
                        &values,
                        [queries, e.width, keys],
                        &mut out[h * len..],
                        stride,
                        1.0,
                        1.0,
                    );
                }
                for (row, out) in out.chunks_mut(stride).enumerate() {
                    let Some(z) = self.features(t, row) else { continue };
                    let weights = heads_of(p, row, keys);
                    let to = &mut out[e.width..];
                    accumulate(&weights, &z, [e.heads, e.pair, keys], to, len, 1.0, 1.0);
                }
            }
            for (at, y) in out.chunks_mut(len).enumerate() {
                let there = top[at] != f32::NEG_INFINITY;
                let factor = if there { 1.0 / sum[at] } else { 0.0 };
                y.iter_mut().for_each(|y| *y *= factor);
                y[len - 1] = if there { top[at] + sum[at].ln() } else { 0.0 };
            }
        });
    }

    /// The pair features of a query's keys.
    fn features(&self, t: Tile, row: usize) -> Option<Matrix<'_>> {
        let (_, z) = self.pairs?;
        let at = ((t.b * self.e.rows + t.i + row) * self.e.rows + t.j) * self.e.pair;
        Some(Matrix { data: &z[at..], row_stride: self.e.pair as isize, column_stride: 1 })
    }

    /// The weights of a tile, made again from the rows' logarithms; `s` is overwritten.
    fn weights(&self, t: Tile, h: usize, s: &mut [f32], p: &mut [f32]) {
        let len = self.e.result();
        self.scores(t, h, s);
        for (i, s) in s.chunks_mut(t.keys).enumerate() {
            let log = self.row(self.y, t.b * self.e.rows + t.i + i, h, len)[len - 1];
            s.iter_mut().for_each(|s| *s -= log);
        }
        chain::sweep(&rows::exponential, &[s], p);
    }

    /// Products of the upstream derivative with the values.
    fn value_slopes(&self, t: Tile, h: usize, ds: &mut [f32]) {
        let e = &self.e;
        let g = self.head(self.g, t.b * e.rows + t.i, h, e.result(), 0);
        let v = transposed(self.head(self.v, t.b * e.rows + t.j, h, e.width, 0));
        accumulate(&g, &v, [t.queries, t.keys, e.width], ds, t.keys, 0.0, 1.0);
    }

    /// From products with what is summed to the derivative by the scores.
    fn finish_slopes(&self, t: Tile, h: usize, p: &[f32], ds: &mut [f32]) {
        for (i, (ds, p)) in ds.chunks_mut(t.keys).zip(p.chunks(t.keys)).enumerate() {
            let delta = self.row(self.delta, t.b * self.e.rows + t.i + i, h, 1)[0];
            ds.iter_mut().zip(p).for_each(|(ds, p)| *ds = p * (*ds - delta));
        }
    }

    /// Weights and derivative by the scores of one head's tile.
    fn slopes(&self, t: Tile, h: usize, p: &mut [f32], ds: &mut [f32]) {
        self.weights(t, h, ds, p);
        let Some(slopes) = self.slopes else {
            self.value_slopes(t, h, ds);
            return self.finish_slopes(t, h, p, ds);
        };
        let width = self.e.heads + self.e.pair;
        for (i, ds) in ds.chunks_mut(t.keys).enumerate() {
            let from = &slopes[((t.b * self.e.rows + t.i + i) * self.e.rows + t.j) * width + h..];
            ds.iter_mut().zip(from.iter().step_by(width)).for_each(|(ds, s)| *ds = *s);
        }
    }

    fn pairs(&self, b: usize, i: usize, out: &mut [f32]) {
        let e = self.e;
        let width = e.heads + e.pair;
        let queries = out.len() / (e.rows * width);
        with_scratch((2 * e.heads + 1) * TILE, |scratch| {
            let (s, scratch) = scratch.split_at_mut(TILE);
            let (p, ds) = scratch.split_at_mut(e.heads * TILE);
            for (j, keys) in steps(e.rows, KEYS) {
                let t = Tile { b, i, j, queries, keys };
                let len = queries * keys;
                for (h, (p, ds)) in p.chunks_mut(TILE).zip(ds.chunks_mut(TILE)).enumerate() {
                    self.weights(t, h, &mut s[..len], &mut p[..len]);
                    self.value_slopes(t, h, &mut ds[..len]);
                }
                for row in 0..queries {
                    let Some(z) = self.features(t, row) else { continue };
                    let g = self.upstream(t, row);
                    let to = &mut ds[row * keys..];
                    accumulate(&g, &transposed(z), [e.heads, keys, e.pair], to, TILE, 1.0, 1.0);
                }
                for (h, (p, ds)) in p.chunks(TILE).zip(ds.chunks_mut(TILE)).enumerate() {
                    self.finish_slopes(t, h, &p[..len], &mut ds[..len]);
                }
                for row in 0..queries {
                    let to = &mut out[(row * e.rows + j) * width..];
                    for (key, to) in to.chunks_mut(width).enumerate().take(keys) {
                        for (h, to) in to.iter_mut().enumerate().take(e.heads) {
                            *to = ds[h * TILE + row * keys + key];
                        }
                    }
                    let (weights, g) = (transposed(heads_of(p, row, keys)), self.upstream(t, row));
                    let to = &mut to[e.heads..];
                    accumulate(&weights, &g, [keys, e.pair, e.heads], to, width, 0.0, 1.0);
                }
            }
        });
    }

    /// The upstream derivative by the sums of pair features, `[H, Z]`, of a query.
    fn upstream(&self, t: Tile, row: usize) -> Matrix<'_> {
        let len = self.e.result();
        let at = (t.b * self.e.rows + t.i + row) * self.e.heads * len + self.e.width;
        Matrix { data: &self.g[at..], row_stride: len as isize, column_stride: 1 }
    }

    fn queries(&self, b: usize, i: usize, out: &mut [f32]) {
        let e = self.e;
        let (stride, dots) = (e.heads * e.depth, e.depth - e.coordinates);
        let queries = out.len() / stride;
        out.fill(0.0);
        with_scratch(2 * TILE, |scratch| {
            let (p, ds) = scratch.split_at_mut(TILE);
            for (j, keys) in steps(e.rows, KEYS) {
                let t = Tile { b, i, j, queries, keys };
                let (p, ds) = (&mut p[..queries * keys], &mut ds[..queries * keys]);
                for h in 0..e.heads {
                    self.slopes(t, h, p, ds);
                    let of = Matrix { data: ds, row_stride: keys as isize, column_stride: 1 };
                    let k = self.head(self.k, b * e.rows + j, h, e.depth, 0);
                    let to = &mut out[h * e.depth..];
                    accumulate(&of, &k, [queries, dots, keys], to, stride, 1.0, self.scale);
                    for (row, ds) in ds.chunks(keys).enumerate() {
                        let q = &self.row(self.q, b * e.rows + i + row, h, e.depth)[dots..];
                        let to = &mut to[row * stride..][dots..e.depth];
                        for (key, &ds) in ds.iter().enumerate() {
                            pull(ds, &self.row(self.k, b * e.rows + j + key, h, e.depth)[dots..], q, to);
                        }
                    }
                }
            }
        });
    }

    fn keys_values(&self, b: usize, j: usize, out: &mut [f32]) {
        let e = self.e;
        let (len, dots) = (e.depth + e.width, e.depth - e.coordinates);
        let stride = e.heads * len;
        let keys = out.len() / stride;
        out.fill(0.0);
        with_scratch(2 * TILE, |scratch| {
            let (p, ds) = scratch.split_at_mut(TILE);
            for (i, queries) in steps(e.rows, QUERIES) {
                let t = Tile { b, i, j, queries, keys };
                let (p, ds) = (&mut p[..queries * keys], &mut ds[..queries * keys]);
                for h in 0..e.heads {
                    self.slopes(t, h, p, ds);
                    let of = |data| Matrix { data, row_stride: 1, column_stride: keys as isize };
                    let q = self.head(self.q, b * e.rows + i, h, e.depth, 0);
                    let g = self.head(self.g, b * e.rows + i, h, e.result(), 0);
                    let to = &mut out[h * len..];
                    accumulate(&of(ds), &q, [keys, dots, queries], to, stride, 1.0, self.scale);
                    accumulate(&of(p), &g, [keys, e.width, queries], &mut to[e.depth..], stride, 1.0, 1.0);
                    for (row, ds) in ds.chunks(keys).enumerate() {
                        let q = &self.row(self.q, b * e.rows + i + row, h, e.depth)[dots..];
                        for (key, &ds) in ds.iter().enumerate() {
                            let k = &self.row(self.k, b * e.rows + j + key, h, e.depth)[dots..];
                            pull(ds, q, k, &mut to[key * stride..][dots..e.depth]);
                        }
                    }
                }
            }
        });
    }
}

/// The weights of one query of a tile for all heads.
fn heads_of(p: &[f32], row: usize, keys: usize) -> Matrix<'_> {
    Matrix { data: &p[row * keys..], row_stride: TILE as isize, column_stride: 1 }
}
