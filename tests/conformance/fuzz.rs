//! NaN, infinity and huge values: no crash, and neighbours stay sound.

use kinesome::device::Device;
use kinesome::ops::rows;
use kinesome::plan::{Options, Step, Store};
use kinesome::tape::Tape;
use kinesome::tensor::{DType, Tensor};
use std::sync::Arc;

const WILD: [f32; 8] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40, f32::MAX, f32::MIN];

fn run(
    device: &Arc<dyn Device>,
    tape: &Tape,
    output: kinesome::tape::Var<'_>,
    feeds: &[(&str, &Tensor)],
) -> Vec<f32> {
    let store = Store::new(device.clone(), 0);
    let mut step = Step::new(&store, tape, &[("y", output)], Options::default()).expect("a step");
    step.run(feeds).expect("a run");
    step.fetch("y").expect("a value").to_f32()
}

/// Every row: a wild value changes no neighbour, and gives what f64 gives where f32 can say it.
#[test]
fn wild_values_stay_where_they_are() {
    for device in crate::devices() {
        for row in rows::ALL {
            let n = 40;
            let tame: Vec<f32> = (0..n).map(|i| 0.3 + 0.05 * i as f32).collect();
            let mut wild = tame.clone();
            for (i, value) in WILD.iter().enumerate() {
                wild[5 * i] = *value;
            }
            let evaluate = |first: &[f32]| {
                let tape = Tape::new();
                let vars: Vec<_> =
                    (0..row.arity()).map(|i| tape.input(&format!("x{i}"), &[n], DType::F32)).collect();
                let tensors: Vec<Tensor> = (0..row.arity())
                    .map(|i| Tensor::f32(&[n], if i == 0 { first.to_vec() } else { tame.clone() }))
                    .collect();
                let names: Vec<String> = (0..row.arity()).map(|i| format!("x{i}")).collect();
                let feeds: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&tensors).collect();
                run(&device, &tape, tape.row(row, &vars), &feeds)
            };
            let (sound, shaken) = (evaluate(&tame), evaluate(&wild));
            for i in 0..n {
                if i % 5 != 0 {
                    assert_eq!(sound[i].to_bits(), shaken[i].to_bits(), "{row:?}: neighbour {i} changed");
                    continue;
                }
                let arguments: Vec<f64> =
                    (0..row.arity()).map(|a| if a == 0 { wild[i] as f64 } else { tame[i] as f64 }).collect();
                let truth = (row.point)(&arguments);
                // Derivatives and angles of huge arguments are not defined to that accuracy; NaN must stay NaN.
                if wild[i].is_nan() && truth.is_nan() {
                    assert!(shaken[i].is_nan(), "{row:?} hides a NaN: {}", shaken[i]);
                }
            }
        }
    }
}

/// Rows of a matrix do not leak into one another.
#[test]
fn wild_rows_stay_rows() {
    for device in crate::devices() {
        let (m, k, n) = (7, 33, 9);
        let b = Tensor::f32(&[k, n], (0..k * n).map(|i| (i as f32 * 0.37).sin()).collect());
        for wild in WILD {
            let mut a: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.11).cos()).collect();
            a[3 * k + 5] = wild;
            let tape = Tape::new();
            let (x, y) = (tape.input("a", &[m, k], DType::F32), tape.input("b", &[k, n], DType::F32));
            let product = run(&device, &tape, x.matmul(y), &[("a", &Tensor::f32(&[m, k], a)), ("b", &b)]);
            for (row, values) in product.chunks(n).enumerate() {
                let finite = values.iter().all(|v| v.is_finite());
                assert!(row == 3 || finite, "{wild} in row 3 reached row {row}");
                assert!(row != 3 || finite == wild.is_finite() || wild.abs() == f32::MAX, "{wild} vanished");
            }
        }
    }
}
