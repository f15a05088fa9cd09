//! Invariant point attention: golden layers, invariance, and what is never stored.

use kinesome::nn::frame::Frames;
use kinesome::nn::ipa::PointAttention;
use kinesome::plan::{Options, Step, Store};
use kinesome::stats::random::Philox;
use kinesome::tape::{Tape, Var};
use kinesome::tensor::{DType, Tensor};

use crate::golden::{close, npz, run, set_weights, tensor};

const LAYER: PointAttention = PointAttention { heads: 4, hidden: 8, query_points: 4, value_points: 6 };

fn frames<'t>(tape: &'t Tape, lead: [usize; 2]) -> Frames<'t> {
    let [b, n] = lead;
    Frames {
        rotation: tape.input("rotation", &[b, n, 3, 3], DType::F32),
        translation: tape.input("translation", &[b, n, 3], DType::F32),
    }
}

#[test]
fn without_pairs_as_in_trajectory_models() {
    let golden = npz("mdgen/pieces.npz");
    let get = |name: &str| &golden[&format!("ipa.{name}")];
    for device in crate::devices() {
        for (masked, wanted) in [(true, "out"), (false, "out_nomask")] {
            let tape = Tape::new();
            let s = tape.input("s", &[2, 5, 32], DType::F32);
            let mask = masked.then(|| tape.input("mask", &[2, 5], DType::F32));
            let y = LAYER.record("ipa", s, &frames(&tape, [2, 5]), None, mask);
            let store = Store::new(device.clone(), 0);
            set_weights(&store, &golden, "ipa.w.", &tape, "ipa");
            let values = ["s", "rots", "trans", "mask"].map(|name| tensor(get(name)));
            let mut feeds: Vec<_> =
                ["s", "rotation", "translation", "mask"].into_iter().zip(&values).collect();
            feeds.truncate(if masked { 4 } else { 3 });
            let found = run(&store, &tape, &[("y", y)], &feeds);
            let rows = if masked { get("mask").to_f32() } else { vec![1.0] };
            close(&format!("{} {wanted}", device.name()), &found[0], get(wanted), &rows, 1e-5);
        }
    }
}

#[test]
fn with_pairs_and_its_derivatives() {
    let golden = npz("frames/ipa_small.npz");
    for device in crate::devices() {
        let tape = Tape::new();
        let s = tape.input("s", &[2, 12, 32], DType::F32);
        let z = tape.input("z", &[2, 12, 12, 16], DType::F32);
        let mask = tape.input("mask", &[2, 12], DType::F32);
        let frames = frames(&tape, [2, 12]);
        let y = LAYER.record("ipa", s, &frames, Some(z), Some(mask));
        // There, a row that is masked itself sees all others, masked or not.
        let unmasked = LAYER.record("ipa", s, &frames, Some(z), None);
        let y = mask.reshape(&[2, 12, 1]).choose(y, unmasked);
        let store = Store::new(device.clone(), 0);
        set_weights(&store, &golden, "w.", &tape, "ipa");
        let upstream = tape.constant(tensor(&golden["upstream"]));
        let states: Vec<_> = tape.states();
        let weights: Vec<Var<'_>> =
            states.iter().map(|s| tape.state_of(&s.name, s.meta.clone(), s.init.clone())).collect();
        let by: Vec<Var<'_>> =
            [s, z, frames.rotation, frames.translation].into_iter().chain(weights).collect();
        let derivatives = tape.pull_back(y, upstream, &by);
        let names: Vec<String> = ["grad_s", "grad_z", "grad_rot", "grad_trans"]
            .map(String::from)
            .into_iter()
            .chain(states.iter().map(|s| s.name.replace("ipa.", "gw.")))
            .collect();
        let mut outputs = vec![("y", y)];
        outputs.extend(names.iter().map(String::as_str).zip(derivatives));
        let values = ["s", "z", "mask", "rot", "trans"].map(|name| tensor(&golden[name]));
        let inputs = ["s", "z", "mask", "rotation", "translation"];
        let feeds: Vec<_> = inputs.into_iter().zip(&values).collect();
        let found = run(&store, &tape, &outputs, &feeds);
        let what = |name: &str| format!("{}: {name}", device.name());
        close(&what("out"), &found[0], &golden["out_f64"], &golden["mask"].to_f32(), 1e-5);
        for (name, found) in names.iter().zip(&found[1..]) {
            if name == "gw.linear_b.bias" {
                // What is added to all scores of a row changes nothing: here and there rounding alone is left.
                assert!(found.to_f32().iter().all(|d| d.abs() < 1e-4), "{}: {found:?}", what(name));
                continue;
            }
            // The first sample has no masked rows. Theirs are made from scores less 1e5 there, which costs f32 digits.
            if name.starts_with("grad") {
                close(&what(name), found, &golden[name], &[1.0, 0.0], 1e-5);
            }
            close(&what(name), found, &golden[name], &[1.0], 2e-3);
        }
    }
}

