//! The conformations that a simulated data set shows.

use crate::error::{Error, Result};
use crate::io::structure::Structure;
use crate::protein::elements;
use crate::protein::matching::{common_atoms, heavy_atoms};
use crate::protein::path::{ConformationPath, Topology, align_on_largest_domain};
use rayon::prelude::*;

/// Conformations in order; conformation k of n stands at t = k / (n - 1).
pub struct Ensemble {
    /// Structures of one or more models. More than one only where the atoms differ.
    structures: Vec<Structure>,
    /// Electrons of each atom, per structure.
    electrons: Vec<Vec<f64>>,
    /// (structure, model) of each conformation.
    members: Vec<(usize, usize)>,
    /// Points of a path, between which images may lie.
    pub continuous: bool,
    /// What the user should know, such as atoms that were left out.
    pub notes: Vec<String>,
}

impl Ensemble {
    /// Separate states: every model of every structure is one.
    pub fn states(structures: &[Structure]) -> Result<Ensemble> {
        let mut notes = Vec::new();
        let mut parts: Vec<Structure> = Vec::new();
        for (i, structure) in structures.iter().enumerate() {
            let heavy = cleaned(structure, i, &mut notes)?;
            // Only neighbours are joined, so that the states keep their order.
            match parts.last_mut().filter(|part| same_atoms(part, &heavy)) {
                Some(part) => part.models.extend(heavy.models),
                None => parts.push(heavy),
            }
        }
        Ensemble::new(parts, false, notes)
    }

    /// `points` conformations on the path through all models of all structures. With `align`, each state is
    /// first laid onto the first one by their largest common rigid domain.
    pub fn path(structures: &[Structure], points: usize, align: bool) -> Result<Ensemble> {
        if !(2..=10_000).contains(&points) {
            return Err(Error::usage(format!("a path of {points} points is not possible; give 2 to 10,000")));
        }
        let mut notes = Vec::new();
        let heavy = structures
            .iter()
            .enumerate()
            .map(|(i, s)| cleaned(s, i, &mut notes))
            .collect::<Result<Vec<_>>>()?;
        let common = common_atoms(&heavy)?;
        for (i, left_out) in common.left_out.iter().enumerate().filter(|(_, n)| **n > 0) {
            notes.push(format!("structure {}: {left_out} atoms that the others lack were left out", i + 1));
        }
        let topology = Topology::of(&common.structure);
        let mut states = common.structure.models;
        if let (true, Some((first, others))) = (align, states.split_first_mut()) {
            others.iter_mut().for_each(|state| align_on_largest_domain(&topology, first, state));
        }
        let path = ConformationPath::through(topology, &states)?;
        let models = (0..points).into_par_iter().map(|k| path.at(k as f64 / (points - 1) as f64)).collect();
        Ensemble::new(vec![Structure { atoms: common.structure.atoms, models }], true, notes)
    }

    fn new(structures: Vec<Structure>, continuous: bool, notes: Vec<String>) -> Result<Ensemble> {
        let members: Vec<(usize, usize)> = structures
            .iter()
            .enumerate()
            .flat_map(|(s, structure)| (0..structure.models.len()).map(move |m| (s, m)))
            .collect();
        if members.is_empty() {
            return Err(Error::usage("no structure was given"));
        }
        let electrons = structures
            .iter()
            .map(|s| {
                s.atoms.iter().map(|a| f64::from(elements::atomic_number(&a.element).unwrap_or(6))).collect()
            })
            .collect();
        Ok(Ensemble { structures, electrons, members, continuous, notes })
    }

    /// Number of conformations.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Coordinates [atoms, 3] (Å) and electrons [atoms] of conformation `k`; the last one beyond the end.
    pub fn conformation(&self, k: usize) -> (&[[f64; 3]], &[f64]) {
        let (s, m) = self.members[k.min(self.members.len() - 1)];
        (&self.structures[s].models[m], &self.electrons[s])
    }

