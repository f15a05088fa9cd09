//! Distances of distributions and correlations in time, against SciPy 1.17 and by hand.

use kinesome::stats::autocorrelation::{angles, decorrelation, falls_below, products};
use kinesome::stats::divergence::{Bins, histogram_2d, jensen_shannon};
use kinesome::stats::random::Philox;
use kinesome::stats::transport::{assign, between_gaussians, between_points};
use nalgebra::{Matrix3, Vector3, dmatrix};

use crate::{close, sample};

#[test]
fn jensen_shannon_agrees_with_scipy() {
    close(jensen_shannon(&[1., 2., 3., 4.], &[4., 3., 2., 1.]), 0.32625164411267443, 1e-14);
    close(jensen_shannon(&[3., 0., 5.], &[1., 1., 1.]), 0.3724051817517828, 1e-14);
    close(jensen_shannon(&[1., 0.], &[0., 7.]), 2f64.ln().sqrt(), 1e-15);
    assert_eq!(jensen_shannon(&[2., 6.], &[1., 3.]), 0.0);
    assert!(jensen_shannon(&[0., 0.], &[1., 0.]).is_nan());
    assert!(jensen_shannon(&[1.], &[1., 0.]).is_nan());
}

#[test]
fn bins_hold_both_ends() {
    let bins = Bins { low: 0.0, high: 2.0, count: 4 };
    assert_eq!(bins.histogram([0.0, 0.49, 0.5, 2.0, 2.01, -0.1, f64::NAN].into_iter()), [2., 1., 0., 1.]);
    assert_eq!(bins.edges(), [0.0, 0.5, 1.0, 1.5, 2.0]);
    assert_eq!(bins.centres(), [0.25, 0.75, 1.25, 1.75]);
    let two = Bins { low: 0.0, high: 2.0, count: 2 };
    assert_eq!(histogram_2d(two, two, [(0.1, 1.9), (1.5, 0.0), (3.0, 0.0)].into_iter()), [0., 1., 1., 0.]);
    assert_eq!(Bins::over([3.0, 3.0].into_iter(), 2), Bins { low: 2.5, high: 3.5, count: 2 });
    assert_eq!(Bins::over([f64::NAN].into_iter(), 2), Bins { low: 0.0, high: 1.0, count: 2 });
}

#[test]
fn autocorrelation_is_the_plain_sum() {
    let x: Vec<f64> = sample(101, 3).iter().map(|v| f64::from(*v)).collect();
    for (k, found) in products(&x, 200).iter().enumerate() {
        let plain: f64 = x.iter().zip(&x[k..]).map(|(a, b)| a * b).sum::<f64>() / (101 - k) as f64;
        close(*found, plain, 1e-11);
    }
    for (k, found) in angles(&x, 60).iter().enumerate() {
        let plain: f64 = x.iter().zip(&x[k..]).map(|(a, b)| (b - a).cos()).sum::<f64>() / (101 - k) as f64;
        close(*found, plain, 1e-12);
    }
    assert_eq!((products(&x, 200).len(), products(&[], 5).len()), (101, 0));
}

#[test]
fn an_angle_that_jumps_forgets_at_its_rate() {
    // Two places 2 radians apart, left with probability p: correlation (1 - 2p)^k.
    let (p, mut rng) = (0.02f64, Philox::new(5, 0));
    let mut here = false;
    let angle: Vec<f64> = (0..400_000)
        .map(|_| {
            here ^= rng.uniform_f64() < p;
            if here { 1.0 } else { -1.0 }
        })
        .collect();
    let curve = decorrelation(&angle, 100).unwrap();
    for k in [0usize, 1, 10, 40] {
        close(curve[k], (1.0 - 2.0 * p).powi(k as i32), 0.03);
    }
    let time = falls_below(&curve, (-1.0f64).exp()).unwrap();
    close(time, -1.0 / (1.0 - 2.0 * p).ln(), 1.5);
    assert!(decorrelation(&[0.3; 50], 10).is_none());
    assert_eq!(falls_below(&[1.0, 0.6, 0.2], 0.4), Some(1.5));
    assert_eq!(falls_below(&[1.0, 0.9], 0.5), None);
}

#[test]
fn assignment_is_the_best_of_all() {
    let cost = dmatrix![4., 1., 3.; 2., 0., 5.; 3., 2., 2.];
    assert_eq!(assign(&cost).unwrap(), (vec![1, 0, 2], 5.0));
    let x = sample(49, 9);
    let cost = nalgebra::DMatrix::from_fn(7, 7, |i, j| f64::from(x[7 * i + j]));
    let mut best = f64::INFINITY;
    permutations(&mut (0..7).collect(), 0, &mut |p| {
        best = best.min((0..7).map(|i| cost[(i, p[i])]).sum());
    });
    close(assign(&cost).unwrap().1, best, 1e-12);
    assert!(assign(&dmatrix![f64::NAN]).is_err());
}

fn permutations(items: &mut Vec<usize>, from: usize, visit: &mut impl FnMut(&[usize])) {
    if from == items.len() {
        return visit(items);
    }
    for i in from..items.len() {
        items.swap(from, i);
        permutations(items, from + 1, visit);
        items.swap(from, i);
    }
}

#[test]
fn moved_points_and_gaussians_lie_as_far_as_they_were_moved() {
    let a: Vec<f64> = sample(60, 2).iter().map(|v| f64::from(*v)).collect();
    let mut b: Vec<f64> = a.chunks_exact(2).rev().flat_map(|p| [p[0] + 3.0, p[1] - 4.0]).collect();
    // The best assignment cannot be longer than moving every point by (3, -4), and a mean moves no less.
    close(between_points(&a, &b, 2).unwrap(), 5.0, 1e-9);
    b.pop();
    assert!(between_points(&a, &b, 2).is_err());

    let spread = |x: f64, y: f64, z: f64| Matrix3::from_diagonal(&Vector3::new(x * x, y * y, z * z));
    let (means, spreads) = between_gaussians(
        (Vector3::zeros(), spread(1.0, 2.0, 3.0)),
        (Vector3::new(1.0, 2.0, 2.0), spread(2.0, 2.0, 1.0)),
    );
    close(means, 9.0, 1e-12);
    close(spreads, 1.0 + 0.0 + 4.0, 1e-9);
}
