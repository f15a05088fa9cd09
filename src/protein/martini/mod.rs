//! MARTINI 2.2: a protein as beads of about four heavy atoms each (Marrink et al., J. Phys. Chem. B 111:7812, 2007;
//! Monticelli et al., J. Chem. Theory Comput. 4:819, 2008; de Jong et al., J. Chem. Theory Comput. 9:687, 2013).
//!
//! [`Beads`] are what a structure becomes, [`Topology`] what holds them together, [`pairs`] what acts between the rest.
//! Nucleic acids have their beads, but no force field of their own. Lengths are in Å, energies in kJ/mol.

mod codes;
mod energy;
mod gromacs;
mod mapping;
pub mod nucleotides;
mod parameters;
mod topology;

pub use codes::codes;
pub use energy::ForceField;
pub use gromacs::write;
pub use mapping::{Beads, Residue};
pub use parameters::{BACKBONE, SideChain, attraction, mass, radius, side_chain};
pub use topology::{Angle, Bond, Dihedral, Improper, Pair, Topology, pairs};
