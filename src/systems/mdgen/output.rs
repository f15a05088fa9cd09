//! Generated trajectories for other programs: the heavy atoms of chain A, superposed on the first frame.

use crate::error::{Error, Result};
use crate::io::structure::Structure;
use crate::io::trajectory::{Snapshot, TrajectoryWriter};
use crate::protein::chain::{OntoFirst, heavy_atoms, move_atoms, structure_of};
use crate::protein::residue::Atoms;
use std::path::{Path, PathBuf};

/// A trajectory being written. `NAME.xtc` or `NAME.dcd` gets its topology, the first frame, beside it in `NAME.pdb`;
/// `NAME.pdb` alone gets one model a frame. Both appear whole at [`ChainWriter::finish`].
pub struct ChainWriter {
    path: PathBuf,
    kinds: Vec<usize>,
    /// ps between frames.
    step: f32,
    onto: OntoFirst,
    frames: usize,
    /// The topology and its first model.
    structure: Structure,
    /// `None`: the models of a PDB file.
    trajectory: Option<TrajectoryWriter>,
}

impl ChainWriter {
    /// Begins a trajectory of residues of these types with a frame every `step` ps.
    pub fn create(path: &Path, kinds: &[usize], step: f32) -> Result<ChainWriter> {
        let models = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pdb"));
        let structure = structure_of(kinds, &[])?;
        let trajectory = if models { None } else { Some(TrajectoryWriter::create(path)?) };
        Ok(ChainWriter {
            path: path.to_path_buf(),
            kinds: kinds.to_vec(),
            step,
            onto: OntoFirst::default(),
            frames: 0,
            structure,
            trajectory,
        })
    }

    /// Appends a frame [residues], Å.
    pub fn push(&mut self, frame: &[Atoms]) -> Result<()> {
        if frame.len() != self.kinds.len() {
            let why = format!("a frame of {} residues for a chain of {}", frame.len(), self.kinds.len());
            return Err(Error::Shape(why));
        }
        let mut moved = frame.to_vec();
        move_atoms(&self.kinds, &self.onto.motion(heavy_atoms(&self.kinds, frame)), &mut moved);
        let places = heavy_atoms(&self.kinds, &moved);
        if let Some(trajectory) = &mut self.trajectory {
            let positions = places.iter().map(|p| p.map(|x| x as f32)).collect();
            trajectory.push(&Snapshot { time: self.step * self.frames as f32, positions })?;
        }
        if self.frames == 0 || self.trajectory.is_none() {
            self.structure.models.push(places);
        }
        self.frames += 1;
        Ok(())
    }

    pub fn finish(self) -> Result<()> {
        if self.frames == 0 {
            return Err(Error::usage(format!("{}: there are no frames to write", self.path.display())));
        }
        // The topology first: a trajectory without it is of no use.
        self.structure.write(&self.path.with_extension("pdb"))?;
        self.trajectory.map_or(Ok(()), TrajectoryWriter::finish)
    }
}
