//! The bonds between residues: where a generated chain is broken or runs into itself, and a light repair.
//!
//! Decoded residues are rigid and sound in themselves, but nothing ties one to the next (only the network's care).

use super::residue::{Atoms, RESIDUES};
use super::superpose::superpose_weighted;
use nalgebra::Vector3;
use std::iter::zip;
use std::ops::Range;

/// A peptide bond (C to the next N) longer than this is broken, Å.
pub const BROKEN: f64 = 2.0;
/// Heavy atoms of different residues nearer than this clash, Å. Bonded neighbours but C and N keep farther apart.
pub const CLASH: f64 = 2.0;

/// N, CA, C and O come first in every residue.
const N: usize = 0;
const CA: usize = 1;
const C: usize = 2;
const O: usize = 3;

/// Distances across a trans peptide bond from one residue's atom to the next one's (Engh and Huber 1991), and how far
/// heat takes them from there, Å.
pub(super) const ACROSS: [(usize, usize, f64, f64); 5] = [
    (C, N, 1.329, 0.06),
    (CA, N, 2.425, 0.15),
    (O, N, 2.250, 0.1),
    (C, CA, 2.435, 0.15),
    (CA, CA, 3.800, 0.2),
];
/// The last of them where the bond is cis: what is nearer, with a bond that is not drawn out.
pub(super) const CIS: f64 = 2.95;
pub(super) const CIS_BELOW: f64 = 3.3;
const DRAWN_OUT: f64 = 1.5;
/// Atoms of different residues that are nearer are moved apart, Å.
const APART: f64 = 2.4;
/// How strongly an atom is held where it was, beside 1 for a distance.
const HOLD: f64 = 0.0005;
/// Sound frames take one round, a chain drawn out by an ångström hundreds.
const ROUNDS: usize = 1000;
/// Å; a round that moves no atom farther ends the repair.
const SETTLED: f64 = 1e-4;

/// What is wrong with a frame.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Faults {
    pub breaks: usize,
    /// Pairs of atoms.
    pub clashes: usize,
}

type Points = Vec<[f64; 3]>;

fn atoms_of(kinds: &[usize], frame: &[Atoms]) -> Vec<Points> {
    let count = |kind: usize| RESIDUES.get(kind).map_or(4, |r| r.atoms.len());
    zip(kinds, frame)
        .map(|(&kind, atoms)| atoms[..count(kind)].iter().map(|p| p.map(f64::from)).collect())
        .collect()
}

fn distance(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    zip(a, b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
}

/// Pairs of atoms of different residues nearer than `near` Å, but those of one peptide bond.
fn contacts(residues: &[Points], near: f64) -> Vec<[(usize, usize); 2]> {
    let mut found = vec![];
    for (i, one) in residues.iter().enumerate() {
        for (j, other) in residues.iter().enumerate().skip(i + 1) {
            // Side chains reach less than 10 Å.
            if one.len() < 2 || other.len() < 2 || distance(&one[CA], &other[CA]) > near + 20.0 {
                continue;
            }
            for (a, from) in one.iter().enumerate() {
                for (b, to) in other.iter().enumerate() {
                    let bonded = j == i + 1 && ACROSS.iter().any(|&(p, q, ..)| (p, q) == (a, b));
                    if !bonded && distance(from, to) < near {
                        found.push([(i, a), (j, b)]);
                    }
                }
            }
        }
    }
    found
}

/// Breaks and clashes of one frame [residues], Å.
pub fn faults(kinds: &[usize], frame: &[Atoms]) -> Faults {
    let residues = atoms_of(kinds, frame);
    let broken = residues.windows(2).filter(|pair| distance(&pair[0][C], &pair[1][N]) > BROKEN);
    Faults { breaks: broken.count(), clashes: contacts(&residues, CLASH).len() }
}

/// Moves the residues of a frame as rigid bodies until peptide bonds have lengths and angles that heat explains and no
/// atoms clash, as little as that takes: least squares over distances (majorised as de Leeuw's SMACOF does, so that no
/// round makes it worse), with every atom held weakly where it was.
pub fn repair(kinds: &[usize], frame: &mut [Atoms]) {
    let before = atoms_of(kinds, frame);
    let mut now = before.clone();
    let across = |pair: &[Points]| {
        let bond = distance(&pair[0][C], &pair[1][N]);
        let cis = bond < DRAWN_OUT && distance(&pair[0][CA], &pair[1][CA]) < CIS_BELOW;
        ACROSS.map(|(a, b, d, heat)| {
            let d = if cis && (a, b) == (CA, CA) { CIS } else { d };
            (a, b, d - heat..d + heat)
        })
    };
    let bonds: Vec<_> = before.windows(2).map(across).collect();
    for _ in 0..ROUNDS {
        let near = contacts(&now, APART);
        let mut farthest: f64 = 0.0;
        for residue in 0..now.len() {
            let (mut from, mut onto) = (now[residue].clone(), before[residue].clone());
            let held = from.len();
            let mut pull = |own: usize, other: [f64; 3], wanted: &Range<f64>| {
                let (own, other) = (Vector3::from(now[residue][own]), Vector3::from(other));
                let apart = own - other;
                let away = apart.try_normalize(1e-6).unwrap_or_else(Vector3::x);
                from.push(own.into());
                onto.push((other + away * apart.norm().clamp(wanted.start, wanted.end)).into());
            };
            if residue > 0 {
                bonds[residue - 1].iter().for_each(|(a, b, d)| pull(*b, now[residue - 1][*a], d));
            }
            if residue + 1 < now.len() {
                bonds[residue].iter().for_each(|(a, b, d)| pull(*a, now[residue + 1][*b], d));
            }
            for &[one, other] in &near {
                for (own, theirs) in [(one, other), (other, one)] {
                    if own.0 == residue {
                        pull(own.1, now[theirs.0][theirs.1], &(APART..f64::INFINITY));
                    }
                }
            }
            let (motion, _) = superpose_weighted(&from, &onto, |i| if i < held { HOLD } else { 1.0 });
            for point in &mut now[residue] {
                let moved: [f64; 3] = motion.apply(&Vector3::from(*point)).into();
                farthest = farthest.max(distance(point, &moved));
                *point = moved;
            }
        }
        if farthest < SETTLED {
            break;
        }
    }
    for (residue, points) in zip(frame, now) {
        zip(residue, points).for_each(|(place, point)| *place = point.map(|x| x as f32));
    }
}
