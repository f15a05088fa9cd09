//! One room for each method: its configuration, model, loss, training, inference and analysis.
//!
//! `drgn` is cryoDRGN (Zhong et al., Nature Methods 2021): heterogeneous reconstruction from particle images with
//! known poses by a variational autoencoder in Fourier space, with the tools around it.

pub mod drgn;
