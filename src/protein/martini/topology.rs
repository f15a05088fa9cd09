//! What holds beads together, in the forms that GROMACS has them.

use std::collections::HashSet;

use nalgebra::Vector3;

use super::mapping::Beads;
use super::nucleotides::{BENT, CHAIN, SUGAR};
use super::parameters::{
    ASIDE, HELIX, RIGID, STRAND, STRAND_STIFFNESS, attraction, backbone, is_helix, side_chain,
};
use crate::protein::geometry::near_pairs;

/// k/2 (d - length)²
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bond {
    pub atoms: [usize; 2],
    /// Å
    pub length: f64,
    /// k, kJ/mol/Å²
    pub stiffness: f64,
    /// Held exactly where a program can.
    pub rigid: bool,
}

/// k/2 (cos θ - cos angle)²
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Angle {
    pub atoms: [usize; 3],
    /// Degrees
    pub angle: f64,
    /// k, kJ/mol
    pub stiffness: f64,
}

/// k (1 + cos(n φ - angle))
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dihedral {
    pub atoms: [usize; 4],
    /// Degrees
    pub angle: f64,
    /// k, kJ/mol
    pub stiffness: f64,
    /// n
    pub multiplicity: usize,
}

/// k/2 (φ - angle)²
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Improper {
    pub atoms: [usize; 4],
    /// Degrees
    pub angle: f64,
    /// k, kJ/mol/rad²
    pub stiffness: f64,
}

/// 4 depth ((sigma/d)¹² - (sigma/d)⁶)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    pub atoms: [usize; 2],
    /// kJ/mol
    pub depth: f64,
    /// Å
    pub sigma: f64,
}

/// What is bonded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// Along the backbone, in side chains, then the springs of strands.
    pub bonds: Vec<Bond>,
    pub angles: Vec<Angle>,
    pub dihedrals: Vec<Dihedral>,
    pub impropers: Vec<Improper>,
}

fn bond(atoms: [usize; 2], length: f64, stiffness_nm: f64) -> Bond {
    Bond { atoms, length, stiffness: 0.01 * stiffness_nm, rigid: stiffness_nm >= RIGID }
}

impl Topology {
    pub fn new(beads: &Beads) -> Topology {
        let mut topology = Topology::default();
        let mut begin = 0;
        for end in 1..=beads.residues.len() {
            if end == beads.residues.len() || !beads.residues[end].joined {
                if beads.residues[begin].nucleic {
                    topology.nucleotides(beads, begin, end);
                } else {
                    topology.backbone(beads, begin, end);
                }
                begin = end;
            }
        }
        for at in 0..beads.residues.len() {
            topology.side_chain(beads, at);
        }
        for at in 0..beads.residues.len() {
            topology.strand(beads, at);
        }
        topology
    }

    /// A stretch of residues without a gap.
    fn backbone(&mut self, beads: &Beads, begin: usize, end: usize) {
        let chain: Vec<_> = (begin..end)
            .filter_map(|at| {
                let residue = &beads.residues[at];
                let side = residue.beads.get(1).copied().flatten();
                Some((
                    residue.beads[0]?,
                    side,
                    residue.code,
                    backbone(residue.name, residue.code),
                    residue.name,
                ))
            })
            .collect();
        for pair in chain.windows(2) {
            let [a, b] = [&pair[0], &pair[1]];
            let rigid = a.3.stiffness.max(b.3.stiffness) >= RIGID;
            let stiffness = if rigid { RIGID } else { a.3.stiffness.min(b.3.stiffness) };
            self.bonds.push(bond([a.0, b.0], 0.5 * (a.3.bond + b.3.bond), stiffness));
        }
        for three in chain.windows(3) {
            // A proline within a helix bends it as it will.
            let proline = three[1].4 == "PRO" && is_helix(three[1].2);
            let weakest = three
                .iter()
                .map(|r| r.3.angle)
                .min_by(|a, b| a[1].total_cmp(&b[1]).then(a[0].total_cmp(&b[0])));
            let of = if proline { Some(three[1].3.angle) } else { weakest };
            let [angle, stiffness] = of.unwrap_or_default();
            self.angles.push(Angle { atoms: [three[0].0, three[1].0, three[2].0], angle, stiffness });
        }
        let [angle, stiffness] = ASIDE;
        if let [first, second, ..] = chain.as_slice() {
            let atoms = first.1.map(|side| [side, first.0, second.0]);
            self.angles.extend(atoms.map(|atoms| Angle { atoms, angle, stiffness }));
        }
        for pair in chain.windows(2) {
            let atoms = pair[1].1.map(|side| [pair[0].0, pair[1].0, side]);
            self.angles.extend(atoms.map(|atoms| Angle { atoms, angle, stiffness }));
        }
        let (angle, stiffness, multiplicity) = HELIX;
        for four in chain.windows(4).filter(|four| four.iter().all(|r| is_helix(r.2))) {
            let atoms = [four[0].0, four[1].0, four[2].0, four[3].0];
            self.dihedrals.push(Dihedral { atoms, angle, stiffness, multiplicity });
        }
    }

