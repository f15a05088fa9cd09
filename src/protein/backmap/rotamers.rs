//! Side chains on a backbone: of each residue's rotamers the one that fits its beads and clashes least.

use super::super::frames::axes;
use super::super::minimise::Point;
use super::super::residue::RESIDUES;
use super::super::superpose::Motion;
use super::covalent::{build, torsions_of};

/// Angles of one χ in degrees with their shares.
type Chi = &'static [(f64, f64)];

const SP3: Chi = &[(-66.0, 0.5), (180.0, 0.35), (63.0, 0.15)];
const LONG: Chi = &[(180.0, 0.65), (-68.0, 0.2), (67.0, 0.15)];
const RING: Chi = &[(88.0, 0.7), (-15.0, 0.15), (45.0, 0.15)];
const AMIDE: Chi = &[(-20.0, 0.3), (30.0, 0.25), (180.0, 0.2), (-75.0, 0.1), (90.0, 0.15)];
const ACID: Chi = &[(0.0, 0.5), (-35.0, 0.3), (45.0, 0.2)];

/// The torsions of a side chain, as commonly found; shares rounded. χ2 of leucine depends on χ1 so strongly that
/// it goes with it.
fn chis(name: &str) -> &'static [&'static [Chi]] {
    match name {
        "ARG" => &[&[
            SP3,
            LONG,
            &[(180.0, 0.5), (-70.0, 0.25), (70.0, 0.25)],
            &[(180.0, 0.5), (-88.0, 0.25), (88.0, 0.25)],
        ]],
        "LYS" => &[&[SP3, LONG, LONG, LONG]],
        "MET" => &[&[SP3, LONG, &[(-72.0, 0.4), (180.0, 0.25), (72.0, 0.35)]]],
        "GLU" => &[&[SP3, LONG, ACID]],
        "GLN" => &[&[SP3, LONG, AMIDE]],
        "ASP" => &[&[SP3, ACID]],
        "ASN" => &[&[SP3, AMIDE]],
        "LEU" => &[
            &[&[(-65.0, 0.62)], &[(175.0, 0.95), (65.0, 0.03), (-60.0, 0.02)]],
            &[&[(-178.0, 0.32)], &[(63.0, 0.95), (175.0, 0.05)]],
            &[&[(62.0, 0.02)], &[(80.0, 1.0)]],
        ],
        "ILE" => {
            &[&[&[(-62.0, 0.78), (62.0, 0.14), (-177.0, 0.08)], &[(169.0, 0.8), (-62.0, 0.16), (65.0, 0.04)]]]
        }
        "VAL" => &[&[&[(175.0, 0.73), (-61.0, 0.2), (64.0, 0.07)]]],
        "THR" => &[&[&[(62.0, 0.48), (-61.0, 0.44), (-174.0, 0.08)]]],
        "SER" => &[&[&[(64.0, 0.46), (-65.0, 0.3), (179.0, 0.24)]]],
        "CYS" => &[&[&[(-65.0, 0.56), (-177.0, 0.26), (62.0, 0.18)]]],
        "PHE" | "TYR" => &[&[SP3, RING]],
        "HIS" => &[&[SP3, &[(-75.0, 0.35), (85.0, 0.3), (165.0, 0.2), (-165.0, 0.1), (10.0, 0.05)]]],
        "TRP" => &[&[SP3, &[(95.0, 0.4), (-100.0, 0.35), (0.0, 0.2), (-30.0, 0.05)]]],
        "PRO" => &[&[&[(-25.0, 0.5)], &[(36.0, 1.0)]], &[&[(28.0, 0.5)], &[(-36.0, 1.0)]]],
        _ => &[&[]],
    }
}

/// All rotamers of a type: cost in units of kT, χ in degrees. `fine` has χ1 in steps of 10° besides.
fn rotamers(kind: usize, fine: bool) -> Vec<(f64, Vec<f64>)> {
    let name = RESIDUES[kind].name;
    let mut all = vec![];
    for family in chis(name) {
        let mut grown = vec![(0.0, vec![])];
        for (k, chi) in family.iter().enumerate() {
            let any: Vec<(f64, f64)>;
            let choices: &[(f64, f64)] = if fine && k == 0 && name != "PRO" {
                any = (0..36).map(|s| (f64::from(s) * 10.0, nearby(chi, f64::from(s) * 10.0))).collect();
                &any
            } else {
                chi
            };
            grown = grown
                .iter()
                .flat_map(|(cost, angles): &(f64, Vec<f64>)| {
                    choices.iter().map(move |(a, share)| (cost - share.ln(), [&angles[..], &[*a]].concat()))
                })
                .collect();
        }
        all.extend(grown);
    }
    all
}

/// The share of an angle by how far it is from a rotamer.
fn nearby(chi: Chi, angle: f64) -> f64 {
    let off = |a: f64| {
        let d = (a - angle).rem_euclid(360.0);
        d.min(360.0 - d)
    };
    chi.iter().map(|(a, share)| share * (-0.5 * (off(*a) / 15.0).powi(2)).exp()).sum::<f64>() + 1e-3
}

