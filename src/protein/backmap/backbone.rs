//! N, C and O from a trace of CA atoms, and CA from the beads of a backbone.
//!
//! A trans peptide group between two CA is rigid and can only turn about the line between them. One angle a peptide
//! is thus all there is to find (Purisima and Scheraga, Biopolymers 23:1207, 1984): the best chain of angles, by
//! dynamic programming, for the bond angle N-CA-C and the torsions φ and ψ at each CA.

use std::sync::LazyLock;

use nalgebra::{Rotation3, Unit};

use super::super::frames::axes;
use super::super::linkage::CIS_BELOW;
use super::super::minimise::Point;
use super::super::residue::RESIDUES;
use super::super::superpose::Motion;
use super::covalent::{build, torsions_of};
use super::mapping::members;

/// Angles that are tried.
const STATES: usize = 36;
/// N-CA-C in degrees, and how far it bends at what cost of 1/2.
const ANGLE: (f64, f64) = (111.0, 4.0);
/// Bonds (Å) and angles (degrees) of a peptide: Engh and Huber 1991.
const CA_C: f64 = 1.525;
const N_CA: f64 = 1.458;
const C_O: f64 = 1.231;
const CA_N: f64 = 2.425;
const C_CA: f64 = 2.435;

/// Where φ and ψ (degrees) of residues stand: weight, φ, its deviation, ψ, its deviation. Regions and shares as they
/// are commonly found in well-resolved proteins, rounded.
type Region = (f64, f64, f64, f64, f64);
const GENERAL: [Region; 7] = [
    (0.45, -63.0, 10.0, -42.0, 11.0),
    (0.10, -85.0, 18.0, -15.0, 22.0),
    (0.18, -118.0, 24.0, 132.0, 20.0),
    (0.14, -68.0, 13.0, 143.0, 16.0),
    (0.05, -140.0, 18.0, 158.0, 18.0),
    (0.03, 57.0, 9.0, 42.0, 13.0),
    (0.05, -105.0, 25.0, 20.0, 30.0),
];
const GLYCINE: [Region; 6] = [
    (0.25, 85.0, 15.0, 10.0, 20.0),
    (0.20, -63.0, 12.0, -42.0, 14.0),
    (0.10, -80.0, 20.0, 165.0, 25.0),
    (0.15, 80.0, 20.0, -170.0, 25.0),
    (0.20, 180.0, 30.0, 180.0, 25.0),
    (0.10, 63.0, 12.0, 42.0, 14.0),
];
const PROLINE: [Region; 3] =
    [(0.50, -68.0, 11.0, 147.0, 16.0), (0.40, -62.0, 10.0, -32.0, 15.0), (0.10, -75.0, 12.0, 65.0, 20.0)];
/// The share of all of the plane, so that nothing is forbidden.
const ELSEWHERE: f64 = 3e-8;

/// Cells of the plane of φ and ψ along each, of 4°.
const CELLS: usize = 90;

/// What φ and ψ of a residue cost, in units of kT.
struct Plane {
    cells: Vec<f64>,
    least: f64,
}

impl Plane {
    fn of(kind: usize) -> &'static Plane {
        static PLANES: LazyLock<[Plane; 3]> =
            LazyLock::new(|| [&GENERAL[..], &GLYCINE, &PROLINE].map(Plane::new));
        match RESIDUES.get(kind).map(|r| r.name) {
            Some("GLY") => &PLANES[1],
            Some("PRO") => &PLANES[2],
            _ => &PLANES[0],
        }
    }

    fn new(regions: &[Region]) -> Plane {
        let middle = |cell: usize| (cell as f64 + 0.5) * 360.0 / CELLS as f64 - 180.0;
        let cells = 0..CELLS * CELLS;
        let cells: Vec<f64> = cells.map(|i| cost(regions, middle(i / CELLS), middle(i % CELLS))).collect();
        let least = cells.iter().copied().fold(f64::INFINITY, f64::min);
        Plane { cells, least }
    }

    fn at(&self, phi: f64, psi: f64) -> f64 {
        let cell = |angle: f64| ((angle + 180.0) * CELLS as f64 / 360.0) as usize % CELLS;
        self.cells[cell(phi) * CELLS + cell(psi)]
    }
}

fn cost(regions: &[Region], phi: f64, psi: f64) -> f64 {
    let off = |a: f64, b: f64, deviation: f64| {
        let d = (a - b).rem_euclid(360.0);
        (d.min(360.0 - d) / deviation).powi(2)
    };
    let density = |&(weight, x, dx, y, dy): &Region| {
        weight / (dx * dy) * (-0.5 * (off(phi, x, dx) + off(psi, y, dy))).exp()
    };
    -(regions.iter().map(density).sum::<f64>() + ELSEWHERE).ln()
}

