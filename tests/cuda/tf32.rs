//! Products whose factors may be rounded to tf32: near the exact ones, and only where they were asked for.

use std::sync::Arc;

use kinesome::device::{Device, cpu::Cpu};
use kinesome::ops::matmul::MatMul;
use kinesome::plan::{Options, Step, Store};
use kinesome::stats::random::Philox;
use kinesome::tape::Tape;
use kinesome::tensor::{DType, Tensor};

fn product(device: &Arc<dyn Device>, op: MatMul, [m, n, k]: [usize; 3], tf32: bool) -> Vec<f32> {
    let tape = Tape::new();
    let left = if op.transpose_left { [k, m] } else { [m, k] };
    let right = if op.transpose_right { [n, k] } else { [k, n] };
    let inputs = [tape.input("a", &left, DType::F32), tape.input("b", &right, DType::F32)];
    let result = tape.special(op, &inputs).relu();
    let options = Options { tf32, ..Options::default() };
    let mut step =
        Step::new(&Store::new(device.clone(), 0), &tape, &[("y", result)], options).expect("a step");
    let mut philox = Philox::new(4, 0);
    let mut draw = |shape: &[usize; 2]| {
        Tensor::f32(shape, (0..shape[0] * shape[1]).map(|_| philox.normal() as f32).collect())
    };
    let (a, b) = (draw(&left), draw(&right));
    step.run(&[("a", &a), ("b", &b)]).expect("a run");
    step.fetch("y").expect("a value").to_f32()
}

#[test]
fn tf32_rounds_factors_only_when_asked_to() {
    let Some(shim) = crate::shim::device() else { return };
    let (shim, cpu): (Arc<dyn Device>, Arc<dyn Device>) = (shim, Arc::new(Cpu::new()));
    for size in [[130, 100, 72], [70, 72, 300], [24, 18, 41]] {
        for transposes in 0..4 {
            let op = MatMul { transpose_left: transposes & 1 == 1, transpose_right: transposes & 2 == 2 };
            let exact = product(&cpu, op, size, false);
            let rounded = product(&shim, op, size, true);
            let worst =
                |found: &[f32]| found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Factors lose up to 2^-11 of themselves; sums of k terms, each of them about 1.
            let limit = 4.0 / 2048.0 * (size[2] as f32).sqrt();
            assert!(worst(&rounded) < limit, "{op:?} {size:?}: {}", worst(&rounded));
            assert!(worst(&rounded) > 1e-4, "{op:?} {size:?} was not rounded: {}", worst(&rounded));
            assert!(worst(&product(&shim, op, size, false)) < 1e-4, "{op:?} {size:?}");
        }
    }
}