/// Turning and moving everything in space changes nothing, also far from the origin.
#[test]
fn only_relative_places_matter() {
    let (n, width) = (70, 16);
    let tape = Tape::new();
    let s = tape.input("s", &[1, n, width], DType::F32);
    let y = LAYER.record("ipa", s, &frames(&tape, [1, n]), None, None);
    let mut philox = Philox::new(1, 1);
    let mut normal = |count: usize| -> Vec<f32> { (0..count).map(|_| philox.normal() as f32).collect() };
    let value = Tensor::f32(&[1, n, width], normal(n * width));
    // Integers, so that moving them rounds nothing.
    let places: Vec<f32> = normal(3 * n).iter().map(|v| (8.0 * v).round()).collect();
    let still = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let turned = [0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    for device in crate::devices() {
        let store = Store::new(device, 4);
        let mut step = Step::new(&store, &tape, &[("y", y)], Options::default()).expect("a step");
        store
            .set("ipa.linear_out.weight", &Tensor::f32(&[width, 4 * (8 + 24)], normal(width * 128)))
            .expect("a state");
        let mut with = |rotation: [f32; 9], shift: [f32; 3]| {
            let moved = |p: &[f32]| -> Vec<f32> {
                (0..3).map(|x| shift[x] + (0..3).map(|y| rotation[3 * x + y] * p[y]).sum::<f32>()).collect()
            };
            let translation = Tensor::f32(&[1, n, 3], places.chunks(3).flat_map(moved).collect());
            let rotation = Tensor::f32(&[1, n, 3, 3], rotation.repeat(n));
            step.run(&[("s", &value), ("rotation", &rotation), ("translation", &translation)])
                .expect("a run");
            step.fetch("y").expect("y").to_f32()
        };
        let here = with(still, [0.0; 3]);
        let scale = here.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        for (rotation, shift, limit) in [
            (turned, [0.0; 3], 1e-5),
            (still, [128.0, -96.0, 64.0], 2e-4),
            (turned, [-100.0, 100.0, 100.0], 2e-4),
        ] {
            let there = with(rotation, shift);
            let worst = here.iter().zip(there).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst <= limit * scale, "{shift:?}: {worst} of {scale}");
        }
    }
}

/// Neither distances nor scores of pairs of rows are stored, and with a pair tensor nothing wider than it.
#[test]
fn nothing_of_all_pairs_and_heads_is_stored() {
    let (n, width, pair) = (512, 32, 16);
    let arena = |pairs: bool| {
        let tape = Tape::new();
        let s = tape.input("s", &[1, n, width], DType::F32);
        let z = pairs.then(|| tape.input("z", &[1, n, n, pair], DType::F32));
        let y = LAYER.record("ipa", s, &frames(&tape, [1, n]), z, None).square().sum_all();
        let by: Vec<Var<'_>> = [Some(s), z].into_iter().flatten().collect();
        let g = tape.grad(y, &by);
        let outputs: Vec<(&str, Var<'_>)> = ["gs", "gz"].into_iter().zip(g).collect();
        let store = Store::new(std::sync::Arc::new(kinesome::device::cpu::Cpu::new()), 0);
        Step::new(&store, &tape, &outputs, Options::default()).expect("a step").program().arena_bytes
    };
    let row = n * LAYER.heads * (LAYER.hidden + 3 * LAYER.value_points) * 4;
    assert!(arena(false) < 40 * row, "{} of {row}", arena(false));
    assert!(arena(false) < n * n * LAYER.heads * 4, "{}", arena(false));
    // Bias, its derivative, the derivative of z and the two side by side.
    let pairs = n * n * (3 * LAYER.heads + 3 * pair) * 4;
    assert!(arena(true) < pairs, "{} of {pairs}", arena(true));
}
