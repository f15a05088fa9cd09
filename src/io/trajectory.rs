//! Trajectories: the frames of one molecule in time, whatever the file's format. Coordinates are Å.

use crate::error::{Error, Result};
use crate::io::dcd::{DcdFile, DcdWriter};
use crate::io::structure::Structure;
use crate::io::xtc::{XtcFile, XtcWriter};
use std::path::Path;

/// One frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// ps; 0 where the file does not say.
    pub time: f32,
    /// Å, in the order of the topology.
    pub positions: Vec<[f32; 3]>,
}

/// A trajectory to read, frame by frame in any order.
pub enum Trajectory {
    Xtc(XtcFile),
    Dcd(DcdFile),
    /// The models of a PDB or mmCIF file.
    Models(Structure),
}

impl Trajectory {
    /// Opens `.xtc`, `.dcd`, `.pdb`, `.ent`, `.cif` or `.mmcif`.
    pub fn open(path: &Path) -> Result<Trajectory> {
        match extension(path).as_str() {
            "xtc" => Ok(Trajectory::Xtc(XtcFile::open(path)?)),
            "dcd" => Ok(Trajectory::Dcd(DcdFile::open(path)?)),
            "pdb" | "ent" | "cif" | "mmcif" => Ok(Trajectory::Models(Structure::read(path)?)),
            _ => Err(Error::malformed(
                path,
                "",
                "a trajectory is .xtc, .dcd, or .pdb or .cif with many models; convert others with their program",
            )),
        }
    }

    /// Whether [`Trajectory::open`] knows files of this name.
    pub fn knows(path: &Path) -> bool {
        ["xtc", "dcd", "pdb", "ent", "cif", "mmcif"].contains(&extension(path).as_str())
    }

    pub fn frames(&self) -> usize {
        match self {
            Trajectory::Xtc(file) => file.frames(),
            Trajectory::Dcd(file) => file.frames(),
            Trajectory::Models(structure) => structure.models.len(),
        }
    }

    pub fn atoms(&self) -> usize {
        match self {
            Trajectory::Xtc(file) => file.atoms(),
            Trajectory::Dcd(file) => file.atoms(),
            Trajectory::Models(structure) => structure.atoms.len(),
        }
    }

    /// Frame `frame`, counted from 0.
    pub fn read(&self, frame: usize) -> Result<Snapshot> {
        match self {
            Trajectory::Xtc(file) => file.read(frame),
            Trajectory::Dcd(file) => file.read(frame),
            Trajectory::Models(structure) => {
                let model = structure.models.get(frame).ok_or_else(|| beyond(frame, self.frames()))?;
                let positions = model.iter().map(|p| p.map(|x| x as f32)).collect();
                Ok(Snapshot { time: 0.0, positions })
            }
        }
    }
}

/// A trajectory being written, `.xtc` or `.dcd` by its name; it appears whole at [`TrajectoryWriter::finish`].
pub enum TrajectoryWriter {
    Xtc(XtcWriter),
    Dcd(DcdWriter),
}

impl TrajectoryWriter {
    pub fn create(path: &Path) -> Result<TrajectoryWriter> {
        match extension(path).as_str() {
            "xtc" => Ok(TrajectoryWriter::Xtc(XtcWriter::create(path)?)),
            "dcd" => Ok(TrajectoryWriter::Dcd(DcdWriter::create(path)?)),
            _ => Err(Error::usage(format!("{}: the name must end in .xtc or .dcd", path.display()))),
        }
    }

    /// Appends a frame; all must have the same number of atoms, and DCD wants the same time between them.
    pub fn push(&mut self, frame: &Snapshot) -> Result<()> {
        match self {
            TrajectoryWriter::Xtc(out) => out.push(frame),
            TrajectoryWriter::Dcd(out) => out.push(frame),
        }
    }

    pub fn finish(self) -> Result<()> {
        match self {
            TrajectoryWriter::Xtc(out) => out.finish(),
            TrajectoryWriter::Dcd(out) => out.finish(),
        }
    }
}

fn extension(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase()
}

pub(super) fn beyond(frame: usize, frames: usize) -> Error {
    Error::usage(format!("frame {frame} was asked for, but there are {frames}, counted from 0"))
}

/// Refuses a frame that cannot be written: its atoms differ in number from the first frame's `atoms`, or a place is
/// not finite or larger than `most` Å. `frame` counts from 0.
pub(super) fn check(path: &Path, frame: usize, atoms: usize, given: &Snapshot, most: f32) -> Result<()> {
    let place = format!("frame {frame}");
    if given.positions.len() != atoms {
        let why = format!("it has {} atoms, the first frame {atoms}", given.positions.len());
        return Err(Error::malformed(path, place, why));
    }
    let bad = |p: &[f32; 3]| p.iter().any(|x| !(-most..=most).contains(x));
    if let Some(i) = given.positions.iter().position(bad) {
        let [x, y, z] = given.positions[i];
        let why = format!("atom {} lies at {x}, {y}, {z} Å, which cannot be written", i + 1);
        return Err(Error::malformed(path, place, why));
    }
    Ok(())
}
