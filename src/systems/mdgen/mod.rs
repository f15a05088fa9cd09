//! MDGen (Jing et al., NeurIPS 2024): trajectories of proteins as sequences of frames and torsions.

pub mod checkpoint;
pub mod config;
pub mod dirichlet;
pub mod ends;
pub mod evaluate;
pub mod generate;
pub mod model;
pub mod objective;
pub mod output;
pub mod prepare;
pub mod reference;
pub mod sampler;
pub mod split;
pub mod store;
pub mod train;
pub mod transport;
pub mod window;
