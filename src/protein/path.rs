//! Paths of conformations: how a molecule goes from one known structure to the next.
//!
//! A straight line through space would shrink whatever turns. Here rigid domains ([`super::domains`]) move on
//! screws about their hinges, side chains turn about their bonds, residues at a hinge pass gradually from one
//! domain's motion to the other's, and the covalent geometry of each model is mended
//! ([`super::geometry`]). The given structures themselves are met exactly.

use super::domains::Domains;
use super::geometry::Restraints;
use super::matching::{Common, common_atoms, heavy_atoms};
use super::superpose::{Motion, superpose_weighted};
use crate::error::{Error, Result};
use crate::io::structure::Structure;
use nalgebra::{Rotation3, Vector3};

/// Residues on each side of a hinge over which one domain's motion passes into the other's.
const HINGE: usize = 4;
/// Fewer atoms in common than this make no path.
const FEWEST: usize = 3;

type Point = Vector3<f64>;

/// The atoms that all structures of a path have in common.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// Residue of each atom, counted from 0 in the order of the file, [atoms].
    pub residue: Vec<usize>,
    /// Name of each atom (`CA`), [atoms].
    pub name: Vec<String>,
    /// Covalent radius of each atom in Å, [atoms].
    pub radius: Vec<f64>,
    /// Chain of each residue, counted from 0, [residues].
    pub chain: Vec<usize>,
}

/// A path through two or more conformations of the same atoms; `t` runs from 0 to 1, and conformation k of n
/// stands at t = k / (n - 1).
pub struct ConformationPath {
    topology: Topology,
    legs: Vec<Leg>,
}

impl ConformationPath {
    /// The path between the first models of two structures, over the heavy atoms that both have. The second
    /// result says which atoms those are and how many of each structure were left out.
    pub fn new(a: &Structure, b: &Structure) -> Result<(Self, Common)> {
        let first = |s: &Structure| {
            let mut heavy = heavy_atoms(s);
            heavy.models.truncate(1);
            heavy
        };
        let common = common_atoms(&[first(a), first(b)])?;
        let path = Self::through(Topology::of(&common.structure), &common.structure.models)?;
        Ok((path, common))
    }

    /// The path through `states`, each [atoms, 3] in Å and in the order of `topology`.
    pub fn through(topology: Topology, states: &[Vec<[f64; 3]>]) -> Result<Self> {
        let n = topology.residue.len();
        if states.len() < 2 {
            return Err(Error::usage(
                "a path needs at least two conformations: give two structures or a multi-model file",
            ));
        }
        if n < FEWEST {
            return Err(Error::usage(format!(
                "a path needs at least {FEWEST} atoms that all conformations have, and there are {n}"
            )));
        }
        for (k, state) in states.iter().enumerate() {
            if state.len() != n {
                return Err(Error::usage(format!(
                    "conformation {} has {} atoms and the path has {n}; match the atoms first",
                    k + 1,
                    state.len()
                )));
            }
            if let Some(i) = state.iter().position(|p| p.iter().any(|v| !v.is_finite() || v.abs() > 1e5)) {
                return Err(Error::NotFinite(format!(
                    "conformation {}: atom {} has a coordinate that is not a number or lies beyond 100,000 Å",
                    k + 1,
                    i + 1
                )));
            }
        }
        if topology.name.len() != n
            || topology.radius.len() != n
            || topology.residue.iter().any(|&r| r >= topology.chain.len())
        {
            return Err(Error::usage("the topology does not describe each of its atoms"));
        }
        let legs = states.windows(2).map(|pair| Leg::new(&topology, &pair[0], &pair[1])).collect();
        Ok(ConformationPath { topology, legs })
    }

