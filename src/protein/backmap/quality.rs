//! What is wrong with a model of atoms.

use super::super::geometry::near_pairs;
use super::super::minimise::Point;
use super::Molecule;
use super::backbone::dihedral;
use super::coarse::label;
use super::covalent::{Covalent, HANDED};
use super::restraints::volume;

/// Heavy atoms nearer than this, and not near through bonds, clash, Å.
pub const CLASH: f64 = 2.0;
/// A peptide bond turned farther than this from trans is cis, and farther than the other from either is not flat,
/// degrees.
const CIS: f64 = 90.0;
const FLAT: f64 = 30.0;

#[derive(Clone, Debug, Default)]
pub struct Quality {
    /// Pairs of atoms nearer than 2 Å that have more than two bonds between them.
    pub clashes: usize,
    pub nearest: f64,
    /// Corners (CA; CB of isoleucine, threonine, valine; CG of leucine) with the wrong hand, as `CA of ALA 12 A`.
    pub inverted: Vec<String>,
    /// The bond that is farthest from its length: by how much (Å), and which.
    pub worst_bond: (f64, String),
    /// Residues behind cis peptide bonds.
    pub cis: Vec<String>,
    /// Residues behind peptide bonds turned by more than 30°.
    pub twisted: Vec<String>,
    /// Of CA (or what else stands for a residue) to the coarse model, without superposition, Å; of beads their centres.
    pub rmsd: f64,
}

impl Quality {
    pub fn of(molecule: &Molecule, covalent: &Covalent, points: &[Point]) -> Quality {
        let mut found = Quality { nearest: f64::INFINITY, ..Quality::default() };
        for (i, j) in near_pairs(points, 3.5) {
            if !covalent.close.contains(&(i, j)) {
                let d = (points[i] - points[j]).norm();
                found.nearest = found.nearest.min(d);
                found.clashes += usize::from(d < CLASH);
            }
        }
        let name = |i: usize| format!("{} of {}", molecule.atoms[i].name, label(&molecule.atoms[i]));
        for corner in covalent.volumes.iter().filter(|v| v.volume.abs() > HANDED) {
            if volume(corner.atoms.map(|i| points[i])) * corner.volume.signum() < 0.5 * HANDED {
                found.inverted.push(name(corner.atoms[0]));
            }
        }
        found.inverted.dedup();
        for bond in &covalent.distances {
            let [i, j] = bond.atoms;
            if covalent.bonds.contains(&(i.min(j), i.max(j))) {
                let off = ((points[i] - points[j]).norm() - bond.length).abs();
                if off >= found.worst_bond.0 {
                    found.worst_bond = (off, format!("{}-{}", name(i), name(j)));
                }
            }
        }
        for pair in molecule.residues.windows(2) {
            let [before, here] = [&pair[0], &pair[1]];
            if !here.follows || before.kind.is_none() || here.kind.is_none() {
                continue;
            }
            let (a, b) = (before.atoms.start, here.atoms.start);
            let omega = dihedral([points[a + 1], points[a + 2], points[b], points[b + 1]]).abs();
            let who = label(&molecule.atoms[b]);
            if omega < CIS {
                found.cis.push(who.clone());
            }
            if omega.min(180.0 - omega) > FLAT {
                found.twisted.push(who);
            }
        }
        found
    }
}
