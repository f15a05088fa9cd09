//! The domain mathematics of cryo-EM against golden arrays and its own laws.

mod backproject;
mod common;
mod maps;
mod microscope;
mod transforms;