    /// The conformation at `t` (0..=1, values outside are clamped), [atoms, 3] in Å.
    pub fn at(&self, t: f64) -> Vec<[f64; 3]> {
        let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
        let along = t * self.legs.len() as f64;
        let leg = (along.floor() as usize).min(self.legs.len() - 1);
        self.legs[leg].at(&self.topology, along - leg as f64)
    }

    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Domains of each leg between two neighbouring states.
    pub fn domains(&self) -> impl Iterator<Item = &Domains> {
        self.legs.iter().map(|leg| &leg.domains)
    }

    /// Bonds (i < j) that the path keeps, of the leg between state `leg` and the next.
    pub fn bonds(&self, leg: usize) -> &[(usize, usize)] {
        self.legs.get(leg).map_or(&[], |leg| leg.restraints.bonds())
    }
}

/// Moves `state` by the motion that lays its largest rigid domain onto `reference`, so that a path shows how
/// the molecule changes and not where its file happened to put it. Both [atoms, 3] in Å.
pub fn align_on_largest_domain(topology: &Topology, reference: &[[f64; 3]], state: &mut [[f64; 3]]) {
    let (from, onto) = (residue_points(topology, state), residue_points(topology, reference));
    let domains = Domains::find(&topology.chain, &from, &onto);
    if let Some(motion) = domains.motions.first() {
        for p in state {
            *p = motion.apply(&Point::from(*p)).into();
        }
    }
}

/// One point per residue: its Cα (C4' of nucleotides), or else the centroid of its atoms.
fn residue_points(topology: &Topology, atoms: &[[f64; 3]]) -> Vec<[f64; 3]> {
    let n = topology.chain.len();
    let (mut sum, mut count, mut own) = (vec![Point::zeros(); n], vec![0.0f64; n], vec![None; n]);
    for ((&r, name), p) in topology.residue.iter().zip(&topology.name).zip(atoms) {
        sum[r] += Point::from(*p);
        count[r] += 1.0;
        if matches!(name.as_str(), "CA" | "C4'" | "C4*") {
            own[r] = Some(*p);
        }
    }
    (0..n).map(|r| own[r].unwrap_or_else(|| (sum[r] / count[r].max(1.0)).into())).collect()
}

/// An atom's share in the motion of a domain. Seen from the domain, the residue turns by `turn` about
/// `centre`, slides by `slide`, and the atom adds its own small `rest`.
struct Share {
    domain: usize,
    weight: f64,
    start: Point,
    centre: Point,
    turn: Vector3<f64>,
    slide: Point,
    rest: Point,
}

/// A side-chain atom placed from three atoms before it; [bond, angle, torsion] at both ends.
struct Placed {
    atom: usize,
    before: [usize; 3],
    /// An earlier atom on the same bond: the torsion is then counted from that one's, so both turn together.
    sibling: Option<usize>,
    start: [f64; 3],
    change: [f64; 3],
}

/// The way between two neighbouring conformations.
struct Leg {
    ends: [Vec<[f64; 3]>; 2],
    domains: Domains,
    shares: Vec<Vec<Share>>,
    placed: Vec<Placed>,
    restraints: Restraints,
}

impl Leg {
    fn new(topology: &Topology, a: &[[f64; 3]], b: &[[f64; 3]]) -> Leg {
        let domains =
            Domains::find(&topology.chain, &residue_points(topology, a), &residue_points(topology, b));
        let to_points = |x: &[[f64; 3]]| x.iter().map(|p| Point::from(*p)).collect::<Vec<_>>();
        let restraints = Restraints::between(to_points(a), to_points(b), &topology.radius);
        let residues = atoms_of_residues(topology);
        let mut shares: Vec<Vec<Share>> = (0..a.len()).map(|_| Vec::new()).collect();
        for (r, atoms) in residues.iter().enumerate() {
            for (domain, weight) in hinge_weights(topology, &domains, r) {
                share_residue(topology, atoms, a, b, (domain, weight), &domains.motions[domain], &mut shares);
            }
        }
        let placed = place_side_chains(topology, &residues, restraints.bonds(), a, b);
        Leg { ends: [a.to_vec(), b.to_vec()], domains, shares, placed, restraints }
    }

