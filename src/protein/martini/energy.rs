//! The energy of beads, with its gradient: what holds them together, Lennard-Jones and Coulomb between the rest.

use std::collections::{HashMap, HashSet};

use super::mapping::Beads;
use super::parameters::attraction;
use super::topology::{Angle, Bond, Dihedral, Improper, Topology, stacked};
use crate::protein::geometry::near_pairs;
use crate::protein::minimise::{Energy, NearPairs, Point, sum};

/// Beads farther apart do not act on one another, Å; energies are shifted to be zero there. Charges are screened by 15
/// and a conductor beyond the cut-off (de Jong et al., Comput. Phys. Commun. 199:1, 2016).
const CUTOFF: f64 = 11.0;
/// Elementary charges at 1 Å, kJ/mol, screened.
const COULOMB: f64 = 1389.35458 / 15.0;
/// Beads nearer than this are taken to be this far apart, so that the energy stays finite, Å.
const NEAREST: f64 = 0.5;
/// How far lists reach beyond the cut-off, Å.
const SKIN: f64 = 2.0;

/// The force field of one set of beads. Energies in kJ/mol, lengths in Å.
pub struct ForceField {
    topology: Topology,
    /// Type of each bead, and depth and sigma of each two types.
    types: Vec<usize>,
    attractions: Vec<Vec<(f64, f64)>>,
    /// Depth and sigma of pairs that have their own.
    stacked: HashMap<(usize, usize), (f64, f64)>,
    charges: Vec<f64>,
    bonded: HashSet<(usize, usize)>,
    near: NearPairs,
}

impl ForceField {
    pub fn new(beads: &Beads, topology: Topology) -> ForceField {
        let mut names: Vec<&str> = beads.types.clone();
        names.sort_unstable();
        names.dedup();
        let types = beads.types.iter().map(|t| names.binary_search(t).unwrap_or(0)).collect();
        let attractions = names.iter().map(|a| names.iter().map(|b| attraction(a, b)).collect()).collect();
        let bonded = topology.bonds.iter().map(|b| (b.atoms[0].min(b.atoms[1]), b.atoms[0].max(b.atoms[1])));
        let points: Vec<Point> = beads.places.iter().map(|p| Point::from(*p)).collect();
        let near =
            if beads.residues.iter().any(|r| r.nucleic) { near_pairs(&points, CUTOFF) } else { vec![] };
        let own = |pair: (usize, usize)| Some((pair, stacked(beads, pair.0, pair.1)?));
        ForceField {
            stacked: near.into_iter().filter_map(own).collect(),
            bonded: bonded.collect(),
            types,
            attractions,
            charges: beads.charges.clone(),
            near: NearPairs::new(CUTOFF, SKIN),
            topology,
        }
    }

    /// Lennard-Jones, then Coulomb.
    fn between(&mut self, points: &[Point], gradient: &mut [Point]) -> [f64; 2] {
        let bonded = &self.bonded;
        let pairs = self.near.of(points, |i, j| !bonded.contains(&(i, j)));
        let apart = |i: usize, j: usize| {
            let line = points[i] - points[j];
            let d = line.norm();
            (d < CUTOFF).then_some((line / d.max(1e-9), d.max(NEAREST)))
        };
        let nothing = |i: usize, j: usize| (0.0, [(i, Point::zeros()), (j, Point::zeros())]);
        let dispersion = sum(pairs, gradient, |&(i, j)| {
            let Some((along, d)) = apart(i, j) else { return nothing(i, j) };
            let (depth, sigma) = match self.stacked.get(&(i, j)) {
                Some(own) => *own,
                _ => self.attractions[self.types[i]][self.types[j]],
            };
            let power = |d: f64| (sigma / d).powi(6);
            let energy = |d: f64| 4.0 * depth * (power(d) * power(d) - power(d));
            let slope = 4.0 * depth * (6.0 * power(d) - 12.0 * power(d) * power(d)) / d;
            (energy(d) - energy(CUTOFF), [(i, along * slope), (j, along * -slope)])
        });
        let charged: Vec<(usize, usize)> =
            pairs.iter().copied().filter(|&(i, j)| self.charges[i] * self.charges[j] != 0.0).collect();
        let coulomb = sum(&charged, gradient, |&(i, j)| {
            let Some((along, d)) = apart(i, j) else { return nothing(i, j) };
            let strength = COULOMB * self.charges[i] * self.charges[j];
            // The field of what the charges polarise beyond the cut-off.
            let k = 0.5 / CUTOFF.powi(3);
            let slope = strength * (2.0 * k * d - 1.0 / (d * d));
            let value = strength * (1.0 / d + k * d * d - 1.5 / CUTOFF);
            (value, [(i, along * slope), (j, along * -slope)])
        });
        [dispersion, coulomb]
    }
}

