//! The adapter against the CPU at sizes that reach every path of the lowering: long axes in parts, many digits
//! of a sort, transforms of odd lengths, batches of tiles.

use kinesome::device;
use kinesome::ops::fft::{Fft, Transform};
use kinesome::ops::segment_sum::SegmentSum;
use kinesome::ops::slice::{Direction, Slice};
use kinesome::plan::{Options, Step, Store};
use kinesome::stats::random::Philox;
use kinesome::tape::{Tape, Var};
use kinesome::tensor::{DType, Tensor};

fn normal(shape: &[usize], stream: u64) -> Tensor {
    let mut philox = Philox::new(5, stream);
    Tensor::f32(shape, (0..shape.iter().product()).map(|_| philox.normal() as f32).collect())
}

fn indices(n: usize, bound: usize) -> Tensor {
    let mut philox = Philox::new(5, 99);
    Tensor::i32(&[n], (0..n).map(|_| philox.below(bound) as i32).collect())
}

/// Runs twice on every adapter: the same bits, and the CPU's within `tolerance` of the largest value.
fn agree(feeds: &[Tensor], tolerance: f32, record: impl for<'t> Fn(&'t Tape, &[Var<'t>]) -> Var<'t>) {
    let tape = Tape::new();
    let names: Vec<String> = (0..feeds.len()).map(|i| format!("x{i}")).collect();
    let vars: Vec<Var<'_>> =
        names.iter().zip(feeds).map(|(name, x)| tape.input(name, &x.shape, x.dtype())).collect();
    let value = record(&tape, &vars);
    let what = value.meta().to_string();
    let values: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(feeds).collect();
    let run = |device: std::sync::Arc<dyn device::Device>| {
        let store = Store::new(device, 0);
        let mut step = Step::new(&store, &tape, &[("y", value)], Options::default()).expect("a step");
        let mut once = || {
            step.run(&values).expect("a run");
            step.fetch("y").expect("a value").to_f32()
        };
        (once(), once())
    };
    let wanted = run(device::open("cpu").expect("the CPU")).0;
    let scale = wanted.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    for adapter in crate::adapters() {
        let (found, again) = run(adapter);
        assert!(found.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()), "{what}: other bits");
        let worst = found.iter().zip(&wanted).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(worst <= tolerance * scale, "{what}: off by {worst} of {scale}");
    }
}

#[test]
fn matrix_products() {
    // Long inner axis; few rows; tiles in every direction with rests; half precision.
    for (m, k, n) in [(7, 3000, 5), (70, 2100, 66), (3, 40, 200), (129, 65, 131), (33, 1, 1)] {
        agree(&[normal(&[m, k], 1), normal(&[k, n], 2)], 3e-6, |_, v| v[0].matmul(v[1]));
        agree(&[normal(&[k, m], 1), normal(&[n, k], 2), normal(&[n], 3)], 3e-6, |_, v| {
            (v[0].transpose(0, 1).matmul_t(v[1]).scale(1.0 / (k as f32).sqrt()) + v[2]).tanh()
        });
    }
    agree(&[normal(&[3, 40, 600], 1), normal(&[3, 600, 70], 2)], 3e-6, |_, v| v[0].matmul(v[1]).relu());
    agree(&[normal(&[40, 600], 1), normal(&[600, 71], 2)], 2e-2, |_, v| {
        let half = v[0].cast(DType::BF16).matmul(v[1].cast(DType::BF16));
        half.cast(DType::F32).scale(0.5)
    });
}

#[test]
fn reductions() {
    let cases: [(&[usize], &[usize]); 5] = [
        (&[300_007], &[0]),
        (&[3, 70_001], &[1]),
        (&[5000, 30], &[0]),
        (&[4, 900, 7], &[1]),
        (&[9, 5, 800, 3], &[0, 2]),
    ];
    for (shape, axes) in cases {
        // Squares: a sum near zero of large numbers has no accuracy to compare.
        agree(&[normal(shape, 1)], 3e-6, |_, v| v[0].square().sum(axes));
        agree(&[normal(shape, 1)], 0.0, |_, v| v[0].max_keep(axes));
    }
}

#[test]
fn segments() {
    for (rows, segments) in [(5000, 300), (3000, 5000), (700, 1)] {
        agree(&[normal(&[rows, 3], 1), indices(rows, segments + 2)], 3e-6, |t, v| {
            t.special(SegmentSum { segments }, v)
        });
    }
}

#[test]
fn transforms() {
    let cases: [(usize, &[usize]); 5] =
        [(1, &[3, 97]), (1, &[1024]), (2, &[30, 64]), (2, &[2, 33, 121]), (3, &[12, 16, 10])];
    for (axes, shape) in cases {
        let complex: Vec<usize> = shape.iter().copied().chain([2]).collect();
        for centred in [false, true] {
            let op = |transform| Fft { transform, axes, centred };
            agree(&[normal(shape, 1)], 3e-6, |t, v| t.special(op(Transform::Hartley), v));
            agree(&[normal(&complex, 1)], 3e-6, |t, v| t.special(op(Transform::Forward), v));
            agree(&[normal(&complex, 1)], 3e-6, |t, v| t.special(op(Transform::Inverse), v));
        }
    }
}

#[test]
fn slices_of_a_larger_volume() {
    let (side, points) = (24, 3000);
    for channels in [None, Some(3)] {
        let volume: Vec<usize> = [side; 3].into_iter().chain(channels).collect();
        let values: Vec<usize> = [points].into_iter().chain(channels).collect();
        let op = |direction| Slice { direction, side, channels };
        let coordinates =
            Tensor::f32(&[points, 3], normal(&[points, 3], 7).to_f32().iter().map(|x| 6.0 * x).collect());
        agree(&[normal(&volume, 1), coordinates.clone()], 3e-6, |t, v| t.special(op(Direction::Gather), v));
        agree(&[normal(&values, 2), coordinates.clone()], 1e-5, |t, v| t.special(op(Direction::Scatter), v));
        let feeds = [normal(&volume, 1), coordinates, normal(&values, 2)];
        agree(&feeds, 1e-5, |t, v| t.special(op(Direction::Coordinates), v));
    }
}