    fn at(&self, topology: &Topology, t: f64) -> Vec<[f64; 3]> {
        if t <= 0.0 {
            return self.ends[0].clone();
        }
        if t >= 1.0 {
            return self.ends[1].clone();
        }
        let motions = self.domains.at(t);
        let mut points: Vec<Point> = self.shares.iter().map(|shares| blend(shares, &motions, t)).collect();
        debug_assert_eq!(points.len(), topology.residue.len());
        for p in &self.placed {
            let [bond, angle, mut torsion] = [0, 1, 2].map(|k| p.start[k] + t * p.change[k]);
            let before = p.before.map(|i| points[i]);
            if let Some(sibling) = p.sibling {
                torsion += torsion_of(before[0], before[1], before[2], points[sibling]);
            }
            points[p.atom] = place(before, bond, angle, torsion);
        }
        self.restraints.mend(t, &mut points);
        points.into_iter().map(Into::into).collect()
    }
}

fn atoms_of_residues(topology: &Topology) -> Vec<Vec<usize>> {
    let mut residues = vec![Vec::new(); topology.chain.len()];
    topology.residue.iter().enumerate().for_each(|(i, &r)| residues[r].push(i));
    residues
}

/// The domains that move residue `r`, with weights that add up to 1: its own, and near a hinge its
/// neighbours' along the chain.
fn hinge_weights(topology: &Topology, domains: &Domains, r: usize) -> Vec<(usize, f64)> {
    let mut weights: Vec<(usize, f64)> = Vec::new();
    let reach = HINGE as isize;
    for step in -reach..=reach {
        // A raised cosine, so the passage has no kink.
        let weight = 1.0 + (std::f64::consts::PI * step as f64 / (HINGE + 1) as f64).cos();
        let neighbour =
            r.checked_add_signed(step).filter(|&x| topology.chain.get(x) == Some(&topology.chain[r]));
        let domain = domains.label[neighbour.unwrap_or(r)];
        match weights.iter_mut().find(|(d, _)| *d == domain) {
            Some((_, sum)) => *sum += weight,
            None => weights.push((domain, weight)),
        }
    }
    let total: f64 = weights.iter().map(|(_, w)| w).sum();
    weights.iter().map(|&(d, w)| (d, w / total)).collect()
}

fn is_backbone(name: &str) -> bool {
    matches!(name, "N" | "CA" | "C" | "O" | "OXT" | "CB")
}

/// Adds the share of one domain's motion to each atom of a residue.
fn share_residue(
    topology: &Topology,
    atoms: &[usize],
    a: &[[f64; 3]],
    b: &[[f64; 3]],
    (domain, weight): (usize, f64),
    motion: &Motion,
    shares: &mut [Vec<Share>],
) {
    let back = motion.inverse();
    let start: Vec<[f64; 3]> = atoms.iter().map(|&i| a[i]).collect();
    let end: Vec<[f64; 3]> = atoms.iter().map(|&i| back.apply(&Point::from(b[i])).into()).collect();
    // The frame of a residue is its backbone; of anything else (ligand, nucleotide) all of it.
    let backbone = |k: usize| is_backbone(&topology.name[atoms[k]]);
    let has_frame = (0..atoms.len()).filter(|&k| backbone(k)).count() >= 3;
    let counts = |k: usize| if !has_frame || backbone(k) { 1.0 } else { 0.0 };
    let (local, _) =
        if atoms.len() >= 3 { superpose_weighted(&start, &end, counts) } else { (Motion::identity(), 0.0) };
    let total: f64 = (0..atoms.len()).map(counts).sum();
    let centre =
        start.iter().enumerate().map(|(k, p)| counts(k) * Point::from(*p)).sum::<Point>() / total.max(1.0);
    let slide = local.apply(&centre) - centre;
    for (k, &i) in atoms.iter().enumerate() {
        let rest = local.inverse().apply(&Point::from(end[k])) - Point::from(start[k]);
        let turn = local.axis_angle();
        shares[i].push(Share { domain, weight, start: start[k].into(), centre, turn, slide, rest });
    }
}

