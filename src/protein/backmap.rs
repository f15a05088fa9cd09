//! From coarse structures back to atoms: fragments are placed on a CA trace or on beads, then mended.
//!
//! Without a reference backbones are threaded ([`backbone`]) and side chains chosen among rotamers ([`rotamers`]). With
//! one, each residue's own atoms are moved rigidly with the points around it. Both are then minimised with ideal
//! residues, flat peptides, right hands and no contacts that are too close ([`restraints`]), held at the coarse model.

pub mod backbone;
pub mod coarse;
pub mod covalent;
mod mapping;
pub mod quality;
mod reference;
pub mod restraints;
mod rotamers;

use std::ops::Range;
use std::path::Path;

use super::martini::mass;
use super::martini::nucleotides::{self, atom_name};
use super::minimise::{Energy, Point, Settings, Tick, descend, each, lbfgs};
use super::residue::RESIDUES;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::io::structure::{Atom, Structure};
use backbone::is_cis;
use coarse::{Coarse, Form, label};
use covalent::Covalent;
use quality::Quality;
use reference::Reference;
use restraints::{Anchor, Contacts, Restraints};
use rotamers::Side;

/// How strongly the coarse model holds what stands for a residue, and a bead of its side chain; a bond has 100.
const HOLD: f64 = 10.0;
const HOLD_SIDE: f64 = 5.0;
/// The descent that untangles, before contacts count, and the minimisation.
const UNTANGLE: Settings = Settings { steps: 150, tolerance: 50.0, step: 0.02 };
/// Forces of the size that a bond has when it is off by 0.005 Å.
const MEND: Settings = Settings { steps: 1500, tolerance: 1.0, step: 0.02 };

/// A run of atoms that are one residue or ligand.
#[derive(Clone, Debug)]
pub struct Residue {
    /// One of the twenty, whose atoms come first and in its order; None for what is held as it is known.
    pub kind: Option<usize>,
    pub atoms: Range<usize>,
    /// Whether a peptide bond joins it to the one before.
    pub follows: bool,
}

/// The atoms that are to be found.
#[derive(Clone, Debug, Default)]
pub struct Molecule {
    pub atoms: Vec<Atom>,
    pub residues: Vec<Residue>,
    /// Where the reference has an atom, Å.
    pub known: Vec<Option<Point>>,
}

