//! The structure that motion is learned from: a point for each residue, with its electrons.

use std::collections::HashMap;
use std::path::Path;

use crate::io::structure::{self, Atom, Structure};
use crate::protein::elements::{atomic_number, is_water};
use crate::protein::secondary::{self, Backbone};
use crate::{Error, Result};

/// How wide a residue looks, Å.
const WIDTH: f64 = 2.0;

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
    /// The residue that carries it.
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
    /// The CA of each residue, C1' of nucleotides.
    pub atoms: Vec<Atom>,
    /// Å from the middle of the box.
    pub places: Vec<[f64; 3]>,
    /// Of all atoms of a residue that the file has.
    pub electrons: Vec<f64>,
    /// How wide each point looks, Å.
    pub widths: Vec<f64>,
    /// Number of the chain of each residue.
    pub chains: Vec<usize>,
    pub nucleic: Vec<bool>,
    /// Secondary structure in eight states.
    pub codes: Vec<char>,
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

/// A few of them, and how many more.
fn listed(labels: &[String]) -> String {
    let more = if labels.len() > 4 { format!(" and {} more", labels.len() - 4) } else { String::new() };
    format!("{}{more}", labels[..labels.len().min(4)].join(", "))
}

impl Reference {
    /// Reads a PDB or mmCIF file; of several models the first. `box_length` is the side of the images in Å.
    pub fn read(path: &Path, origin: Origin, box_length: f64) -> Result<Reference> {
        let structure = Structure::read(path)?;
        let mut reference = Reference::of(&structure, path)?;
        if structure.models.len() > 1 {
            reference.notes.push(format!("of {} models the first is used", structure.models.len()));
        }
        reference.place(path, origin, box_length)?;
        Ok(reference)
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
            carried: vec![],
            offset: [0.0; 3],
            notes: vec![],
        };
        let mut backbones = vec![];
        let mut chain_numbers: HashMap<&str, usize> = HashMap::new();
        let (mut waters, mut others) = (0, vec![]);
        for residue in residues(structure) {
            if is_water(&residue.atoms[0].residue_name) {
                waters += 1;
                continue;
            }
            let Some(point) = residue.point() else {
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
        if !others.is_empty() {
            let labels: Vec<String> = others.iter().map(Residue::label).collect();
            whole.notes.push(format!(
                "{} without CA or C1' go rigidly with the nearest residue: {}",
                if labels.len() == 1 { "1 group".into() } else { format!("{} groups", labels.len()) },
                listed(&labels)
            ));
        }
        if waters > 0 {
            whole.notes.push(format!("{waters} waters are left out"));
        }
        whole.carried = others
            .iter()
            .map(|other| {
                let place = other.centroid();
                let nearest = |a: &usize, b: &usize| {
                    distance(&whole.places[*a], &place).total_cmp(&distance(&whole.places[*b], &place))
                };
                let by = (0..whole.places.len()).min_by(nearest).unwrap_or(0);
                Carried { place, electrons: other.electrons(), by }
            })
            .collect();
        let broken: Vec<String> = (1..whole.atoms.len())
            .filter(|&i| whole.chains[i] == whole.chains[i - 1] && !whole.bonded(i - 1, i))
            .map(|i| {
                let (a, b) = (&whole.atoms[i - 1], &whole.atoms[i]);
                format!("{}{}-{}", a.chain, a.residue_number, b.residue_number)
            })
            .collect();
        if !broken.is_empty() {
            whole.notes.push(format!(
                "the chain is broken at {}; the parts are held together by their neighbours alone",
                listed(&broken)
            ));
        }
        Ok(whole)
    }

    /// Residues.
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

    /// The residues' points as a structure in the file's own coordinates, one model for each list of places.
    pub fn structure(&self, models: &[Vec<[f64; 3]>]) -> Structure {
        let back = |p: &[f64; 3]| [0, 1, 2].map(|k| p[k] + self.offset[k]);
        let models = models.iter().map(|model| model.iter().map(back).collect()).collect();
        Structure { atoms: self.atoms.clone(), models }
    }
}
