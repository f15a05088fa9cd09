//! Covalent geometry from coordinates alone: bonds, and the restraints that keep bonds, angles, planes,
//! handedness and contacts of a model between two conformations.
//!
//! The repair is position-based: each restraint in turn moves its own atoms to where it holds, over and over
//! (SHAKE, Ryckaert et al. 1977; Müller et al. 2007 for the form used here).

use nalgebra::Vector3;
use std::collections::{HashMap, HashSet};

/// Two atoms are bonded when closer than the sum of their covalent radii and this tolerance, Å.
const BOND_TOLERANCE: f64 = 0.4;
/// Atoms that are not bonded are kept apart by this, or by what the conformations themselves have, Å.
const APART: f64 = 3.0;
/// A 1-4 distance is held where the two conformations agree on it this well: the bond between does not turn.
const RIGID_14: f64 = 0.35;
const ROUNDS: usize = 120;

/// Pairs (i < j) of points closer than `cutoff` Å, in the order of i and then of the cells around it.
pub fn near_pairs(points: &[Vector3<f64>], cutoff: f64) -> Vec<(usize, usize)> {
    let cell = |p: &Vector3<f64>| [0, 1, 2].map(|k| (p[k] / cutoff).floor() as i64);
    let mut cells: HashMap<[i64; 3], Vec<usize>> = HashMap::with_capacity(points.len());
    for (i, p) in points.iter().enumerate() {
        cells.entry(cell(p)).or_default().push(i);
    }
    let mut pairs = Vec::new();
    for (i, p) in points.iter().enumerate() {
        let at = cell(p);
        for step in 0..27 {
            let offset = [step / 9 - 1, step / 3 % 3 - 1, step % 3 - 1];
            let key = [0, 1, 2].map(|k| at[k].saturating_add(offset[k]));
            for &j in cells.get(&key).into_iter().flatten() {
                if j > i && (p - points[j]).norm_squared() < cutoff * cutoff {
                    pairs.push((i, j));
                }
            }
        }
    }
    pairs
}

/// Bonds (i < j) of a conformation: `points` [N, 3] in Å and the covalent `radius` of each atom in Å.
pub fn bonds(points: &[Vector3<f64>], radius: &[f64]) -> Vec<(usize, usize)> {
    let largest = radius.iter().fold(0.0f64, |m, &r| m.max(r));
    let mut pairs = near_pairs(points, 2.0 * largest + BOND_TOLERANCE);
    // Closer than 0.4 Å are two places of one atom, not a bond.
    pairs.retain(|&(i, j)| {
        let distance = (points[i] - points[j]).norm();
        distance > 0.4 && distance < radius[i] + radius[j] + BOND_TOLERANCE
    });
    pairs.sort_unstable();
    pairs
}

struct Distance {
    i: usize,
    j: usize,
    ends: [f64; 2],
    /// Part of the error that is mended in one round.
    stiffness: f64,
}

/// The signed volume of three neighbours about an atom: handedness, or flatness where it is near zero.
struct Corner {
    atoms: [usize; 4],
    ends: [f64; 2],
}

/// What a model between two conformations must keep.
pub struct Restraints {
    distances: Vec<Distance>,
    corners: Vec<Corner>,
    /// Pairs that are near one another through bonds.
    tied: HashSet<(usize, usize)>,
    ends: [Vec<Vector3<f64>>; 2],
    bonds: Vec<(usize, usize)>,
}

fn ordered(i: usize, j: usize) -> (usize, usize) {
    (i.min(j), i.max(j))
}

fn volume(p: [Vector3<f64>; 4]) -> f64 {
    (p[1] - p[0]).dot(&(p[2] - p[0]).cross(&(p[3] - p[0])))
}