fn bond(points: &[Point], b: &Bond) -> (f64, [(usize, Point); 2]) {
    let [i, j] = b.atoms;
    let line = points[i] - points[j];
    let d = line.norm();
    let off = d - b.length;
    let g = line * (b.stiffness * off / d.max(1e-9));
    (0.5 * b.stiffness * off * off, [(i, g), (j, -g)])
}

fn angle(points: &[Point], a: &Angle) -> (f64, [(usize, Point); 3]) {
    let [i, j, k] = a.atoms;
    let (u, v) = (points[i] - points[j], points[k] - points[j]);
    let (lu, lv) = (u.norm().max(1e-9), v.norm().max(1e-9));
    let (u, v) = (u / lu, v / lv);
    let cosine = u.dot(&v);
    let off = cosine - a.angle.to_radians().cos();
    let force = a.stiffness * off;
    let (gi, gk) = ((v - u * cosine) * (force / lu), (u - v * cosine) * (force / lv));
    (0.5 * a.stiffness * off * off, [(i, gi), (j, -gi - gk), (k, gk)])
}

/// A torsion in radians and its gradient (Blondel and Karplus, J. Comput. Chem. 17:1132, 1996).
fn torsion(points: &[Point], atoms: [usize; 4]) -> (f64, [Point; 4]) {
    let [p, q, r, s] = atoms.map(|i| points[i]);
    let (f, g, h) = (p - q, q - r, s - r);
    let (a, b) = (f.cross(&g), h.cross(&g));
    let length = g.norm().max(1e-9);
    let (aa, bb) = (a.norm_squared().max(1e-9), b.norm_squared().max(1e-9));
    let angle = (b.cross(&a).dot(&g) / length).atan2(a.dot(&b));
    let (ga, gb) = (a * (-length / aa), b * (length / bb));
    let middle = a * (f.dot(&g) / (aa * length)) - b * (h.dot(&g) / (bb * length));
    (angle, [ga, -ga + middle, -gb - middle, gb])
}

fn dihedral(points: &[Point], d: &Dihedral) -> (f64, [(usize, Point); 4]) {
    let (phi, g) = torsion(points, d.atoms);
    let n = d.multiplicity as f64;
    let phase = n * phi - d.angle.to_radians();
    let slope = -d.stiffness * n * phase.sin();
    (d.stiffness * (1.0 + phase.cos()), std::array::from_fn(|k| (d.atoms[k], g[k] * slope)))
}

fn improper(points: &[Point], t: &Improper) -> (f64, [(usize, Point); 4]) {
    let (phi, g) = torsion(points, t.atoms);
    let turn = std::f64::consts::TAU;
    let off = (phi - t.angle.to_radians() + 0.5 * turn).rem_euclid(turn) - 0.5 * turn;
    let slope = t.stiffness * off;
    (0.5 * t.stiffness * off * off, std::array::from_fn(|k| (t.atoms[k], g[k] * slope)))
}

impl ForceField {
    fn parts(&mut self, points: &[Point], gradient: &mut [Point]) -> [(&'static str, f64); 6] {
        let t = &self.topology;
        let bonds = sum(&t.bonds, gradient, |b| bond(points, b));
        let angles = sum(&t.angles, gradient, |a| angle(points, a));
        let dihedrals = sum(&t.dihedrals, gradient, |d| dihedral(points, d));
        let impropers = sum(&t.impropers, gradient, |i| improper(points, i));
        let [dispersion, coulomb] = self.between(points, gradient);
        [
            ("bonds", bonds),
            ("angles", angles),
            ("dihedrals", dihedrals),
            ("impropers", impropers),
            ("Lennard-Jones", dispersion),
            ("Coulomb", coulomb),
        ]
    }
}

impl Energy for ForceField {
    fn add(&mut self, points: &[Point], gradient: &mut [Point]) -> f64 {
        self.parts(points, gradient).iter().map(|(_, value)| value).sum()
    }

    fn terms(&mut self, points: &[Point]) -> Vec<(&'static str, f64)> {
        self.parts(points, &mut vec![Point::zeros(); points.len()]).to_vec()
    }
}
