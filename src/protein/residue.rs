//! The twenty amino acids as rigid groups: names, atoms, torsions and ideal geometry.
//!
//! A residue's *type* is its place in [`LETTERS`]; [`UNKNOWN`] is a residue whose type is hidden. Its atoms stand
//! in the order of AlphaFold's *atom14*: N, CA, C, O, then the side chain, without hydrogens and the terminal OXT.
//! Each atom belongs to one of eight rigid groups (backbone, pre-ω, φ, ψ, χ1..χ4) and has a place in the group's own
//! frame. The numbers are AlphaFold's published residue constants (Jumper et al. 2021, Apache-2.0); what follows
//! from the table (frames, masks, the order *atom37*) is computed.

mod table;

use super::superpose::Motion;
use nalgebra::{Matrix3, Vector3};
use std::sync::LazyLock;
pub use table::RESIDUES;

/// One-letter codes in the order of the types.
pub const LETTERS: &str = "ARNDCQEGHILKMFPSTWYV";
/// The type of a residue that is not known or hidden.
pub const UNKNOWN: usize = 20;
/// Places for atoms in a residue.
pub const ATOMS: usize = 14;
/// Torsions of a residue: pre-ω, φ, ψ, χ1..χ4.
pub const TORSIONS: usize = 7;
/// Rigid groups of a residue: the backbone and one a torsion.
pub const GROUPS: usize = 8;

/// One residue's atoms in Å, in the order of the type's [`Residue::atoms`]; zero where there is none.
pub type Atoms = [[f32; 3]; ATOMS];

/// Sine and cosine of a residue's torsions; ψ's pair is negated, because it is measured to O instead of the next N.
pub type Torsions = [[f32; 2]; TORSIONS];

/// One type of residue.
#[derive(Debug)]
pub struct Residue {
    pub letter: char,
    /// `ALA`.
    pub name: &'static str,
    /// Atoms behind N, CA, CB along the side chain: χk turns the bond between the second and third of four in a row.
    pub chi: &'static [&'static str],
    pub atoms: &'static [AtomPlace],
}

/// An atom of a residue: its rigid group and its place there.
#[derive(Debug)]
pub struct AtomPlace {
    pub name: &'static str,
    /// 0 the backbone, 3 ψ, 4..=7 χ1..χ4; pre-ω and φ carry no heavy atom.
    pub group: usize,
    /// Å, in the frame of the group.
    pub place: [f32; 3],
}

impl Residue {
    /// Place in atom14 of the atom `name`.
    pub fn atom(&self, name: &str) -> Option<usize> {
        self.atoms.iter().position(|a| a.name == name)
    }

    /// Places in atom14 of the four atoms of χ(`k` + 1).
    pub fn chi_atoms(&self, k: usize) -> Option<[usize; 4]> {
        self.chi.get(k)?;
        let mut four = [0; 4];
        let line = ["N", "CA", "CB"].iter().chain(self.chi).skip(k);
        for (place, name) in four.iter_mut().zip(line) {
            *place = self.atom(name)?;
        }
        Some(four)
    }
}

/// The type of a one-letter code, either case.
pub fn type_of_letter(letter: char) -> Option<usize> {
    LETTERS.find(letter.to_ascii_uppercase())
}

/// The one-letter code of a type, `X` for [`UNKNOWN`].
pub fn letter_of_type(kind: usize) -> char {
    RESIDUES.get(kind).map_or('X', |r| r.letter)
}

