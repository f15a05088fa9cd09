//! TICA against deeptime 0.4.5 and against processes whose times are known.

use kinesome::stats::Matrix;
use kinesome::stats::random::Philox;
use kinesome::stats::rank::pearson;
use kinesome::stats::tica::Tica;

use crate::{close, sample};

/// Three mixed moving sums of 20, 8 and 3 numbers, exact in f32.
fn moving_sums(frames: usize) -> Vec<f32> {
    let x = sample(3 * frames, 7);
    let sum = |t: usize, c: usize, wide: usize| -> f32 {
        ((t + 1).saturating_sub(wide)..=t).map(|s| x[3 * s + c]).sum()
    };
    (0..frames)
        .flat_map(|t| {
            let [a, b, c] = [sum(t, 0, 20), sum(t, 1, 8), sum(t, 2, 3)];
            [a + b, b - c, c + 0.5 * a]
        })
        .collect()
}

#[test]
fn agrees_with_deeptime() {
    let x = moving_sums(2000);
    let all = Matrix::new(&x, 3).unwrap();
    let tica = Tica::fit(&[all], 5, 0.95).unwrap();
    let expected = [0.695009176023897, 0.37830022432619, 0.009512697269429];
    tica.eigenvalues.iter().zip(expected).for_each(|(a, b)| close(*a, b, 1e-9));
    assert_eq!(tica.len(), 2);
    let y = tica.transform(all).unwrap();
    for (row, expected) in
        [(100, [-0.940049272632971f64, -0.04955647934136]), (1999, [0.521692342953678, -0.832900075167466])]
    {
        // deeptime leaves the sign of a component open.
        (0..2).for_each(|c| close(f64::from(y[2 * row + c]).abs(), expected[c].abs(), 1e-6));
    }
    let parts = [Matrix::new(&x[..2100], 3).unwrap(), Matrix::new(&x[2100..], 3).unwrap()];
    let two = Tica::fit(&parts, 5, 0.95).unwrap();
    let expected = [0.695113757846489, 0.379731968973584, 0.008804604119436];
    two.eigenvalues.iter().zip(expected).for_each(|(a, b)| close(*a, b, 1e-9));
}

#[test]
fn ornstein_uhlenbeck_has_its_time() {
    let times = [50.0f64, 8.0];
    let frames = 200_000;
    let mut rng = Philox::new(11, 0);
    let mut state = [0.0f64; 2];
    let (mut slow, mut mixed) = (Vec::new(), Vec::new());
    for _ in 0..frames {
        for (v, time) in state.iter_mut().zip(times) {
            let keep = (-1.0 / time).exp();
            *v = keep * *v + (1.0 - keep * keep).sqrt() * rng.normal();
        }
        slow.push(state[0]);
        // The slow process is the smaller part of both features; the third never moves.
        mixed.extend(
            [0.2 * state[0] + 3.0 * state[1], 0.1 * state[0] - 2.0 * state[1], 4.0].map(|v| v as f32),
        );
    }
    let x = Matrix::new(&mixed, 3).unwrap();
    let tica = Tica::fit(&[x], 10, 1.0).unwrap();
    assert_eq!(tica.constant, [2]);
    let found = tica.timescales();
    // Standard error of the time of 4000 independent stretches is about 2 %.
    close(found[0].unwrap() / 50.0, 1.0, 0.06);
    close(found[1].unwrap() / 8.0, 1.0, 0.06);
    let y = tica.transform(x).unwrap();
    let first: Vec<f64> = y.chunks_exact(tica.len()).map(|row| f64::from(row[0])).collect();
    close(pearson(&first, &slow).abs(), 1.0, 1e-2);
    // A kinetic map: the variance of a coordinate is its eigenvalue squared.
    let variance = first.iter().map(|v| v * v).sum::<f64>() / frames as f64;
    close(variance.sqrt(), tica.eigenvalues[0], 5e-3);
}

#[test]
fn refuses_what_does_not_move_or_is_too_short() {
    let still = [1.0f32; 40];
    let said = |x: &[f32], lag| Tica::fit(&[Matrix::new(x, 2).unwrap()], lag, 0.95).unwrap_err().to_string();
    assert!(said(&still, 3).contains("all 2 features are constant"), "{}", said(&still, 3));
    assert!(said(&still, 20).contains("a lag of 20 frames does not fit a trajectory of 20"));
    assert!(said(&[0.0, 1.0, f32::NAN, 2.0, 3.0, 4.0], 1).contains("row 1 column 0"));
    assert!(Tica::fit(&[], 1, 0.95).is_err());
}
