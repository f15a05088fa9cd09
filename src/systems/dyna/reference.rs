//! The structure that motion is learned from: points, residues or beads, with their electrons.

use std::collections::HashMap;
use std::path::Path;

use super::config::{Config, Stage};
use super::perturb::bend;
use crate::error::listed;
use crate::io::structure::{self, Atom, Structure};
use crate::protein::elements::{atomic_number, is_water};
use crate::protein::martini::{Beads, ForceField, Topology};
use crate::protein::minimise::{Point, Settings, descend};
use crate::protein::secondary::{self, Backbone};
use crate::protein::superpose::superpose;
use crate::{Error, Result};
use nalgebra::Vector3;

/// How wide a residue looks, Å.
const WIDTH: f64 = 2.0;
/// C1' of nucleotides that follow one another are nearer, Å; those of two that only touch may be too.
const NEXT_NUCLEOTIDE: f64 = 8.0;

/// Where the origin of a structure's coordinates stands in its images.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Whichever of the two lies nearer to the structure.
    Auto,
    /// In the middle of the box.
    Centre,
    /// At the first voxel of a map, as models built into maps have it.
    Corner,
    /// The structure is moved so that the centroid of its electrons stands in the middle.
    Centroid,
}

impl Origin {
    pub fn from_name(name: &str) -> Result<Origin> {
        match name {
            "auto" => Ok(Origin::Auto),
            "centre" | "center" => Ok(Origin::Centre),
            "corner" => Ok(Origin::Corner),
            "centroid" => Ok(Origin::Centroid),
            other => Err(Error::usage(format!("--origin {other}: choose auto, centre, corner or centroid"))),
        }
    }
}

/// Electrons that move with a residue: a ligand, an ion, a residue without its CA.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    pub place: [f64; 3],
    pub electrons: f64,
    /// The point that carries it.
    pub by: usize,
}

/// Electrons of one place in an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scatterer {
    pub place: [f64; 3],
    pub electrons: f64,
    pub width: f64,
}

#[derive(Clone, Debug)]
pub struct Reference {
    /// The CA of each residue, C1' of nucleotides; or beads.
    pub atoms: Vec<Atom>,
    /// Å from the middle of the box.
    pub places: Vec<[f64; 3]>,
    /// Of all atoms of a residue that the file has, or of a bead.
    pub electrons: Vec<f64>,
    /// How wide each point looks, Å.
    pub widths: Vec<f64>,
    /// Number of the chain of each point.
    pub chains: Vec<usize>,
    /// Of residues.
    pub nucleic: Vec<bool>,
    /// Secondary structure of residues, in eight states; in MARTINI's codes where there are beads.
    pub codes: Vec<char>,
    /// What the points are, where they are beads.
    pub beads: Option<Beads>,
    pub carried: Vec<Carried>,
    /// What was subtracted from the file's coordinates, Å.
    pub offset: [f64; 3],
    /// What the user should know.
    pub notes: Vec<String>,
}

/// A run of atoms that are one residue.
struct Residue<'a> {
    atoms: &'a [Atom],
    places: &'a [[f64; 3]],
}

impl Residue<'_> {
    fn find(&self, name: &str) -> Option<usize> {
        self.atoms.iter().position(|atom| atom.name == name)
    }

    /// The atom that stands for the residue. An ion of calcium is called CA too.
    fn point(&self) -> Option<usize> {
        let ca = self.find("CA").filter(|&i| self.atoms[i].element == "C");
        ca.or_else(|| self.find("C1'")).or_else(|| self.find("C1*").filter(|_| self.find("C4*").is_some()))
    }

    fn is_nucleotide(&self) -> bool {
        self.find("CA").is_none() && self.point().is_some()
    }

    /// A nucleotide by itself, as ATP: a ligand.
    fn is_cofactor(&self, neighbours: [Option<&Residue>; 2]) -> bool {
        let next_to = |other: &Residue| {
            let (Some(here), Some(there)) = (self.point(), other.point()) else { return false };
            other.is_nucleotide()
                && other.atoms[0].chain == self.atoms[0].chain
                && distance(&self.places[here], &other.places[there]) < NEXT_NUCLEOTIDE
        };
        self.is_nucleotide() && self.atoms[0].hetero && !neighbours.into_iter().flatten().any(next_to)
    }

    fn electrons(&self) -> f64 {
        self.atoms.iter().map(|a| f64::from(atomic_number(&a.element).unwrap_or(6))).sum()
    }

    /// Mean place by electrons.
    fn centroid(&self) -> [f64; 3] {
        let total = self.electrons().max(1.0);
        let weight = |a: &Atom| f64::from(atomic_number(&a.element).unwrap_or(6)) / total;
        [0, 1, 2].map(|k| self.atoms.iter().zip(self.places).map(|(a, p)| weight(a) * p[k]).sum())
    }

    fn label(&self) -> String {
        let a = &self.atoms[0];
        let code = a.insertion_code.map(String::from).unwrap_or_default();
        format!("{} {}{}{code}", a.residue_name, a.chain, a.residue_number)
    }

    fn backbone(&self) -> Option<[[f64; 3]; 4]> {
        let mut atoms = [[0.0; 3]; 4];
        for (to, name) in atoms.iter_mut().zip(["N", "CA", "C", "O"]) {
            *to = self.places[self.find(name)?];
        }
        Some(atoms)
    }
}

