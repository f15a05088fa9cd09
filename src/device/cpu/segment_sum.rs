//! Rows are sorted by segment with their order kept; each segment is then one thread's.

use rayon::prelude::*;

use super::Call;
use crate::ops::segment_sum::SegmentSum;

pub fn run(op: &SegmentSum, call: &Call<'_>) {
    let (x, index) = (call.f32(0), call.i32(1));
    let width: usize = call.inputs[0].shape[1..].iter().product();
    let segment = |i: usize| usize::try_from(index[i]).ok().filter(|&s| s < op.segments);
    let mut first = vec![0; op.segments + 1];
    for s in (0..index.len()).filter_map(segment) {
        first[s + 1] += 1;
    }
    for s in 0..op.segments {
        first[s + 1] += first[s];
    }
    let mut sorted = vec![0; first[op.segments]];
    let mut next = first.clone();
    for i in 0..index.len() {
        if let Some(s) = segment(i) {
            sorted[next[s]] = i;
            next[s] += 1;
        }
    }
    if call.result.is_empty() {
        return;
    }
    call.out().par_chunks_mut(width).enumerate().with_min_len(16).for_each(|(s, sum)| {
        sum.fill(0.0);
        for &i in &sorted[first[s]..first[s + 1]] {
            sum.iter_mut().zip(&x[i * width..]).for_each(|(t, &v)| *t += v);
        }
    });
}