/// The dihedral of four points in degrees.
pub fn dihedral(p: [Point; 4]) -> f64 {
    let (a, b, c) = (p[1] - p[0], p[2] - p[1], p[3] - p[2]);
    let (x, y) = (a.cross(&b), b.cross(&c));
    (b.norm() * a.dot(&y)).atan2(x.dot(&y)).to_degrees()
}

/// The angle at `b` in degrees.
pub fn angle(a: Point, b: Point, c: Point) -> f64 {
    (a - b).angle(&(c - b)).to_degrees()
}

/// The point at a distance from `c`, at an angle with `b` and a dihedral with `a` (degrees).
pub fn extend(a: Point, b: Point, c: Point, length: f64, angle: f64, dihedral: f64) -> Point {
    let along = (c - b).normalize();
    let across = (b - a).cross(&along);
    let across = across.try_normalize(1e-9).unwrap_or_else(|| square(along));
    let up = across.cross(&along);
    let (angle, dihedral) = (angle.to_radians(), dihedral.to_radians());
    c + length * (-angle.cos() * along + angle.sin() * (dihedral.cos() * up + dihedral.sin() * across))
}

/// A direction at right angles to another.
fn square(x: Point) -> Point {
    let axis = if x.x.abs() < 0.6 { Point::x() } else { Point::y() };
    (axis - x * x.dot(&axis)).normalize()
}

/// C, O and the next N about two CA, in the plane of `up`.
#[derive(Clone, Copy)]
struct Peptide {
    c: Point,
    o: Point,
    n: Point,
}

/// Whether the peptide bond between two CA is cis.
pub fn is_cis(a: Point, b: Point) -> bool {
    (a - b).norm() < CIS_BELOW
}

/// A peptide group in the plane of x (from CA to CA) and y; distances between CA other than the ideal stretch it.
fn peptide(from: Point, to: Point, up: Point) -> Peptide {
    let line = to - from;
    let cis = is_cis(from, to);
    let ideal: f64 = if cis { 2.94 } else { 3.80 };
    let stretch = line.norm() / ideal;
    let x = line.normalize();
    // Where two circles about the CA meet.
    let meet = |a: f64, b: f64| {
        let along = (a * a - b * b + ideal * ideal) / (2.0 * ideal);
        (along, (a * a - along * along).sqrt())
    };
    let (cx, cy) = meet(CA_C, C_CA);
    let (nx, ny) = meet(CA_N, N_CA);
    let place = |along: f64, across: f64| from + x * (along * stretch) + up * across;
    let (c, n) = (place(cx, cy), place(nx, if cis { ny } else { -ny }));
    let outward = -((from - c).normalize() + (n - c).normalize());
    Peptide { c, o: c + outward.normalize() * C_O, n }
}

/// N, CA, C, O of a chain without gaps from its CA atoms.
pub fn thread(kinds: &[usize], ca: &[Point]) -> Vec<[Point; 4]> {
    let links = ca.len().saturating_sub(1);
    let angles: Vec<f64> = (0..STATES).map(|k| (k as f64) * 360.0 / STATES as f64).collect();
    let groups: Vec<Vec<Peptide>> = (0..links)
        .map(|i| {
            let axis = Unit::new_normalize(ca[i + 1] - ca[i]);
            let up = square(*axis);
            let turned = |a: &f64| Rotation3::from_axis_angle(&axis, a.to_radians()) * up;
            angles.iter().map(|a| peptide(ca[i], ca[i + 1], turned(a))).collect()
        })
        .collect();
    let chosen = best(kinds, ca, &groups);
    let groups: Vec<Peptide> = groups.iter().zip(chosen).map(|(group, k)| group[k]).collect();
    (0..ca.len())
        .map(|i| {
            let before = i.checked_sub(1).map(|p| groups[p]);
            let after = groups.get(i).copied();
            let (n, c, o) = match (before, after) {
                (Some(before), Some(after)) => (before.n, after.c, after.o),
                (None, Some(after)) => {
                    (extend(after.n, after.c, ca[i], N_CA, ANGLE.0, 140.0), after.c, after.o)
                }
                (Some(before), None) => {
                    let c = extend(before.c, before.n, ca[i], CA_C, ANGLE.0, -75.0);
                    (before.n, c, extend(before.n, ca[i], c, C_O, 120.0, -30.0))
                }
                // A residue alone: any way round.
                (None, None) => {
                    let n = ca[i] + Point::x() * N_CA;
                    let c = extend(n + Point::y(), n, ca[i], CA_C, ANGLE.0, 180.0);
                    (n, c, extend(n, ca[i], c, C_O, 120.0, -30.0))
                }
            };
            [n, ca[i], c, o]
        })
        .collect()
}