fn residues(structure: &Structure) -> impl Iterator<Item = Residue<'_>> {
    let places = &structure.models[0];
    structure::residues(&structure.atoms)
        .into_iter()
        .map(|run| Residue { atoms: &structure.atoms[run.clone()], places: &places[run] })
}

fn distance(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
}

impl Reference {
    /// Reads what the configuration names; of several models the first. `box_length` is the side of the images in Å.
    pub fn read(config: &Config, box_length: f64) -> Result<Reference> {
        let dataset = &config.dataset_attr;
        let path: &Path = &dataset.ref_pdb_path;
        let origin = match dataset.origin.as_str() {
            "" => Origin::Auto,
            name => Origin::from_name(name)?,
        };
        let structure = Structure::read(path)?;
        let mut reference = match config.stage {
            Stage::Residue => Reference::of(&structure, path)?,
            Stage::Beads => Reference::of_beads(&structure, path)?,
        };
        match &dataset.ref_cg_pdb_path {
            Some(path) => reference.take_places(&Structure::read(path)?, path)?,
            None if !config.parity => reference.settle()?,
            None => {}
        }
        if structure.models.len() > 1 {
            reference.notes.push(format!("of {} models the first is used", structure.models.len()));
        }
        reference.place(path, origin, box_length)?;
        if dataset.perturb > 0.0 {
            reference.bend(dataset.perturb, config.seed);
        }
        Ok(reference)
    }

    /// Bends all points smoothly by `rmsd` Å.
    fn bend(&mut self, rmsd: f64, seed: u64) {
        let mut points: Vec<[f64; 3]> =
            self.places.iter().copied().chain(self.carried.iter().map(|c| c.place)).collect();
        bend(&mut points, rmsd, seed);
        let carried = points.split_off(self.places.len());
        self.places = points;
        self.carried.iter_mut().zip(carried).for_each(|(c, place)| c.place = place);
        self.notes.push(format!("the model is bent by {rmsd} Å, as asked"));
    }

    /// The points of a structure, where the file has them.
    pub fn of(structure: &Structure, path: &Path) -> Result<Reference> {
        let mut whole = Reference {
            atoms: vec![],
            places: vec![],
            electrons: vec![],
            widths: vec![],
            chains: vec![],
            nucleic: vec![],
            codes: vec![],
            beads: None,
            carried: vec![],
            offset: [0.0; 3],
            notes: vec![],
        };
        let mut backbones = vec![];
        let mut chain_numbers: HashMap<&str, usize> = HashMap::new();
        let (mut waters, mut others) = (0, vec![]);
        let all: Vec<Residue> = residues(structure).collect();
        for (i, residue) in all.iter().enumerate() {
            if is_water(&residue.atoms[0].residue_name) {
                waters += 1;
                continue;
            }
            let neighbours = [i.checked_sub(1).and_then(|before| all.get(before)), all.get(i + 1)];
            let Some(point) = residue.point().filter(|_| !residue.is_cofactor(neighbours)) else {
                others.push(residue);
                continue;
            };
            let next = chain_numbers.len();
            let chain = *chain_numbers.entry(&residue.atoms[0].chain).or_insert(next);
            backbones.push(residue.backbone().map(|atoms| Backbone {
                atoms,
                proline: residue.atoms[0].residue_name == "PRO",
                // C to N: set below, where both are known.
                follows: false,
            }));
            whole.atoms.push(Atom { hetero: false, ..residue.atoms[point].clone() });
            whole.places.push(residue.places[point]);
            whole.electrons.push(residue.electrons());
            whole.widths.push(WIDTH);
            whole.chains.push(chain);
            whole.nucleic.push(residue.is_nucleotide());
        }
        if whole.atoms.len() < 3 {
            let why = format!(
                "{} residues have a CA (or C1') atom; give a model of a protein or nucleic acid with at least 3",
                whole.atoms.len()
            );
            return Err(Error::malformed(path, "", why));
        }
        for i in 1..backbones.len() {
            let before = backbones[i - 1].map(|b: Backbone| b.atoms[2]);
            if let (Some(c), Some(here)) = (before, &mut backbones[i]) {
                here.follows = whole.chains[i] == whole.chains[i - 1] && distance(&c, &here.atoms[0]) < 2.5;
            }
        }
        whole.codes = secondary::assign(&backbones);
        if waters > 0 {
            whole.notes.push(format!("{waters} waters are left out"));
        }
        whole.carry(&others);
        whole.note_gaps();
        Ok(whole)
    }

