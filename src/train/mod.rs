//! Training, the same for every method: the optimiser as nodes of the step, batches prepared while the device
//! works, the order of images in an epoch, checkpoints, and what makes a run resume to the same bits.

pub mod batches;
pub mod checkpoint;
pub mod loss_scale;
pub mod optimiser;

pub use batches::{epoch_order, prefetch, random_key};
pub use loss_scale::LossScale;
pub use optimiser::{Adam, Schedule, clip_by_norm, ema, half_cosine};
