//! The energy that mends a placed model: distances of bonds and angles, signed volumes of corners and planes, contacts,
//! and the places of the coarse model.

use std::collections::HashSet;

use super::super::minimise::{Energy, NearPairs, Point, sum};

/// k (d - d0)².
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    pub atoms: [usize; 2],
    pub length: f64,
    pub stiffness: f64,
}

/// k (V - V0)² with V the volume (b - a) · (c - a) × (d - a): handedness, and flatness where V0 is zero. Å³.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    pub atoms: [usize; 4],
    pub volume: f64,
    pub stiffness: f64,
}

/// k (Σ w x - target)²: the weighted centre of some atoms is held at a place of the coarse model.
#[derive(Clone, Debug)]
pub struct Anchor {
    pub members: Vec<(usize, f64)>,
    pub place: Point,
    pub stiffness: f64,
}

/// How far contacts are looked for beyond where they begin, Å: lists hold until an atom has moved half of it.
const SKIN: f64 = 1.0;
/// How strongly contacts are pushed apart, in the units of [`Distance::stiffness`].
const PUSH: f64 = 20.0;
/// Nitrogen and oxygen come as near in a hydrogen bond, Å.
const HYDROGEN_BOND: f64 = 2.7;

/// Contacts of the known model are kept, but none nearer than this, Å.
const NEAREST: f64 = 2.1;

/// A radius of contact in Å: pairs of atoms nearer than the sum are pushed apart.
fn contact_radius(element: &str) -> f64 {
    match element {
        "C" => 1.65,
        "N" => 1.50,
        "O" => 1.45,
        "S" | "Se" | "P" => 1.75,
        _ => 1.50,
    }
}

/// Pairs of atoms that bonds do not explain are kept apart.
pub struct Contacts {
    radius: Vec<f64>,
    polar: Vec<bool>,
    /// Pairs (i < j) that are near through bonds.
    tied: HashSet<(usize, usize)>,
    near: NearPairs,
    /// Pairs nearer in the model that the structure was learned from keep that distance (metals, altered residues).
    known: Vec<Option<Point>>,
}

impl Contacts {
    pub fn new<'a>(
        elements: impl Iterator<Item = &'a str>,
        tied: HashSet<(usize, usize)>,
        known: Vec<Option<Point>>,
    ) -> Contacts {
        let (radius, polar) = elements.map(|e| (contact_radius(e), matches!(e, "N" | "O"))).unzip();
        let radius: Vec<f64> = radius;
        let widest = radius.iter().fold(0.0f64, |a, &b| a.max(b));
        Contacts { near: NearPairs::new(2.0 * widest, SKIN), radius, polar, tied, known }
    }

    fn add(&mut self, points: &[Point], gradient: &mut [Point]) -> f64 {
        let tied = &self.tied;
        let pairs = self.near.of(points, |i, j| !tied.contains(&(i, j)));
        let (radius, polar, known) = (&self.radius, &self.polar, &self.known);
        sum(pairs, gradient, |&(i, j)| {
            let line = points[i] - points[j];
            let d = line.norm();
            let apart = if polar[i] && polar[j] { HYDROGEN_BOND } else { radius[i] + radius[j] };
            let apart = match (known[i], known[j]) {
                (Some(a), Some(b)) => apart.min((a - b).norm().max(NEAREST)),
                _ => apart,
            };
            if d >= apart {
                return (0.0, [(i, Point::zeros()), (j, Point::zeros())]);
            }
            let short = apart - d;
            let g = line * (-2.0 * PUSH * short / d.max(1e-6));
            (PUSH * short * short, [(i, g), (j, -g)])
        })
    }
}

pub struct Restraints {
    pub distances: Vec<Distance>,
    pub volumes: Vec<Volume>,
    pub anchors: Vec<Anchor>,
    /// None while a structure is still too tangled for contacts to mean anything.
    pub contacts: Option<Contacts>,
}

/// The signed volume of three points about a first.
pub fn volume(p: [Point; 4]) -> f64 {
    (p[1] - p[0]).dot(&(p[2] - p[0]).cross(&(p[3] - p[0])))
}

impl Restraints {
    fn distances(&self, points: &[Point], gradient: &mut [Point]) -> f64 {
        sum(&self.distances, gradient, |t| {
            let [i, j] = t.atoms;
            let line = points[i] - points[j];
            let d = line.norm();
            let error = d - t.length;
            let g = line * (2.0 * t.stiffness * error / d.max(1e-6));
            (t.stiffness * error * error, [(i, g), (j, -g)])
        })
    }

    fn volumes(&self, points: &[Point], gradient: &mut [Point]) -> f64 {
        sum(&self.volumes, gradient, |t| {
            let [a, b, c, d] = t.atoms;
            let (x, y, z) = (points[b] - points[a], points[c] - points[a], points[d] - points[a]);
            let across = y.cross(&z);
            let error = x.dot(&across) - t.volume;
            let k = 2.0 * t.stiffness * error;
            let (gb, gc, gd) = (across * k, z.cross(&x) * k, x.cross(&y) * k);
            (t.stiffness * error * error, [(a, -(gb + gc + gd)), (b, gb), (c, gc), (d, gd)])
        })
    }

    fn anchors(&self, points: &[Point], gradient: &mut [Point]) -> f64 {
        let mut total = 0.0;
        for anchor in &self.anchors {
            let centre: Point = anchor.members.iter().map(|(i, w)| points[*i] * *w).sum();
            let off = centre - anchor.place;
            total += anchor.stiffness * off.norm_squared();
            anchor.members.iter().for_each(|(i, w)| gradient[*i] += off * (2.0 * anchor.stiffness * w));
        }
        total
    }
}

impl Energy for Restraints {
    fn add(&mut self, points: &[Point], gradient: &mut [Point]) -> f64 {
        self.distances(points, gradient)
            + self.volumes(points, gradient)
            + self.anchors(points, gradient)
            + self.contacts.as_mut().map_or(0.0, |contacts| contacts.add(points, gradient))
    }

    fn terms(&mut self, points: &[Point]) -> Vec<(&'static str, f64)> {
        let mut nowhere = vec![Point::zeros(); points.len()];
        let contacts = self.contacts.as_mut().map_or(0.0, |contacts| contacts.add(points, &mut nowhere));
        vec![
            ("distances", self.distances(points, &mut nowhere)),
            ("volumes", self.volumes(points, &mut nowhere)),
            ("anchors", self.anchors(points, &mut nowhere)),
            ("contacts", contacts),
        ]
    }
}
