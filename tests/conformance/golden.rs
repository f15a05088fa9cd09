//! Golden arrays, and layers run with their weights.

use std::collections::BTreeMap;

use kinesome::io::npy::{self, Array};
use kinesome::plan::{Options, Step, Store};
use kinesome::tape::{Tape, Var};
use kinesome::tensor::Tensor;

pub fn npz(name: &str) -> BTreeMap<String, Array> {
    npy::read_npz(&crate::root().join("tests/golden").join(name)).expect("golden file")
}

pub fn tensor(array: &Array) -> Tensor {
    Tensor::f32(&array.shape, array.to_f32())
}

/// Gives the states below `layer` the weights that stand under `prefix`, whatever shape they are kept in there.
pub fn set_weights(store: &Store, golden: &BTreeMap<String, Array>, prefix: &str, tape: &Tape, layer: &str) {
    for state in tape.states() {
        let name = state.name.strip_prefix(layer).expect("a state of the layer").trim_start_matches('.');
        let array =
            golden.get(&format!("{prefix}{name}")).unwrap_or_else(|| panic!("no weight {prefix}{name}"));
        store.set(&state.name, &Tensor::f32(&state.meta.shape, array.to_f32())).expect("a state");
    }
}

pub fn run(
    store: &Store,
    tape: &Tape,
    outputs: &[(&str, Var<'_>)],
    feeds: &[(&str, &Tensor)],
) -> Vec<Tensor> {
    let mut step = Step::new(store, tape, outputs, Options::default()).expect("a step");
    step.run(feeds).expect("a run");
    outputs.iter().map(|(name, _)| step.fetch(name).expect("an output")).collect()
}

/// max |a - b| / max |b|, where `rows`, which stands for the first axes, is not 0.
#[track_caller]
pub fn close(what: &str, found: &Tensor, wanted: &Array, rows: &[f32], limit: f32) {
    assert_eq!(found.shape, wanted.shape, "{what}");
    let (found, wanted) = (found.to_f32(), wanted.to_f32());
    let width = found.len() / rows.len();
    let scale = wanted.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    for (i, (a, b)) in found.iter().zip(&wanted).enumerate().filter(|(i, _)| rows[i / width] != 0.0) {
        assert!(
            (a - b).abs() <= limit * scale,
            "{what}: element {i} is {a}, not {b}; the largest is {scale}"
        );
    }
}
