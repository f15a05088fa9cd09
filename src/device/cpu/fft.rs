//! Transforms by rustfft, axis by axis, one transform a task; those of real images by [`Hartley2`].

use std::sync::Arc;

use rayon::prelude::*;
use rustfft::num_complex::Complex32;
use rustfft::{Fft as Plan, FftPlanner};

use super::Call;
use crate::cryo::fft::Hartley2;
use crate::ops::fft::{Fft, Transform};
use crate::tensor::strides;

pub fn run(op: &Fft, call: &Call<'_>) {
    let lengths = op.lengths(&call.result.shape);
    let n: usize = lengths.iter().product();
    if call.result.is_empty() {
        return;
    }
    if op.transform == Transform::Hartley && op.centred && lengths.len() == 2 && lengths[0] == lengths[1] {
        let hartley = Hartley2::new(lengths[0]);
        let images = call.out().par_chunks_mut(n).zip(call.f32(0).par_chunks(n));
        return images
            .for_each_init(|| hartley.scratch(), |scratch, (y, x)| hartley.transform(x, y, scratch));
    }
    let mut planner = FftPlanner::new();
    let plans: Vec<Arc<dyn Plan<f32>>> = lengths
        .iter()
        .map(|&n| match op.transform {
            Transform::Inverse => planner.plan_fft_inverse(n),
            _ => planner.plan_fft_forward(n),
        })
        .collect();
    let width = if op.transform == Transform::Hartley { n } else { 2 * n };
    call.out().par_chunks_mut(width).zip(call.f32(0).par_chunks(width)).for_each(|(y, x)| {
        let mut values: Vec<Complex32> = match op.transform {
            Transform::Hartley => x.iter().map(|&v| Complex32::new(v, 0.0)).collect(),
            _ => x.chunks(2).map(|c| Complex32::new(c[0], c[1])).collect(),
        };
        for (axis, plan) in plans.iter().enumerate() {
            along_axis(&mut values, lengths, axis, plan.as_ref(), op.centred);
        }
        match op.transform {
            Transform::Hartley => y.iter_mut().zip(&values).for_each(|(y, v)| *y = v.re - v.im),
            _ => y.chunks_mut(2).zip(&values).for_each(|(y, v)| (y[0], y[1]) = (v.re, v.im)),
        }
    });
}

fn along_axis(values: &mut [Complex32], lengths: &[usize], axis: usize, plan: &dyn Plan<f32>, centred: bool) {
    let n = lengths[axis];
    let stride = strides(lengths)[axis] as usize;
    let shift = if centred { n / 2 } else { 0 };
    let mut line = vec![Complex32::default(); n];
    let mut scratch = vec![Complex32::default(); plan.get_inplace_scratch_len()];
    for first in (0..values.len()).filter(|i| (i / stride).is_multiple_of(n)) {
        for j in 0..n {
            line[j] = values[first + (j + shift) % n * stride];
        }
        plan.process_with_scratch(&mut line, &mut scratch);
        for k in 0..n {
            values[first + (k + shift) % n * stride] = line[k];
        }
    }
}
