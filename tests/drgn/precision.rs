//! Products in 16 bits: the loss goes where it goes in f32, and what overflows is left out.

use std::sync::Arc;

use kinesome::device::cpu::Cpu;
use kinesome::plan::{Kernel, Options, Step, Store};
use kinesome::stats::random::Philox;
use kinesome::systems::drgn::config::Config;
use kinesome::systems::drgn::model::{Network, Objective};
use kinesome::tape::{Init, Tape};
use kinesome::tensor::{DType, Tensor};
use kinesome::train::{Adam, LossScale, loss_scale, random_key};

const BATCH: usize = 8;

/// Losses of a small VAE's first steps on one batch.
fn losses(precision: DType) -> Vec<f32> {
    let text = "dataset_args: {particles: x.mrcs, norm: [0, 1]}\n\
                lattice_args: {D: 17, extent: 0.5, ignore_DC: true}\n\
                model_args: {qlayers: 1, qdim: 32, players: 1, pdim: 32, zdim: 8, encode_mode: resid, \
                enc_mask: 8, pe_type: gaussian, feat_sigma: 0.5, pe_dim: 8, domain: hartley}\n";
    let config = Config::parse(text, "config.yaml".as_ref()).expect("a config");
    let network = Network::new(&config).expect("a network");
    let pixels = network.mask_len();
    let mut philox = Philox::new(3, 4);
    let mut normal = |n: usize| -> Vec<f32> { (0..n).map(|_| philox.normal() as f32).collect() };
    let adam = Adam { lr: 3e-3, ..Adam::default() };
    let loss_scale = (precision == DType::F16).then(LossScale::default);
    let tape = Tape::new();
    let objective = Objective { beta_control: None, adam, clip: None, loss_scale };
    let losses = network.training_step(&tape, BATCH, &objective);
    let store = Store::new(Arc::new(Cpu::new()), 0);
    let options = Options { precision, ..Options::default() };
    let mut step = Step::new(&store, &tape, &[("total", losses.total)], options).expect("a step");
    let feeds = [
        ("images", Tensor::f32(&[BATCH, pixels], normal(BATCH * pixels))),
        ("ctf", Tensor::f32(&[BATCH, pixels], vec![1.0; BATCH * pixels])),
        ("rotations", Tensor::f32(&[BATCH, 3, 3], normal(9 * BATCH).iter().map(|v| 0.5 * v).collect())),
        ("weights", Tensor::f32(&[BATCH], vec![1.0 / BATCH as f32; BATCH])),
        ("beta", Tensor::scalar(0.1)),
    ];
    let run = |at: u64| {
        let (schedule, key) = (adam.schedule(at).feeds(), [("key", random_key(5, at))]);
        let feeds: Vec<(&str, &Tensor)> =
            feeds.iter().chain(&key).chain(&schedule).map(|(n, t)| (*n, t)).collect();
        step.run(&feeds).expect("a run");
        step.number("total").expect("a loss")
    };
    (1..=60).map(run).collect()
}

#[test]
fn training_in_16_bits_follows_training_in_32() {
    let full = losses(DType::F32);
    let (first, last) = (full[0], full[59]);
    assert!(last < 0.95 * first, "{first} {last}");
    for precision in [DType::BF16, DType::F16] {
        let half = losses(precision);
        assert!(half.iter().zip(&full).any(|(a, b)| a != b), "{precision} changed nothing");
        let apart = (half[59] - last).abs();
        assert!(apart < 0.1 * (first - last), "{precision}: {} for {last}", half[59]);
    }
}