fn blend(shares: &[Share], motions: &[Motion], t: f64) -> Point {
    let mut sum = Point::zeros();
    for s in shares {
        let turned = Rotation3::new(s.turn * t) * (s.start + s.rest * t - s.centre);
        sum += s.weight * motions[s.domain].apply(&(s.centre + s.slide * t + turned));
    }
    sum
}

/// The order in which side chains are built outwards from Cβ, each atom from three that stand already.
fn place_side_chains(
    topology: &Topology,
    residues: &[Vec<usize>],
    bonds: &[(usize, usize)],
    a: &[[f64; 3]],
    b: &[[f64; 3]],
) -> Vec<Placed> {
    let mut neighbours = vec![Vec::new(); a.len()];
    for &(i, j) in bonds {
        if topology.residue[i] == topology.residue[j] {
            neighbours[i].push(j);
            neighbours[j].push(i);
        }
    }
    let ends = [a, b].map(|x| move |i: usize| Point::from(x[i]));
    let mut placed = Vec::new();
    for atoms in residues {
        let named = |name: &str| atoms.iter().copied().find(|&i| topology.name[i] == name);
        let (Some(n), Some(ca), Some(cb)) = (named("N"), named("CA"), named("CB")) else { continue };
        // Parents of what stands: the atom towards the backbone.
        let mut parent: Vec<(usize, usize)> = vec![(ca, n), (cb, ca)];
        let mut done: Vec<usize> =
            atoms.iter().copied().filter(|&i| is_backbone(&topology.name[i])).collect();
        let mut queue = std::collections::VecDeque::from([cb]);
        while let Some(from) = queue.pop_front() {
            let above = |i: usize| parent.iter().find(|(child, _)| *child == i).map(|(_, p)| *p);
            let Some(second) = above(from) else { continue };
            let Some(third) = above(second) else { continue };
            let before = [third, second, from];
            let mut sibling = None;
            for &atom in &neighbours[from] {
                if done.contains(&atom) {
                    continue;
                }
                let mut inner = [[0.0; 3]; 2];
                for (inner, at) in inner.iter_mut().zip(&ends) {
                    let [p, q, r] = before.map(at);
                    let x = at(atom);
                    let mut torsion = torsion_of(p, q, r, x);
                    if let Some(sibling) = sibling {
                        torsion -= torsion_of(p, q, r, at(sibling));
                    }
                    *inner = [(x - r).norm(), (q - r).angle(&(x - r)), torsion];
                }
                let turn = (inner[1][2] - inner[0][2]).sin().atan2((inner[1][2] - inner[0][2]).cos());
                let change = [inner[1][0] - inner[0][0], inner[1][1] - inner[0][1], turn];
                placed.push(Placed { atom, before, sibling, start: inner[0], change });
                sibling = sibling.or(Some(atom));
                done.push(atom);
                parent.push((atom, from));
                queue.push_back(atom);
            }
        }
    }
    placed
}

/// Torsion angle p-q-r-s in radians.
fn torsion_of(p: Point, q: Point, r: Point, s: Point) -> f64 {
    let (u, v, w) = (q - p, r - q, s - r);
    let (m, n) = (u.cross(&v), v.cross(&w));
    (v.norm() * u.dot(&n)).atan2(m.dot(&n))
}

/// The point at `bond` from r, `angle` with q, and `torsion` about q-r from p.
fn place([p, q, r]: [Point; 3], bond: f64, angle: f64, torsion: f64) -> Point {
    let along = (r - q).try_normalize(1e-9).unwrap_or_else(Point::x);
    let normal = (q - p).cross(&along).try_normalize(1e-9).unwrap_or_else(Point::z);
    let across = normal.cross(&along);
    r + bond * (-angle.cos() * along + angle.sin() * (torsion.cos() * across + torsion.sin() * normal))
}
