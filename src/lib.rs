//! kinesome learns how molecules move. `ARCHITECTURE.md` is the map of the rooms below.

pub mod conformance;
pub mod device;
pub mod error;
pub mod ops;
pub mod plan;
pub mod stats;
pub mod tape;
pub mod tensor;

pub use error::{Error, Result};