    /// The beads of a structure, where its atoms have them.
    pub fn of_beads(structure: &Structure, path: &Path) -> Result<Reference> {
        let beads = Beads::of(structure, None, path)?;
        let places = &structure.models[0];
        let others: Vec<Residue> = beads
            .others
            .iter()
            .map(|run| Residue { atoms: &structure.atoms[run.clone()], places: &places[run.clone()] })
            .collect();
        let mut whole = Reference {
            atoms: beads.atoms.clone(),
            places: beads.places.clone(),
            electrons: beads.electrons.clone(),
            widths: beads.widths.clone(),
            chains: beads.residue_of.iter().map(|&residue| beads.residues[residue].chain).collect(),
            nucleic: beads.residues.iter().map(|residue| residue.nucleic).collect(),
            codes: beads.residues.iter().map(|residue| residue.code).collect(),
            carried: vec![],
            offset: [0.0; 3],
            notes: beads.notes.clone(),
            beads: Some(beads),
        };
        whole.carry(&others.iter().collect::<Vec<_>>());
        whole.note_gaps();
        Ok(whole)
    }

    /// Groups that are no residues go with the point that is nearest.
    fn carry(&mut self, others: &[&Residue]) {
        let carried = others.iter().map(|other| {
            let place = other.centroid();
            let from = |i: &usize| distance(&self.places[*i], &place);
            let by = (0..self.places.len()).min_by(|a, b| from(a).total_cmp(&from(b))).unwrap_or(0);
            Carried { place, electrons: other.electrons(), by }
        });
        self.carried = carried.collect();
        if others.is_empty() {
            return;
        }
        let labels: Vec<String> = others.iter().map(|other| other.label()).collect();
        self.notes.push(format!(
            "{} that are no residues go rigidly with the nearest: {}",
            if labels.len() == 1 { "1 group".into() } else { format!("{} groups", labels.len()) },
            listed(&labels)
        ));
    }

    fn note_gaps(&mut self) {
        let anchors = self.anchors();
        let joined = |i: usize| match &self.beads {
            Some(beads) => beads.residues[i].joined,
            None => self.bonded(i - 1, i),
        };
        let broken: Vec<String> = (1..anchors.len())
            .map(|i| (i, anchors[i - 1], anchors[i]))
            .filter(|&(i, a, b)| self.chains[a] == self.chains[b] && !joined(i))
            .map(|(_, a, b)| {
                let (a, b) = (&self.atoms[a], &self.atoms[b]);
                format!("{}{}-{}", a.chain, a.residue_number, b.residue_number)
            })
            .collect();
        if !broken.is_empty() {
            self.notes.push(format!(
                "the chain is broken at {}; the parts are held together by their neighbours alone",
                listed(&broken)
            ));
        }
    }

    /// Places of the same beads from a file, laid on those that are known.
    fn take_places(&mut self, structure: &Structure, path: &Path) -> Result<()> {
        let name = |a: &Atom| format!("{} of {} {}", a.name, a.residue_name, a.residue_number);
        let (given, own) = (&structure.atoms, &self.atoms);
        if given.len() != own.len() {
            let why = format!(
                "has {} beads, the model has {}: minimise what kinesome dyna martinize writes of it",
                given.len(),
                own.len()
            );
            return Err(Error::malformed(path, "", why));
        }
        if let Some((a, b)) = given.iter().zip(own).find(|(a, b)| a.name != b.name) {
            let why = format!("has {} where the model has {}", name(a), name(b));
            return Err(Error::malformed(path, "", why));
        }
        let places = &structure.models[0];
        let motion = superpose(places, &self.places).0;
        self.places = places.iter().map(|p| motion.apply(&Vector3::from(*p)).into()).collect();
        Ok(())
    }

    /// Brings beads to rest near where they stand. A crystal's beads are far from what MARTINI takes for the least
    /// energy; from there the first steps of training would relax them and forget the images.
    fn settle(&mut self) -> Result<()> {
        let Some(beads) = &self.beads else { return Ok(()) };
        let mut field = ForceField::new(beads, Topology::new(beads));
        let mut points: Vec<Point> = self.places.iter().map(|p| Point::from(*p)).collect();
        // The reference's way: 750 kJ/mol/nm, first steps of 0.001 nm.
        let settings = Settings { steps: 20_000, tolerance: 75.0, step: 0.01 };
        descend(&mut field, &mut points, &settings, &mut |_, _, _| crate::interrupt::check())?;
        let settled: Vec<[f64; 3]> = points.into_iter().map(Into::into).collect();
        let (motion, moved) = superpose(&settled, &self.places);
        self.places = settled.iter().map(|p| motion.apply(&Vector3::from(*p)).into()).collect();
        self.notes.push(format!("the beads are brought to rest, {moved:.2} Å from where the model has them"));
        Ok(())
    }

