//! A whole optimiser is one launch, and gives the same numbers as launch by launch.

use std::sync::Arc;

use kinesome::device::Device;
use kinesome::plan::{Kernel, Options, Program, Step, Store};
use kinesome::tape::{Init, Tape, Var};
use kinesome::tensor::{DType, Tensor};
use kinesome::train::{Adam, LossScale, clip_by_norm, ema};

const SHAPES: [&[usize]; 8] = [&[64, 40], &[40], &[], &[3, 1, 11], &[1], &[2, 2049], &[0], &[40, 64]];

fn adam() -> Adam {
    Adam { lr: 0.01, weight_decay: 0.1, ..Adam::default() }
}

/// A loss in which every parameter has a gradient that differs from the others'.
fn record<'t>(tape: &'t Tape, scale: Option<LossScale>) -> Var<'t> {
    let parameters: Vec<(String, Var<'t>)> = SHAPES
        .iter()
        .enumerate()
        .map(|(i, shape)| (format!("p{i}"), tape.state(&format!("p{i}"), shape, Init::Uniform(1.0))))
        .collect();
    let x = tape.input("x", &[9, 64], DType::F32);
    let [w, b, v] = [0, 1, 7].map(|i| parameters[i].1);
    let mut loss = (x.matmul(w) + b).tanh().matmul(v).square().sum_all();
    for (i, (_, p)) in parameters.iter().enumerate().skip(2).take(5) {
        loss = loss + p.add_scalar(0.1 * i as f32).square().sum_all();
    }
    let values: Vec<Var<'t>> = parameters.iter().map(|p| p.1).collect();
    let gradients = match scale {
        Some(scale) => scale.gradients(tape, loss, &values),
        None => tape.grad(loss, &values),
    };
    let gradients = clip_by_norm(tape, &gradients, 1.0);
    adam().record(tape, &parameters, &gradients);
    ema(tape, &parameters, 0.9);
    if let Some(scale) = scale {
        scale.guard(tape, &gradients);
    }
    loss
}

fn program(options: Options) -> Program {
    let tape = Tape::new();
    let loss = record(&tape, None);
    Program::new(&tape, &[("loss", loss)], options).expect("a plan")
}

#[test]
fn one_launch_updates_all_parameters() {
    let program = program(Options::default());
    let updates = |kernel: &Kernel| match kernel {
        Kernel::Chain(chain) => chain.steps.iter().any(|s| s.row.name == "adam").then_some(1),
        Kernel::Chains { chain, lengths } => {
            chain.steps.iter().any(|s| s.row.name == "adam").then_some(lengths.len())
        }
        Kernel::Special { .. } => None,
    };
    let counts: Vec<usize> = program.launches.iter().filter_map(|l| updates(&l.kernel)).collect();
    // The empty one is nobody's.
    assert_eq!(counts.iter().max(), Some(&(SHAPES.len() - 1)), "{}", program.listing());
    assert!(counts.len() <= 2, "{}", program.listing());
}

/// Every state after three steps.
fn train(device: &Arc<dyn Device>, options: Options, scale: Option<LossScale>) -> Vec<(String, Vec<f32>)> {
    let store = Store::new(device.clone(), 3);
    let tape = Tape::new();
    let loss = record(&tape, scale);
    let mut step = Step::new(&store, &tape, &[("loss", loss)], options).expect("a step");
    let x = Tensor::f32(&[9, 64], (0..9 * 64).map(|i| (i as f32 * 0.37).sin()).collect());
    for at in 1..=3 {
        let schedule = adam().schedule(at).feeds();
        let feeds: Vec<(&str, &Tensor)> =
            [("x", &x)].into_iter().chain(schedule.iter().map(|(name, value)| (*name, value))).collect();
        step.run(&feeds).expect("a run");
    }
    let names = store.names().into_iter();
    names.map(|name| (name.clone(), store.get(&name).expect("a state").to_f32())).collect()
}

#[test]
fn together_as_one_by_one() {
    for device in crate::devices() {
        for scale in [None, Some(LossScale::default())] {
            let (joined, single) =
                (train(&device, Options::default(), scale), train(&device, Options::eager(), scale));
            assert_eq!(joined.len(), if scale.is_some() { 34 } else { 32 });
            for ((name, found), (_, wanted)) in joined.iter().zip(&single) {
                let scale = wanted.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
                for (f, w) in found.iter().zip(wanted) {
                    let near = (f - w).abs() <= 1e-5 * scale;
                    assert!(near, "{}: {name}: {f} beside {w}", device.name());
                }
            }
        }
    }
}

/// Casts of weights too: the plan of mixed precision, on every device beside the CPU.
#[test]
fn mixed_precision_is_the_same_everywhere() {
    let options = Options { precision: DType::BF16, ..Options::default() };
    let devices = crate::devices();
    let wanted = train(&devices[0], options, None);
    for device in &devices[1..] {
        for ((name, found), (_, wanted)) in train(device, options, None).iter().zip(&wanted) {
            let scale = wanted.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
            let apart = found.iter().zip(wanted).fold(0.0_f32, |m, (f, w)| m.max((f - w).abs()));
            assert!(apart <= 2e-2 * scale, "{}: {name}: {apart} of {scale}", device.name());
        }
    }
}
