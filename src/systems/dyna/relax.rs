//! Bead models brought to rest in their force field.

use std::collections::HashMap;
use std::path::Path;

use crate::interrupt;
use crate::io::structure::{Atom, Structure};
use crate::protein::backmap::Backmap;
use crate::protein::backmap::coarse::{Coarse, Form, label};
use crate::protein::martini::{Beads, ForceField, Topology};
use crate::protein::minimise::{Energy, Outcome, Point, Settings, Tick, descend, each};
use crate::{Error, Result};

/// Bead models of one file, and the beads that they are.
pub struct Relax {
    models: Structure,
    beads: Beads,
    topology: Topology,
    /// The place among the beads of each point of the file.
    order: Vec<usize>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// What became of one model; energies in kJ/mol, the force in kJ/mol/Å.
#[derive(Clone, Debug)]
pub struct Relaxed {
    pub outcome: Outcome,
    pub before: Vec<(&'static str, f64)>,
    pub after: Vec<(&'static str, f64)>,
}

impl Relax {
    /// Secondary structure, which the force field needs, is that of the model of all atoms, or else that of a backbone
    /// built from the beads of the first model. Paths are for messages.
    pub fn new(models: Structure, path: &Path, reference: Option<(Structure, &Path)>) -> Result<Relax> {
        let mut notes = vec![];
        let beads = match reference {
            Some((atoms, at)) => Beads::of(&atoms, None, at)?,
            None => {
                let first = Structure {
                    atoms: models.atoms.clone(),
                    models: models.models[..1.min(models.models.len())].to_vec(),
                };
                let coarse = Coarse::of(first, path)?;
                if coarse.form != Form::Beads {
                    let why =
                        "CA atoms alone; give beads (BB, SC1..SC4), as kinesome dyna martinize writes them";
                    return Err(Error::malformed(path, "", why));
                }
                notes.push("secondary structure is found from the beads; --reference takes that of a model of all atoms".into());
                let (atoms, _) = Backmap::new(coarse, path, None)?.run(&mut |_, _| Ok(()))?;
                Beads::of(&atoms, None, path)?
            }
        };
        let key = |a: &Atom| (a.chain.clone(), a.residue_number, a.insertion_code, a.name.clone());
        let known: HashMap<_, usize> = beads.atoms.iter().enumerate().map(|(i, a)| (key(a), i)).collect();
        let mut seen = vec![false; beads.len()];
        let mut order = vec![];
        for atom in &models.atoms {
            let Some(&i) = known.get(&key(atom)) else {
                let why = "no such bead is expected: it must have the beads that kinesome dyna martinize makes of the model";
                return Err(Error::malformed(path, format!("{} of {}", atom.name, label(atom)), why));
            };
            if std::mem::replace(&mut seen[i], true) {
                return Err(Error::malformed(
                    path,
                    format!("{} of {}", atom.name, label(atom)),
                    "is there twice",
                ));
            }
            order.push(i);
        }
        if let Some(i) = seen.iter().position(|seen| !seen) {
            let atom = &beads.atoms[i];
            return Err(Error::malformed(path, label(atom), format!("bead {} is missing", atom.name)));
        }
        let topology = Topology::new(&beads);
        Ok(Relax { models, beads, topology, order, notes })
    }

    /// Steepest descent of all models, several at a time; lengths in Å.
    pub fn run(&self, settings: &Settings, tick: &mut Tick) -> Result<(Structure, Vec<Relaxed>)> {
        let made = each(self.models.models.len(), tick, |m| {
            let mut points = vec![Point::zeros(); self.beads.len()];
            let places = &self.models.models[m];
            self.order.iter().zip(places).for_each(|(&i, place)| points[i] = Point::from(*place));
            let mut energy = ForceField::new(&self.beads, self.topology.clone());
            let before = energy.terms(&points);
            let outcome = descend(&mut energy, &mut points, settings, &mut |_, _, _| interrupt::check())?;
            let relaxed = Relaxed { outcome, before, after: energy.terms(&points) };
            Ok((self.order.iter().map(|&i| points[i].into()).collect(), relaxed))
        })?;
        let (models, relaxed) = made.into_iter().unzip();
        Ok((Structure { atoms: self.models.atoms.clone(), models }, relaxed))
    }
}
