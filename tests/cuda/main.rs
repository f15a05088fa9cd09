//! The CUDA kernels without a GPU: compiled for real ones, and the referee that runs them on the host.

mod referee;
mod registers;
#[path = "../shim/mod.rs"]
mod shim;
