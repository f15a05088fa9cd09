//! Which particles a network learns from. Halves and held-out particles are the same for the same seed.

use super::config::Loader;
use crate::stats::random::Philox;

/// A stream of its own.
const STREAM: u64 = 0x7370_6c69_7400_0000;

pub struct Split {
    pub training: Vec<usize>,
    /// Never learned from; in the order of the file.
    pub held: Vec<usize>,
}

impl Split {
    /// Of `count` particles. A half has every other one of a random order; what is held out is held out of the half.
    pub fn new(count: usize, loader: &Loader, seed: u64) -> Split {
        let mut order = Philox::new(seed, STREAM).permutation(count);
        if loader.half > 0 {
            order = order.into_iter().skip(usize::from(loader.half) - 1).step_by(2).collect();
        }
        let kept = (loader.train_ratio * order.len() as f64).round() as usize;
        let [mut training, mut held] = [order[..kept].to_vec(), order[kept..].to_vec()];
        training.sort_unstable();
        held.sort_unstable();
        Split { training, held }
    }
}