/// Bead of a side chain: atoms of the residue with their shares, and where it stands.
pub type Bead = (Vec<(usize, f64)>, Point);

/// A residue whose backbone stands.
pub struct Side {
    pub kind: Option<usize>,
    /// All atoms; of a standard residue in the order of its type.
    pub atoms: Vec<Point>,
    /// Atoms that take part in hydrogen bonds.
    pub polar: Vec<bool>,
    /// Whether the side chain is to be found.
    pub free: bool,
    pub beads: Vec<Bead>,
}

/// Candidates that are kept a residue.
const KEPT: usize = 81;
/// kT above the best that neighbours could not make up for.
const WORSE: f64 = 40.0;
/// kT per Å² that a bead is off.
const BEAD: f64 = 6.0;
/// kT per Å² of overlap, and where it begins for any two atoms and for two of a hydrogen bond, Å.
const CLASH: f64 = 12.0;
const APART: f64 = 3.25;
const HYDROGEN_BOND: f64 = 2.75;
/// CA farther apart than this belong to residues that cannot touch, Å.
const REACH: f64 = 17.0;
const SWEEPS: usize = 8;
/// N, CA, C, O and CB stand where the backbone has them.
const FIXED: usize = 5;

fn overlap(one: &[Point], polar: &[bool], other: &[Point], other_polar: &[bool]) -> f64 {
    let mut total = 0.0;
    for (a, p) in one.iter().zip(polar) {
        for (b, q) in other.iter().zip(other_polar) {
            let apart = if *p && *q { HYDROGEN_BOND } else { APART };
            let d = (a - b).norm_squared();
            if d < apart * apart {
                total += (apart - d.sqrt()).powi(2);
            }
        }
    }
    CLASH * total
}

/// The residue's candidates, best first: cost and atoms.
fn candidates(side: &Side) -> Vec<(f64, Vec<Point>)> {
    let Some(kind) = side.kind.filter(|_| side.free && side.atoms.len() > 4) else { return vec![] };
    let [n, ca, c] = [0, 1, 2].map(|i| side.atoms[i]);
    let frame = Motion { rotation: axes(c - ca, n - ca), translation: ca };
    let mut all: Vec<(f64, Vec<Point>)> = rotamers(kind, !side.beads.is_empty())
        .into_iter()
        .map(|(cost, chi)| {
            let mut atoms = side.atoms.clone();
            let ideal = build(kind, &frame, &torsions_of(0.0, &chi));
            atoms[4..ideal.len()].copy_from_slice(&ideal[4..]);
            let off = side.beads.iter().map(|(members, place)| {
                let centre: Point = members.iter().map(|(i, w)| atoms[*i] * *w).sum();
                (centre - place).norm_squared()
            });
            (cost + BEAD * off.sum::<f64>(), atoms)
        })
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.truncate(KEPT);
    let least = all.first().map_or(0.0, |a| a.0);
    all.retain(|a| a.0 < least + WORSE);
    all
}

/// Gives free residues their side chains: each in turn the rotamer that is best beside the others, until none changes.
pub fn place(sides: &mut [Side]) {
    let choices: Vec<Vec<(f64, Vec<Point>)>> = sides.iter().map(candidates).collect();
    let middle: Vec<Point> =
        sides.iter().map(|s| s.atoms.get(1).or(s.atoms.first()).copied().unwrap_or_default()).collect();
    let mut near = vec![vec![]; sides.len()];
    for (i, j) in super::super::geometry::near_pairs(&middle, REACH) {
        near[i].push(j);
        near[j].push(i);
    }
    for (side, choice) in sides.iter_mut().zip(&choices) {
        if let Some((_, atoms)) = choice.first() {
            side.atoms = atoms.clone();
        }
    }
    for sweep in 0..SWEEPS {
        let mut changed = false;
        for i in 0..sides.len() {
            if choices[i].len() < 2 {
                continue;
            }
            let cost = |(own, atoms): &(f64, Vec<Point>)| {
                let against = |&j: &usize| {
                    // At first only against what is sure to stand where it is.
                    let known = sides[j].atoms.len();
                    let count = if sweep == 0 && sides[j].free { known.min(FIXED) } else { known };
                    let end = atoms.len();
                    overlap(
                        &atoms[FIXED.min(end)..],
                        &sides[i].polar[FIXED.min(end)..],
                        &sides[j].atoms[..count],
                        &sides[j].polar[..count],
                    )
                };
                own + near[i].iter().map(against).sum::<f64>()
            };
            let costs: Vec<f64> = choices[i].iter().map(cost).collect();
            let best = (0..costs.len()).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).unwrap_or(0);
            if sides[i].atoms != choices[i][best].1 {
                sides[i].atoms = choices[i][best].1.clone();
                changed = true;
            }
        }
        if !changed && sweep > 0 {
            break;
        }
    }
}
