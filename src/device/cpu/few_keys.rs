//! [`attention`](super::attention) over a handful of keys, as the residues of a peptide are: a row of scores is one
//! register, which products of tiles leave mostly empty.

use crate::ops::attention::{Extent, Part};

/// Most keys, and most queries, of such a member: the elements of a register.
const LANES: usize = 8;
/// Most features of a row.
const FEATURES: usize = 64;

pub fn suits(e: &Extent) -> bool {
    let whole = |features: usize| features.is_multiple_of(LANES) && features <= FEATURES;
    e.keys <= LANES && e.queries <= LANES && whole(e.depth) && whole(e.width) && super::panel::has_kernel()
}

/// One member of batch and heads; names and shapes as those of [`crate::ops::attention`].
pub struct Member<'a> {
    pub e: Extent,
    pub scale: f32,
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    /// With the step from row to row.
    pub bias: Option<(&'a [f32], usize)>,
    pub mask: Option<&'a [f32]>,
    pub y: &'a [f32],
    pub g: &'a [f32],
    pub delta: &'a [f32],
}

/// The whole member's part of the result; the derivative by the bias is not for here.
pub fn run(part: Part, member: &Member, out: &mut [f32]) {
    // `suits` found the instructions.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        match part {
            Part::Forward => x86::forward(member, out),
            Part::Queries => x86::queries(member, out),
            Part::KeysValues => x86::keys_values(member, out),
            Part::Bias => {}
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::attention::exponentials;
    use super::{FEATURES, LANES, Member};

    /// A row for each query, one number in it for each key.
    type Rows = [f32; LANES * LANES];

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load(from: &[f32], at: usize) -> __m256 {
        unsafe { _mm256_loadu_ps(from[at..at + LANES].as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn store(to: &mut [f32], at: usize, values: __m256) {
        unsafe { _mm256_storeu_ps(to[at..at + LANES].as_mut_ptr(), values) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn transposed(r: [__m256; LANES]) -> [__m256; LANES] {
        let mut pairs = r;
        for i in 0..4 {
            pairs[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        let mut fours = r;
        for i in 0..2 {
            for half in 0..2 {
                let (a, b) = (pairs[4 * i + half], pairs[4 * i + half + 2]);
                fours[4 * i + 2 * half] = _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
                fours[4 * i + 2 * half + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
            }
        }
        let mut all = r;
        for i in 0..4 {
            all[i] = _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
            all[i + 4] = _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
        }
        all
    }

    /// Rows of keys or values, feature by feature.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn turned(rows: &[f32], len: usize) -> [__m256; FEATURES] {
        let mut turned = [_mm256_setzero_ps(); FEATURES];
        for feature in (0..len).step_by(LANES) {
            let mut block = [_mm256_setzero_ps(); LANES];
            for (j, row) in rows.chunks_exact(len).enumerate().take(LANES) {
                block[j] = load(row, feature);
            }
            turned[feature..feature + LANES].copy_from_slice(&transposed(block));
        }
        turned
    }

    /// The products of `x` with every row.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn times(x: &[f32], turned: &[__m256; FEATURES]) -> __m256 {
        let mut sums = [_mm256_setzero_ps(); 2];
        for (x, rows) in x.chunks_exact(2).zip(turned.chunks_exact(2)) {
            for i in 0..2 {
                sums[i] = _mm256_fmadd_ps(_mm256_set1_ps(x[i]), rows[i], sums[i]);
            }
        }
        _mm256_add_ps(sums[0], sums[1])
    }

    /// The sum of `rows`, each `len` behind the one before, times their weights: the first `out.len()` elements of it.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn combine(out: &mut [f32], weights: impl Iterator<Item = f32> + Clone, rows: &[f32], len: usize) {
        for at in (0..out.len()).step_by(LANES) {
            let mut sum = _mm256_setzero_ps();
            for (j, weight) in weights.clone().enumerate() {
                sum = _mm256_fmadd_ps(_mm256_set1_ps(weight), load(rows, j * len + at), sum);
            }
            store(out, at, sum);
        }
    }

    /// Minus infinity where no key is.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn scores(m: &Member) -> Rows {
        let (depth, keys) = (m.e.depth, m.e.keys);
        let turned = turned(m.k, depth);
        let mut missing = [f32::NEG_INFINITY; LANES];
        for (j, missing) in missing[..keys].iter_mut().enumerate() {
            *missing = if m.mask.is_some_and(|mask| mask[j] == 0.0) { f32::NEG_INFINITY } else { 0.0 };
        }
        let missing = load(&missing, 0);
        let mut s = [0.0; LANES * LANES];
        for (i, q) in m.q.chunks_exact(depth).enumerate().take(LANES) {
            let mut bias = [0.0; LANES];
            if let Some((all, step)) = m.bias {
                bias[..keys].copy_from_slice(&all[i * step..][..keys]);
            }
            let there = _mm256_fmadd_ps(times(q, &turned), _mm256_set1_ps(m.scale), load(&bias, 0));
            // Whatever stands where no key is, a NaN too.
            store(&mut s, i * LANES, _mm256_blendv_ps(there, missing, missing));
        }
        s
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn forward(m: &Member, out: &mut [f32]) {
        let (width, keys) = (m.e.width, m.e.keys);
        let mut s = scores(m);
        let (mut p, mut top) = ([0.0; LANES * LANES], [0.0; LANES]);
        for (s, top) in s.chunks_exact_mut(LANES).zip(&mut top) {
            *top = s.iter().fold(f32::NEG_INFINITY, |top, &s| if s > top { s } else { top });
            // Where no key is there, all weights are zero.
            let level = if *top == f32::NEG_INFINITY { 0.0 } else { *top };
            s.iter_mut().for_each(|s| *s -= level);
        }
        exponentials(&s, 0.0, &mut p);
        for ((p, top), y) in p.chunks_exact(LANES).zip(top).zip(out.chunks_exact_mut(width + 1)) {
            let sum: f32 = p.iter().sum();
            let factor = if sum == 0.0 { 0.0 } else { 1.0 / sum };
            combine(&mut y[..width], p[..keys].iter().map(|p| p * factor), m.v, width);
            y[width] = if sum == 0.0 { 0.0 } else { top + sum.ln() };
        }
    }

    /// The weights and the derivative by the scores.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn slopes(m: &Member) -> (Rows, Rows) {
        let width = m.e.width;
        let turned = turned(m.v, width);
        let (mut s, mut p, mut ds) = (scores(m), [0.0; LANES * LANES], [0.0; LANES * LANES]);
        for (s, y) in s.chunks_exact_mut(LANES).zip(m.y.chunks_exact(width + 1)) {
            s.iter_mut().for_each(|s| *s -= y[width]);
        }
        exponentials(&s, 0.0, &mut p);
        for (i, g) in m.g.chunks_exact(width + 1).enumerate().take(LANES) {
            let less = _mm256_sub_ps(times(&g[..width], &turned), _mm256_set1_ps(m.delta[i]));
            let slope = _mm256_mul_ps(_mm256_mul_ps(load(&p, i * LANES), less), _mm256_set1_ps(m.scale));
            store(&mut ds, i * LANES, slope);
        }
        (p, ds)
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn queries(m: &Member, out: &mut [f32]) {
        let (depth, keys) = (m.e.depth, m.e.keys);
        let (_, ds) = slopes(m);
        for (ds, out) in ds.chunks_exact(LANES).zip(out.chunks_exact_mut(depth)) {
            combine(out, ds[..keys].iter().copied(), m.k, depth);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn keys_values(m: &Member, out: &mut [f32]) {
        let (depth, width, queries) = (m.e.depth, m.e.width, m.e.queries);
        let (p, ds) = slopes(m);
        for (j, out) in out.chunks_exact_mut(depth + width).enumerate().take(LANES) {
            let (dk, dv) = out.split_at_mut(depth);
            combine(dk, ds[j..].iter().step_by(LANES).take(queries).copied(), m.q, depth);
            combine(dv, p[j..].iter().step_by(LANES).take(queries).copied(), m.g, width + 1);
        }
    }
}
