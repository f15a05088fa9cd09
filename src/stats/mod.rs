//! Statistics on plain slices: nothing here knows a tape, a device or a file.

pub mod autocorrelation;
pub mod divergence;
pub mod graph;
pub mod kmeans;
pub mod linkage;
pub mod markov;
pub mod matrix;
pub mod neighbours;
pub mod pca;
pub mod pcca;
pub mod random;
pub mod rank;
pub mod tica;
pub mod transport;
pub mod umap;

pub use matrix::Matrix;
