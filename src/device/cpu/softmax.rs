use rayon::prelude::*;

use super::{Call, chain::sweep};
use crate::ops::rows;
use crate::ops::softmax::Softmax;

pub fn run(_: &Softmax, call: &Call<'_>) {
    let n = call.result.shape.last().copied().unwrap_or(1);
    if call.result.is_empty() {
        return;
    }
    call.out().par_chunks_mut(n).zip(call.f32(0).par_chunks(n)).for_each(|(y, x)| {
        let top = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shifted: Vec<f32> = x.iter().map(|v| v - top).collect();
        sweep(&rows::exponential, &[&shifted], y);
        let scale = 1.0 / y.iter().sum::<f32>();
        y.iter_mut().for_each(|v| *v *= scale);
    });
}
