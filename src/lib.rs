//! kinesome learns how molecules move. `ARCHITECTURE.md` is the map of the rooms below.

pub mod bench;
pub mod cli;
pub mod conformance;
pub mod cryo;
pub mod device;
pub mod error;
pub mod interrupt;
pub mod io;
pub mod nn;
pub mod ops;
pub mod plan;
pub mod protein;
pub mod report;
pub mod stats;
pub mod systems;
pub mod tape;
pub mod tensor;
pub mod train;

pub use error::{Error, Result};
