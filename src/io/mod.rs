//! Files: one format a file, in and out. Nothing here knows a tape or a network.
//!
//! Readers check a file against its own header when they open it, so that later reads cannot run off its
//! end; writers write beside the target and rename ([`atomic`]), so outputs appear whole or not at all.

pub mod atomic;
pub mod cs;
pub mod dcd;
pub mod mrc;
pub mod npy;
pub mod outputs;
pub mod particles;
pub mod pickle;
pub mod star;
pub mod structure;
pub mod torch;
pub mod trajectory;
pub mod xtc;
