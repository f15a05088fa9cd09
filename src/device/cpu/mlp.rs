//! A tile of rows goes through all layers while it is in a second-level cache; weights are packed once for all
//! tiles.

use std::borrow::Cow;

use rayon::prelude::*;

use super::chain::has_avx2;
use super::matmul::{Matrix, accumulate, convert, floats};
use super::panel::{self, Rows};
use super::{Call, encode, with_scratch};
use crate::ops::mlp::{BY_HIDDEN, BY_LAST, BY_LAST_WEIGHT, BY_WEIGHTS, BY_Y, Extent, Mlp, Part};

/// Rows of a tile: a layer's rows, the next one's and its weights are in cache together.
const TILE: usize = panel::TILE;

pub fn run(op: &Mlp, call: &Call<'_>) {
    let inputs: Vec<Cow<'_, [f32]>> = call.reads.iter().map(|&raw| floats(raw)).collect();
    let network = Network { op, e: op.extent(call.inputs), inputs: &inputs, call };
    if op.is_derivative() { network.derivative() } else { network.forward() }
}

/// A weight as the right factor of products.
struct Factor<'a> {
    right: Matrix<'a>,
    packed: Option<&'a [f32]>,
    n: usize,
    k: usize,
}

impl Factor<'_> {
    fn multiply(&self, rows: &[f32], out: &mut [f32]) {
        let (n, k) = (self.n, self.k);
        match self.packed {
            Some(packed) => panel::multiply((rows, k), Rows::InCache, packed, [n, k], (out, false)),
            None => accumulate(&matrix(rows, k), &self.right, [out.len() / n, n, k], out, n, 0.0, 1.0),
        }
    }
}

fn matrix(data: &[f32], columns: usize) -> Matrix<'_> {
    Matrix { data, row_stride: columns as isize, column_stride: 1 }
}

/// Of `data`, whose rows are `columns` long.
fn transposed(data: &[f32], columns: usize) -> Matrix<'_> {
    Matrix { data, row_stride: 1, column_stride: columns as isize }
}

struct Network<'a> {
    op: &'a Mlp,
    e: Extent,
    inputs: &'a [Cow<'a, [f32]>],
    call: &'a Call<'a>,
}

