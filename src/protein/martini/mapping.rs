//! From atoms to beads.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::codes::codes;
use super::nucleotides::{SUGAR, atom_name, nucleotide};
use super::parameters::{BACKBONE, backbone, charge, mass, radius, side_chain};
use crate::error::listed;
use crate::io::structure::{Atom, Structure, residues};
use crate::protein::elements::{atomic_number, is_hydrogen, is_water};
use crate::protein::residue::{RESIDUES, common_atom_name, type_of_name};
use crate::protein::secondary;
use crate::{Error, Result};

/// One residue of the beads.
#[derive(Clone, Debug, PartialEq)]
pub struct Residue {
    /// Usual name: MET for selenomethionine, HIS for all its forms.
    pub name: &'static str,
    /// Number of its chain.
    pub chain: usize,
    /// Whether it is bonded to the residue before it.
    pub joined: bool,
    /// Secondary structure in MARTINI's codes.
    pub code: char,
    pub nucleic: bool,
    /// The backbone's bead, then those of the side chain; of a nucleotide phosphate, sugar and base. None where the
    /// structure has none of a bead's atoms.
    pub beads: Vec<Option<usize>>,
}

/// A protein, a nucleic acid or both as beads, residue by residue.
#[derive(Clone, Debug, Default)]
pub struct Beads {
    /// Beads as atoms of a file: BB, SC1 to SC4; BB1 to BB3 of nucleotides.
    pub atoms: Vec<Atom>,
    /// Centres of mass of their heavy atoms, Å.
    pub places: Vec<[f64; 3]>,
    /// Electrons of their heavy atoms.
    pub electrons: Vec<f64>,
    /// How wide they look in an image, Å.
    pub widths: Vec<f64>,
    /// P5, SC4: the type tells how beads attract one another.
    pub types: Vec<&'static str>,
    pub charges: Vec<f64>,
    /// The residue of each bead.
    pub residue_of: Vec<usize>,
    /// The heavy atoms of the structure that are in each bead.
    pub members: Vec<Vec<usize>>,
    pub residues: Vec<Residue>,
    /// Atoms of groups that have no beads: ligands, ions. Waters are left out.
    pub others: Vec<Range<usize>>,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Beads {
    /// The beads of a structure's first model; `path` is for messages. Secondary structure is our own, or `dssp`, a
    /// letter for each residue.
    pub fn of(structure: &Structure, dssp: Option<&[char]>, path: &Path) -> Result<Beads> {
        let places = structure
            .models
            .first()
            .filter(|model| model.len() == structure.atoms.len())
            .ok_or_else(|| Error::malformed(path, "", "has no whole model"))?;
        let mut beads = Beads::default();
        let mut found: Vec<(Range<usize>, &'static str)> = vec![];
        let mut backbones = vec![];
        let mut chains: HashMap<&str, usize> = HashMap::new();
        let (mut waters, mut without) = (0, vec![]);
        for run in residues(&structure.atoms) {
            let first = &structure.atoms[run.start];
            let find = |name: &str| run.clone().find(|&i| structure.atoms[i].name == name);
            if is_water(&first.residue_name) {
                waters += 1;
                continue;
            }
            let next = chains.len();
            if let Some(of) = nucleotide(&first.residue_name)
                && find("C1'").or(find("C1*")).is_some()
            {
                let chain = *chains.entry(&first.chain).or_insert(next);
                let before = beads.residues.last().zip(found.last());
                let joined = before.is_some_and(|(last, (run_before, _))| {
                    last.nucleic && last.chain == chain && linked(structure, places, run_before, &run)
                });
                beads.residues.push(Residue { joined, nucleic: true, ..Residue::new(of.residue, chain) });
                backbones.push(None);
                found.push((run, of.residue));
                continue;
            }
            let kind = type_of_name(&first.residue_name).filter(|_| find("CA").is_some());
            let Some(kind) = kind else {
                beads.others.push(run);
                continue;
            };
            let atoms = ["N", "CA", "C", "O"].map(|name| find(name).map(|i| places[i]));
            if atoms.contains(&None) {
                without.push(format!("{}{}", first.chain, first.residue_number));
            }
            let chain = *chains.entry(&first.chain).or_insert(next);
            let name = RESIDUES[kind].name;
            backbones.push(atoms.iter().all(Option::is_some).then(|| secondary::Backbone {
                atoms: atoms.map(Option::unwrap_or_default),
                proline: name == "PRO",
                follows: false,
            }));
            let joined = beads.residues.last().is_some_and(|last| {
                let ca = |run: &Range<usize>| {
                    run.clone().find(|&i| structure.atoms[i].name == "CA").map(|i| places[i])
                };
                let before = found.last().and_then(|(before, _)| ca(before));
                !last.nucleic
                    && last.chain == chain
                    && before.zip(ca(&run)).is_some_and(|(a, b)| apart(&a, &b) < LONGEST)
            });
            beads.residues.push(Residue { joined, ..Residue::new(name, chain) });
            found.push((run, name));
        }
        if beads.residues.is_empty() {
            let why =
                "has no amino acids with a CA atom and no nucleotides with a C1'; give a model of all atoms";
            return Err(Error::malformed(path, "", why));
        }
        let joined: Vec<bool> = beads.residues.iter().map(|r| r.joined).collect();
        let own = match dssp {
            Some(codes) if codes.len() == found.len() => codes.to_vec(),
            Some(codes) => {
                return Err(Error::usage(format!(
                    "secondary structure is given for {} residues, {} has {}",
                    codes.len(),
                    path.display(),
                    found.len()
                )));
            }
            None => {
                for (backbone, &joined) in backbones.iter_mut().zip(&joined) {
                    if let Some(backbone) = backbone {
                        backbone.follows = joined;
                    }
                }
                secondary::assign(&backbones)
            }
        };
        for (residue, code) in beads.residues.iter_mut().zip(codes(&own, &joined)) {
            residue.code = code;
        }
        let mut truncated = vec![];
        for (at, (run, name)) in found.iter().enumerate() {
            if beads.add(structure, places, at, &found) {
                let first = &structure.atoms[run.start];
                truncated.push(format!("{name} {}{}", first.chain, first.residue_number));
            }
        }
        beads.charge_ends();
        if !without.is_empty() {
            let what = "lack backbone atoms: their secondary structure is taken as coil";
            beads.notes.push(format!("{} {what}: {}", count(without.len(), "residue"), listed(&without)));
        }
        if !truncated.is_empty() {
            let what = "lack atoms of side chain or base; beads without any are left out";
            beads.notes.push(format!("{} {what}: {}", count(truncated.len(), "residue"), listed(&truncated)));
        }
        let nucleotides = beads.residues.iter().filter(|r| r.nucleic).count();
        if nucleotides > 0 {
            let what = "bonds and angles are the model's and types the nearest of MARTINI 2.2, not MARTINI's force field \
                        of nucleic acids";
            beads.notes.push(format!("{}: {what}", count(nucleotides, "nucleotide")));
        }
        if waters > 0 {
            beads.notes.push(format!("{waters} waters are left out"));
        }
        Ok(beads)
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds the beads of residue `at`; whether it lacks atoms of side chain or base.
    fn add(
        &mut self,
        structure: &Structure,
        places: &[[f64; 3]],
        at: usize,
        found: &[(Range<usize>, &'static str)],
    ) -> bool {
        let (name, nucleic) = (self.residues[at].name, self.residues[at].nucleic);
        let (groups, lacks) =
            if nucleic { self.nucleotide(structure, at, found) } else { self.amino(structure, at, found) };
        for (number, (kind, members)) in groups.into_iter().enumerate() {
            if members.is_empty() {
                self.residues[at].beads.push(None);
                continue;
            }
            let next = self.len();
            self.residues[at].beads.push(Some(next));
            let of = |i: &usize| &structure.atoms[*i].element;
            let total: f64 = members.iter().map(|i| mass(of(i))).sum();
            self.places.push(
                [0, 1, 2].map(|k| members.iter().map(|i| mass(of(i)) * places[*i][k]).sum::<f64>() / total),
            );
            self.electrons.push(members.iter().map(|i| f64::from(atomic_number(of(i)).unwrap_or(6))).sum());
            let bead = match (nucleic, number) {
                (false, 0) => "BB".to_string(),
                (false, _) => format!("SC{number}"),
                (true, _) if number < SUGAR => format!("BB{}", number + 1),
                (true, _) => format!("SC{}", number + 1 - SUGAR),
            };
            let atom = &structure.atoms[members[0]];
            self.atoms.push(Atom {
                name: bead,
                element: "C".into(),
                residue_name: name.into(),
                hetero: false,
                ..atom.clone()
            });
            self.widths.push(radius(kind));
            self.types.push(kind);
            self.charges.push(charge(kind));
            self.residue_of.push(at);
            self.members.push(members);
        }
        lacks
    }

    /// Type and heavy atoms of each bead of an amino acid, and whether its side chain lacks any.
    fn amino(
        &self,
        structure: &Structure,
        at: usize,
        found: &[(Range<usize>, &'static str)],
    ) -> (Groups, bool) {
        let (run, name) = &found[at];
        let kind = backbone(name, self.residues[at].code).kind;
        let of_backbone = if *name == "ALA" { &BACKBONE[..] } else { &BACKBONE[..4] };
        let side = side_chain(name).map_or(&[][..], |side| side.beads);
        let all = std::iter::once((kind, of_backbone)).chain(side.iter().copied());
        let own = type_of_name(name).unwrap_or_default();
        let named = |atom: &Atom| common_atom_name(own, &atom.name).to_string();
        let (groups, lacks) = grouped(structure, run, all, named, 1);
        (groups, lacks || *name == "ALA" && !run.clone().any(|i| structure.atoms[i].name == "CB"))
    }

    /// The same of a nucleotide; its O3' belongs to the phosphate that follows, where one does.
    fn nucleotide(
        &self,
        structure: &Structure,
        at: usize,
        found: &[(Range<usize>, &'static str)],
    ) -> (Groups, bool) {
        let (run, name) = &found[at];
        let named = |atom: &Atom| atom_name(&atom.name);
        let last_oxygen = |run: &Range<usize>| heavy(structure, run, |atom| named(atom) == "O3'");
        let beads = nucleotide(name).map_or(&[][..], |of| of.beads);
        let (mut groups, lacks) = grouped(structure, run, beads.iter().copied(), named, SUGAR);
        if self.residues[at].joined {
            groups[0].1.extend(last_oxygen(&found[at - 1].0));
        }
        if !self.residues.get(at + 1).is_some_and(|next| next.nucleic && next.joined) {
            groups[SUGAR - 1].1.extend(last_oxygen(run));
        }
        (groups, lacks)
    }

    /// The ends of each chain of amino acids are charged; those at a gap within it are not.
    fn charge_ends(&mut self) {
        let last = self.residues.len() - 1;
        let own = |i: usize| (self.residues[i].chain, self.residues[i].nucleic);
        let ends: Vec<(usize, &'static str)> = (0..=last)
            .filter(|&i| !self.residues[i].nucleic)
            .flat_map(|i| {
                let first = (i == 0 || own(i - 1) != own(i)).then_some((i, "Qd"));
                let last = (i == last || own(i + 1) != own(i)).then_some((i, "Qa"));
                [first, last]
            })
            .flatten()
            .collect();
        for (i, kind) in ends {
            if let Some(bead) = self.residues[i].beads[0] {
                (self.types[bead], self.charges[bead]) = (kind, charge(kind));
            }
        }
    }
}

impl Residue {
    fn new(name: &'static str, chain: usize) -> Residue {
        Residue { name, chain, joined: false, code: 'C', nucleic: false, beads: vec![] }
    }
}

/// Type and heavy atoms of beads.
type Groups = Vec<(&'static str, Vec<usize>)>;

/// CA atoms of bonded residues are not further apart, Å.
const LONGEST: f64 = 5.0;
/// O3' and P of bonded nucleotides, and C1' where one of these is missing.
const LONGEST_LINK: [f64; 2] = [2.5, 8.0];

fn heavy(structure: &Structure, run: &Range<usize>, is_one: impl Fn(&Atom) -> bool) -> Vec<usize> {
    let all = run.clone().map(|i| (i, &structure.atoms[i]));
    all.filter(|(_, atom)| !is_hydrogen(&atom.element) && is_one(atom)).map(|(i, _)| i).collect()
}

/// The heavy atoms of a residue that are in each bead by their names, and whether any bead from number `own` on lacks some.
fn grouped(
    structure: &Structure,
    run: &Range<usize>,
    beads: impl Iterator<Item = (&'static str, &'static [&'static str])>,
    named: impl Fn(&Atom) -> String,
    own: usize,
) -> (Groups, bool) {
    let mut lacks = false;
    let groups = beads.enumerate().map(|(number, (kind, names))| {
        let members = heavy(structure, run, |atom| names.contains(&named(atom).as_str()));
        lacks |= number >= own && members.len() < names.len();
        (kind, members)
    });
    (groups.collect(), lacks)
}

/// Whether two nucleotides are bonded.
fn linked(structure: &Structure, places: &[[f64; 3]], before: &Range<usize>, run: &Range<usize>) -> bool {
    let find = |run: &Range<usize>, name: &str| {
        run.clone().find(|&i| atom_name(&structure.atoms[i].name) == name).map(|i| places[i])
    };
    let [link, across] = LONGEST_LINK;
    match find(before, "O3'").zip(find(run, "P")) {
        Some((a, b)) => apart(&a, &b) < link,
        None => find(before, "C1'").zip(find(run, "C1'")).is_some_and(|(a, b)| apart(&a, &b) < across),
    }
}

fn apart(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
