//! Bonds between residues: faults found in chains that were broken on purpose, and mended.

use crate::golden::tetrapeptides;
use kinesome::protein::linkage::{Faults, faults, repair};
use kinesome::protein::residue::{Atoms, type_of_letter};
use kinesome::systems::mdgen::store::Store;

const SEQUENCES: [&str; 3] = ["AAAA", "RHIP", "YWGS"];

fn real() -> Vec<(Vec<usize>, Vec<Vec<Atoms>>)> {
    let Some(folder) = tetrapeptides() else { return vec![] };
    let of = |name: &str| {
        let kinds: Vec<usize> = name.chars().filter_map(type_of_letter).collect();
        let store = Store::open(&folder.join(format!("{name}.npy")), &kinds).expect("a trajectory");
        let frames = (0..20).map(|t| store.window(250 * t, 1, 1).expect("a frame")).collect();
        (kinds, frames)
    };
    SEQUENCES.map(of).into()
}

fn distance(a: &[f32; 3], b: &[f32; 3]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f32>().sqrt()
}

fn shift(residue: &mut Atoms, atoms: usize, by: [f32; 3]) {
    for place in &mut residue[..atoms] {
        place.iter_mut().zip(by).for_each(|(x, d)| *x += d);
    }
}

#[test]
fn simulated_chains_are_whole_and_stay_as_they_are() {
    for (kinds, frames) in real() {
        for mut frame in frames {
            assert_eq!(faults(&kinds, &frame), Faults::default());
            let before = frame.clone();
            repair(&kinds, &mut frame);
            let moved = before.iter().zip(&frame).flat_map(|(a, b)| a.iter().zip(b));
            // Heat stays within the bounds but for a few angles.
            let farthest = moved.map(|(a, b)| distance(a, b)).fold(0.0, f32::max);
            assert!(farthest < 0.2, "{farthest}");
        }
    }
}

#[test]
fn a_broken_chain_is_mended_without_bending_residues() {
    for (kinds, frames) in real() {
        for mut frame in frames {
            for residue in 2..kinds.len() {
                let atoms = kinesome::protein::residue::RESIDUES[kinds[residue]].atoms.len();
                shift(&mut frame[residue], atoms, [0.7, -0.6, 0.9]);
            }
            // Whether that is enough to count depends on the way the bond points.
            let (c, n) = (frame[1][2], frame[2][0]);
            assert_eq!(faults(&kinds, &frame).breaks, usize::from(distance(&c, &n) > 2.0));
            let before = frame.clone();
            repair(&kinds, &mut frame);
            assert_eq!(faults(&kinds, &frame), Faults::default());
            for (i, pair) in frame.windows(2).enumerate() {
                let bond = distance(&pair[0][2], &pair[1][0]);
                assert!((bond - 1.33).abs() < 0.1, "bond {i}: {bond}");
                let angle = distance(&pair[0][1], &pair[1][0]);
                // A little more than its bounds, where they work against one another.
                assert!((angle - 2.425).abs() < 0.2, "CA-N {i}: {angle}");
            }
            for (a, b) in before.iter().zip(&frame) {
                let side = |r: &Atoms| distance(&r[0], &r[3]);
                assert!((side(a) - side(b)).abs() < 1e-3);
            }
        }
    }
}

#[test]
fn atoms_in_one_place_clash_and_part() {
    for (kinds, frames) in real().into_iter().take(1) {
        let mut frame = frames[0].clone();
        let onto: Vec<f32> = (0..3).map(|k| frame[0][4][k] - frame[3][4][k] + 0.4).collect();
        shift(&mut frame[3], 5, [onto[0], onto[1], onto[2]]);
        assert!(faults(&kinds, &frame).clashes > 0);
        repair(&kinds, &mut frame);
        assert_eq!(faults(&kinds, &frame), Faults::default());
    }
}
