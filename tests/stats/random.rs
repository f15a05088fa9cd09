//! Philox against the known-answer vectors of Random123 (`kat_vectors`, philox4x32 10), and the moments of what is
//! drawn from it.

use kinesome::stats::random::{Philox, philox4x32_10, unit_f32, unit_f64};

#[test]
fn known_answers_of_random123() {
    let ones = u32::MAX;
    assert_eq!(philox4x32_10([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    assert_eq!(philox4x32_10([ones; 4], [ones; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    let pi_counter = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
    let pi_key = [0xa4093822, 0x299f31d0];
    assert_eq!(philox4x32_10(pi_counter, pi_key), [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
}

#[test]
fn sequence_is_the_counter_blocks() {
    let (seed, stream) = (0x0123_4567_89ab_cdef_u64, 0xfedc_ba98_7654_3210_u64);
    let mut rng = Philox::new(seed, stream);
    let drawn: Vec<u32> = (0..8).map(|_| rng.u32()).collect();
    let key = [0x89ab_cdef, 0x0123_4567];
    for block in 0..2u32 {
        let expected = philox4x32_10([block, 0, 0x7654_3210, 0xfedc_ba98], key);
        assert_eq!(drawn[4 * block as usize..][..4], expected);
    }
    rng.seek(1);
    assert_eq!(rng.u32(), drawn[4]);
}

#[test]
fn unit_floats_stay_below_one() {
    assert_eq!(unit_f32(u32::MAX), 1.0 - f32::EPSILON / 2.0);
    assert_eq!(unit_f64(u32::MAX, u32::MAX), 1.0 - f64::EPSILON / 2.0);
    assert_eq!((unit_f32(0), unit_f64(0, 0)), (0.0, 0.0));
    assert_eq!((unit_f32(1 << 31), unit_f64(0, 1 << 31)), (0.5, 0.5));
}

#[test]
fn moments_of_uniform_and_normal() {
    let n = 200_000;
    let mut rng = Philox::new(7, 0);
    let moments = |values: &[f64]| -> [f64; 4] {
        [1, 2, 3, 4].map(|p| values.iter().map(|v| v.powi(p)).sum::<f64>() / values.len() as f64)
    };
    // Each bound is 5 standard errors, sqrt(var(x^p) / n).
    let error = |variance: f64| 5.0 * (variance / n as f64).sqrt();
    let u = moments(&(0..n).map(|_| rng.uniform_f64()).collect::<Vec<_>>());
    assert!((u[0] - 0.5).abs() < error(1.0 / 12.0) && (u[1] - 1.0 / 3.0).abs() < error(4.0 / 45.0), "{u:?}");
    let z = moments(&(0..n).map(|_| rng.normal()).collect::<Vec<_>>());
    let expected = [(0.0, 1.0), (1.0, 2.0), (0.0, 15.0), (3.0, 96.0)];
    for (moment, (mean, variance)) in z.iter().zip(expected) {
        assert!((moment - mean).abs() < error(variance), "{z:?}");
    }
}

#[test]
fn permutation_and_choice_are_fair() {
    let mut rng = Philox::new(1, 3);
    let mut counts = std::collections::BTreeMap::new();
    let rounds = 24_000;
    for _ in 0..rounds {
        *counts.entry(rng.permutation(4)).or_insert(0u32) += 1;
    }
    assert_eq!(counts.len(), 24);
    let expected = f64::from(rounds) / 24.0;
    let chi2: f64 = counts.values().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
    // 99.9 % point of chi squared with 23 degrees of freedom.
    assert!(chi2 < 49.73, "{chi2}");

    let mut sorted = rng.choice(1000, 100);
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 100);
    assert!(sorted.iter().all(|&i| i < 1000));
    let mut all = rng.choice(5, 9);
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4]);
    assert_eq!(rng.below(0), 0);
    assert_eq!(rng.choice(0, 3), Vec::<usize>::new());
}

#[test]
fn weighted_draws_follow_the_weights() {
    let mut rng = Philox::new(5, 0);
    let weights = [0.0, 3.0, f64::NAN, 1.0];
    let mut counts = [0u32; 4];
    for _ in 0..10_000 {
        counts[rng.weighted(&weights)] += 1;
    }
    assert_eq!((counts[0], counts[2]), (0, 0));
    // 5 standard deviations of the binomial: sqrt(10000 * 0.75 * 0.25) = 43.
    assert!((i64::from(counts[1]) - 7500).abs() < 217, "{counts:?}");
}
