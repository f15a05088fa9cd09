//! Atomic structures: PDB and mmCIF files with one or many models of the same atoms.
//!
//! Read by hand: `pdbtbx` groups atoms by chain and residue, so a file's atom order, by which trajectories and
//! topologies find one another, is lost, and it panics on some damaged files.

#[path = "structure/cif.rs"]
mod cif;
#[path = "structure/pdb.rs"]
mod pdb;

use crate::error::{Error, Result};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

/// One atom, without its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Atom {
    /// `CA`, `OP1`, without blanks.
    pub name: String,
    /// `C`, `Fe`; guessed from the name where the file does not say.
    pub element: String,
    pub residue_name: String,
    /// The author's numbering, as in PDB files.
    pub residue_number: i32,
    pub insertion_code: Option<char>,
    /// The author's chain name; empty when the file has none.
    pub chain: String,
    pub occupancy: f32,
    /// Å².
    pub b_factor: f32,
    /// Ligands, ions and waters (`HETATM`).
    pub hetero: bool,
}

impl Atom {
    fn same_residue(&self, other: &Atom) -> bool {
        self.chain == other.chain
            && self.residue_number == other.residue_number
            && self.insertion_code == other.insertion_code
    }

    fn same_atom(&self, other: &Atom) -> bool {
        self.same_residue(other) && self.name == other.name && self.residue_name == other.residue_name
    }
}

/// Atoms in the order of the file, and their coordinates in one or more models.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Structure {
    pub atoms: Vec<Atom>,
    /// Å, one list of [x, y, z] a model, in the order of `atoms`.
    pub models: Vec<Vec<[f64; 3]>>,
}

impl Structure {
    /// Reads `.pdb`, `.ent`, `.cif` or `.mmcif`; another name is recognised by what the file starts with. Of alternate
    /// locations each residue keeps the one with the highest occupancy, of equal ones the first.
    pub fn read(path: &Path) -> Result<Structure> {
        let bytes = std::fs::read(path).map_err(|e| Error::os("read", path, e))?;
        if bytes.starts_with(&[0x1f, 0x8b]) {
            return Err(Error::malformed(path, "", "the file is compressed; unpack it with gunzip first"));
        }
        let text = String::from_utf8_lossy(&bytes);
        let is_cif = match kind(path) {
            Some(is_cif) => is_cif,
            None => text.trim_start().starts_with("data_"),
        };
        if is_cif { Structure::parse_cif(&text, path) } else { Structure::parse_pdb(&text, path) }
    }

    /// Reads PDB text; `path` is for messages.
    pub fn parse_pdb(text: &str, path: &Path) -> Result<Structure> {
        join(pdb::read(text, path)?, path)
    }

    /// Reads mmCIF text; `path` is for messages.
    pub fn parse_cif(text: &str, path: &Path) -> Result<Structure> {
        join(cif::read(text, path)?, path)
    }

    /// Writes all models, as mmCIF under a name that ends in `.cif` or `.mmcif`, otherwise as PDB.
    pub fn write(&self, path: &Path) -> Result<()> {
        for (i, model) in self.models.iter().enumerate() {
            if model.len() != self.atoms.len() {
                let why =
                    format!("model {} has {} places for {} atoms", i + 1, model.len(), self.atoms.len());
                return Err(Error::Shape(why));
            }
            if let Some(j) = model.iter().position(|p| p.iter().any(|x| !x.is_finite())) {
                let why = format!("model {}, atom {}: a coordinate is not finite", i + 1, j + 1);
                return Err(Error::NotFinite(why));
            }
        }
        if kind(path) == Some(true) { cif::write(self, path) } else { pdb::write(self, path) }
    }
}

/// The atoms of each residue: runs of the same chain, number and name.
pub fn residues(atoms: &[Atom]) -> Vec<Range<usize>> {
    let mut found = vec![];
    let mut begin = 0;
    for end in 1..=atoms.len() {
        let last = &atoms[end - 1];
        let same = |next: &Atom| next.same_residue(last) && next.residue_name == last.residue_name;
        if !atoms.get(end).is_some_and(same) {
            found.push(begin..end);
            begin = end;
        }
    }
    found
}

/// Whether a file's name says mmCIF (true) or PDB (false).
fn kind(path: &Path) -> Option<bool> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "cif" | "mmcif" => Some(true),
        "pdb" | "ent" => Some(false),
        _ => None,
    }
}

/// An atom as a file has it.
struct Entry {
    atom: Atom,
    /// Which of several alternate locations; a blank for none.
    alternate: char,
    position: [f64; 3],
}

