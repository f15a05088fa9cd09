//! One protein chain among the atoms of a structure or topology, and back.

use super::elements::is_hydrogen;
use super::residue::{ATOMS, Atoms, RESIDUES, common_atom_name, letter_of_type, type_of_name};
use super::superpose::{Motion, superpose};
use crate::error::{Error, Result};
use crate::io::structure::{self, Atom, Structure};
use nalgebra::Vector3;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// A peptide bond longer than this is none, Å.
const BOND: f32 = 2.5;
/// No atom of a residue is further from its CA, Å.
const REACH: f32 = 12.0;
/// Caps of CHARMM, whose atoms belong to the residue that they close.
const CAP_ATOMS: [&str; 6] = ["CAY", "CY", "OY", "NT", "CAT", "OXT"];

/// The residues of a chain and where their heavy atoms stand in the order of a file.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Type of each residue.
    pub kinds: Vec<usize>,
    /// Name and number of each residue: `ALA 12`.
    pub labels: Vec<String>,
    /// Number of each residue in the file.
    numbers: Vec<i32>,
    /// Places in the file of these residues' atoms without hydrogens, the terminal OXT among them.
    pub members: Vec<usize>,
    /// Where each residue begins among the members.
    starts: Vec<usize>,
    /// Places in the file of the heavy atoms, [residues].
    heavy: Vec<[Option<usize>; ATOMS]>,
    /// Atoms of the file.
    total: usize,
}

impl Chain {
    /// The one chain of amino acids in a structure, or that of the name `chosen`. Water, ions, ligands and caps are
    /// passed over; `path` is for messages.
    pub fn of(structure: &Structure, path: &Path, chosen: Option<&str>) -> Result<Chain> {
        let bad = |place: String, why: String| Error::malformed(path, place, why);
        let residues = residues(&structure.atoms);
        let name = |range: &std::ops::Range<usize>| structure.atoms[range.start].chain.as_str();
        let chains: BTreeSet<&str> = residues.iter().map(name).collect();
        let listed = || chains.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
        let chosen = match chosen {
            Some(chosen) if chains.contains(chosen) => chosen,
            Some(chosen) => {
                return Err(bad(
                    "".into(),
                    format!("no chain `{chosen}` of amino acids; there are: {}", listed()),
                ));
            }
            None if chains.len() > 1 => {
                let why = format!("{} chains ({}); choose one with --chain", chains.len(), listed());
                return Err(bad("".into(), why));
            }
            None => chains.first().copied().ok_or_else(|| bad("".into(), "no amino acids".into()))?,
        };
        let mut chain = Chain {
            kinds: Vec::new(),
            labels: Vec::new(),
            numbers: Vec::new(),
            members: Vec::new(),
            starts: Vec::new(),
            heavy: Vec::new(),
            total: structure.atoms.len(),
        };
        for range in residues.iter().filter(|range| name(range) == chosen) {
            chain.add(structure, range.clone()).map_err(|(place, why)| bad(place, why))?;
        }
        Ok(chain)
    }

    fn add(&mut self, structure: &Structure, range: std::ops::Range<usize>) -> Result<(), (String, String)> {
        let first = &structure.atoms[range.start];
        let code = first.insertion_code.map(String::from).unwrap_or_default();
        let label = format!("{} {}{code}", first.residue_name, first.residue_number);
        let Some(kind) = type_of_name(&first.residue_name) else {
            let why = "not one of the twenty amino acids; replace it, or leave its chain out with --chain";
            return Err((label, why.into()));
        };
        let mut places = [None; ATOMS];
        for i in range.clone() {
            let atom = &structure.atoms[i];
            let name = common_atom_name(kind, &atom.name);
            if is_hydrogen(&atom.element) || CAP_ATOMS.contains(&name) {
                continue;
            }
            let Some(slot) = RESIDUES[kind].atom(name) else {
                let why = format!("atom {} is none of a {}", atom.name, RESIDUES[kind].name);
                return Err((label, why));
            };
            if places[slot].replace(i).is_some() {
                return Err((label, format!("atom {} is there twice", atom.name)));
            }
        }
        let missing: Vec<&str> = RESIDUES[kind]
            .atoms
            .iter()
            .zip(&places)
            .filter(|(_, p)| p.is_none())
            .map(|(a, _)| a.name)
            .collect();
        if !missing.is_empty() {
            let why = format!("{} missing; complete the model first", missing.join(", "));
            return Err((label, why));
        }
        self.kinds.push(kind);
        self.labels.push(label);
        self.numbers.push(first.residue_number);
        self.starts.push(self.members.len());
        self.members.extend(range.filter(|i| !is_hydrogen(&structure.atoms[*i].element)));
        self.heavy.push(places);
        Ok(())
    }

    /// One-letter codes.
    pub fn sequence(&self) -> String {
        self.kinds.iter().map(|&kind| letter_of_type(kind)).collect()
    }

    /// The residue that an atom of the file belongs to, `ALA 12`.
    pub fn residue_of(&self, atom: usize) -> Option<&str> {
        let at = self.members.binary_search(&atom).ok()?;
        let residue = self.starts.partition_point(|start| *start <= at).checked_sub(1)?;
        self.labels.get(residue).map(String::as_str)
    }

