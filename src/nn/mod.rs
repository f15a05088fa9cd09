//! Layers: what networks are made of. A layer records itself onto a tape under the names that its parameters
//! have in checkpoints; it knows no device and no method.

pub mod attention;
pub mod conv;
pub mod encoding;
pub mod frame;
pub mod graph;
pub mod hyena;
pub mod ipa;
pub mod mlp;
pub mod norm;

pub use mlp::{Activation, Mlp, linear};