impl<'a> Network<'a> {
    fn input(&self, at: usize) -> &'a [f32] {
        &self.inputs[at]
    }

    /// Stores a tile of a part that is wanted.
    fn keep(&self, part: Part, start: usize, values: &[f32]) {
        if let Some(at) = self.op.parts.iter().position(|&p| p == part) {
            // Tiles do not overlap.
            unsafe { convert(values, self.call.writes[at], start) };
        }
    }

    /// Runs `work` with weights `[k, n]` as factors, packed where that pays.
    fn with_factors(&self, weights: &[(Matrix<'a>, [usize; 2])], work: impl FnOnce(&[Factor<'_>])) {
        let length = |&(right, [n, k]): &(Matrix<'a>, [usize; 2])| {
            // The left factors are tiles of plain rows.
            let left = Matrix { row_stride: k as isize, column_stride: 1, ..right };
            if panel::suits(&left, self.e.rows, n, k) { panel::packed_len(n, k) } else { 0 }
        };
        let lengths: Vec<usize> = weights.iter().map(length).collect();
        with_scratch(lengths.iter().sum(), |mut scratch| {
            let mut factors = vec![];
            for (&(right, [n, k]), &len) in weights.iter().zip(&lengths) {
                let (packed, rest) = std::mem::take(&mut scratch).split_at_mut(len);
                scratch = rest;
                if len > 0 {
                    panel::pack(&right, n, k, packed);
                }
                factors.push(Factor { right, packed: (len > 0).then_some(&*packed), n, k });
            }
            work(&factors);
        });
    }

    /// Cut by shape: first row and count of each tile.
    fn tiles(&self, work: impl Fn(usize, usize) + Sync) {
        (0..self.e.rows.div_ceil(TILE)).into_par_iter().for_each(|tile| {
            let first = tile * TILE;
            work(first, TILE.min(self.e.rows - first));
        });
    }

    fn forward(&self) {
        let Extent { rows, members, features, width, layers, outputs } = self.e;
        let at = self.op.offset_input();
        let (offset, biases, last_bias) = (self.input(at), self.input(at + 3), self.input(at + 5));
        let mut weights = vec![(transposed(self.input(at + 1), features), [width, features])];
        for weight in self.input(at + 2).chunks(width * width) {
            weights.push((transposed(weight, width), [width, width]));
        }
        let last_weight = transposed(self.input(at + 4), width);
        let encoding = self.op.encode.map(|group| (group, encode::axes(self.input(1))));
        // Features alone need no layer.
        let deep = self.op.parts.iter().any(|&part| part != Part::Features);
        self.with_factors(if deep { &weights } else { &[] }, |factors| {
            self.tiles(|first, count| {
                with_scratch(count * (features + 2 * width + outputs), |scratch| {
                    let (encoded, scratch) = scratch.split_at_mut(count * features);
                    let (mut h, scratch) = scratch.split_at_mut(count * width);
                    let (mut next, y) = scratch.split_at_mut(count * width);
                    let x = match &encoding {
                        Some((group, axes)) => {
                            encode::rows(*group, &self.input(0)[first * 3..][..count * 3], axes, encoded);
                            self.keep(Part::Features, first * features, encoded);
                            &*encoded
                        }
                        None => &self.input(0)[first * features..][..count * features],
                    };
                    let Some((factor, factors)) = factors.split_first() else { return };
                    factor.multiply(x, h);
                    for (i, h) in h.chunks_mut(width).enumerate() {
                        let member = (first + i) / (rows / members);
                        activate(h, None, &offset[member * width..][..width], self.op.slope);
                    }
                    for (l, (factor, bias)) in factors.iter().zip(biases.chunks(width)).enumerate() {
                        self.keep(Part::Hidden, (l * rows + first) * width, h);
                        factor.multiply(h, next);
                        for (next, h) in next.chunks_mut(width).zip(h.chunks(width)) {
                            activate(next, self.op.residual.then_some(h), bias, self.op.slope);
                        }
                        std::mem::swap(&mut h, &mut next);
                    }
                    debug_assert_eq!(factors.len(), layers);
                    self.keep(Part::Last, first * width, h);
                    y.chunks_mut(outputs).for_each(|y| y.copy_from_slice(last_bias));
                    accumulate(
                        &matrix(h, width),
                        &last_weight,
                        [count, outputs, width],
                        y,
                        outputs,
                        1.0,
                        1.0,
                    );
                    self.keep(Part::Output, first * outputs, y);
                });
            });
        });
    }

    fn derivative(&self) {
        let Extent { rows, width, layers, outputs, .. } = self.e;
        let (by_y, last_weight) = (self.input(BY_Y), matrix(self.input(BY_LAST_WEIGHT), width));
        let (hidden, last) = (self.input(BY_HIDDEN), self.input(BY_LAST));
        let weights: Vec<_> = self.input(BY_WEIGHTS).chunks(width * width).collect();
        let weights: Vec<_> = weights.into_iter().map(|w| (matrix(w, width), [width, width])).collect();
        self.with_factors(&weights, |factors| {
            self.tiles(|first, count| {
                with_scratch(2 * count * width, |scratch| {
                    let (mut g, mut next) = scratch.split_at_mut(count * width);
                    let by_y = matrix(&by_y[first * outputs..], outputs);
                    accumulate(&by_y, &last_weight, [count, width, outputs], g, width, 0.0, 1.0);
                    mask(g, None, &last[first * width..], self.op.slope);
                    for (l, factor) in factors.iter().enumerate().rev() {
                        let start = (l * rows + first) * width;
                        self.keep(Part::ByHidden, start, g);
                        factor.multiply(g, next);
                        mask(next, self.op.residual.then_some(g), &hidden[start..], self.op.slope);
                        std::mem::swap(&mut g, &mut next);
                    }
                    debug_assert_eq!(factors.len(), layers);
                    self.keep(Part::ByFirst, first * width, g);
                });
            });
        });
    }
}

/// Compiles a loop for the widest instructions that are worth it.
macro_rules! vectorised {
    ($(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),*) $body:block) => {
        $(#[$doc])*
        fn $name($($argument: $kind),*) {
            #[inline(always)]
            fn each($($argument: $kind),*) $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn each_avx2($($argument: $kind),*) {
                each($($argument),*);
            }
            #[cfg(target_arch = "x86_64")]
            if has_avx2() {
                // Detected just now.
                return unsafe { each_avx2($($argument),*) };
            }
            each($($argument),*);
        }
    };
}

vectorised! {
    /// One row: bias, residual, activation.
    fn activate(h: &mut [f32], before: Option<&[f32]>, bias: &[f32], slope: f32) {
        let active = |v: f32| if v > 0.0 { v } else { slope * v };
        match before {
            Some(before) => {
                let terms = bias.iter().zip(before);
                h.iter_mut().zip(terms).for_each(|(h, (b, r))| *h = active(*h + b + r));
            }
            None => h.iter_mut().zip(bias).for_each(|(h, b)| *h = active(*h + b)),
        }
    }
}

vectorised! {
    /// The derivative by what an activation read, from that by its value `h`.
    fn mask(g: &mut [f32], residual: Option<&[f32]>, h: &[f32], slope: f32) {
        let factor = |h: f32| if h > 0.0 { 1.0 } else { slope };
        match residual {
            Some(residual) => {
                let terms = h.iter().zip(residual);
                g.iter_mut().zip(terms).for_each(|(g, (&h, r))| *g = (*g + r) * factor(h));
            }
            None => g.iter_mut().zip(h).for_each(|(g, &h)| *g *= factor(h)),
        }
    }
}