    /// The residues' atoms among the positions of a frame (Å, all atoms of the file).
    pub fn atoms(&self, positions: &[[f32; 3]]) -> Result<Vec<Atoms>> {
        if positions.len() != self.total {
            let why = format!("the trajectory has {} atoms, the topology {}", positions.len(), self.total);
            return Err(Error::usage(format!("{why}; give the topology it was written with")));
        }
        let place = |place: &Option<usize>| place.map_or([0.0; 3], |i| positions[i]);
        Ok(self.heavy.iter().map(|slots| std::array::from_fn(|a| place(&slots[a]))).collect())
    }

    /// Says where a frame's chain is broken: by missing residues, a second chain, or the edge of a periodic box.
    pub fn check(&self, atoms: &[Atoms]) -> Result<(), String> {
        for (i, residue) in atoms.iter().enumerate() {
            let far = |a: &usize| {
                let present = self.heavy.get(i).is_some_and(|slots| slots[*a].is_some());
                // NaN is far.
                present && !(0.0..=REACH).contains(&distance(&residue[*a], &residue[1]))
            };
            if let Some(a) = (0..ATOMS).find(far) {
                let name = RESIDUES[self.kinds[i]].atoms[a].name;
                return Err(format!(
                    "{}: {name} lies {:.0} Å from CA; make the molecule whole in its periodic box first",
                    self.labels[i],
                    distance(&residue[a], &residue[1])
                ));
            }
            let Some(next) = atoms.get(i + 1) else { continue };
            let gap = distance(&residue[2], &next[0]);
            if gap > BOND {
                let (a, b) = (self.numbers[i], self.numbers[i + 1]);
                let cause = match b.checked_sub(a) {
                    Some(2..) => format!("residues {} to {} are missing; model them first", a + 1, b - 1),
                    Some(1) => "make the molecule whole in its periodic box first".into(),
                    _ => "these are several chains; name them in the topology and choose one with --chain"
                        .into(),
                };
                let (a, b) = (&self.labels[i], &self.labels[i + 1]);
                return Err(format!("the chain is broken between {a} and {b} (C to N {gap:.1} Å): {cause}"));
            }
        }
        Ok(())
    }
}

fn distance(a: &[f32; 3], b: &[f32; 3]) -> f32 {
    (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f32>().sqrt()
}

/// Runs of atoms that are one residue with an amino acid's backbone.
fn residues(atoms: &[Atom]) -> Vec<Range<usize>> {
    let belongs = |run: &Range<usize>| {
        let run = &atoms[run.clone()];
        let has = |name: &str| run.iter().any(|atom| atom.name == name);
        // An amino acid without its backbone is one too: what it lacks will be said.
        let known = run.first().is_some_and(|a| type_of_name(&a.residue_name).is_some());
        known || has("N") && has("CA") && has("C")
    };
    structure::residues(atoms).into_iter().filter(belongs).collect()
}

/// The heavy atoms of a chain as a structure: chain A, residues counted from 1, one model for each of the frames;
/// `atoms` [frames × residues] in Å.
pub fn structure_of(kinds: &[usize], atoms: &[Atoms]) -> Result<Structure> {
    super::frames::whole_steps("residues", atoms.len(), kinds.len())?;
    let mut structure = Structure::default();
    for (i, &kind) in kinds.iter().enumerate() {
        let Some(residue) = RESIDUES.get(kind) else {
            return Err(Error::usage(format!(
                "residue {} has no known type, so it has no atoms to write",
                i + 1
            )));
        };
        for atom in residue.atoms {
            structure.atoms.push(Atom {
                name: atom.name.into(),
                element: atom.name[..1].into(),
                residue_name: residue.name.into(),
                residue_number: i32::try_from(i + 1).unwrap_or(i32::MAX),
                insertion_code: None,
                chain: "A".into(),
                occupancy: 1.0,
                b_factor: 0.0,
                hetero: false,
            });
        }
    }
    structure.models = atoms.chunks(kinds.len()).map(|frame| heavy_atoms(kinds, frame)).collect();
    Ok(structure)
}

/// The atoms of one frame that exist, in the order of [`structure_of`]; Å.
pub fn heavy_atoms(kinds: &[usize], frame: &[Atoms]) -> Vec<[f64; 3]> {
    let of = |(kind, residue): (&usize, &Atoms)| {
        let count = RESIDUES.get(*kind).map_or(0, |r| r.atoms.len());
        residue[..count].to_vec()
    };
    kinds.iter().zip(frame).flat_map(of).map(|p| p.map(f64::from)).collect()
}

/// Superposes frames on the first that it is shown.
#[derive(Debug, Default)]
pub struct OntoFirst(Option<Vec<[f64; 3]>>);

impl OntoFirst {
    /// The motion that lays these points (Å) best on those of the first call.
    pub fn motion(&mut self, points: Vec<[f64; 3]>) -> Motion {
        match &self.0 {
            Some(first) => superpose(&points, first).0,
            None => {
                self.0 = Some(points);
                Motion::identity()
            }
        }
    }
}

/// Moves the atoms that residues of these types have; the places of absent ones stay zero.
pub fn move_atoms(kinds: &[usize], motion: &Motion, frame: &mut [Atoms]) {
    for (&kind, residue) in kinds.iter().zip(frame) {
        let count = RESIDUES.get(kind).map_or(0, |r| r.atoms.len());
        for place in &mut residue[..count] {
            *place = motion.apply(&Vector3::from(place.map(f64::from))).map(|x| x as f32).into();
        }
    }
}
