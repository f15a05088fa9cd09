//! Layers against the same thing written otherwise, and against numbers worked out by hand.

use kinesome::device::cpu::Cpu;
use kinesome::nn::attention::{MultiHead, Rotary, attend};
use kinesome::nn::conv::{Conv1d, Conv2d};
use kinesome::nn::norm::{batch_norm, layer_norm};
use kinesome::ops::softmax::Softmax;
use kinesome::plan::{Options, Step, Store};
use kinesome::stats::random::Philox;
use kinesome::tape::{Tape, Var};
use kinesome::tensor::{DType, Tensor};
use std::sync::Arc;

fn store() -> Store {
    Store::new(Arc::new(Cpu::new()), 3)
}

fn normal(shape: &[usize], stream: u64) -> Tensor {
    let mut philox = Philox::new(5, stream);
    Tensor::f32(shape, (0..shape.iter().product()).map(|_| philox.normal() as f32).collect())
}

fn run(store: &Store, tape: &Tape, outputs: &[(&str, Var<'_>)], feeds: &[(&str, &Tensor)]) -> Vec<Tensor> {
    let mut step = Step::new(store, tape, outputs, Options::default()).expect("a step");
    step.run(feeds).expect("a run");
    outputs.iter().map(|(name, _)| step.fetch(name).expect("an output")).collect()
}

fn assert_close(a: &Tensor, b: &Tensor, limit: f32, what: &str) {
    assert_eq!(a.shape, b.shape, "{what}");
    for (i, (a, b)) in a.to_f32().iter().zip(b.to_f32()).enumerate() {
        assert!((a - b).abs() <= limit, "{what}: element {i} is {a}, not {b}");
    }
}

/// Attention and its derivatives are those of the product, softmax and product it stands for.
#[test]
fn attention_is_softmax_between_products() {
    let tape = Tape::new();
    let shapes = [[2, 3, 150, 8], [2, 3, 140, 8], [2, 3, 140, 6], [1, 3, 150, 140]];
    let names = ["q", "k", "v", "bias"];
    let vars: Vec<_> = names.iter().zip(&shapes).map(|(n, s)| tape.input(n, s, DType::F32)).collect();
    let [q, k, v, bias] = vars[..] else { panic!("four inputs") };
    let g = tape.constant(normal(&[2, 3, 150, 6], 9));
    let ours = attend([q, k, v], Some(bias), None);
    let scores = q.matmul_t(k).scale(1.0 / 8.0_f32.sqrt()) + bias;
    let plain = tape.special(Softmax, &[scores]).matmul(v);
    let (a, b) = (tape.pull_back(ours, g, &vars), tape.pull_back(plain, g, &vars));
    let names_b = ["dq", "dk", "dv", "dbias"];
    let names_c = ["pq", "pk", "pv", "pbias"];
    let mut outputs = vec![("y", ours), ("p", plain)];
    outputs.extend(names_b.into_iter().zip(a));
    outputs.extend(names_c.into_iter().zip(b));
    let values: Vec<Tensor> = shapes.iter().enumerate().map(|(i, s)| normal(s, i as u64)).collect();
    let feeds: Vec<(&str, &Tensor)> = names.into_iter().zip(&values).collect();
    let found = run(&store(), &tape, &outputs, &feeds);
    assert_close(&found[0], &found[1], 1e-5, "value");
    for i in 0..4 {
        assert_close(&found[2 + i], &found[6 + i], 2e-5, names_b[i]);
    }
}

/// The plan of a long attention holds nothing of the size of its scores.
#[test]
fn scores_are_never_stored() {
    let (n, d) = (2000, 16);
    let tape = Tape::new();
    let x = tape.state("x", &[1, 1, n, d], kinesome::tape::Init::Normal(1.0));
    let loss = attend([x, x, x], None, None).square().sum_all();
    let g = tape.grad(loss, &[x]);
    let step =
        Step::new(&store(), &tape, &[("loss", loss), ("g", g[0])], Options::default()).expect("a step");
    assert!(step.program().arena_bytes < n * n, "{}", step.program().arena_bytes);
}

/// Scores of turned queries and keys depend on the distance of their positions alone.
#[test]
fn rotary_scores_depend_on_distance() {
    let (n, d) = (9, 6);
    let tape = Tape::new();
    let (q, k) = (tape.input("q", &[1, d], DType::F32), tape.input("k", &[1, d], DType::F32));
    let rotary = Rotary::record(&tape, n, d, 10000.0);
    let halves = [q, k].map(|x| x.reshape(&[1, 2, d / 2]).expand(&[n, 2, d / 2]));
    let [q, k] = halves.map(|x| rotary.turn(x).reshape(&[n, d]));
    let y = run(
        &store(),
        &tape,
        &[("s", q.matmul_t(k))],
        &[("q", &normal(&[1, d], 1)), ("k", &normal(&[1, d], 2))],
    );
    let s = y[0].to_f32();
    for i in 1..n {
        for j in 1..n {
            assert!((s[i * n + j] - s[(i - 1) * n + j - 1]).abs() < 1e-5);
        }
    }
    assert!((s[0] - s[1]).abs() > 1e-3, "distance must matter");
}

/// A masked position changes nothing for the others; the extra key is there when all else is masked.
#[test]
fn multi_head_attention_masks_and_sees_its_extra_key() {
    let (batch, n, width) = (2, 5, 12);
    let tape = Tape::new();
    let x = tape.input("x", &[batch, n, width], DType::F32);
    let mask = tape.input("mask", &[batch, n], DType::F32);
    let rotary = Some(Rotary::record(&tape, n + 1, width / 3, 10000.0));
    let layer = MultiHead { heads: 3, rotary, extra_key: true };
    let y = layer.record("attn", x, None, Some(mask));
    let store = store();
    let mut step = Step::new(&store, &tape, &[("y", y)], Options::default()).expect("a step");
    let names: Vec<String> = store.names();
    for name in ["attn.q_proj.weight", "attn.out_proj.bias", "attn.bias_k", "attn.bias_v"] {
        assert!(names.iter().any(|n| n == name), "{name} is not in {names:?}");
    }
    let mut here = vec![1.0; batch * n];
    here[4] = 0.0;
    let value = normal(&[batch, n, width], 4);
    let mut with = |x: &Tensor, mask: &[f32]| {
        step.run(&[("x", x), ("mask", &Tensor::f32(&[batch, n], mask.to_vec()))]).expect("a run");
        step.fetch("y").expect("y").to_f32()
    };
    let first = with(&value, &here);
    let mut other = value.to_f32();
    other[4 * width..5 * width].fill(7.0);
    let second = with(&Tensor::f32(&[batch, n, width], other), &here);
    assert_eq!(first[..4 * width], second[..4 * width]);
    assert_ne!(first[4 * width..5 * width], second[4 * width..5 * width]);
    // With every key masked only the extra value is left, the same for all queries.
    let alone = with(&value, &vec![0.0; batch * n]);
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(alone.chunks(width).all(|row| close(row, &alone[..width])));
    assert!(alone.iter().any(|v| v.abs() > 1e-3));
}

/// Shapes as the networks of molecular morphing have them, and values by hand.
#[test]
fn convolutions_have_their_known_shapes_and_values() {
    let tape = Tape::new();
    let x = tape.input("x", &[2, 3, 3328], DType::F32);
    let halving = Conv1d { stride: [2], padding: [1], bias: false, ..Conv1d::new([4]) };
    let down = halving.record("down", x, 32);
    assert_eq!(down.shape(), [2, 32, 1664]);
    assert_eq!(halving.record_transposed("up", down, 3, [0]).shape(), [2, 3, 3328]);
    assert_eq!(halving.record_transposed("odd", down, 3, [1]).shape(), [2, 3, 3329]);
    let map = tape.input("map", &[1, 1, 33, 33], DType::F32);
    let flat = Conv2d { stride: [2; 2], padding: [1; 2], ..Conv2d::new([4; 2]) };
    assert_eq!(flat.record("map", map, 32).shape(), [1, 32, 16, 16]);
    assert_eq!(Conv1d { padding: [1], ..Conv1d::new([3]) }.record("fold", x, 8).shape(), [2, 8, 3328]);
    tape.check().expect("no mistake");

    let tape = Tape::new();
    let x = tape.input("x", &[1, 1, 4], DType::F32);
    let layer = Conv1d { padding: [1], ..Conv1d::new([3]) };
    let y = layer.record("c", x, 1);
    let spread = Conv1d { stride: [2], ..Conv1d::new([3]) }.record_transposed("t", x, 1, [0]);
    let store = store();
    for name in ["c", "t"] {
        store
            .set(&format!("{name}.weight"), &Tensor::f32(&[1, 1, 3], vec![1.0, 10.0, 100.0]))
            .expect("a weight");
        store.set(&format!("{name}.bias"), &Tensor::f32(&[1], vec![0.5])).expect("a bias");
    }
    let found = run(
        &store,
        &tape,
        &[("y", y), ("t", spread)],
        &[("x", &Tensor::f32(&[1, 1, 4], vec![1.0, 2.0, 3.0, 4.0]))],
    );
    assert_eq!(found[0].to_f32(), [210.5, 321.5, 432.5, 43.5]);
    assert_eq!(found[1].to_f32(), [1.5, 10.5, 102.5, 20.5, 203.5, 30.5, 304.5, 40.5, 400.5]);
}

#[test]
fn a_kernel_larger_than_its_input_is_a_mistake() {
    let tape = Tape::new();
    let x = tape.input("x", &[1, 2, 3], DType::F32);
    Conv1d::new([5]).record("c", x, 4);
    let text = tape.check().expect_err("a mistake").to_string();
    assert!(text.contains("conv") && text.contains("reaches over 5"), "{text}");
}

#[test]
fn batch_norm_follows_its_formulas() {
    let (batch, channels, length) = (4, 3, 5);
    let (training, serving) = (Tape::new(), Tape::new());
    let y = batch_norm("bn", training.input("x", &[batch, channels, length], DType::F32), true);
    let served = batch_norm("bn", serving.input("x", &[batch, channels, length], DType::F32), false);
    let store = store();
    let value = normal(&[batch, channels, length], 8);
    let y = &run(&store, &training, &[("y", y)], &[("x", &value)])[0].to_f32();
    let served = &run(&store, &serving, &[("y", served)], &[("x", &value)])[0].to_f32();
    let (mean_kept, var_kept) = (
        store.get("bn.running_mean").expect("a state").to_f32(),
        store.get("bn.running_var").expect("a state").to_f32(),
    );
    for c in 0..channels {
        let at: Vec<usize> =
            (0..batch * length).map(|i| (i / length * channels + c) * length + i % length).collect();
        let values: Vec<f64> = at.iter().map(|&i| value.to_f64()[i]).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let close = |a: f32, b: f64| assert!((a as f64 - b).abs() < 1e-5, "{a} {b}");
        close(mean_kept[c], 0.1 * mean);
        close(var_kept[c], 0.9 + 0.1 * variance * n / (n - 1.0));
        for &i in &at {
            let v = value.to_f64()[i];
            close(y[i], (v - mean) / (variance + 1e-5).sqrt());
            close(served[i], (v - 0.1 * mean) / (var_kept[c] as f64 + 1e-5).sqrt());
        }
    }
}

#[test]
fn layer_norm_scales_and_shifts() {
    let tape = Tape::new();
    let x = tape.input("x", &[2, 4], DType::F32);
    let y = layer_norm("ln", x, 0.0);
    let store = store();
    store.set("ln.weight", &Tensor::f32(&[4], vec![2.0; 4])).expect("a weight");
    store.set("ln.bias", &Tensor::f32(&[4], vec![1.0; 4])).expect("a bias");
    let value = Tensor::f32(&[2, 4], vec![1.0, 1.0, -1.0, -1.0, 6.0, 2.0, 6.0, 2.0]);
    let found = run(&store, &tape, &[("y", y)], &[("x", &value)]);
    assert_close(
        &found[0],
        &Tensor::f32(&[2, 4], vec![3.0, 3.0, -1.0, -1.0, 3.0, -1.0, 3.0, -1.0]),
        1e-5,
        "layer norm",
    );
}
