//! Chunks of fixed length side by side, their sums added in order in f64.

use rayon::prelude::*;

use super::Call;
use crate::ops::sum_squares::SumSquares;

/// Elements of one task, and of those what is summed in f32 before it goes to f64.
const TASK: usize = 1 << 16;
const PART: usize = 4096;
const LANES: usize = 16;

pub fn run(_: &SumSquares, call: &Call<'_>) {
    let tasks: Vec<&[f32]> = (0..call.inputs.len()).flat_map(|i| call.f32(i).chunks(TASK)).collect();
    let sums: Vec<f64> = tasks.par_iter().map(|x| x.chunks(PART).map(part).sum()).collect();
    call.out()[0] = sums.iter().sum::<f64>() as f32;
}

fn part(x: &[f32]) -> f64 {
    let mut lanes = [0.0; LANES];
    for chunk in x.chunks(LANES) {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += x * x);
    }
    lanes.iter().map(|&lane| lane as f64).sum()
}
