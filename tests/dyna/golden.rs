//! Golden files of these tests.

#[path = "../golden/mod.rs"]
mod shared;

use kinesome::io::npy::Array;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub use shared::close;

pub fn path(name: &str) -> PathBuf {
    shared::path("dyna", name)
}

pub fn npz(name: &str) -> BTreeMap<String, Array> {
    shared::npz(&path(name))
}

/// A step's outputs for inputs of these names.
pub fn run<'t>(
    tape: &'t kinesome::tape::Tape,
    store: &kinesome::plan::Store,
    outputs: &[(&str, kinesome::tape::Var<'t>)],
    feeds: &[(&str, &kinesome::tensor::Tensor)],
) -> BTreeMap<String, Vec<f32>> {
    use kinesome::plan::{Options, Step};
    let mut step = Step::new(store, tape, outputs, Options::default()).expect("a step");
    step.run(feeds).expect("a run");
    outputs
        .iter()
        .map(|(name, _)| (name.to_string(), step.fetch(name).expect("an output").to_f32()))
        .collect()
}

pub fn cpu() -> kinesome::plan::Store {
    kinesome::plan::Store::new(std::sync::Arc::new(kinesome::device::cpu::Cpu::new()), 1)
}

pub fn tensor(array: &Array) -> kinesome::tensor::Tensor {
    kinesome::tensor::Tensor::f32(&array.shape, array.to_f32())
}

/// `[N, 3]` as places.
pub fn places(array: &Array) -> Vec<[f64; 3]> {
    array.to_f64().chunks(3).map(|p| [p[0], p[1], p[2]]).collect()
}
