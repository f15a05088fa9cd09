//! MDGen (Jing et al., NeurIPS 2024): trajectories of proteins as sequences of frames and torsions.

pub mod evaluate;
pub mod output;
pub mod prepare;
pub mod split;
pub mod store;