    /// The conformation at `t` (0..=1) as (k, f): f of the way from conformation k to k + 1. States that are no
    /// path have nothing between them: f is 0.
    pub fn locate(&self, t: f64) -> (usize, f64) {
        let last = self.members.len() - 1;
        let along = t.clamp(0.0, 1.0) * last as f64;
        if !self.continuous {
            return (along.round() as usize, 0.0);
        }
        let k = (along.floor() as usize).min(last);
        (k, along - k as f64)
    }

    /// Atoms at `t`: (place in Å, electrons).
    pub fn atoms(&self, t: f64) -> impl Iterator<Item = ([f64; 3], f64)> + '_ {
        let (k, f) = self.locate(t);
        let (from, electrons) = self.conformation(k);
        let to = if f > 0.0 { self.conformation(k + 1).0 } else { from };
        let place = move |(a, b): (&[f64; 3], &[f64; 3])| [0, 1, 2].map(|i| a[i] + f * (b[i] - a[i]));
        from.iter().zip(to).map(place).zip(electrons.iter().copied())
    }

    /// Moves all conformations by one vector, so that their common centroid (by electrons) is the origin.
    pub fn centre(&mut self) {
        let (mut sum, mut total) = ([0.0; 3], 0.0);
        for k in 0..self.len() {
            let (coords, electrons) = self.conformation(k);
            for (p, w) in coords.iter().zip(electrons) {
                total += w;
                (0..3).for_each(|i| sum[i] += w * p[i]);
            }
        }
        for p in self.structures.iter_mut().flat_map(|s| &mut s.models).flatten() {
            (0..3).for_each(|i| p[i] -= sum[i] / total);
        }
    }

    /// Distance of the outermost atom from the origin, Å.
    pub fn radius(&self) -> f64 {
        let far = |p: &[f64; 3]| p.iter().map(|v| v * v).sum::<f64>();
        self.structures.iter().flat_map(|s| &s.models).flatten().map(far).fold(0.0, f64::max).sqrt()
    }

    /// The conformations at the given `t`, moved by `offset` (Å): one structure of as many models, or one
    /// structure for each where their atoms differ.
    pub fn models_at(&self, t: &[f64], offset: f64) -> Vec<Structure> {
        let mut out: Vec<Structure> = Vec::new();
        for &t in t {
            let (s, _) = self.members[self.locate(t).0.min(self.members.len() - 1)];
            let model: Vec<[f64; 3]> = self.atoms(t).map(|(p, _)| p.map(|v| v + offset)).collect();
            match out.last_mut().filter(|_| self.structures.len() == 1) {
                Some(last) => last.models.push(model),
                None => out.push(Structure { atoms: self.structures[s].atoms.clone(), models: vec![model] }),
            }
        }
        out
    }
}

fn same_atoms(a: &Structure, b: &Structure) -> bool {
    a.atoms.len() == b.atoms.len()
        && a.atoms.iter().zip(&b.atoms).all(|(x, y)| {
            x.name == y.name
                && x.element == y.element
                && x.chain == y.chain
                && x.residue_number == y.residue_number
                && x.insertion_code == y.insertion_code
        })
}

fn cleaned(structure: &Structure, index: usize, notes: &mut Vec<String>) -> Result<Structure> {
    let heavy = heavy_atoms(structure);
    let n = heavy.atoms.len();
    if n < 3 {
        return Err(Error::usage(format!(
            "structure {} has {n} heavy atom(s), water not counted; a particle needs at least 3",
            index + 1
        )));
    }
    if heavy.models.iter().flatten().flatten().any(|v| !v.is_finite() || v.abs() > 1e5) {
        return Err(Error::NotFinite(format!(
            "structure {} has a coordinate that is not a number or lies beyond 100,000 Å",
            index + 1
        )));
    }
    if n < structure.atoms.len() {
        let dropped = structure.atoms.len() - n;
        notes.push(format!(
            "structure {}: {dropped} hydrogens, waters and unknown elements left out",
            index + 1
        ));
    }
    Ok(heavy)
}
