//! Transforms by rustfft, a channel a task. Two members of the batch are the real and the imaginary part of one
//! transform: the filter is real, so they come out of it apart.

use rayon::prelude::*;
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

use super::Call;
use super::matmul::{Out, row_tile};
use crate::ops::long_conv::{Direction, Extent, LongConv};

pub fn run(op: &LongConv, call: &Call<'_>) {
    let e = op.extent(call.inputs);
    if call.result.is_empty() {
        return;
    }
    let mut planner = FftPlanner::new();
    let lines = Lines {
        e,
        centre: op.centre,
        there: planner.plan_fft_forward(e.period),
        back: planner.plan_fft_inverse(e.period),
        out: Out { call, base: 0 },
    };
    (0..e.channels).into_par_iter().for_each(|c| match op.direction {
        Direction::Forward => lines.convolve(c, call.f32(0), call.f32(1)),
        Direction::Taps(_) => lines.correlate(c, call.f32(0), call.f32(1)),
    });
}

struct Lines<'a> {
    e: Extent,
    centre: usize,
    there: Arc<dyn Fft<f32>>,
    back: Arc<dyn Fft<f32>>,
    out: Out<'a>,
}

impl Lines<'_> {
    fn room(&self) -> (Vec<Complex32>, Vec<Complex32>) {
        let scratch = self.there.get_inplace_scratch_len().max(self.back.get_inplace_scratch_len());
        (vec![Complex32::default(); self.e.period], vec![Complex32::default(); scratch])
    }

    /// The transform of members b and b + 1 of a channel.
    fn transform(&self, x: &[f32], [b, c]: [usize; 2], line: &mut [Complex32], scratch: &mut [Complex32]) {
        let Extent { batch, channels, length, .. } = self.e;
        let member = |b: usize| &x[(b * channels + c) * length..][..length];
        for (z, &x) in line.iter_mut().zip(member(b)) {
            *z = Complex32::new(x, 0.0);
        }
        if b + 1 < batch {
            line.iter_mut().zip(member(b + 1)).for_each(|(z, &x)| z.im = x);
        }
        line[length..].fill(Complex32::default());
        self.there.process_with_scratch(line, scratch);
    }

    fn convolve(&self, c: usize, u: &[f32], k: &[f32]) {
        let Extent { batch, channels, length, taps, period } = self.e;
        let (mut line, mut scratch) = self.room();
        let mut filter = vec![Complex32::default(); period];
        // Lag 0 at the first place, lags below it at the end.
        for (i, &k) in k[c * taps..][..taps].iter().enumerate() {
            filter[(i + period - self.centre) % period].re += k / period as f32;
        }
        self.there.process_with_scratch(&mut filter, &mut scratch);
        for b in (0..batch).step_by(2) {
            self.transform(u, [b, c], &mut line, &mut scratch);
            line.iter_mut().zip(&filter).for_each(|(z, k)| *z *= k);
            self.back.process_with_scratch(&mut line, &mut scratch);
            let parts: [fn(&Complex32) -> f32; 2] = [|z| z.re, |z| z.im];
            for (b, part) in (b..batch).zip(parts) {
                row_tile((b * channels + c) * length, length, &self.out, |y| {
                    y.iter_mut().zip(&line).for_each(|(y, z)| *y = part(z));
                });
            }
        }
    }

    fn correlate(&self, c: usize, u: &[f32], y: &[f32]) {
        let Extent { batch, taps, period, .. } = self.e;
        let (mut sum, mut scratch) = self.room();
        let (mut left, mut right) = (sum.clone(), sum.clone());
        for b in (0..batch).step_by(2) {
            self.transform(u, [b, c], &mut left, &mut scratch);
            self.transform(y, [b, c], &mut right, &mut scratch);
            // What the two members have with each other is imaginary after the transform back.
            for ((sum, u), y) in sum.iter_mut().zip(&left).zip(&right) {
                *sum += u.conj() * y;
            }
        }
        self.back.process_with_scratch(&mut sum, &mut scratch);
        row_tile(c * taps, taps, &self.out, |k| {
            for (i, k) in k.iter_mut().enumerate() {
                *k = sum[(i + period - self.centre) % period].re / period as f32;
            }
        });
    }
}
