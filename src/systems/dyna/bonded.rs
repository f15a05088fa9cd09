//! What holds beads: MARTINI's terms on the tape, and the elastic network of all beads that are near one another.
//!
//! The reference divides angles and dihedrals by the square of the number of beads, which makes them count for
//! nothing; here each term is a mean over its own list. It also takes dihedrals half a turn off, so that helices and
//! rings are driven from where they should be, and each pair's well from the second bead's alone.

use super::graph::Springs;
use super::losses::{Part, Structural, distances, elastic};
use crate::nn::graph::pick;
use crate::protein::martini::{Beads, Pair, Topology, attraction, pairs};
use crate::tape::Var;
use crate::tensor::Tensor;

/// kJ/mol of an energy of 1.
const SCALE: f64 = 12.5;
/// Where a pair's energy is least, in sigmas.
const NEAREST: f64 = 1.1225;

/// Factors of what holds beads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    pub bonds: f32,
    pub angles: f32,
    pub dihedrals: f32,
    pub impropers: f32,
    pub pairs: f32,
    pub elastic: f32,
}

/// What holds beads.
pub struct Bonded {
    pub topology: Topology,
    pub pairs: Vec<Pair>,
    pub springs: Springs,
    pub weights: Weights,
    /// Steepness of a pair's well, 1/Å.
    pub morse: f64,
    /// Share of the elastic network that holds.
    pub keep: f64,
    /// As the reference has it.
    pub parity: bool,
}

/// The pairs of beads within `cutoff` Å that are not bonded; with `parity` the well of the second bead with its like.
pub fn wells(
    beads: &Beads,
    topology: &Topology,
    places: &[[f64; 3]],
    cutoff: f64,
    parity: bool,
) -> Vec<Pair> {
    let mut pairs = pairs(beads, topology, places, cutoff);
    for pair in pairs.iter_mut().filter(|_| parity) {
        let kind = beads.types[pair.atoms[1]];
        (pair.depth, pair.sigma) = attraction(kind, kind);
    }
    pairs
}

impl Structural for Bonded {
    fn parts<'t>(&self, places: Var<'t>) -> Vec<Part<'t>> {
        let w = &self.weights;
        let elastic = elastic(places, &self.springs.chains, &self.springs.between, self.keep);
        vec![
            Part { name: "bonds", weight: w.bonds, value: self.bonds(places) },
            Part { name: "angles", weight: w.angles, value: self.angles(places) },
            Part { name: "dihedrals", weight: w.dihedrals, value: self.dihedrals(places) },
            Part { name: "impropers", weight: w.impropers, value: self.impropers(places) },
            Part { name: "pairs", weight: w.pairs, value: self.pairs(places) },
            Part { name: "elastic", weight: w.elastic, value: elastic },
        ]
    }
}

impl Bonded {
    /// The mean of energies `[terms, 1, B]`; `squared`: what the reference divides by the square of the beads.
    fn mean<'t>(&self, energies: Var<'t>, places: Var<'t>, squared: bool) -> Var<'t> {
        let count = if self.parity && squared { places.dim(0).pow(2) } else { energies.dim(0) };
        energies.sum_all().scale(1.0 / (count * places.dim(2)).max(1) as f32)
    }

