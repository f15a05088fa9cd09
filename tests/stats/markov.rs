//! Markov models against chains solved by hand and against deeptime 0.4.5.

use kinesome::stats::markov::{Bridge, MarkovModel, count_transitions, largest_connected};
use kinesome::stats::pcca::Pcca;
use kinesome::stats::random::Philox;
use nalgebra::{DMatrix, dmatrix};

use crate::close;

/// A path of a chain.
fn walk(transition: &DMatrix<f64>, frames: usize, seed: u64) -> Vec<u32> {
    let mut rng = Philox::new(seed, 0);
    let mut state = 0;
    (0..frames)
        .map(|_| {
            let row: Vec<f64> = transition.row(state).iter().copied().collect();
            state = rng.weighted(&row);
            state as u32
        })
        .collect()
}

fn near(found: &DMatrix<f64>, expected: &DMatrix<f64>, tolerance: f64) {
    assert_eq!(found.shape(), expected.shape());
    found.iter().zip(expected.iter()).for_each(|(a, b)| close(*a, *b, tolerance));
}

#[test]
fn counts_slide_and_stay_within_a_trajectory() {
    let counts = count_transitions(&[&[0, 1, 1, 2, 0], &[2, 2], &[1]], 3, 2).unwrap();
    assert_eq!(counts, dmatrix![0., 1., 0.; 1., 0., 1.; 0., 0., 0.]);
}

#[test]
fn two_states_have_their_known_time() {
    // Eigenvalue 1 - a - b at the lag; both counts and their transposed weights give a reversible chain.
    let (a, b) = (0.02, 0.06);
    let counts = dmatrix![1.0 - a, a; b, 1.0 - b] * 1000.0;
    let model = MarkovModel::from_counts(&counts, 5).unwrap();
    close(model.transition[(0, 1)], a, 1e-9);
    close(model.transition[(1, 0)], b, 1e-9);
    close(model.stationary[0], b / (a + b), 1e-9);
    close(model.timescales().unwrap()[0].unwrap(), -5.0 / (1.0 - a - b).ln(), 1e-5);
    assert_eq!(model.pair_by_flux(true, 1e-7), Some((0, 1)));
}

#[test]
fn reversible_estimate_agrees_with_deeptime() {
    let counts = dmatrix![90., 7., 0., 2.; 3., 50., 12., 0.; 1., 8., 70., 5.; 4., 1., 9., 33.];
    let model = MarkovModel::from_counts(&counts, 1).unwrap();
    let expected = dmatrix![
        0.90909090909091, 0.059723743136831, 0.006255894016564, 0.024929453755695;
        0.062882298914674, 0.769230769230769, 0.162875974544311, 0.005010957310246;
        0.004531743956668, 0.112060257793092, 0.833333333333333, 0.050074664916907;
        0.075148597408216, 0.014346548400724, 0.208377194616592, 0.702127659574468];
    near(&model.transition, &expected, 1e-8);
    let stationary = [0.273077327412145, 0.259360749214742, 0.376972493360602, 0.09058943001251];
    model.stationary.iter().zip(stationary).for_each(|(a, b)| close(*a, b, 1e-8));
    let times = [8.432963589422343, 3.066597884264493, 1.982547017306555];
    model.timescales().unwrap().iter().zip(times).for_each(|(a, b)| close(a.unwrap(), b, 1e-6));
    let flux = model.flux();
    near(&flux, &flux.transpose(), 1e-12);
}

#[test]
fn a_walk_gives_its_chain_back() {
    let chain = dmatrix![0.97, 0.03, 0.0; 0.02, 0.95, 0.03; 0.0, 0.06, 0.94];
    let (one, two) = (walk(&chain, 100_000, 1), walk(&chain, 50_000, 2));
    let model = MarkovModel::estimate(&[&one, &two], 3, 1).unwrap();
    near(&model.transition, &chain, 4e-3);
    let slow = model.timescales().unwrap()[0].unwrap();
    let lagged = MarkovModel::estimate(&[&one, &two], 3, 5).unwrap().timescales().unwrap()[0].unwrap();
    close(lagged / slow, 1.0, 0.05);
}

#[test]
fn only_connected_states_are_modelled_and_keep_their_numbers() {
    // 1 and 3 and 4 reach one another; 0 is never seen, 2 is entered and never left.
    let walk = [1, 3, 4, 1, 1, 3, 3, 4, 4, 1, 2, 2];
    let counts = count_transitions(&[&walk], 6, 1).unwrap();
    assert_eq!(largest_connected(&counts), [1, 3, 4]);
    let model = MarkovModel::from_counts(&counts, 1).unwrap();
    assert_eq!((model.place(3), model.place(2), model.place(0)), (Some(1), None, None));
    let all = model.all_stationary();
    close(all.iter().sum(), 1.0, 1e-12);
    assert_eq!((all[0], all[2], all[5]), (0.0, 0.0, 0.0));
    let transition = model.all_transition();
    assert_eq!((transition[(2, 2)], transition[(5, 5)]), (1.0, 1.0));
    transition.row_iter().for_each(|row| close(row.sum(), 1.0, 1e-12));
}

