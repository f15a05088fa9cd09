//! Molecules as sets of atoms: elements, superposition, rigid domains, and paths of conformations.

pub mod domains;
pub mod elements;
pub mod geometry;
pub mod matching;
pub mod path;
pub mod superpose;