    /// Nucleotides without a gap: each rests as it is.
    fn nucleotides(&mut self, beads: &Beads, begin: usize, end: usize) {
        let place = |i: usize| Vector3::from(beads.places[i]);
        let as_it_is = |[i, j]: [usize; 2], stiffness| bond([i, j], (place(i) - place(j)).norm(), stiffness);
        for at in begin..end {
            let bead = |i: usize| beads.residues[at].beads.get(i).copied().flatten();
            let after = |i: usize| (at + 1 < end).then(|| beads.residues[at + 1].beads[i]).flatten();
            let chain = [(bead(0), bead(1)), (bead(1), bead(2)), (bead(2), bead(SUGAR)), (bead(2), after(0))];
            let chain = chain.into_iter().filter_map(|(i, j)| Some([i?, j?]));
            self.bonds.extend(chain.map(|atoms| as_it_is(atoms, CHAIN)));
            let base: Vec<usize> = (SUGAR..beads.residues[at].beads.len()).filter_map(bead).collect();
            for (n, &i) in base.iter().enumerate() {
                self.bonds.extend(base[n + 1..].iter().map(|&j| as_it_is([i, j], RIGID)));
            }
            let angles = [
                [bead(0), bead(1), bead(2)],
                [bead(1), bead(2), after(0)],
                [bead(2), after(0), after(1)],
                [bead(1), bead(2), bead(SUGAR)],
                [bead(2), bead(SUGAR), bead(SUGAR + 1)],
            ];
            for atoms in angles.into_iter().filter_map(|[i, j, k]| Some([i?, j?, k?])) {
                let [a, b, c] = atoms.map(place);
                let angle = (a - b).angle(&(c - b)).to_degrees();
                self.angles.push(Angle { atoms, angle, stiffness: BENT });
            }
        }
    }

    fn side_chain(&mut self, beads: &Beads, at: usize) {
        let residue = &beads.residues[at];
        let Some(side) = side_chain(residue.name) else { return };
        let bead = |i: usize| residue.beads.get(i).copied().flatten();
        for &([i, j], length, stiffness) in side.bonds {
            if let (Some(i), Some(j)) = (bead(i), bead(j)) {
                self.bonds.push(bond([i, j], length, stiffness));
            }
        }
        for &([i, j, k], angle, stiffness) in side.angles {
            if let (Some(i), Some(j), Some(k)) = (bead(i), bead(j), bead(k)) {
                self.angles.push(Angle { atoms: [i, j, k], angle, stiffness });
            }
        }
        for &([i, j, k, l], angle, stiffness) in side.impropers {
            if let (Some(i), Some(j), Some(k), Some(l)) = (bead(i), bead(j), bead(k), bead(l)) {
                self.impropers.push(Improper { atoms: [i, j, k, l], angle, stiffness });
            }
        }
    }

    /// Springs of four residues of a strand that begin here: those that the three before have set are not repeated.
    fn strand(&mut self, beads: &Beads, at: usize) {
        let extended = |from: usize| {
            let four = beads.residues.get(from..from + 4);
            four.is_some_and(|four| four.iter().all(|r| r.code == 'E') && four[1..].iter().all(|r| r.joined))
        };
        if !extended(at) {
            return;
        }
        let [over_two, over_three] = STRAND;
        let goes_on = at > 0 && beads.residues[at].joined && extended(at - 1);
        let mut springs = vec![(at + 1, at + 3, over_two), (at, at + 3, over_three)];
        if !goes_on {
            springs.insert(0, (at, at + 2, over_two));
        }
        for (i, j, length) in springs {
            if let (Some(i), Some(j)) = (beads.residues[i].beads[0], beads.residues[j].beads[0]) {
                self.bonds.push(bond([i, j], length, STRAND_STIFFNESS));
            }
        }
    }
}

/// Pairs of beads within `cutoff` Å of one another at these places that are not bonded, in the order of their numbers.
pub fn pairs(beads: &Beads, topology: &Topology, places: &[[f64; 3]], cutoff: f64) -> Vec<Pair> {
    let points: Vec<Vector3<f64>> = places.iter().map(|p| Vector3::from(*p)).collect();
    let bonded: HashSet<[usize; 2]> =
        topology.bonds.iter().map(|b| [b.atoms[0].min(b.atoms[1]), b.atoms[0].max(b.atoms[1])]).collect();
    let mut near = near_pairs(&points, cutoff);
    near.sort_unstable();
    let free = near.into_iter().map(|(i, j)| [i, j]).filter(|atoms| !bonded.contains(atoms));
    free.map(|[i, j]| {
        let (depth, sigma) = stacked(beads, i, j).unwrap_or(attraction(beads.types[i], beads.types[j]));
        Pair { atoms: [i, j], depth, sigma }
    })
    .collect()
}

/// Depth and sigma of two beads of nucleotides that the model has nearer than their types would be, as in stacked
/// bases: they rest where they are.
pub(super) fn stacked(beads: &Beads, i: usize, j: usize) -> Option<(f64, f64)> {
    let nucleic = |i: usize| beads.residues[beads.residue_of[i]].nucleic;
    if !(nucleic(i) && nucleic(j)) {
        return None;
    }
    let (depth, sigma) = attraction(beads.types[i], beads.types[j]);
    let rest = Vector3::from(beads.places[i]).metric_distance(&Vector3::from(beads.places[j]));
    let own = rest / 2_f64.powf(1.0 / 6.0);
    (own < sigma).then_some((depth, own))
}