/// The atoms of one model, with the model's name in the file.
struct Model {
    name: String,
    entries: Vec<Entry>,
}

/// One structure of several models, which must hold the same atoms in the same order.
fn join(models: Vec<Model>, path: &Path) -> Result<Structure> {
    let mut whole = Structure::default();
    for (i, model) in models.into_iter().enumerate() {
        let (atoms, positions) = one_location(model.entries);
        if i == 0 {
            whole.atoms = atoms;
        } else {
            let place = format!("model {}", model.name);
            let advice = "all models must hold the same atoms in the same order";
            if atoms.len() != whole.atoms.len() {
                let why =
                    format!("it has {} atoms, the first has {}; {advice}", atoms.len(), whole.atoms.len());
                return Err(Error::malformed(path, place, why));
            }
            if let Some((a, b)) = atoms.iter().zip(&whole.atoms).find(|(a, b)| !a.same_atom(b)) {
                let why = format!("it has {} where the first has {}; {advice}", label(a), label(b));
                return Err(Error::malformed(path, place, why));
            }
        }
        whole.models.push(positions);
    }
    if whole.atoms.is_empty() {
        return Err(Error::malformed(path, "", "no atoms: is this a PDB or mmCIF file?"));
    }
    Ok(whole)
}

fn label(a: &Atom) -> String {
    format!("{} of {} {}{}", a.name, a.residue_name, a.chain, a.residue_number)
}

/// Keeps one alternate location a residue. One choice for the whole residue, so that its atoms fit one another.
fn one_location(entries: Vec<Entry>) -> (Vec<Atom>, Vec<[f64; 3]>) {
    type Residue = (String, i32, Option<char>);
    let residue = |a: &Atom| -> Residue { (a.chain.clone(), a.residue_number, a.insertion_code) };
    let mut best: HashMap<Residue, (char, f32)> = HashMap::new();
    for e in entries.iter().filter(|e| e.alternate != ' ') {
        let choice = best.entry(residue(&e.atom)).or_insert((e.alternate, e.atom.occupancy));
        if e.atom.occupancy > choice.1 {
            *choice = (e.alternate, e.atom.occupancy);
        }
    }
    entries
        .into_iter()
        .filter(|e| e.alternate == ' ' || best.get(&residue(&e.atom)).is_none_or(|c| c.0 == e.alternate))
        .map(|e| (e.atom, e.position))
        .unzip()
}

/// Elements of two letters that structures hold.
const TWO_LETTERS: [&str; 34] = [
    "Li", "Be", "Na", "Mg", "Al", "Si", "Cl", "Ca", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "As", "Se", "Br",
    "Rb", "Sr", "Mo", "Ru", "Rh", "Pd", "Ag", "Cd", "Cs", "Ba", "Pt", "Au", "Hg", "Pb", "Gd", "Sm", "Yb",
];

/// `FE` or `fe` as `Fe`; `None` for what is no element symbol.
fn element_symbol(text: &str) -> Option<String> {
    let text = text.trim();
    if !(1..=2).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    Some(text[..1].to_ascii_uppercase() + &text[1..].to_ascii_lowercase())
}

/// The element an atom's name stands for. In PDB columns (`raw`, four wide) a symbol of one letter starts in the
/// second; names that fill all four columns are hydrogens and the like.
fn guess_element(raw: &str, residue_name: &str) -> String {
    let name = raw.trim();
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    let two = letters.get(..2).and_then(element_symbol).filter(|s| TWO_LETTERS.contains(&s.as_str()));
    let ion = letters.eq_ignore_ascii_case(residue_name.trim_end_matches(|c: char| !c.is_ascii_alphabetic()));
    // Selenomethionine is the one common residue with a two-letter element among organic names.
    let shifted = raw.len() == 4 && !raw.starts_with([' ', '0', '1', '2', '3']) && name.len() < 4;
    match two {
        Some(two) if ion || (shifted && (residue_name == "MSE" || !is_polymer(residue_name))) => two,
        _ => letters.get(..1).map(str::to_ascii_uppercase).unwrap_or_else(|| "X".into()),
    }
}

fn is_polymer(residue_name: &str) -> bool {
    const NAMES: [&str; 32] = [
        "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET", "PHE",
        "PRO", "SER", "THR", "TRP", "TYR", "VAL", "A", "C", "G", "U", "T", "DA", "DC", "DG", "DT", "DU",
        "HSD", "HOH",
    ];
    NAMES.contains(&residue_name)
}
