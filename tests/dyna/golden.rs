//! Where golden files lie, and how they are compared.

use kinesome::io::npy::{self, Array};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub fn path(name: &str) -> PathBuf {
    let root = std::env::var("KINESOME_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(root).join("tests/golden/dyna").join(name)
}

pub fn npz(name: &str) -> BTreeMap<String, Array> {
    npy::read_npz(&path(name)).expect("golden file")
}

/// max |a - b| / max |b|
#[track_caller]
pub fn close(what: &str, found: &[f32], wanted: &[f32], limit: f64) {
    assert_eq!(found.len(), wanted.len(), "{what}: length");
    let scale = wanted.iter().fold(0.0_f32, |m, v| m.max(v.abs())) as f64;
    let worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs() as f64).fold(0.0, f64::max);
    assert!(
        worst <= limit * scale,
        "{what}: off by {:.2e} of {scale:.3}, allowed {limit:.0e}",
        worst / scale
    );
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
