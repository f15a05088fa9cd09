//! Long convolutions and the layer around them: golden values, adjoints, and memory that grows as the length.

use std::sync::Arc;

use kinesome::device::cpu::Cpu;
use kinesome::nn::hyena::Hyena;
use kinesome::ops::long_conv::{Direction, LongConv};
use kinesome::plan::{Options, Step, Store};
use kinesome::stats::random::Philox;
use kinesome::tape::Tape;
use kinesome::tensor::{DType, Tensor};

use crate::golden::{close, npz, run, set_weights, tensor};

fn normal(shape: &[usize], stream: u64) -> Tensor {
    let mut philox = Philox::new(6, stream);
    Tensor::f32(shape, (0..shape.iter().product()).map(|_| philox.normal() as f32).collect())
}

#[test]
fn the_published_convolution_looks_ahead() {
    let golden = npz("mdgen/pieces.npz");
    for device in crate::devices() {
        let tape = Tape::new();
        let u = tape.input("u", &[2, 8, 16], DType::F32);
        let k = tape.input("k", &[8, 16], DType::F32);
        let own = tape.input("D", &[1, 8], DType::F32);
        let op = LongConv { direction: Direction::Forward, centre: 15 };
        let y = tape.special(op, &[u, k]) + u * own.reshape(&[8, 1]);
        let values = ["u", "k", "D"].map(|name| tensor(&golden[&format!("hyena.conv.{name}")]));
        let feeds: Vec<_> = ["u", "k", "D"].into_iter().zip(&values).collect();
        let found = run(&Store::new(device.clone(), 0), &tape, &[("y", y)], &feeds);
        close(device.name(), &found[0], &golden["hyena.conv.out"], &[1.0], 1e-5);
    }
}

#[test]
fn the_published_operator() {
    let golden = npz("mdgen/pieces.npz");
    let layer = Hyena { longest: 16, parity: true };
    for device in crate::devices() {
        for (length, name) in [(16, "hyena.out"), (12, "hyena.out_first12")] {
            let tape = Tape::new();
            let x = tape.input("x", &[2, 16, 8], DType::F32);
            let y = layer.record("hyena", x.slice(1, 0, length));
            let filter = tape.scope("hyena", || tape.scope("filter_fn", || layer.filter(&tape, 16, 8)));
            let store = Store::new(device.clone(), 0);
            set_weights(&store, &golden, "hyena.w.", &tape, "hyena");
            let value = tensor(&golden["hyena.x"]);
            let outputs = [("y", y), ("filter", filter.permute(&[1, 0]))];
            let found = run(&store, &tape, &outputs, &[("x", &value)]);
            close(&format!("{} {name}", device.name()), &found[0], &golden[name], &[1.0], 1e-5);
            close(&format!("{} filter", device.name()), &found[1], &golden["hyena.filter16"], &[1.0], 1e-5);
        }
    }
}

/// Features of lags and rates of decay start as the published ones.
#[test]
fn lags_start_as_published() {
    let golden = npz("mdgen/pieces.npz");
    let (tape, store) = (Tape::new(), Store::new(Arc::new(Cpu::new()), 0));
    let filter = Hyena { longest: 16, parity: true }.filter(&tape, 16, 8);
    run(&store, &tape, &[("filter", filter)], &[]);
    let features = store.get("pos_emb.z").expect("a state");
    let wanted = &golden["hyena.w.filter_fn.pos_emb.z"];
    // The weights of the golden layer are drawn, its features too; those that are not are lags.
    let wanted: Vec<f32> = wanted.to_f32().chunks(3).map(|f| f[0]).collect();
    let found: Vec<f32> = features.to_f32().chunks(3).map(|f| f[0]).collect();
    assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {wanted:?}");
}

