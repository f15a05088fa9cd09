//! The coarse structures that atoms are found for: traces of CA (C1' of nucleotides) or MARTINI beads.

use std::ops::Range;
use std::path::Path;

use super::super::martini::nucleotides::nucleotide;
use super::super::residue::type_of_name;
use crate::error::{Error, Result};
use crate::io::structure::{Atom, Structure, residues};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One point a residue.
    Trace,
    /// BB and SC1 to SC4; BB1 to BB3 and SC1 to SC4 of nucleotides.
    Beads,
}

/// A run of points that are one residue.
#[derive(Clone, Debug)]
pub struct Residue {
    pub points: Range<usize>,
    /// Its type among the twenty; None for a nucleotide and what is not known.
    pub kind: Option<usize>,
    pub nucleotide: bool,
    /// Whether it is joined to the one before.
    pub follows: bool,
}

#[derive(Clone, Debug)]
pub struct Coarse {
    pub form: Form,
    pub structure: Structure,
    pub residues: Vec<Residue>,
    pub notes: Vec<String>,
}

/// Points of neighbours farther apart than this have a gap between them, Å.
const GAP: f64 = 6.0;
const NUCLEIC_GAP: f64 = 10.0;
/// No two residues are nearer, Å.
const COLLAPSED: f64 = 1.0;

/// `ALA 12 A`, for messages.
pub fn label(a: &Atom) -> String {
    let code = a.insertion_code.map(String::from).unwrap_or_default();
    format!("{} {}{code} {}", a.residue_name, a.residue_number, a.chain).trim_end().to_string()
}

fn is_nucleotide(name: &str) -> bool {
    nucleotide(name).is_some() || matches!(name, "I" | "DI")
}

fn distance(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
}

impl Coarse {
    pub fn read(path: &Path) -> Result<Coarse> {
        Coarse::of(Structure::read(path)?, path)
    }

    /// `path` is for messages.
    pub fn of(structure: Structure, path: &Path) -> Result<Coarse> {
        let bad = |place: String, why: &str| Err(Error::malformed(path, place, why));
        let atoms = &structure.atoms;
        let bead = |name: &str| name.starts_with("BB") || name.starts_with("SC");
        let point = |name: &str| matches!(name, "CA" | "C1'" | "C1*");
        let form = if atoms.iter().all(|a| point(&a.name)) {
            Form::Trace
        } else if atoms.iter().all(|a| bead(&a.name)) {
            Form::Beads
        } else if let Some(other) = atoms.iter().find(|a| !point(&a.name) && !bead(&a.name)) {
            let why = "neither a CA nor a MARTINI bead (BB, SC1..SC4): give CA traces or bead models, as pred.pdb and \
                       pca-1.pdb of a run are";
            return bad(format!("{} of {}", other.name, label(other)), why);
        } else {
            return bad(String::new(), "CA atoms and beads together: give one kind of model");
        };
        let Some(first) = structure.models.first() else {
            return bad(String::new(), "no models");
        };
        let mut coarse = Coarse { form, residues: vec![], notes: vec![], structure: Structure::default() };
        for points in residues(atoms) {
            let a = &atoms[points.start];
            let names: Vec<&str> = atoms[points.clone()].iter().map(|a| a.name.as_str()).collect();
            if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
                return bad(label(a), &format!("{} is there twice", twice.1));
            }
            let nucleotide = is_nucleotide(&a.residue_name) || a.name.starts_with("C1");
            let kind = if nucleotide { None } else { type_of_name(&a.residue_name) };
            if form == Form::Beads && !nucleotide && !names.contains(&"BB") {
                return bad(label(a), "no bead BB");
            }
            let follows = coarse.residues.last().is_some_and(|before: &Residue| {
                let b = &atoms[before.points.start];
                let step = a.residue_number.saturating_sub(b.residue_number);
                let gap = if nucleotide || before.nucleotide { NUCLEIC_GAP } else { GAP };
                a.chain == b.chain
                    && nucleotide == before.nucleotide
                    && (step == 1 || step == 0 && a.insertion_code != b.insertion_code)
                    && distance(&first[before.points.start], &first[points.start]) < gap
            });
            if let Some(before) = coarse.residues.last().filter(|_| !follows) {
                let b = &atoms[before.points.start];
                if a.chain == b.chain {
                    coarse.notes.push(format!(
                        "the chain is broken between {} and {}; nothing is built between them",
                        label(b),
                        label(a)
                    ));
                }
            }
            coarse.residues.push(Residue { points, kind, nucleotide, follows });
        }
        coarse.scale(&structure).map_err(|why| Error::malformed(path, "", why))?;
        coarse.structure = structure;
        Ok(coarse)
    }

    /// Refuses coordinates in nanometres, and what is no chain.
    fn scale(&self, structure: &Structure) -> Result<(), String> {
        for (m, model) in structure.models.iter().enumerate() {
            let pairs = self.residues.windows(2).filter(|w| w[1].follows && !w[1].nucleotide);
            let mut steps: Vec<(f64, usize)> = pairs
                .map(|w| {
                    let (a, b) = (w[0].points.start, w[1].points.start);
                    (distance(&model[a], &model[b]), b)
                })
                .collect();
            steps.sort_by(|a, b| a.0.total_cmp(&b.0));
            let middle = steps.get(steps.len() / 2).map_or(3.8, |step| step.0);
            if !(2.0..6.0).contains(&middle) {
                return Err(format!(
                    "model {}: residues that follow one another are {middle:.2} Å apart, in proteins 3 to 4 Å; are the \
                     coordinates Å?",
                    m + 1
                ));
            }
            if let Some((d, at)) = steps.first().filter(|step| step.0 < COLLAPSED) {
                let who = label(&structure.atoms[*at]);
                return Err(format!("model {}: {who} lies {d:.2} Å from the residue before it", m + 1));
            }
        }
        Ok(())
    }

    /// Stretches of residues that are joined and have a type.
    pub fn chains(&self) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = vec![];
        for (r, residue) in self.residues.iter().enumerate() {
            if residue.kind.is_none() {
                continue;
            }
            match found.last_mut() {
                Some(last) if last.end == r && residue.follows => last.end = r + 1,
                _ => found.push(r..r + 1),
            }
        }
        found
    }
}
