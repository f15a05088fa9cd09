//! The CUDA kernels without a GPU: compiled for real ones, and the referee that runs them on the host.

mod missing;
mod referee;
mod registers;
#[path = "../shim/mod.rs"]
mod shim;
mod tf32;
