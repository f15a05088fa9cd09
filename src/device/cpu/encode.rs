use rayon::prelude::*;

use super::{Call, chain::has_avx2};
use crate::ops::encode::Encode;
use crate::ops::vocabulary::single::{cos, sin};

/// Points of one task.
const POINTS: usize = 64;

pub fn run(op: &Encode, call: &Call<'_>) {
    let (x, frequencies) = (call.f32(0), call.f32(1));
    let count = frequencies.len() / 3;
    if call.result.is_empty() {
        return;
    }
    let axis = |a: usize| -> Vec<f32> { frequencies.chunks(3).map(|f| f[a]).collect() };
    let [fx, fy, fz] = [axis(0), axis(1), axis(2)];
    let task = |(out, x): (&mut [f32], &[f32])| {
        let mut phase = vec![0.0; count];
        for (out, p) in out.chunks_mut(2 * count).zip(x.chunks(3)) {
            for j in 0..count {
                phase[j] = p[0] * fx[j] + p[1] * fy[j] + p[2] * fz[j];
            }
            for (out, phase) in out.chunks_mut(2 * op.group).zip(phase.chunks(op.group)) {
                let (sine, cosine) = out.split_at_mut(op.group);
                both(phase, sine, cosine);
            }
        }
    };
    call.out().par_chunks_mut(POINTS * 2 * count).zip(x.par_chunks(POINTS * 3)).for_each(task);
}

/// Sines and cosines together: they share the reduction to a quadrant and both polynomials.
fn both(phase: &[f32], sine: &mut [f32], cosine: &mut [f32]) {
    #[inline(always)]
    fn each(phase: &[f32], sine: &mut [f32], cosine: &mut [f32]) {
        for ((s, c), &p) in sine.iter_mut().zip(cosine).zip(phase) {
            (*s, *c) = (sin(p), cos(p));
        }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn each_avx2(phase: &[f32], sine: &mut [f32], cosine: &mut [f32]) {
        each(phase, sine, cosine);
    }
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // Detected just now.
        return unsafe { each_avx2(phase, sine, cosine) };
    }
    each(phase, sine, cosine);
}