/// Large products read 16 bits, small ones and the parameters stay f32, and a weight is cast once.
#[test]
fn a_plan_casts_each_factor_once() {
    let tape = Tape::new();
    let x = tape.input("x", &[16, 12], DType::F32);
    let w = tape.state("w", &[10, 12], Init::Normal(1.0));
    let small = tape.state("small", &[3, 10], Init::Normal(1.0));
    let y = x.matmul_t(w).tanh();
    let loss = y.matmul_t(small).square().sum_all();
    let grad = tape.grad(loss, &[w, small]);
    let outputs = [("loss", loss), ("w", grad[0]), ("small", grad[1])];
    let store = Store::new(Arc::new(Cpu::new()), 0);
    let options = Options { precision: DType::BF16, ..Options::default() };
    let mut step = Step::new(&store, &tape, &outputs, options).expect("a step");
    let program = step.program();
    let mut read: Vec<(String, Vec<DType>)> = vec![];
    for launch in &program.launches {
        if let Kernel::Special { op, inputs, .. } = &launch.kernel
            && op.stem() == "matmul"
        {
            let types = launch.reads[..2].iter().map(|&b| program.buffers[b].meta.dtype).collect();
            read.push((format!("{:?} {:?}", inputs[0].shape, inputs[1].shape), types));
        }
    }
    let narrow = read.iter().filter(|(_, types)| *types == [DType::BF16; 2]).count();
    let wide = read.iter().filter(|(_, types)| *types == [DType::F32; 2]).count();
    // x w^T and g^T x; y small^T, g small, g^T y.
    assert_eq!((narrow, wide), (2, 3), "{read:?}");
    let halves = program.buffers.iter().filter(|b| b.meta.dtype == DType::BF16).count();
    assert_eq!(halves, 3, "x, w and the upstream derivative\n{}", program.listing());
    assert!(program.states.iter().all(|(s, _)| s.meta.dtype == DType::F32));
    let mut philox = Philox::new(1, 2);
    let x = Tensor::f32(&[16, 12], (0..16 * 12).map(|_| philox.normal() as f32).collect());
    step.run(&[("x", &x)]).expect("a run");
    let narrow = step.fetch("w").expect("a gradient").to_f32();
    let mut full = Step::new(&store, &tape, &outputs, Options::default()).expect("a step");
    full.run(&[("x", &x)]).expect("a run");
    let full = full.fetch("w").expect("a gradient").to_f32();
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let apart = norm(&mut narrow.iter().zip(&full).map(|(a, b)| a - b)) / norm(&mut full.iter().copied());
    // bf16 keeps 8 bits.
    assert!((1e-4..0.03).contains(&apart), "{apart}");
}

/// A step that overflows leaves parameters, moments and averages as they are and halves the factor; good steps
/// double it.
#[test]
fn an_overflow_is_left_out() {
    let tape = Tape::new();
    let scale = LossScale { start: 1024.0, patience: 3 };
    let p = tape.state("p", &[2], Init::Constant(1.0));
    let x = tape.input("x", &[2], DType::F32);
    let loss = (p * x).sum_all();
    let gradients = scale.gradients(&tape, loss, &[p]);
    let adam = Adam::default();
    let named = [("p".to_string(), p)];
    adam.record(&tape, &named, &gradients);
    kinesome::train::ema(&tape, &named, 0.5);
    scale.guard(&tape, &gradients);
    let store = Store::new(Arc::new(Cpu::new()), 0);
    let mut step = Step::new(&store, &tape, &[("g", gradients[0])], Options::default()).expect("a step");
    let mut run = |x: [f32; 2], at| {
        let schedule = adam.schedule(at).feeds();
        let x = Tensor::f32(&[2], x.to_vec());
        let mut feeds = vec![("x", &x)];
        feeds.extend(schedule.iter().map(|(n, t)| (*n, t)));
        step.run(&feeds).expect("a run");
        let held = |name: &str| store.get(name).expect("a state").to_f32();
        let all = ["p", "adam.first.p", "adam.second.p", "ema.p"].map(held);
        (all, held(loss_scale::STATES[0])[0], step.fetch("g").expect("a gradient").to_f32())
    };
    let (first, factor, gradient) = run([0.5, -0.25], 1);
    assert_eq!((factor, gradient), (1024.0, vec![0.5, -0.25]));
    assert!(first[0][0] < 1.0 && first[0][1] > 1.0 && first[3] != first[0]);
    for (wild, halved) in [([f32::INFINITY, 0.0], 512.0), ([0.0, f32::NAN], 256.0)] {
        let (held, factor, _) = run(wild, 2);
        assert_eq!((held, factor), (first.clone(), halved));
    }
    let factors: Vec<f32> = (2..=8).map(|at| run([0.5, -0.25], at).1).collect();
    assert_eq!(factors, [256.0, 256.0, 512.0, 512.0, 512.0, 1024.0, 1024.0]);
}
