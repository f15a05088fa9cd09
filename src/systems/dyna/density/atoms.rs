//! Atomic models as maps, and models and maps in one frame.

use std::path::Path;

use crate::Result;
use crate::cryo::simulate::density::{Sampler, density_map};
use crate::io::mrc::Header;
use crate::io::structure::Structure;
use crate::protein::elements::{atomic_number, is_water};
use crate::systems::dyna::reference::Reference;

/// Places and electrons.
pub type Points = Vec<([f64; 3], f64)>;

/// The atoms of a structure's model, without water.
pub fn atoms(structure: &Structure, model: usize) -> Points {
    let all = structure.atoms.iter().zip(&structure.models[model]);
    let kept = all.filter(|(atom, _)| !is_water(&atom.residue_name));
    kept.map(|(atom, place)| (*place, f64::from(atomic_number(&atom.element).unwrap_or(6)))).collect()
}

/// Its residues as the residue stage sees them: the electrons of all atoms at the CA or C1'.
pub fn residues(structure: &Structure, model: usize, path: &Path) -> Result<Points> {
    let one = Structure { atoms: structure.atoms.clone(), models: vec![structure.models[model].clone()] };
    let reference = Reference::of(&one, path)?;
    Ok(reference.scatterers().map(|point| (point.place, point.electrons)).collect())
}

/// The sum of Gaussians of width `sigma` (Å), each as high as its electrons, `[side, side, side]` (z, y, x) with the
/// origin at voxel side/2; cut off where less than 1e-7 of a peak is left.
pub fn map(points: &[([f64; 3], f64)], side: usize, apix: f64, sigma: f64) -> Vec<f32> {
    let width = sigma / apix;
    let height = (width * std::f64::consts::TAU.sqrt()).powi(3);
    let peaks: Points = points.iter().map(|&(place, electrons)| (place, electrons * height)).collect();
    density_map(&Sampler::new(side, width), &peaks, apix)
}

/// The place of a box's voxel side/2, Å.
pub fn middle(header: &Header, apix: f64) -> [f64; 3] {
    let mut sides = [0; 3];
    for (axis, stored) in header.axes.into_iter().zip([header.nx, header.ny, header.nz]) {
        sides[axis] = stored;
    }
    [0, 1, 2].map(|k| header.origin[k] + (sides[k] / 2) as f64 * apix)
}

/// Mean place by electrons.
pub fn centroid(points: &[([f64; 3], f64)]) -> [f64; 3] {
    let total: f64 = points.iter().map(|(_, electrons)| electrons).sum();
    [0, 1, 2].map(|k| points.iter().map(|(p, electrons)| p[k] * electrons).sum::<f64>() / total.max(1.0))
}
