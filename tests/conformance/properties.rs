//! What the general suite cannot know: inverses, adjoints, states, and the same bits on any number of threads.

use kinesome::conformance::{self, Recorded};
use kinesome::device::cpu::Cpu;
use kinesome::ops::fft::{Fft, Transform};
use kinesome::ops::slice::{Direction, Slice};
use kinesome::plan::{Options, Step, Store};
use kinesome::stats::random::Philox;
use kinesome::tape::{Init, Tape};
use kinesome::tensor::{DType, Tensor};
use kinesome::train::{Adam, clip_by_norm, ema};
use std::sync::Arc;

fn normal(shape: &[usize], stream: u64) -> Tensor {
    let mut philox = Philox::new(9, stream);
    Tensor::f32(shape, (0..shape.iter().product()).map(|_| philox.normal() as f32).collect())
}

fn cpu() -> Store {
    Store::new(Arc::new(Cpu::new()), 0)
}

fn on_every_device(property: impl Fn(Store)) {
    crate::devices().into_iter().for_each(|device| property(Store::new(device, 0)));
}

#[test]
fn the_hartley_transform_is_its_own_inverse() {
    on_every_device(hartley_twice);
}

fn hartley_twice(store: Store) {
    for shape in [vec![12], vec![6, 10], vec![4, 6, 8]] {
        let tape = Tape::new();
        let x = tape.input("x", &shape, DType::F32);
        let op = Fft { transform: Transform::Hartley, axes: shape.len(), centred: true };
        let twice = tape.special(op, &[tape.special(op, &[x])]);
        let n: usize = shape.iter().product();
        let value = normal(&shape, 1);
        let mut step =
            Step::new(&store, &tape, &[("y", twice.scale(1.0 / n as f32))], Options::default()).unwrap();
        step.run(&[("x", &value)]).unwrap();
        let found = step.fetch("y").unwrap().to_f32();
        assert!(found.iter().zip(value.to_f32()).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn scatter_is_the_adjoint_of_gather() {
    on_every_device(adjoint);
}

fn adjoint(store: Store) {
    let (side, points) = (7, 50);
    let tape = Tape::new();
    let volume = tape.input("volume", &[side; 3], DType::F32);
    let coordinates = tape.input("coordinates", &[points, 3], DType::F32).scale(2.5);
    let values = tape.input("values", &[points], DType::F32);
    let op = |direction| Slice { direction, side, channels: None };
    let gathered = (tape.special(op(Direction::Gather), &[volume, coordinates]) * values).sum_all();
    let scattered = (tape.special(op(Direction::Scatter), &[values, coordinates]) * volume).sum_all();
    let mut step =
        Step::new(&store, &tape, &[("g", gathered), ("s", scattered)], Options::default()).unwrap();
    let feeds = [normal(&[side; 3], 1), normal(&[points, 3], 2), normal(&[points], 3)];
    step.run(&[("volume", &feeds[0]), ("coordinates", &feeds[1]), ("values", &feeds[2])]).unwrap();
    let (g, s) = (step.number("g").unwrap(), step.number("s").unwrap());
    assert!((g - s).abs() < 1e-4 * g.abs().max(1.0), "{g} {s}");
}

/// Adam, clipping and the moving average against their formulas in f64.
#[test]
fn the_optimiser_follows_its_formulas() {
    on_every_device(optimiser);
}

fn optimiser(store: Store) {
    let adam = Adam { lr: 0.1, weight_decay: 0.03, decoupled: true, ..Adam::default() };
    let (most, decay) = (0.5, 0.75);
    let tape = Tape::new();
    let p = tape.state("p", &[3], Init::Constant(1.0));
    let target = tape.input("target", &[3], DType::F32);
    let loss = (p - target).square().sum_all();
    let gradient = clip_by_norm(&tape, &tape.grad(loss, &[p]), most as f32);
    let named = [("p".to_string(), p)];
    adam.record(&tape, &named, &gradient);
    ema(&tape, &named, decay as f32);
    let mut step = Step::new(&store, &tape, &[("loss", loss)], Options::default()).unwrap();
    let targets = [3.0, -2.0, 0.5];
    let (mut x, mut m, mut v, mut average) = ([1.0_f64; 3], [0.0; 3], [0.0; 3], [1.0; 3]);
    for t in 1..=5 {
        let schedule = adam.schedule(t).feeds();
        let given = Tensor::f32(&[3], targets.map(|t| t as f32).to_vec());
        let mut feeds = vec![("target", &given)];
        feeds.extend(schedule.iter().map(|(n, value)| (*n, value)));
        step.run(&feeds).unwrap();
        let g: Vec<f64> = (0..3).map(|i| 2.0 * (x[i] - targets[i])).collect();
        let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
        for i in 0..3 {
            let g = g[i] * f64::min(1.0, most / (norm + 1e-6));
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            let (mh, vh) = (m[i] / (1.0 - 0.9_f64.powi(t as i32)), v[i] / (1.0 - 0.999_f64.powi(t as i32)));
            x[i] = x[i] * (1.0 - 0.1 * 0.03) - 0.1 * mh / (vh.sqrt() + 1e-8);
            average[i] = decay * average[i] + (1.0 - decay) * x[i];
        }
    }
    for (name, wanted) in [("p", x), ("ema.p", average)] {
        for (found, wanted) in store.get(name).unwrap().to_f64().iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-5, "{name}: {found}, {wanted}");
        }
    }
}

/// States keep their old value within a step, whatever order they are assigned in.
#[test]
fn states_change_places() {
    on_every_device(exchange);
}

fn exchange(store: Store) {
    let tape = Tape::new();
    let (a, b) = (tape.state("a", &[2], Init::Constant(1.0)), tape.state("b", &[2], Init::Constant(2.0)));
    // Both orders of declaration and use.
    let c = tape.state("c", &[2], Init::Constant(5.0));
    tape.assign(a, b);
    tape.assign(b, a.scale(10.0));
    tape.assign(c, a);
    let mut step = Step::new(&store, &tape, &[("sum", (a + b).sum_all())], Options::default()).unwrap();
    step.run(&[]).unwrap();
    assert_eq!(step.number("sum").unwrap(), 6.0);
    assert_eq!(
        (store.get("a").unwrap().to_f32(), store.get("b").unwrap().to_f32()),
        (vec![2.0; 2], vec![10.0; 2])
    );
    assert_eq!(store.get("c").unwrap().to_f32(), vec![1.0; 2]);
    step.run(&[]).unwrap();
    assert_eq!(
        (store.get("a").unwrap().to_f32(), store.get("b").unwrap().to_f32()),
        (vec![10.0; 2], vec![20.0; 2])
    );
    assert_eq!(store.get("c").unwrap().to_f32(), vec![2.0; 2]);
}

#[test]
fn mistakes_name_the_operation_the_shapes_and_the_layer() {
    let tape = Tape::new();
    let x = tape.input("x", &[8, 128], DType::F32);
    let y = tape.input("y", &[64, 128], DType::F32);
    let wrong = tape.scope("mdgen", || tape.scope("attn", || x.matmul(y)));
    let later = wrong.exp() + x;
    let text =
        Step::new(&cpu(), &tape, &[("y", later)], Options::default()).err().expect("a mistake").to_string();
    for part in ["mdgen.attn", "matmul", "[8, 128]", "[64, 128]", "properties.rs"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}

/// Behind a mistake shapes are placeholders: recording and deriving go on without a panic.
#[test]
fn every_operation_goes_on_behind_a_mistake() {
    for sample in conformance::all() {
        let tape = Tape::new();
        let [a, b] = [2, 3].map(|n| tape.input(&format!("wrong{n}"), &[n], DType::F32));
        let _ = a + b;
        Recorded::new(&sample, &tape);
        let text = tape.check().expect_err("a mistake").to_string();
        assert!(text.contains("[2]") && text.contains("[3]"), "{}: {text}", sample.name);
    }
}

/// What a plan says about memory is what a longer chain of layers needs, not the sum of all values.
#[test]
fn the_arena_reuses_places() {
    let tape = Tape::new();
    let mut x = tape.input("x", &[256, 256], DType::F32);
    for _ in 0..20 {
        x = x.matmul(x).tanh();
    }
    let step = Step::new(&cpu(), &tape, &[("y", x)], Options::default()).unwrap();
    assert!(step.program().arena_bytes <= 2 * 256 * 256 * 4, "{}", step.program().arena_bytes);
    assert_eq!(step.program().launches.len(), 20, "each tanh belongs into its product");
}

/// Layers that are computed again for their derivatives give the same bits, and only what goes from one to the next
/// is kept.
#[test]
fn recomputed_layers_need_less_memory() {
    let derivatives = |again: bool| {
        let tape = Tape::new();
        let mut h = tape.input("x", &[512, 128], DType::F32);
        let weights: Vec<_> =
            (0..6).map(|i| tape.state(&format!("w{i}"), &[128, 128], Init::Normal(0.1))).collect();
        for &weight in &weights {
            let layer = || (0..4).fold(h, |h, _| h.matmul(weight).tanh() + h.scale(0.5));
            h = if again { tape.recomputed(layer) } else { layer() };
        }
        let names: Vec<String> = (0..weights.len()).map(|i| format!("g{i}")).collect();
        let found = tape.grad(h.square().sum_all(), &weights);
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(found).collect();
        let mut step = Step::new(&cpu(), &tape, &outputs, Options::default()).unwrap();
        step.run(&[("x", &normal(&[512, 128], 1))]).unwrap();
        let values: Vec<Tensor> = names.iter().map(|name| step.fetch(name).unwrap()).collect();
        (values, step.program().arena_bytes)
    };
    let ((plain, all), (again, some)) = (derivatives(false), derivatives(true));
    assert_eq!(plain, again);
    assert!(plain.iter().all(|g| g.to_f32().iter().any(|v| *v != 0.0)));
    assert!(3 * some < 2 * all, "{some} of {all} bytes");
}
