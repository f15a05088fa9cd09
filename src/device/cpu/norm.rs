use rayon::prelude::*;

use super::Call;
use crate::ops::norm::Norm;

/// Sums side by side, joined in f64.
const LANES: usize = 16;
/// Elements of one task.
const TASK: usize = 1 << 14;

pub fn run(op: &Norm, call: &Call<'_>) {
    let n = call.result.shape.last().copied().unwrap_or(1);
    if call.result.is_empty() {
        return;
    }
    let task = (TASK / n).max(1) * n;
    call.out().par_chunks_mut(task).zip(call.f32(0).par_chunks(task)).for_each(|(y, x)| {
        for (y, x) in y.chunks_mut(n).zip(x.chunks(n)) {
            let mean = (sum(x, |v| v) / n as f64) as f32;
            let variance = (sum(x, |v| (v - mean) * (v - mean)) / n as f64) as f32;
            let scale = 1.0 / (variance + op.epsilon).sqrt();
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - mean) * scale);
        }
    });
}

fn sum(x: &[f32], of: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let whole = x.chunks_exact(LANES);
    let rest: f64 = whole.remainder().iter().map(|&v| of(v) as f64).sum();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &v)| *lane += of(v));
    }
    lanes.iter().fold(rest, |total, &lane| total + lane as f64)
}
