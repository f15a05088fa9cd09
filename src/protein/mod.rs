//! Molecules as sets of atoms: elements, superposition, rigid domains, and paths of conformations; proteins as
//! frames and torsions of their residues.

pub mod backmap;
pub mod chain;
pub mod domains;
pub mod elements;
pub mod frames;
pub mod geometry;
pub mod linkage;
pub mod martini;
pub mod matching;
pub mod minimise;
pub mod modes;
pub mod path;
pub mod residue;
pub mod secondary;
pub mod superpose;
pub mod torsions;
