//! What guards against seeing in particles what is in the model: halves, held-out particles, bent models, comparison.

use kinesome::protein::superpose::superpose;
use kinesome::stats::random::Philox;
use kinesome::systems::dyna::compare::Agreement;
use kinesome::systems::dyna::config::Loader;
use kinesome::systems::dyna::perturb::bend;
use kinesome::systems::dyna::split::Split;

#[test]
fn halves_share_no_particle_and_held_out_ones_are_not_learned_from() {
    let of = |half, train_ratio| Split::new(1001, &Loader { half, train_ratio, ..Loader::default() }, 5);
    let (first, second) = (of(1, 1.0), of(2, 1.0));
    let mut both = [first.training.clone(), second.training.clone()].concat();
    both.sort_unstable();
    assert_eq!(both, (0..1001).collect::<Vec<_>>());
    assert!(first.training.len().abs_diff(second.training.len()) <= 1);
    let cut = of(1, 0.9);
    assert_eq!(cut.held.len(), 50);
    let mut again = [cut.training.clone(), cut.held.clone()].concat();
    again.sort_unstable();
    assert_eq!(again, first.training);
    assert_eq!(of(0, 1.0).training, (0..1001).collect::<Vec<_>>());
    assert_ne!(Split::new(1001, &Loader { half: 1, ..Loader::default() }, 6).training, first.training);
}

#[test]
fn a_bent_model_is_as_far_as_asked_and_keeps_its_bonds() {
    let model: Vec<[f64; 3]> = (0..200)
        .map(|i| {
            let turn = f64::from(i) * 0.6;
            [12.0 * turn.cos(), 12.0 * turn.sin(), 0.35 * f64::from(i)]
        })
        .collect();
    let mut bent = model.clone();
    bend(&mut bent, 2.0, 3);
    let (_, rmsd) = superpose(&bent, &model);
    assert!((rmsd - 2.0).abs() < 0.02, "{rmsd}");
    // Superposed already: the poses stay what they were.
    let still: f64 = bent.iter().flatten().zip(model.iter().flatten()).map(|(a, b)| (a - b).powi(2)).sum();
    assert!(((still / 200.0).sqrt() - rmsd).abs() < 1e-6);
    let bond = |s: &[[f64; 3]], i: usize| (0..3).map(|k| (s[i][k] - s[i - 1][k]).powi(2)).sum::<f64>().sqrt();
    let strain = (1..200).map(|i| (bond(&bent, i) / bond(&model, i) - 1.0).abs()).fold(0.0, f64::max);
    assert!(strain < 0.35, "{strain}");
    let mut other = model.clone();
    bend(&mut other, 2.0, 4);
    assert_ne!(bent, other);
}

#[test]
fn the_same_motion_agrees_and_another_does_not() {
    let mut random = Philox::new(1, 0);
    let particles: Vec<f64> = (0..400).map(|_| random.normal()).collect();
    // Points on a line that swing in x by the particle's number, in y by another's.
    let swing = |amount: &dyn Fn(usize) -> f64, axis: usize| -> Vec<Vec<[f64; 3]>> {
        let place = |i: usize, j: usize| {
            let mut place = [0.0, 0.0, j as f64];
            place[axis] += amount(i) * j as f64 / 20.0;
            place
        };
        (0..400).map(|i| (0..20).map(|j| place(i, j)).collect()).collect()
    };
    let motion = swing(&|i| particles[i], 0);
    let same = Agreement::of(&motion, &motion, 0);
    assert!((same.displacements - 1.0).abs() < 1e-12 && same.apart < 1e-12 && same.chance.abs() < 0.2);
    assert!((same.fluctuations - 1.0).abs() < 1e-12 && (same.directions - 1.0).abs() < 1e-9);
    let half = Agreement::of(&motion, &swing(&|i| 0.5 * particles[i], 0), 0);
    assert!(
        (half.displacements - 1.0).abs() < 1e-12
            && (half.amplitudes[0] / half.amplitudes[1] - 2.0).abs() < 1e-9
    );
    let mirrored = Agreement::of(&motion, &swing(&|i| -particles[i], 0), 0);
    assert!((mirrored.displacements + 1.0).abs() < 1e-12);
    let elsewhere = Agreement::of(&motion, &swing(&|i| particles[i], 1), 0);
    assert!(elsewhere.displacements.abs() < 1e-12 && elsewhere.directions < 1e-9);
    let unrelated = Agreement::of(&motion, &swing(&|i| particles[(i + 7) % 400], 0), 0);
    // Three standard errors of a correlation of 400.
    assert!(unrelated.displacements.abs() < 0.15, "{}", unrelated.displacements);
    assert!((unrelated.directions - 1.0).abs() < 1e-9);
    let says = |agreement: &Agreement, words: &str| assert!(agreement.remark().1.contains(words), "{words}");
    says(&half, "alike");
    says(&unrelated, "not on where each particle stands");
    says(&elsewhere, "disagree");
    let nothing = swing(&|_| 0.0, 0);
    assert_eq!(Agreement::of(&nothing, &nothing, 0).directions, 0.0);
}