/// What was made of one model.
#[derive(Clone, Debug)]
pub struct Mended {
    pub quality: Quality,
    /// Parts of the energy before and after the minimisation.
    pub before: Vec<(&'static str, f64)>,
    pub after: Vec<(&'static str, f64)>,
    pub steps: usize,
}

/// Atoms of a residue that are one point of the coarse model.
struct Handle {
    /// Atoms of the molecule with their shares.
    members: Vec<(usize, f64)>,
    stiffness: f64,
}

pub struct Backmap {
    coarse: Coarse,
    molecule: Molecule,
    /// One for each point of the coarse model whose atoms are known.
    handles: Vec<Option<Handle>>,
    reference: Option<Reference>,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Backmap {
    /// Reads coarse models, and the model of all atoms that they come from.
    pub fn read(path: &Path, reference: Option<&Path>) -> Result<Backmap> {
        let reference = match reference {
            Some(path) => Some((Structure::read(path)?, path)),
            None => None,
        };
        Backmap::new(Coarse::read(path)?, path, reference)
    }

    /// Paths are for messages.
    pub fn new(coarse: Coarse, path: &Path, reference: Option<(Structure, &Path)>) -> Result<Backmap> {
        let mut notes = coarse.notes.clone();
        let mut molecule = Molecule::default();
        let known = match &reference {
            Some((structure, at)) => Some(reference::Known::of(structure, at, &coarse, &mut notes)?),
            None => None,
        };
        for (r, residue) in coarse.residues.iter().enumerate() {
            let first = &coarse.structure.atoms[residue.points.start];
            let begin = molecule.atoms.len();
            let model = known.as_ref().and_then(|known| known.residue(r));
            let Some(kind) = residue.kind.filter(|_| model.as_ref().is_none_or(|m| !m.altered)) else {
                let Some(model) = model else {
                    let what =
                        if residue.nucleotide { "a nucleotide" } else { "not one of the twenty amino acids" };
                    let why = if reference.is_some() {
                        format!("{what}, and the reference has no such residue")
                    } else {
                        format!(
                            "{what}; give the model of all atoms that the run started from with --reference"
                        )
                    };
                    return Err(Error::malformed(path, label(first), why));
                };
                molecule.atoms.extend(model.atoms.iter().map(|(a, _)| a.clone()));
                molecule.known.extend(model.atoms.iter().map(|(_, p)| Some(*p)));
                let atoms = begin..molecule.atoms.len();
                molecule.residues.push(Residue { kind: None, atoms, follows: residue.follows });
                continue;
            };
            let ideal = &RESIDUES[kind];
            for place in ideal.atoms {
                let given = model.as_ref().and_then(|m| m.find(kind, place.name));
                let bare = || Atom {
                    name: place.name.into(),
                    element: place.name[..1].into(),
                    residue_name: if first.residue_name == "MSE" {
                        "MET".into()
                    } else {
                        first.residue_name.clone()
                    },
                    ..first.clone()
                };
                molecule
                    .atoms
                    .push(given.map_or_else(bare, |(a, _)| Atom { name: place.name.into(), ..a.clone() }));
                molecule.known.push(given.map(|(_, p)| *p));
            }
            for (atom, p) in model.iter().flat_map(|m| m.more(kind)) {
                molecule.atoms.push(atom.clone());
                molecule.known.push(Some(*p));
            }
            let atoms = begin..molecule.atoms.len();
            molecule.residues.push(Residue { kind: Some(kind), atoms, follows: residue.follows });
        }
        for group in known.iter().flat_map(|known| known.carried()) {
            let begin = molecule.atoms.len();
            molecule.atoms.extend(group.iter().map(|(a, _)| a.clone()));
            molecule.known.extend(group.iter().map(|(_, p)| Some(*p)));
            molecule.residues.push(Residue {
                kind: None,
                atoms: begin..molecule.atoms.len(),
                follows: false,
            });
        }
        let mut backmap = Backmap { handles: vec![], coarse, molecule, reference: None, notes };
        backmap.handles = backmap.handles_of();
        if reference.is_some() {
            backmap.reference = Some(Reference::new(&backmap.coarse, &backmap.molecule, &backmap.handles));
        }
        Ok(backmap)
    }

    fn handles_of(&self) -> Vec<Option<Handle>> {
        let mut handles = vec![];
        for (r, residue) in self.coarse.residues.iter().enumerate() {
            let target = &self.molecule.residues[r];
            for point in residue.points.clone() {
                let name = &self.coarse.structure.atoms[point].name;
                let stiffness = if name.starts_with("SC") { HOLD_SIDE } else { HOLD };
                let by_name = |name: &str| {
                    let i = target.atoms.clone().find(|&i| self.molecule.atoms[i].name == name)?;
                    Some(vec![(i, 1.0)])
                };
                let members = match (self.coarse.form, target.kind) {
                    (Form::Trace, _) => by_name(name),
                    (Form::Beads, Some(kind)) => mapping::members(kind, name).map(|members| {
                        members.into_iter().map(|(i, w)| (target.atoms.start + i, w)).collect()
                    }),
                    (Form::Beads, None) => self.nucleotide_members(r, name),
                };
                handles.push(members.map(|members| Handle { members, stiffness }));
            }
        }
        handles
    }

    /// Atoms of the molecule that are a nucleotide's bead, with shares of its mass; the phosphate's has the O3' before it.
    fn nucleotide_members(&self, r: usize, bead: &str) -> Option<Vec<(usize, f64)>> {
        let named = |r: usize, names: &[&str]| -> Vec<usize> {
            let is_one = |i: &usize| names.contains(&atom_name(&self.molecule.atoms[*i].name).as_str());
            self.molecule.residues[r].atoms.clone().filter(is_one).collect()
        };
        let residue = &self.coarse.residues[r];
        let name = &self.coarse.structure.atoms[residue.points.start].residue_name;
        let mut members = named(r, nucleotides::bead(name, bead)?);
        let joined = |r: usize| self.coarse.residues.get(r).is_some_and(|residue| residue.follows);
        match bead {
            "BB1" if residue.follows => members.extend(named(r - 1, &["O3'"])),
            "BB3" if !joined(r + 1) => members.extend(named(r, &["O3'"])),
            _ => {}
        }
        let masses: Vec<f64> = members.iter().map(|&i| mass(&self.molecule.atoms[i].element)).collect();
        let total: f64 = masses.iter().sum();
        let shares = members.into_iter().zip(masses).map(|(i, mass)| (i, mass / total));
        Some(shares.collect()).filter(|members: &Vec<_>| !members.is_empty())
    }

    /// The atoms that models are made of.
    pub fn molecule(&self) -> &Molecule {
        &self.molecule
    }

    pub fn models(&self) -> usize {
        self.coarse.structure.models.len()
    }

    /// All models, several at a time; `tick` is told how many are done.
    pub fn run(&self, tick: &mut Tick) -> Result<(Structure, Vec<Mended>)> {
        let made = each(self.models(), tick, |m| self.model(m))?;
        let (models, mended) = made.into_iter().unzip();
        Ok((Structure { atoms: self.molecule.atoms.clone(), models }, mended))
    }

    fn model(&self, m: usize) -> Result<(Vec<[f64; 3]>, Mended)> {
        let coarse: Vec<Point> = self.coarse.structure.models[m].iter().map(|p| Point::from(*p)).collect();
        let mut points = self.place(&coarse);
        let mended = self.mend(&coarse, &mut points)?;
        Ok((points.into_iter().map(Into::into).collect(), mended))
    }

    /// Fragments on a coarse model.
    fn place(&self, coarse: &[Point]) -> Vec<Point> {
        let mut threaded = vec![None; self.coarse.residues.len()];
        for chain in self.coarse.chains() {
            if chain.clone().all(|r| self.has_backbone(r)) {
                continue;
            }
            let residues = &self.coarse.residues[chain.clone()];
            let kinds: Vec<usize> = residues.iter().filter_map(|r| r.kind).collect();
            let line: Vec<Point> = residues.iter().map(|r| coarse[r.points.start]).collect();
            let ca = match self.coarse.form {
                Form::Trace => line,
                Form::Beads => backbone::ca_of_centres(&kinds, &line),
            };
            let found = backbone::thread(&kinds, &ca);
            threaded[chain].iter_mut().zip(found).for_each(|(to, atoms)| *to = Some(atoms));
        }
        let molecule = &self.molecule;
        let side = |(r, residue): (usize, &Residue)| {
            let range = residue.atoms.clone();
            let motion = self.reference.as_ref().map(|reference| reference.motion(r, coarse));
            let known = |i: usize| Some(motion?.apply(&molecule.known[i]?));
            let mut atoms: Vec<Point> =
                range.clone().map(|i| known(i).unwrap_or_else(Point::zeros)).collect();
            let mut free = false;
            if let Some(kind) = residue.kind {
                if let Some(Some(threaded)) = threaded.get(r).filter(|_| !self.has_backbone(r)) {
                    atoms[..4].copy_from_slice(threaded);
                }
                free = range.clone().take(RESIDUES[kind].atoms.len()).any(|i| molecule.known[i].is_none());
            }
            let polar = range.clone().map(|i| matches!(molecule.atoms[i].element.as_str(), "N" | "O"));
            let beads = self.handles_in(r).filter(|(_, h)| h.stiffness < HOLD).map(|(point, handle)| {
                let members = handle.members.iter().map(|(i, w)| (i - range.start, *w)).collect();
                (members, coarse[point])
            });
            Side { kind: residue.kind, atoms, polar: polar.collect(), free, beads: beads.collect() }
        };
        let mut sides: Vec<Side> = molecule.residues.iter().enumerate().map(side).collect();
        rotamers::place(&mut sides);
        sides.into_iter().flat_map(|side| side.atoms).collect()
    }

    /// Whether the reference has a residue's N, CA, C and O.
    fn has_backbone(&self, r: usize) -> bool {
        let residue = &self.molecule.residues[r];
        residue.kind.is_none() || residue.atoms.clone().take(4).all(|i| self.molecule.known[i].is_some())
    }

    fn handles_in(&self, residue: usize) -> impl Iterator<Item = (usize, &Handle)> {
        let points = self.coarse.residues.get(residue).map_or(0..0, |r| r.points.clone());
        points.filter_map(|point| Some((point, self.handles[point].as_ref()?)))
    }

    /// Minimises a placed model.
    fn mend(&self, coarse: &[Point], points: &mut [Point]) -> Result<Mended> {
        let molecule = &self.molecule;
        let cis: Vec<bool> = (0..molecule.residues.len())
            .map(|r| {
                let residue = &molecule.residues[r];
                if !residue.follows
                    || r == 0
                    || residue.kind.is_none()
                    || molecule.residues[r - 1].kind.is_none()
                {
                    return false;
                }
                let ca = |r: usize| molecule.residues[r].atoms.start + 1;
                // The bond of the reference is what the model started with.
                match (molecule.known[ca(r - 1)], molecule.known[ca(r)]) {
                    (Some(a), Some(b)) => is_cis(a, b),
                    _ => is_cis(points[ca(r - 1)], points[ca(r)]),
                }
            })
            .collect();
        let covalent = Covalent::of(molecule, &cis);
        let anchors = self.handles.iter().zip(coarse).filter_map(|(handle, place)| {
            let Handle { members, stiffness } = handle.as_ref()?;
            Some(Anchor { members: members.clone(), place: *place, stiffness: *stiffness })
        });
        let mut energy = Restraints {
            distances: covalent.distances.clone(),
            volumes: covalent.volumes.clone(),
            anchors: anchors.collect(),
            contacts: None,
        };
        let mut watch = |_, _, _| interrupt::check();
        let contacts = Contacts::new(
            molecule.atoms.iter().map(|a| a.element.as_str()),
            covalent.tied.clone(),
            molecule.known.clone(),
        );
        descend(&mut energy, points, &UNTANGLE, &mut watch)?;
        energy.contacts = Some(contacts);
        let before = energy.terms(points);
        let outcome = lbfgs(&mut energy, points, &MEND, &mut watch)?;
        let mut quality = Quality::of(molecule, &covalent, points);
        let off = energy.anchors.iter().map(|anchor| {
            let centre: Point = anchor.members.iter().map(|(i, w)| points[*i] * *w).sum();
            (centre - anchor.place).norm_squared()
        });
        quality.rmsd = (off.sum::<f64>() / energy.anchors.len().max(1) as f64).sqrt();
        Ok(Mended { quality, before, after: energy.terms(points), steps: outcome.steps })
    }
}
