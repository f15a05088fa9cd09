//! Which atoms of an ideal residue are one bead.

use super::super::martini::{BACKBONE, mass, side_chain};
use super::super::residue::RESIDUES;

/// Atoms of a type's bead `name` (BB, SC1 to SC4): places in its list, with shares of the bead's mass.
pub fn members(kind: usize, bead: &str) -> Option<Vec<(usize, f64)>> {
    let residue = RESIDUES.get(kind)?;
    let names: &[&str] = match bead.strip_prefix("SC") {
        Some(number) => {
            let beads = side_chain(residue.name)?.beads;
            beads.get(number.parse::<usize>().ok()?.checked_sub(1)?)?.1
        }
        None if residue.name == "ALA" => &BACKBONE,
        None => &BACKBONE[..4],
    };
    let found: Vec<(usize, f64)> =
        names.iter().map(|name| Some((residue.atom(name)?, mass(&name[..1])))).collect::<Option<_>>()?;
    let total: f64 = found.iter().map(|(_, mass)| mass).sum();
    Some(found.into_iter().map(|(i, mass)| (i, mass / total)).collect())
}