/// The state of each peptide that makes the whole chain cheapest.
fn best(kinds: &[usize], ca: &[Point], groups: &[Vec<Peptide>]) -> Vec<usize> {
    if groups.is_empty() {
        return vec![];
    }
    let mut costs = vec![0.0; STATES];
    let mut from: Vec<Vec<usize>> = vec![];
    for (i, pair) in groups.windows(2).enumerate() {
        let plane = Plane::of(kinds[i + 1]);
        let (mut next, mut came) = (vec![0.0; STATES], vec![0; STATES]);
        for (k, after) in pair[1].iter().enumerate() {
            next[k] = f64::INFINITY;
            for (j, before) in pair[0].iter().enumerate() {
                let bend = (angle(before.n, ca[i + 1], after.c) - ANGLE.0) / ANGLE.1;
                let so_far = costs[j] + 0.5 * bend * bend;
                // Torsions cannot make up for it.
                if so_far + plane.least >= next[k] {
                    continue;
                }
                let phi = dihedral([before.c, before.n, ca[i + 1], after.c]);
                let psi = dihedral([before.n, ca[i + 1], after.c, after.n]);
                let total = so_far + plane.at(phi, psi);
                if total < next[k] {
                    (next[k], came[k]) = (total, j);
                }
            }
        }
        costs = next;
        from.push(came);
    }
    let mut k = (0..STATES).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).unwrap_or(0);
    let mut chosen = vec![k];
    for came in from.iter().rev() {
        k = came[k];
        chosen.push(k);
    }
    chosen.reverse();
    chosen
}

const ROUNDS: usize = 12;
/// The distance of CA over trans and cis peptides, Å.
const TRANS: f64 = 3.80;

/// Where the bead of a backbone stands.
fn centre(kind: usize, atoms: &[Point; 4]) -> Point {
    let [n, ca, c, _] = *atoms;
    let beta = || {
        let frame = Motion { rotation: axes(c - ca, n - ca), translation: ca };
        build(kind, &frame, &torsions_of(0.0, &[])).get(4).copied().unwrap_or(ca)
    };
    let place = |i: usize| atoms.get(i).copied().unwrap_or_else(beta);
    members(kind, "BB").unwrap_or_default().iter().map(|(i, share)| place(*i) * *share).sum()
}

/// CA atoms of a chain without gaps from the centres of mass of its backbones.
///
/// A first guess by how the centres run (in a helix they lie inside of the CA, in a strand beside them; the numbers
/// are fits to adenylate kinase), then by what threaded backbones have as centres.
pub fn ca_of_centres(kinds: &[usize], beads: &[Point]) -> Vec<Point> {
    let mut ca: Vec<Point> = (0..beads.len()).map(|i| first_guess(beads, i)).collect();
    for _ in 0..ROUNDS {
        let threaded = thread(kinds, &ca);
        for (i, atoms) in threaded.iter().enumerate() {
            ca[i] += beads[i] - centre(kinds[i], atoms);
        }
        for i in 1..ca.len() {
            let line = ca[i] - ca[i - 1];
            let d = line.norm();
            if d > 1e-6 {
                // Half of the way: the other half is the neighbours' to say.
                let shift = line * (0.25 * (TRANS - d) / d);
                ca[i - 1] -= shift;
                ca[i] += shift;
            }
        }
    }
    ca
}

fn first_guess(beads: &[Point], i: usize) -> Point {
    let (Some(before), Some(after)) = (i.checked_sub(1).map(|p| beads[p]), beads.get(i + 1)) else {
        return beads[i];
    };
    let span = after - before;
    let along = span.try_normalize(1e-6).unwrap_or_else(Point::x);
    let out = beads[i] - (before + after) * 0.5;
    let out = (out - along * along.dot(&out)).try_normalize(1e-6).unwrap_or_else(|| square(along));
    let extended = ((span.norm() - 4.85) / 2.25).clamp(0.0, 1.0);
    let (o, a, s) = (0.45 - extended, -0.68 + 0.35 * extended, -0.25 + 1.1 * extended);
    beads[i] + out * o + along * a + out.cross(&along) * s
}
