//! The order of an epoch, and batches prepared on a thread of their own while the device works.

use std::sync::mpsc::sync_channel;

use crate::Result;
use crate::stats::random::Philox;
use crate::tensor::Tensor;

/// The images of epoch `epoch` in order: a permutation that depends on (seed, epoch) alone, so that a resumed
/// run meets the same batches.
pub fn epoch_order(images: usize, seed: u64, epoch: u64) -> Vec<usize> {
    // Streams of their own, away from those of initial values and noise.
    Philox::new(seed, 0x7368_7566_0000_0000 | epoch).permutation(images)
}

/// The key of a step's random numbers: `[seed low, seed high, step low, step high]`.
pub fn random_key(seed: u64, step: u64) -> Tensor {
    let words = [seed, seed >> 32, step, step >> 32].map(|w| w as u32 as i32);
    Tensor::i32(&[4], words.to_vec())
}

/// Runs `consume` on the batches that `prepare` makes of consecutive runs of `order`, at most two ahead.
/// The first error of either ends both.
pub fn prefetch<B: Send>(
    order: &[usize],
    batch: usize,
    prepare: impl Fn(&[usize]) -> Result<B> + Sync,
    mut consume: impl FnMut(&[usize], B) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(1);
        let prepare = &prepare;
        scope.spawn(move || {
            for indices in order.chunks(batch.max(1)) {
                let prepared = prepare(indices);
                let failed = prepared.is_err();
                if sender.send((indices, prepared)).is_err() || failed {
                    return;
                }
            }
        });
        for (indices, prepared) in receiver {
            consume(indices, prepared?)?;
        }
        Ok(())
    })
}
