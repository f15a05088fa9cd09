//! Statistics on plain slices: nothing here knows a tape, a device or a file.

pub mod graph;
pub mod kmeans;
pub mod linkage;
pub mod matrix;
pub mod neighbours;
pub mod pca;
pub mod random;
pub mod rank;
pub mod umap;

pub use matrix::Matrix;