#[test]
fn refuses_what_has_no_model() {
    let text = |e: kinesome::Error| e.to_string();
    let short = text(MarkovModel::estimate(&[&[0, 1, 0]], 2, 3).unwrap_err());
    assert!(short.contains("a lag of 3 frames does not fit a trajectory of 3"), "{short}");
    let never = text(MarkovModel::estimate(&[&[0, 1, 2]], 3, 1).unwrap_err());
    assert!(never.contains("no state is left and come back to"), "{never}");
    assert!(MarkovModel::estimate(&[&[0, 7]], 2, 1).is_err());
}

#[test]
fn bridges_follow_bayes() {
    let chain = dmatrix![0.7, 0.2, 0.1; 0.1, 0.8, 0.1; 0.2, 0.3, 0.5];
    let bridge = Bridge::new(&chain, 0, 2, 2).unwrap();
    // Through each middle state, by hand.
    let ways: Vec<f64> = (0..3).map(|m| chain[(0, m)] * chain[(m, 2)]).collect();
    let total: f64 = ways.iter().sum();
    for (m, way) in ways.iter().enumerate() {
        close(bridge.probability(&[0, m, 2]), way / total, 1e-14);
    }
    assert_eq!(bridge.probability(&[0, 1]), 0.0);
    assert_eq!(bridge.probability(&[1, 1, 2]), 0.0);
    let mut rng = Philox::new(4, 0);
    let drawn = (0..20_000).filter(|_| bridge.sample(&mut rng)[1] == 1).count();
    close(drawn as f64 / 20_000.0, ways[1] / total, 0.012);

    let line = dmatrix![0.5, 0.5, 0.0; 0.5, 0.0, 0.5; 0.0, 0.5, 0.5];
    assert!(Bridge::new(&line, 0, 2, 1).unwrap_err().to_string().contains("no path of 1 steps"));
    assert_eq!(Bridge::new(&line, 0, 2, 2).unwrap().probability(&[0, 1, 2]), 1.0);
    assert_eq!(Bridge::new(&line, 0, 2, 2).unwrap().probability(&[0, 0, 2]), 0.0);
}

#[test]
fn pcca_finds_blocks() {
    let mut flow = DMatrix::zeros(9, 9);
    for (i, j) in (0..9).flat_map(|i| (0..9).map(move |j| (i, j))).filter(|(i, j)| i / 3 == j / 3) {
        flow[(i, j)] = 10.0 * (1 + (i % 3 + j % 3) % 3) as f64;
    }
    for (i, j, c) in [(2, 3, 0.5), (5, 6, 0.2), (0, 7, 0.1)] {
        flow[(i, j)] += c;
        flow[(j, i)] += c;
    }
    let model = MarkovModel::from_counts(&flow, 1).unwrap();
    let found = Pcca::fit(&model, 3).unwrap();
    (0..9).for_each(|i| assert_eq!(found.sets[i], found.sets[i / 3 * 3], "{:?}", found.sets));
    found.memberships.row_iter().for_each(|row| close(row.sum(), 1.0, 1e-9));
    assert!(found.memberships.min() > -1e-9);
    // 2.97605 is what deeptime's optimiser reaches.
    assert!(crispness(&model, &found) > 2.9760, "{}", crispness(&model, &found));
}

/// Trace of the memberships' overlap under the stationary distribution, normalised.
fn crispness(model: &MarkovModel, pcca: &Pcca) -> f64 {
    let m = &pcca.memberships;
    let of = |j: usize| {
        let weigh = |power: i32| -> f64 {
            model.stationary.iter().zip(m.column(j).iter()).map(|(p, v)| p * v.powi(power)).sum()
        };
        weigh(2) / weigh(1)
    };
    (0..m.ncols()).map(of).sum()
}

#[test]
fn pcca_of_a_fuzzy_chain_is_as_crisp_as_deeptime_finds() {
    let chain = dmatrix![
        0.85, 0.10, 0.05, 0., 0., 0.;
        0.10, 0.80, 0.08, 0.02, 0., 0.;
        0.05, 0.08, 0.82, 0.05, 0., 0.;
        0., 0.02, 0.05, 0.78, 0.10, 0.05;
        0., 0., 0., 0.10, 0.80, 0.10;
        0., 0., 0., 0.05, 0.10, 0.85];
    let model = MarkovModel::from_counts(&chain, 1).unwrap();
    let two = Pcca::fit(&model, 2).unwrap();
    let first: Vec<f64> = two.memberships.column(two.sets[0]).iter().copied().collect();
    let expected = [1.0, 0.92300143543, 0.81674330701, 0.25143344897, 0.04729098776, 0.0];
    first.iter().zip(expected).for_each(|(a, b)| close(*a, b, 1e-6));
    let three = Pcca::fit(&model, 3).unwrap();
    assert!(crispness(&model, &three) > 1.9680, "{}", crispness(&model, &three));
    assert_eq!(Pcca::fit(&model, 1).unwrap().sets, [0; 6]);
    let many = Pcca::fit(&model, 7).unwrap_err().to_string();
    assert!(many.contains("6 connected states cannot make 7 coarse states"), "{many}");
}