/// By default every step sees every other, and a step that is moved moves what it causes.
#[test]
fn both_sides_are_seen() {
    let (length, width) = (24, 4);
    let tape = Tape::new();
    let x = tape.input("x", &[1, length, width], DType::F32);
    let y = Hyena { longest: length, parity: false }.record("hyena", x);
    let store = Store::new(Arc::new(Cpu::new()), 3);
    let mut step = Step::new(&store, &tape, &[("y", y)], Options::default()).expect("a step");
    let value = normal(&[1, length, width], 1);
    let mut with = |x: &Tensor| {
        step.run(&[("x", x)]).expect("a run");
        step.fetch("y").expect("y").to_f32()
    };
    let first = with(&value);
    for moved in [0, 11, length - 1] {
        let mut other = value.to_f32();
        other[moved * width..][..width].iter_mut().for_each(|v| *v += 1.0);
        let second = with(&Tensor::f32(&[1, length, width], other));
        let changed = |t: usize| (0..width).any(|c| first[t * width + c] != second[t * width + c]);
        assert!((0..length).all(changed), "step {moved} is not seen by all");
    }
}

/// Against the sum written out, at lengths that reach every factor of the transforms, and more channels than a
/// block of lines holds.
#[test]
fn long_convolutions_agree_with_sums() {
    for device in crate::devices() {
        for [b, c, t, taps, centre] in [[3, 2, 1500, 2999, 1499], [2, 1, 4096, 4096, 0], [1, 3, 1000, 31, 30]]
        {
            let tape = Tape::new();
            let u = tape.input("u", &[b, c, t], DType::F32);
            let k = tape.input("k", &[c, taps], DType::F32);
            let y = tape.special(LongConv { direction: Direction::Forward, centre }, &[u, k]);
            let values = [normal(&[b, c, t], 1), normal(&[c, taps], 2)];
            let store = Store::new(device.clone(), 0);
            let found = run(&store, &tape, &[("y", y)], &[("u", &values[0]), ("k", &values[1])])[0].to_f32();
            let scale = found.iter().fold(0.0_f32, |m, v| m.max(v.abs())) as f64;
            let (u, k) = (values[0].to_f64(), values[1].to_f64());
            for at in (0..b * c * t).step_by(97) {
                let (line, t_at) = (at / t, at % t);
                let tap = |m: usize| k.get((line % c) * taps + t_at + centre - m);
                let inside = |m: &usize| t_at + centre >= *m && t_at + centre - m < taps;
                let wanted: f64 = (0..t).filter(inside).filter_map(|m| Some(u[line * t + m] * tap(m)?)).sum();
                let wrong = (found[at] as f64 - wanted).abs();
                assert!(wrong <= 2e-6 * scale, "{}: {at} of {t}: {wrong} of {scale}", device.name());
            }
        }
    }
}

/// Ten times the length is ten times the arena, in training too.
#[test]
fn memory_grows_as_the_length() {
    let bytes = |length: usize| {
        let tape = Tape::new();
        let x = tape.input("x", &[1, length, 4], DType::F32);
        let y = Hyena { longest: length, parity: false }.record("hyena", x);
        let loss = y.square().sum_all();
        let states = tape.states();
        let by: Vec<_> =
            states.iter().map(|s| tape.state_of(&s.name, s.meta.clone(), s.init.clone())).collect();
        let g = tape.grad(loss, &by);
        let names: Vec<String> = states.iter().map(|s| format!("g.{}", s.name)).collect();
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(g).collect();
        let store = Store::new(Arc::new(Cpu::new()), 0);
        Step::new(&store, &tape, &outputs, Options::default()).expect("a step").program().arena_bytes
    };
    let [short, long] = [10_000, 100_000].map(bytes);
    assert!(long as f64 <= 10.01 * short as f64, "{short} bytes at 10,000, {long} at 100,000");
    // The filter's network holds most of it: 2 T - 1 lags in three layers.
    assert!(long < 100_000 * 2 * 64 * 4 * 12, "{long}");
}