/// The type of a residue name of a structure or topology, with the names that force fields give to protonation
/// states, bridged cysteines and chain ends, and selenomethionine.
pub fn type_of_name(name: &str) -> Option<usize> {
    let name = name.trim().to_ascii_uppercase();
    let plain = |name: &str| RESIDUES.iter().position(|r| r.name == name);
    let common = match name.as_str() {
        "HSD" | "HSE" | "HSP" | "HID" | "HIE" | "HIP" | "HISA" | "HISB" | "HISD" | "HISE" | "HISH"
        | "HIS1" | "HIS2" => "HIS",
        "CYX" | "CYM" | "CYS1" | "CYS2" | "CYSH" | "CYN" => "CYS",
        "ASH" | "ASPH" | "ASPP" => "ASP",
        "GLH" | "GLUH" | "GLUP" => "GLU",
        "LYN" | "LYSH" | "LSN" => "LYS",
        "ARGN" | "ARN" => "ARG",
        "TYM" => "TYR",
        "MSE" => "MET",
        other => other,
    };
    // AMBER marks chain ends: NALA, CHIE.
    let end = || name.strip_prefix(['N', 'C']).filter(|rest| rest.len() == 3).and_then(type_of_name);
    plain(common).or_else(end)
}

/// The atom14 name of an atom as other programs spell it in a residue of this type.
pub fn common_atom_name(kind: usize, name: &str) -> &str {
    let residue = RESIDUES.get(kind).map_or("", |r| r.name);
    match (residue, name) {
        (_, "OT1" | "O1" | "OC1") => "O",
        (_, "OT2" | "O2" | "OC2") => "OXT",
        ("ILE", "CD") => "CD1",
        ("MET", "SE") => "SD",
        (_, other) => other,
    }
}

/// AlphaFold's 37 heavy-atom names, in which PDB files of the reference program are ordered.
pub const ATOM37: [&str; 37] = [
    "N", "CA", "C", "CB", "O", "CG", "CG1", "CG2", "OG", "OG1", "SG", "CD", "CD1", "CD2", "ND1", "ND2",
    "OD1", "OD2", "SD", "CE", "CE1", "CE2", "CE3", "NE", "NE1", "NE2", "OE1", "OE2", "CH2", "NH1", "NH2",
    "OH", "CZ", "CZ2", "CZ3", "NZ", "OXT",
];

/// Places in atom14 of the atoms of a type, in the order of [`ATOM37`]; empty for an unknown residue.
pub fn atom37_order(kind: usize) -> Vec<usize> {
    let Some(residue) = RESIDUES.get(kind) else { return Vec::new() };
    ATOM37.iter().filter_map(|name| residue.atom(name)).collect()
}

/// The frame of a rigid group with its torsion at zero, in the frame of the group that it hangs from: for χ2..χ4
/// the one before, otherwise the backbone. `None` where the type has no such group.
pub fn default_frame(kind: usize, group: usize) -> Option<&'static Motion> {
    static FRAMES: LazyLock<Vec<[Option<Motion>; GROUPS]>> =
        LazyLock::new(|| RESIDUES.iter().map(|r| std::array::from_fn(|group| hang(r, group))).collect());
    FRAMES.get(kind)?.get(group)?.as_ref()
}

fn hang(residue: &Residue, group: usize) -> Option<Motion> {
    let place = |name: &str| {
        let atom = &residue.atoms[residue.atom(name)?];
        Some(Vector3::from(atom.place.map(f64::from)))
    };
    let (n, ca, c) = (place("N")?, place("CA")?, place("C")?);
    match group {
        0 | 1 => Some(Motion::identity()),
        2 => Some(frame(n - ca, Vector3::x(), n)),
        3 => Some(frame(c - ca, ca - n, c)),
        4 => {
            residue.chi.first()?;
            let cb = place("CB")?;
            Some(frame(cb - ca, n - ca, cb))
        }
        _ => {
            // The bond that χk turns ends in the atom that the group before placed.
            residue.chi.get(group - 4)?;
            let end = place(residue.chi[group - 5])?;
            Some(frame(end, -Vector3::x(), end))
        }
    }
}

/// The frame at `origin` whose x axis lies along `x` and whose y axis leans towards `y`.
fn frame(x: Vector3<f64>, y: Vector3<f64>, origin: Vector3<f64>) -> Motion {
    let x = x.normalize();
    let y = (y - x * x.dot(&y)).normalize();
    Motion { rotation: Matrix3::from_columns(&[x, y, x.cross(&y)]), translation: origin }
}
