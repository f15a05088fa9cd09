use rayon::prelude::*;

use super::Call;
use crate::ops::random::{Distribution, Random, normal_pair, uniform};

pub fn run(op: &Random, call: &Call<'_>) {
    let key = call.i32(0);
    let key = [key[0] as u32, key[1] as u32, key[2] as u32, key[3] as u32];
    call.out().par_chunks_mut(4).enumerate().with_min_len(256).for_each(|(block, out)| {
        let w = op.words(key, block as u32);
        let values = match op.distribution {
            Distribution::Uniform => w.map(uniform),
            Distribution::Normal => {
                let ((a, b), (c, d)) = (normal_pair(w[0], w[1]), normal_pair(w[2], w[3]));
                [a, b, c, d]
            }
        };
        out.iter_mut().zip(values).for_each(|(o, v)| *o = v as f32);
    });
}