impl Restraints {
    /// From two conformations [N, 3] of the same atoms; only what both have is kept.
    pub fn between(a: Vec<Vector3<f64>>, b: Vec<Vector3<f64>>, radius: &[f64]) -> Restraints {
        let in_b: HashSet<(usize, usize)> = bonds(&b, radius).into_iter().collect();
        let bonds: Vec<_> = bonds(&a, radius).into_iter().filter(|pair| in_b.contains(pair)).collect();
        let mut neighbours = vec![Vec::new(); a.len()];
        for &(i, j) in &bonds {
            neighbours[i].push(j);
            neighbours[j].push(i);
        }
        let ends_of = |i: usize, j: usize| [(a[i] - a[j]).norm(), (b[i] - b[j]).norm()];
        let mut tied = HashSet::new();
        let mut distances = Vec::new();
        for &(i, j) in &bonds {
            tied.insert((i, j));
            distances.push(Distance { i, j, ends: ends_of(i, j), stiffness: 1.0 });
        }
        let mut add = |i: usize, j: usize, stiffness: f64, slack: f64| {
            let ends = ends_of(i, j);
            if i != j && tied.insert(ordered(i, j)) && (ends[0] - ends[1]).abs() < slack {
                distances.push(Distance { i, j, ends, stiffness });
            }
        };
        for near in &neighbours {
            for (x, &i) in near.iter().enumerate() {
                near[x + 1..].iter().for_each(|&j| add(i, j, 0.8, f64::INFINITY));
            }
        }
        for &(middle_i, middle_j) in &bonds {
            for &i in &neighbours[middle_i] {
                for &j in &neighbours[middle_j] {
                    if i != middle_j && j != middle_i {
                        add(i, j, 0.3, RIGID_14);
                    }
                }
            }
        }
        let mut corners = Vec::new();
        for (o, near) in neighbours.iter().enumerate() {
            for skip in 0..near.len().saturating_sub(2) {
                let atoms = [o, near[skip], near[skip + 1], near[skip + 2]];
                corners
                    .push(Corner { atoms, ends: [volume(atoms.map(|i| a[i])), volume(atoms.map(|i| b[i]))] });
            }
        }
        Restraints { distances, corners, tied, ends: [a, b], bonds }
    }

    /// The bonds (i < j) that both conformations have.
    pub fn bonds(&self) -> &[(usize, usize)] {
        &self.bonds
    }

    /// Mends a model that stands at `t` between the conformations (0..=1).
    pub fn mend(&self, t: f64, points: &mut [Vector3<f64>]) {
        let between = |ends: &[f64; 2]| (1.0 - t) * ends[0] + t * ends[1];
        let mut crowded = Vec::new();
        for round in 0..ROUNDS {
            if round % 20 == 0 {
                crowded = self.crowded(points);
            }
            let mut worst: f64 = 0.0;
            for &(i, j, apart) in &crowded {
                if (points[i] - points[j]).norm() < apart {
                    worst = worst.max(pull(points, i, j, apart, 0.5));
                }
            }
            for corner in &self.corners {
                turn(points, corner.atoms, between(&corner.ends));
            }
            // Softest first, so that a round ends with the bonds in order.
            for d in self.distances.iter().rev() {
                let error = pull(points, d.i, d.j, between(&d.ends), d.stiffness);
                if d.stiffness > 0.5 {
                    worst = worst.max(error);
                }
            }
            if worst < 0.02 {
                break;
            }
        }
    }

    /// Pairs that are not tied by bonds and stand, or could soon stand, too close, and how far apart they may be asked
    /// to be: no farther than in either conformation.
    fn crowded(&self, points: &[Vector3<f64>]) -> Vec<(usize, usize, f64)> {
        near_pairs(points, APART + 0.4)
            .into_iter()
            .filter(|pair| !self.tied.contains(pair))
            .map(|(i, j)| {
                let seen = |x: &[Vector3<f64>]| (x[i] - x[j]).norm();
                (i, j, APART.min(seen(&self.ends[0])).min(seen(&self.ends[1])))
            })
            .collect()
    }
}

/// Moves two points along their line towards a distance; returns the error there was, Å.
fn pull(points: &mut [Vector3<f64>], i: usize, j: usize, distance: f64, stiffness: f64) -> f64 {
    let line = points[j] - points[i];
    let now = line.norm();
    if now < 1e-9 {
        return distance;
    }
    let shift = line * (0.5 * stiffness * (now - distance) / now);
    points[i] += shift;
    points[j] -= shift;
    (now - distance).abs()
}

/// Moves four points along the gradient of their signed volume towards `target`, Å³.
fn turn(points: &mut [Vector3<f64>], atoms: [usize; 4], target: f64) {
    let p = atoms.map(|i| points[i]);
    let (x, y, z) = (p[1] - p[0], p[2] - p[0], p[3] - p[0]);
    let gradient = [y.cross(&z), z.cross(&x), x.cross(&y)];
    let centre = -(gradient[0] + gradient[1] + gradient[2]);
    let steepness = centre.norm_squared() + gradient.iter().map(|g| g.norm_squared()).sum::<f64>();
    if steepness < 1e-6 {
        return;
    }
    let step = 0.5 * (target - x.dot(&gradient[0])) / steepness;
    points[atoms[0]] += centre * step;
    for (k, g) in gradient.iter().enumerate() {
        points[atoms[k + 1]] += g * step;
    }
}
