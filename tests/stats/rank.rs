//! Correlations and percentiles against SciPy 1.17, NumPy 2.4 and scikit-learn 1.9.

use kinesome::stats::rank::*;

use crate::{close, sample};

fn pair() -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect::<Vec<_>>();
    let (a, b) = (wide(sample(15, 4)), wide(sample(15, 5)));
    let quarter = |v: &[f64]| v.iter().map(|v| (v / 4.0).round_ties_even()).collect::<Vec<_>>();
    let (b, b2) = (quarter(&b), quarter(&a));
    (a, b, b2)
}

#[test]
fn correlations() {
    let (a, b, b2) = pair();
    close(spearman(&a, &b), -0.027985853927477815, 1e-14);
    close(spearman(&b, &b2), -0.03068480482936521, 1e-14);
    close(pearson(&a, &b), -0.05537518290049957, 1e-14);
    close(spearman(&a, &a.iter().map(|v| v.exp()).collect::<Vec<_>>()), 1.0, 1e-14);
    assert_eq!(ranks(&[2.0, 1.0, 2.0, 5.0]), [2.5, 1.0, 2.5, 4.0]);
    assert!(pearson(&a, &[1.0; 15]).is_nan() && pearson(&a, &b[1..]).is_nan() && spearman(&[], &[]).is_nan());
    assert!(spearman(&[1.0, f64::NAN, 3.0], &[1.0, 2.0, 3.0]).is_nan());
}

#[test]
fn spread_and_percentiles() {
    let (a, _, _) = pair();
    close(std(&a), 4.549842602588944, 1e-14);
    close(std_unbiased(&a), 4.709534520712818, 1e-14);
    let expected = [-7.265625, -6.653125, -2.114406250000001, 1.59375, 6.1578124999999995, 6.453125];
    let found = percentiles(&a, &[0.0, 5.0, 33.3, 50.0, 95.0, 100.0]);
    found.iter().zip(expected).for_each(|(f, e)| close(*f, e, 1e-14));
    assert_eq!(median(&[3.0, 1.0]), 2.0);
    assert_eq!(percentile(&[f64::INFINITY; 2], 30.0), f64::INFINITY);
    assert!(percentile(&[], 50.0).is_nan() && mean(&[]).is_nan() && std_unbiased(&[1.0]).is_nan());
}

#[test]
fn regression() {
    let (a, b, b2) = pair();
    let both: Vec<f64> = b.iter().zip(&b2).flat_map(|(x, y)| [*x, *y]).collect();
    close(linear_r2(&both, 2, &a).unwrap(), 0.9262971075171832, 1e-12);
    close(linear_r2(&b, 1, &a).unwrap(), 0.0030664108812639146, 1e-12);
    // A repeated column adds nothing.
    let twice: Vec<f64> = b.iter().flat_map(|x| [*x, 3.0 * x + 1.0]).collect();
    close(linear_r2(&twice, 2, &a).unwrap(), 0.0030664108812639146, 1e-12);
    assert!(linear_r2(&b, 2, &a).is_err());
    assert!(linear_r2(&b, 1, &[1.0; 15]).unwrap().is_nan());
}
