//! The model of all atoms that a run started from: its residues, moved rigidly with the points around them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::super::elements::{is_hydrogen, is_water};
use super::super::geometry::near_pairs;
use super::super::minimise::Point;
use super::super::residue::{RESIDUES, common_atom_name, type_of_name};
use super::super::superpose::{Motion, superpose_weighted};
use super::coarse::{Coarse, label};
use super::{Handle, Molecule};
use crate::error::{Error, Result};
use crate::io::structure::{Atom, Structure, residues};

/// Heavy atoms of one residue with their places.
pub struct Group {
    pub atoms: Vec<(Atom, Point)>,
    /// A modified residue that goes by the name of a common one.
    pub altered: bool,
}

impl Group {
    /// The atom that is called `name` in a residue of a type.
    pub fn find(&self, kind: usize, name: &str) -> Option<&(Atom, Point)> {
        self.atoms.iter().find(|(a, _)| common_atom_name(kind, &a.name) == name)
    }

    /// Atoms that a residue of a type does not have, as OXT.
    pub fn more(&self, kind: usize) -> impl Iterator<Item = &(Atom, Point)> {
        self.atoms.iter().filter(move |(a, _)| RESIDUES[kind].atom(common_atom_name(kind, &a.name)).is_none())
    }
}

/// Residues of the reference, and which of the coarse model they are.
pub struct Known {
    groups: Vec<Group>,
    of_residue: Vec<Option<usize>>,
}

impl Known {
    pub fn of(structure: &Structure, path: &Path, coarse: &Coarse, notes: &mut Vec<String>) -> Result<Known> {
        let Some(places) = structure.models.first() else {
            return Err(Error::malformed(path, "", "no models"));
        };
        let key = |a: &Atom| (a.chain.clone(), a.residue_number, a.insertion_code);
        let (mut groups, mut by_key) = (vec![], HashMap::new());
        let mut waters = 0;
        for run in residues(&structure.atoms) {
            let first = &structure.atoms[run.start];
            if is_water(&first.residue_name) {
                waters += 1;
                continue;
            }
            let atoms: Vec<(Atom, Point)> = run
                .filter(|&i| !is_hydrogen(&structure.atoms[i].element))
                .map(|i| (structure.atoms[i].clone(), Point::from(places[i])))
                .collect();
            if atoms.is_empty() {
                continue;
            }
            let standard = type_of_name(&first.residue_name).is_some();
            let altered = atoms.iter().any(|(a, _)| standard && a.element == "Se");
            by_key.entry(key(first)).or_insert(groups.len());
            groups.push(Group { atoms, altered });
        }
        if waters > 0 {
            notes.push(format!("{waters} waters of the reference are left out"));
        }
        let mut of_residue = vec![];
        let mut absent = vec![];
        for residue in &coarse.residues {
            let first = &coarse.structure.atoms[residue.points.start];
            let found = by_key.get(&key(first)).copied();
            if let Some(group) = found {
                let there = &groups[group].atoms[0].0;
                let same = match (residue.kind, type_of_name(&there.residue_name)) {
                    (Some(a), Some(b)) => a == b,
                    _ => there.residue_name == first.residue_name,
                };
                if !same {
                    let why = format!(
                        "the reference has {} there; give the model that the run started from",
                        there.residue_name
                    );
                    return Err(Error::malformed(path, label(first), why));
                }
            } else {
                absent.push(label(first));
            }
            of_residue.push(found);
        }
        if absent.len() == coarse.residues.len() {
            let why =
                "it has none of the residues of the coarse model: chain names and numbers must be the same";
            return Err(Error::malformed(path, "", why));
        }
        if let Some(first) = absent.first() {
            notes.push(format!(
                "{} residues are not in the reference and are built anew: {first} ..",
                absent.len()
            ));
        }
        Ok(Known { groups, of_residue })
    }

    pub fn residue(&self, r: usize) -> Option<&Group> {
        self.groups.get((*self.of_residue.get(r)?)?)
    }

    /// Ligands, ions and residues that the coarse model does not have.
    pub fn carried(&self) -> impl Iterator<Item = &[(Atom, Point)]> {
        let taken: HashSet<usize> = self.of_residue.iter().flatten().copied().collect();
        let left = self.groups.iter().enumerate().filter(move |(g, _)| !taken.contains(g));
        left.map(|(_, group)| group.atoms.as_slice())
    }
}

