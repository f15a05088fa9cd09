use rayon::prelude::*;

use super::{Call, chain::has_avx2};
use crate::ops::encode::Encode;
use crate::ops::vocabulary::single::{cos, sin};

/// Points of one task.
const POINTS: usize = 64;

pub fn run(op: &Encode, call: &Call<'_>) {
    let (x, axes) = (call.f32(0), axes(call.f32(1)));
    if call.result.is_empty() {
        return;
    }
    let task = |(out, x): (&mut [f32], &[f32])| rows(op.group, x, &axes, out);
    let width = 2 * axes[0].len();
    call.out().par_chunks_mut(POINTS * width).zip(x.par_chunks(POINTS * 3)).for_each(task);
}

/// The three components of all frequencies.
pub fn axes(frequencies: &[f32]) -> [Vec<f32>; 3] {
    [0, 1, 2].map(|axis| frequencies.chunks(3).map(|f| f[axis]).collect())
}

/// The features of some points.
pub fn rows(group: usize, x: &[f32], [fx, fy, fz]: &[Vec<f32>; 3], out: &mut [f32]) {
    let count = fx.len();
    let mut phase = vec![0.0; count];
    for (out, p) in out.chunks_mut(2 * count).zip(x.chunks(3)) {
        for j in 0..count {
            phase[j] = p[0] * fx[j] + p[1] * fy[j] + p[2] * fz[j];
        }
        for (out, phase) in out.chunks_mut(2 * group).zip(phase.chunks(group)) {
            let (sine, cosine) = out.split_at_mut(group);
            both(phase, sine, cosine);
        }
    }
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