    fn bonds<'t>(&self, places: Var<'t>) -> Var<'t> {
        let list = &self.topology.bonds;
        if list.is_empty() {
            return places.tape().scalar(0.0);
        }
        let members: Vec<(usize, usize)> = list.iter().map(|b| (b.atoms[0], b.atoms[1])).collect();
        let wanted = column(places, list.iter().map(|b| b.length));
        let stiffness = column(places, list.iter().map(|b| b.stiffness / SCALE));
        self.mean(stiffness * (length(places, &members) - wanted).square(), places, false)
    }

    fn angles<'t>(&self, places: Var<'t>) -> Var<'t> {
        let list = &self.topology.angles;
        if list.is_empty() {
            return places.tape().scalar(0.0);
        }
        let atom = |k: usize| pick(places, &list.iter().map(|a| a.atoms[k]).collect::<Vec<_>>());
        let (a, middle, b) = (atom(0), atom(1), atom(2));
        let (u, v) = (Vector::of(a - middle), Vector::of(b - middle));
        let cosine = u.dot(&v) * (u.dot(&u) * v.dot(&v)).add_scalar(1e-12).rsqrt();
        let wanted = column(places, list.iter().map(|a| a.angle.to_radians().cos()));
        let stiffness = column(places, list.iter().map(|a| a.stiffness / SCALE));
        self.mean(stiffness * (cosine - wanted).square(), places, true)
    }

    /// Sine and cosine of the turns about the middle two of four atoms, by one factor; 0 where the outer two eclipse.
    fn turns<'t>(&self, places: Var<'t>, atoms: &[[usize; 4]]) -> (Var<'t>, Var<'t>) {
        let atom = |k: usize| pick(places, &atoms.iter().map(|atoms| atoms[k]).collect::<Vec<_>>());
        let (a, b, c, d) = (atom(0), atom(1), atom(2), atom(3));
        let (first, axis, last) = (Vector::of(b - a), Vector::of(c - b), Vector::of(d - c));
        let (left, right) = (first.cross(&axis), axis.cross(&last));
        let sine = first.dot(&right) * axis.dot(&axis).add_scalar(1e-12).sqrt();
        let cosine = left.dot(&right);
        if self.parity { (-sine, -cosine) } else { (sine, cosine) }
    }

    fn dihedrals<'t>(&self, places: Var<'t>) -> Var<'t> {
        let list = &self.topology.dihedrals;
        if list.is_empty() {
            return places.tape().scalar(0.0);
        }
        let (sine, cosine) = self.turns(places, &list.iter().map(|d| d.atoms).collect::<Vec<_>>());
        let times = column(places, list.iter().map(|d| d.multiplicity as f64));
        let wanted = column(places, list.iter().map(|d| d.angle.to_radians()));
        let stiffness = column(places, list.iter().map(|d| 2.0 * d.stiffness / SCALE));
        let energies = stiffness * (sine.angle(cosine) * times - wanted).cos().add_scalar(1.0);
        self.mean(energies, places, true)
    }

    fn impropers<'t>(&self, places: Var<'t>) -> Var<'t> {
        let list = &self.topology.impropers;
        if list.is_empty() {
            return places.tape().scalar(0.0);
        }
        let (sine, cosine) = self.turns(places, &list.iter().map(|i| i.atoms).collect::<Vec<_>>());
        let (s, c) = (
            column(places, list.iter().map(|i| i.angle.to_radians().sin())),
            column(places, list.iter().map(|i| i.angle.to_radians().cos())),
        );
        let off = (sine * c - cosine * s).angle(cosine * c + sine * s);
        let stiffness = column(places, list.iter().map(|i| 2.0 * i.stiffness / SCALE));
        self.mean(stiffness * off.square(), places, true)
    }

    fn pairs<'t>(&self, places: Var<'t>) -> Var<'t> {
        let list = &self.pairs;
        if list.is_empty() {
            return places.tape().scalar(0.0);
        }
        let members: Vec<(usize, usize)> = list.iter().map(|p| (p.atoms[0], p.atoms[1])).collect();
        let least = column(places, list.iter().map(|p| NEAREST * p.sigma));
        let depth = column(places, list.iter().map(|p| 2.0 * p.depth / SCALE));
        let away = length(places, &members) - least;
        let short = away.scale(-self.morse as f32).exp();
        self.mean(depth * short.add_scalar(-1.0).square(), places, false)
    }
}

/// Distances `[P, 1, B]`.
fn length<'t>(places: Var<'t>, members: &[(usize, usize)]) -> Var<'t> {
    distances(places, members).reshape(&[members.len(), 1, places.dim(2)])
}

/// One number for each term, `[terms, 1, 1]`.
fn column<'t>(places: Var<'t>, numbers: impl Iterator<Item = f64>) -> Var<'t> {
    let numbers: Vec<f32> = numbers.map(|v| v as f32).collect();
    places.tape().constant(Tensor::f32(&[numbers.len(), 1, 1], numbers))
}

/// Components `[terms, 1, B]` of vectors.
struct Vector<'t>([Var<'t>; 3]);

impl<'t> Vector<'t> {
    /// Of `[terms, 3, B]`.
    fn of(v: Var<'t>) -> Vector<'t> {
        Vector([0, 1, 2].map(|k| v.slice(1, k, 1)))
    }

    fn dot(&self, other: &Vector<'t>) -> Var<'t> {
        let ([a, b, c], [x, y, z]) = (self.0, other.0);
        a * x + b * y + c * z
    }

    fn cross(&self, other: &Vector<'t>) -> Vector<'t> {
        let ([a, b, c], [x, y, z]) = (self.0, other.0);
        Vector([b * z - c * y, c * x - a * z, a * y - b * x])
    }
}