/// Points this near to a residue's own have a say in its motion, Å; points of the chain before and after have more.
const NEAR: f64 = 9.0;
const NEAR_WEIGHT: f64 = 0.1;
const CHAIN_WEIGHTS: [f64; 3] = [4.0, 2.0, 1.0];
const SIDE_WEIGHT: f64 = 1.0;
/// Points that carry what has none of its own.
const CARRIERS: usize = 8;

/// How residues follow the coarse model.
pub struct Reference {
    /// Where the reference has the points of the coarse model.
    places: Vec<Option<Point>>,
    /// For each residue of the molecule the points that move it, with their weights.
    movers: Vec<Vec<(usize, f64)>>,
    /// The point that it stands on.
    stands_on: Vec<Option<usize>>,
}

impl Reference {
    pub fn new(coarse: &Coarse, molecule: &Molecule, handles: &[Option<Handle>]) -> Reference {
        let place = |handle: &Option<Handle>| {
            let members = &handle.as_ref()?.members;
            members.iter().map(|(i, w)| Some(molecule.known[*i]? * *w)).sum::<Option<Point>>()
        };
        let places: Vec<Option<Point>> = handles.iter().map(place).collect();
        let present: Vec<usize> = (0..places.len()).filter(|&i| places[i].is_some()).collect();
        let standing: Vec<Point> = present.iter().filter_map(|&i| places[i]).collect();
        let mut near = vec![vec![]; places.len()];
        for (i, j) in near_pairs(&standing, NEAR) {
            near[present[i]].push(present[j]);
            near[present[j]].push(present[i]);
        }
        let movers = molecule.residues.iter().enumerate().map(|(r, residue)| {
            let own = coarse.residues.get(r).map(|c| c.points.clone()).unwrap_or(0..0);
            let Some(main) = own.clone().find(|&p| places[p].is_some()) else {
                let known: Vec<Point> = residue.atoms.clone().filter_map(|i| molecule.known[i]).collect();
                let centre = known.iter().sum::<Point>() / known.len().max(1) as f64;
                let mut by_distance: Vec<(f64, usize)> =
                    present.iter().zip(&standing).map(|(&p, at)| ((at - centre).norm(), p)).collect();
                by_distance.sort_by(|a, b| a.0.total_cmp(&b.0));
                by_distance.truncate(CARRIERS);
                return (by_distance.into_iter().map(|(_, p)| (p, 1.0)).collect(), None);
            };
            let mut weights: HashMap<usize, f64> = HashMap::new();
            near[main].iter().for_each(|&p| *weights.entry(p).or_default() += NEAR_WEIGHT);
            own.skip_while(|&p| p != main)
                .skip(1)
                .for_each(|p| *weights.entry(p).or_default() += SIDE_WEIGHT);
            for (step, weight) in CHAIN_WEIGHTS.iter().enumerate() {
                let joined = |from: usize, to: usize| {
                    (from + 1..=to).all(|k| coarse.residues.get(k).is_some_and(|r| r.follows))
                };
                let around =
                    [r.checked_sub(step).filter(|&b| joined(b, r)), Some(r + step).filter(|&a| joined(r, a))];
                for other in around.into_iter().flatten().take(if step == 0 { 1 } else { 2 }) {
                    *weights.entry(coarse.residues[other].points.start).or_default() += weight;
                }
            }
            let mut weights: Vec<(usize, f64)> =
                weights.into_iter().filter(|(p, _)| places[*p].is_some()).collect();
            weights.sort_by_key(|(p, _)| *p);
            (weights, Some(main))
        });
        let (movers, stands_on) = movers.unzip();
        Reference { places, movers, stands_on }
    }

    /// The motion that carries a residue of the reference to where the coarse model has it.
    pub fn motion(&self, residue: usize, coarse: &[Point]) -> Motion {
        let movers = &self.movers[residue];
        let here = |p: usize| self.places[p].unwrap_or_default();
        let from: Vec<[f64; 3]> = movers.iter().map(|(p, _)| here(*p).into()).collect();
        let onto: Vec<[f64; 3]> = movers.iter().map(|(p, _)| coarse[*p].into()).collect();
        let (mut motion, _) = superpose_weighted(&from, &onto, |i| movers[i].1);
        if let Some(main) = self.stands_on[residue] {
            motion.translation += coarse[main] - motion.apply(&here(main));
        }
        motion
    }
}