    /// The residue of a point.
    pub fn residue_of(&self, point: usize) -> usize {
        self.beads.as_ref().map_or(point, |beads| beads.residue_of[point])
    }

    /// The point that stands for each residue.
    pub fn anchors(&self) -> Vec<usize> {
        let Some(beads) = &self.beads else { return (0..self.len()).collect() };
        beads.residues.iter().filter_map(|residue| residue.beads.iter().flatten().next().copied()).collect()
    }

    /// Of all points, those that stand for residues.
    pub fn backbone(&self, places: &[[f64; 3]]) -> Vec<[f64; 3]> {
        self.anchors().into_iter().map(|i| places[i]).collect()
    }

    pub fn residue_chains(&self) -> Vec<usize> {
        self.anchors().into_iter().map(|i| self.chains[i]).collect()
    }

    /// Points that move.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether two residues that stand one behind the other are joined: numbers that follow (with insertions), and
    /// no gap between.
    pub fn bonded(&self, a: usize, b: usize) -> bool {
        let step = self.atoms[b].residue_number - self.atoms[a].residue_number;
        let longest = if self.nucleic[a] || self.nucleic[b] { 10.0 } else { 6.0 };
        self.chains[a] == self.chains[b]
            && (step == 1 || step == 0 && self.atoms[a].insertion_code != self.atoms[b].insertion_code)
            && distance(&self.places[a], &self.places[b]) < longest
    }

    /// All that scatters: the points that move, then what they carry.
    pub fn scatterers(&self) -> impl Iterator<Item = Scatterer> + '_ {
        let moving = (0..self.len()).map(|i| Scatterer {
            place: self.places[i],
            electrons: self.electrons[i],
            width: self.widths[i],
        });
        let carried = |c: &Carried| Scatterer { place: c.place, electrons: c.electrons, width: WIDTH };
        moving.chain(self.carried.iter().map(carried))
    }

    fn centroid(&self) -> [f64; 3] {
        let total: f64 = self.scatterers().map(|s| s.electrons).sum();
        [0, 1, 2].map(|k| self.scatterers().map(|s| s.place[k] * s.electrons).sum::<f64>() / total.max(1.0))
    }

    /// Moves the middle of the box to the origin and says what was found.
    fn place(&mut self, path: &Path, origin: Origin, box_length: f64) -> Result<()> {
        let middle = [0.5 * box_length; 3];
        let centroid = self.centroid();
        let from_centre = distance(&centroid, &[0.0; 3]);
        let from_corner = distance(&centroid, &middle);
        self.offset = match origin {
            Origin::Centre => [0.0; 3],
            Origin::Corner => middle,
            Origin::Centroid => centroid,
            Origin::Auto if from_corner < from_centre => {
                self.notes.push(
                    "the structure stands in a map whose corner is the origin: half a box is subtracted (--origin \
                     centre leaves it)"
                        .into(),
                );
                middle
            }
            Origin::Auto => [0.0; 3],
        };
        let offset = self.offset;
        let carried = self.carried.iter_mut().map(|c| &mut c.place);
        for place in self.places.iter_mut().chain(carried) {
            (0..3).for_each(|k| place[k] -= offset[k]);
        }
        let away = distance(&self.centroid(), &[0.0; 3]);
        let radius = self.scatterers().map(|s| distance(&s.place, &[0.0; 3])).fold(0.0, f64::max);
        if radius > 0.5 * box_length * 3f64.sqrt() || away > 0.25 * box_length {
            return Err(Error::malformed(
                path,
                "",
                format!(
                    "the structure lies {away:.0} Å from the middle of the box and reaches {radius:.0} Å from it; the \
                     box is {box_length:.0} Å: dock it into the map, or centre it with --origin centroid"
                ),
            ));
        }
        if radius > 0.5 * box_length {
            self.notes.push(format!(
                "the structure reaches {radius:.0} Å from the middle of a box of {box_length:.0} Å: parts of it leave \
                 the images"
            ));
        }
        if away > 0.05 * box_length {
            self.notes.push(format!(
                "the structure's centroid lies {away:.1} Å from the middle of the box; --origin centroid would centre it"
            ));
        }
        Ok(())
    }

    /// The points as a structure in the file's own coordinates, one model for each list of places.
    pub fn structure(&self, models: &[Vec<[f64; 3]>]) -> Structure {
        let back = |p: &[f64; 3]| [0, 1, 2].map(|k| p[k] + self.offset[k]);
        let models = models.iter().map(|model| model.iter().map(back).collect()).collect();
        Structure { atoms: self.atoms.clone(), models }
    }
}
