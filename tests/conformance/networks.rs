//! A coordinate network as one special against its layers, and what a plan stores of it.

use std::sync::Arc;

use kinesome::device::cpu::Cpu;
use kinesome::nn::encoding::{Encoding, Kind, Ladder};
use kinesome::nn::{Activation, Mlp};
use kinesome::plan::{Kernel, Options, Program, Step, Store};
use kinesome::stats::random::Philox;
use kinesome::tape::{Tape, Var};
use kinesome::tensor::{DType, Tensor};

const MEMBERS: usize = 2;
const POINTS: usize = 514;
const LATENT: usize = 3;

fn normal(shape: &[usize], stream: u64) -> Tensor {
    let mut philox = Philox::new(6, stream);
    Tensor::f32(shape, (0..shape.iter().product()).map(|_| 0.3 * philox.normal() as f32).collect())
}

fn mlp(residual: bool) -> Mlp {
    Mlp { hidden: 20, layers: 2, output: 2, activation: Activation::LeakyRelu, residual }
}

fn encoding() -> Encoding {
    Encoding { kind: Kind::Axes(Ladder::Linear), count: 3, side: 9 }
}

/// The value at the points of all members at once, and of one after the other, which are too few for the special.
fn record<'t>(tape: &'t Tape, residual: bool, at_once: bool) -> [Var<'t>; 3] {
    let points = tape.input("points", &[MEMBERS, POINTS, 3], DType::F32);
    let z = tape.input("z", &[MEMBERS, LATENT], DType::F32);
    let value = |points, z| {
        let entry = encoding().record(tape, points);
        tape.scope("decoder", || mlp(residual).record(entry, Some(z)))
    };
    let y = if at_once {
        value(points, z)
    } else {
        let each: Vec<Var<'t>> =
            (0..MEMBERS).map(|m| value(points.slice(0, m, 1), z.slice(0, m, 1))).collect();
        Var::concat(&each, 0)
    };
    [points, z, y]
}

fn networks(program: &Program) -> Vec<Vec<DType>> {
    let launches = program
        .launches
        .iter()
        .filter(|launch| matches!(&launch.kernel, Kernel::Special { op, .. } if op.stem() == "mlp"));
    launches.map(|l| l.writes.iter().map(|&b| program.buffers[b].meta.dtype).collect()).collect()
}

#[test]
fn a_network_on_chip_is_its_layers() {
    for residual in [false, true] {
        let store = Store::new(Arc::new(Cpu::new()), 1);
        let run = |at_once: bool| {
            let tape = Tape::new();
            let [points, z, y] = record(&tape, residual, at_once);
            let upstream = tape.constant(normal(&y.shape(), 5));
            let states = tape.states();
            let names: Vec<&str> = states.iter().map(|s| s.name.as_str()).collect();
            assert_eq!(names[0], "decoder.main.0.weight");
            let by: Vec<Var<'_>> =
                states.iter().map(|s| tape.state_of(&s.name, s.meta.clone(), s.init.clone())).collect();
            let by = [&[points, z], &by[..]].concat();
            let derivatives = tape.pull_back(y, upstream, &by);
            let named = ["y", "points", "z"].into_iter().chain(names);
            let outputs: Vec<(&str, Var<'_>)> = named.zip([&[y], &derivatives[..]].concat()).collect();
            let mut step = Step::new(&store, &tape, &outputs, Options::default()).expect("a step");
            assert_eq!(networks(step.program()).len(), if at_once { 2 } else { 0 });
            step.run(&[("points", &normal(&[MEMBERS, POINTS, 3], 1)), ("z", &normal(&[MEMBERS, LATENT], 2))])
                .expect("a run");
            outputs
                .iter()
                .map(|(name, _)| (name.to_string(), step.fetch(name).expect("an output").to_f32()))
                .collect::<Vec<_>>()
        };
        for ((name, found), (_, wanted)) in run(true).iter().zip(&run(false)) {
            let scale = wanted.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            let apart = found.iter().zip(wanted).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(scale > 0.0 && found.len() == wanted.len(), "{name}");
            assert!(apart < 1e-4 * scale, "{name}: {apart} of {scale}");
        }
    }
}

/// Evaluating writes the result alone. With a derivative, one launch writes what it needs beside the result, for
/// products of 16 bits in 16 bits.
#[test]
fn activations_are_kept_for_a_derivative_alone() {
    let tape = Tape::new();
    let [_, z, y] = record(&tape, true, true);
    let value = Program::new(&tape, &[("y", y)], Options::default()).expect("a plan");
    assert_eq!(networks(&value), [[DType::F32]]);
    let loss = y.square().sum_all();
    let state = |at: usize, name: &str| {
        let state = tape.states()[at].clone();
        assert_eq!(state.name, format!("decoder.main.2.linear.{name}"));
        tape.state_of(&state.name, state.meta, state.init)
    };
    let by = tape.grad(loss, &[z, state(2, "weight"), state(3, "bias")]);
    let outputs = [("loss", loss), ("z", by[0]), ("weight", by[1]), ("bias", by[2])];
    let options = Options { precision: DType::BF16, ..Options::default() };
    let program = Program::new(&tape, &outputs, options).expect("a plan");
    let (wide, narrow) = (DType::F32, DType::BF16);
    assert_eq!(networks(&program), [vec![wide, narrow, wide], vec![narrow, narrow]], "{}", program.listing());
    let layers = 2 * MEMBERS * POINTS * 20;
    let large = program.buffers.iter().filter(|b| b.meta.len() >= layers);
    assert!(
        large.clone().count() == 2 && large.clone().all(|b| b.meta.dtype == narrow),
        "{}",
        program.listing()
    );
}
