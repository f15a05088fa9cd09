//! Single operations at shapes that the five systems meet.

use super::{Case, normal};
use crate::ops::encode::Encode;
use crate::ops::fft::{Fft, Transform};
use crate::ops::ipa::{Ipa, Part as IpaPart};
use crate::ops::long_conv::{Direction as Lags, LongConv};
use crate::ops::mlp::{Mlp, Part};
use crate::ops::slice::{Direction, Slice};
use crate::ops::softmax::Softmax;
use crate::tape::{Tape, Var};
use crate::tensor::DType;

/// Points of four half slices of a box of 64.
const POINTS: usize = 12832;

/// A decoder of three hidden layers on eight images.
const NETWORK: [&[usize]; 8] =
    [&[POINTS, 3], &[96, 3], &[8, 256], &[256, 192], &[3, 256, 256], &[3, 256], &[2, 256], &[2]];

fn network() -> Mlp {
    Mlp { parts: vec![Part::Output], encode: Some(96), residual: true, slope: 0.0 }
}

/// An operation on normal numbers.
pub fn case(
    name: &str,
    shapes: &[&[usize]],
    record: impl for<'t> Fn(&'t Tape, &[Var<'t>]) -> Var<'t> + 'static,
) -> Case {
    let shapes: Vec<Vec<usize>> = shapes.iter().map(|s| s.to_vec()).collect();
    let made = shapes.clone();
    let feeds =
        move || made.iter().enumerate().map(|(i, s)| (format!("x{i}"), normal(s, i as u64))).collect();
    Case::new(name.into(), None, feeds, move |tape| {
        let input = |(i, s): (usize, &Vec<usize>)| tape.input(&format!("x{i}"), s, DType::F32);
        let inputs: Vec<Var> = shapes.iter().enumerate().map(input).collect();
        record(tape, &inputs)
    })
}

pub fn cases() -> Vec<Case> {
    let slice = |direction| Slice { direction, side: 65, channels: None };
    let (gather, scatter) = (slice(Direction::Gather), slice(Direction::Scatter));
    let hartley = Fft { transform: Transform::Hartley, axes: 2, centred: true };
    let ipa = |pairs| Ipa { part: IpaPart::Forward, scale: 0.2, coordinates: 12, pairs, mask: false };
    let two_sided = |length: usize| {
        let op = LongConv { direction: Lags::Forward, centre: length - 1 };
        case(&format!("long_conv/gated-{length}"), &[&[4, 8, length], &[8, 2 * length - 1]], move |t, v| {
            v[0] * t.special(op, &[v[0] * v[0], v[1]])
        })
    };
    let attention: [&[usize]; 5] =
        [&[1, 256, 8, 28], &[1, 256, 8, 28], &[1, 256, 8, 40], &[1, 256, 256, 8], &[1, 256, 256, 128]];
    let mut cases = vec![
        case("matmul/layer", &[&[POINTS, 256], &[256, 256]], |_, v| v[0].matmul_t(v[1])),
        case("matmul/bias-residual-relu", &[&[POINTS, 256], &[256, 256], &[256]], |_, v| {
            (v[0].matmul_t(v[1]) + v[2] + v[0]).relu()
        }),
        case("matmul/weight-gradient", &[&[POINTS, 256], &[POINTS, 256]], |_, v| v[0].t_matmul(v[1])),
        case("matmul/wide-layer", &[&[2048, 1024], &[1024, 1024]], |_, v| v[0].matmul_t(v[1])),
        case("matmul/two-outputs", &[&[POINTS, 256], &[2, 256]], |_, v| v[0].matmul_t(v[1])),
        case("matmul/few-rows", &[&[8, 3208], &[256, 3208]], |_, v| v[0].matmul_t(v[1])),
        case("chain/three-rows", &[&[POINTS, 256], &[256]], |_, v| (v[0] + v[1]).relu().scale(0.5)),
        case("reduce/columns", &[&[POINTS, 256]], |_, v| v[0].sum(&[0])),
        case("reduce/rows", &[&[POINTS, 256]], |_, v| v[0].sum(&[1])),
        case("softmax/rows", &[&[POINTS, 256]], |t, v| t.special(Softmax, v)),
        case("encode/gaussian", &[&[POINTS, 3], &[96, 3]], |t, v| t.special(Encode { group: 96 }, v)),
        case("mlp/value", &NETWORK, move |t, v| t.special(network(), v)),
        case("mlp/derivative", &NETWORK, move |t, v| {
            let y = t.special(network(), v);
            t.pull_back(y, y, &v[2..3])[0]
        }),
        case("slice/gather", &[&[65, 65, 65], &[POINTS, 3]], move |t, v| t.special(gather, v)),
        case("slice/scatter", &[&[POINTS], &[POINTS, 3]], move |t, v| t.special(scatter, v)),
        case("fft/hartley-128", &[&[8, 128, 128]], move |t, v| t.special(hartley, v)),
        case("ipa/points-256", &attention[..3], move |t, v| t.special(ipa(false), v)),
        case("ipa/pairs-256", &attention, move |t, v| t.special(ipa(true), v)),
    ];
    cases.extend([1_000, 10_000, 100_000].map(two_sided));
    cases
}
