//! Structures made comparable: heavy atoms of the particle only, and the atoms that several structures share.

use super::elements;
use super::path::Topology;
use crate::error::{Error, Result};
use crate::io::structure::{Atom, Structure};
use std::collections::{HashMap, HashSet};

/// The structure without hydrogens, water, and atoms of unknown element; all models are kept.
pub fn heavy_atoms(structure: &Structure) -> Structure {
    let keep: Vec<usize> = (0..structure.atoms.len())
        .filter(|&i| {
            let atom = &structure.atoms[i];
            elements::atomic_number(&atom.element).is_some_and(|z| z > 1)
                && !elements::is_water(&atom.residue_name)
        })
        .collect();
    select(structure, &keep)
}

/// The given atoms of a structure, in the given order.
fn select(structure: &Structure, keep: &[usize]) -> Structure {
    Structure {
        atoms: keep.iter().filter_map(|&i| structure.atoms.get(i).cloned()).collect(),
        models: structure
            .models
            .iter()
            .map(|model| keep.iter().filter_map(|&i| model.get(i).copied()).collect())
            .collect(),
    }
}

/// The atoms that all structures have, by chain, residue number and atom name.
pub struct Common {
    /// Atoms of the first structure; the models of all structures, one after the other.
    pub structure: Structure,
    /// How many atoms of each structure the others lack.
    pub left_out: Vec<usize>,
}

/// Reduces structures to the atoms that they share. Chains are told apart by name, unless every structure has
/// only one.
pub fn common_atoms(structures: &[Structure]) -> Result<Common> {
    let one_chain = structures.iter().all(|s| s.atoms.windows(2).all(|w| w[0].chain == w[1].chain));
    let key = |a: &Atom| {
        let chain = if one_chain { String::new() } else { a.chain.clone() };
        (chain, a.residue_number, a.insertion_code, a.name.clone(), a.hetero)
    };
    let Some(first) = structures.first() else { return Err(Error::usage("no structure was given")) };
    let tables: Vec<HashMap<_, usize>> =
        structures.iter().map(|s| s.atoms.iter().enumerate().map(|(i, a)| (key(a), i)).collect()).collect();
    let mut seen = HashSet::new();
    let shared: Vec<_> = first
        .atoms
        .iter()
        .map(key)
        .filter(|k| tables.iter().all(|t| t.contains_key(k)) && seen.insert(k.clone()))
        .collect();
    let mut whole = Structure::default();
    let mut left_out = Vec::new();
    for (structure, table) in structures.iter().zip(&tables) {
        let keep: Vec<usize> = shared.iter().filter_map(|k| table.get(k).copied()).collect();
        let part = select(structure, &keep);
        left_out.push(structure.atoms.len() - part.atoms.len());
        if whole.atoms.is_empty() {
            whole.atoms = part.atoms;
        }
        whole.models.extend(part.models);
    }
    let smallest = structures.iter().map(|s| s.atoms.len()).min().unwrap_or(0);
    if shared.len() < 3 || shared.len() * 2 < smallest {
        return Err(Error::usage(format!(
            "the structures share only {} of at least {smallest} atoms by chain, residue number and atom name; \
             give conformations of one molecule with the same chain names and numbering",
            shared.len()
        )));
    }
    Ok(Common { structure: whole, left_out })
}

impl Topology {
    /// Residues, names and radii of a structure's atoms.
    pub fn of(structure: &Structure) -> Topology {
        let mut topology = Topology::default();
        let mut chains: Vec<&str> = Vec::new();
        let mut residues: HashMap<(usize, i32, Option<char>, bool), usize> = HashMap::new();
        for atom in &structure.atoms {
            let chain = chains.iter().position(|c| *c == atom.chain).unwrap_or_else(|| {
                chains.push(&atom.chain);
                chains.len() - 1
            });
            let key = (chain, atom.residue_number, atom.insertion_code, atom.hetero);
            let next = residues.len();
            let residue = *residues.entry(key).or_insert(next);
            if residue == next {
                topology.chain.push(chain);
            }
            topology.residue.push(residue);
            topology.name.push(atom.name.clone());
            topology.radius.push(elements::covalent_radius(&atom.element).unwrap_or(0.76));
        }
        topology
    }
}
