//! Torsions of residues from their atoms, and atoms from frames and torsions.

use super::frames::{Frames, axes, matrix, vector, whole_steps};
use super::residue::{ATOMS, Atoms, GROUPS, RESIDUES, TORSIONS, Torsions, default_frame};
use super::superpose::Motion;
use crate::error::{Error, Result};
use nalgebra::{Matrix3, Vector3};
use rayon::prelude::*;

/// What stands for the φ of the first residue, which has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FirstPhi {
    /// (0, 0), as for every other torsion that a residue lacks.
    #[default]
    Zero,
    /// The dihedral through the origin of the coordinates, as released MDGen weights have seen it: it changes when
    /// the molecule is moved.
    ThroughOrigin,
}

/// 1 where a residue of the chain has the torsion, otherwise 0; `kinds` [residues], the result [residues].
pub fn torsion_mask(kinds: &[usize]) -> Vec<[f32; TORSIONS]> {
    let one = |(i, &kind): (usize, &usize)| {
        let Some(residue) = RESIDUES.get(kind) else { return [0.0; TORSIONS] };
        std::array::from_fn(|t| {
            let has = match t {
                0 | 1 => i > 0,
                2 => true,
                _ => t - 3 < residue.chi.len(),
            };
            f32::from(u8::from(has))
        })
    };
    kinds.iter().enumerate().map(one).collect()
}

/// Sine and cosine of the torsions of a chain: `kinds` [residues], `atoms` [frames × residues] in Å, the result
/// [frames × residues]. Torsions that a residue lacks are (0, 0).
pub fn torsions(kinds: &[usize], atoms: &[Atoms], first: FirstPhi) -> Result<Vec<Torsions>> {
    whole_steps("residues", atoms.len(), kinds.len())?;
    let one = |i: usize| {
        let r = i % kinds.len();
        let before = if r > 0 { Some(&atoms[i - 1]) } else { None };
        residue_torsions(kinds[r], before, &atoms[i], first)
    };
    Ok((0..atoms.len()).into_par_iter().with_min_len(256).map(one).collect())
}

fn residue_torsions(kind: usize, before: Option<&Atoms>, atoms: &Atoms, first: FirstPhi) -> Torsions {
    let mut found = [[0.0; 2]; TORSIONS];
    let Some(residue) = RESIDUES.get(kind) else { return found };
    let at = |i: usize| vector(&atoms[i]);
    let [n, ca, c, o] = [0, 1, 2, 3].map(at);
    match before {
        Some(before) => {
            found[0] = dihedral([vector(&before[1]), vector(&before[2]), n, ca]);
            found[1] = dihedral([vector(&before[2]), n, ca, c]);
        }
        None if first == FirstPhi::ThroughOrigin => found[1] = dihedral([Vector3::zeros(), n, ca, c]),
        None => {}
    }
    found[2] = dihedral([n, ca, c, o]).map(|v| -v);
    for k in 0..residue.chi.len() {
        if let Some(four) = residue.chi_atoms(k) {
            found[3 + k] = dihedral(four.map(at));
        }
    }
    found
}

/// Sine and cosine of the dihedral angle of four points.
fn dihedral(p: [Vector3<f64>; 4]) -> [f32; 2] {
    let local = axes(p[2] - p[1], p[0] - p[2]).transpose() * (p[3] - p[2]);
    let length = (local.z * local.z + local.y * local.y + super::frames::TINY).sqrt();
    [(local.z / length) as f32, (local.y / length) as f32]
}

/// Atoms with ideal bonds and angles: `kinds` [residues], `frames` and `torsions` [frames × residues]; the result
/// [frames × residues] in Å, zero where a residue has no atom. Pairs of sine and cosine of any length count as unit
/// ones, as a network gives them; a pair of two zeros is the angle 0.
pub fn place_atoms(kinds: &[usize], frames: &Frames, torsions: &[Torsions]) -> Result<Vec<Atoms>> {
    whole_steps("frames", frames.len(), kinds.len())?;
    if torsions.len() != frames.len() || frames.translations.len() != frames.len() {
        let why = format!("torsions of {} residues for {} frames", torsions.len(), frames.len());
        return Err(Error::Shape(why));
    }
    let one = |i: usize| {
        let frame =
            Motion { rotation: matrix(&frames.rotations[i]), translation: vector(&frames.translations[i]) };
        place_residue(kinds[i % kinds.len()], &frame, &torsions[i])
    };
    Ok((0..frames.len()).into_par_iter().with_min_len(256).map(one).collect())
}

pub(super) fn place_residue(kind: usize, frame: &Motion, torsions: &Torsions) -> Atoms {
    let mut placed = [[0.0; 3]; ATOMS];
    let Some(residue) = RESIDUES.get(kind) else { return placed };
    let mut groups = [None; GROUPS];
    groups[0] = Some(*frame);
    for group in 1..GROUPS {
        let hangs_from = if group > 4 { groups[group - 1] } else { Some(*frame) };
        if let (Some(from), Some(default)) = (hangs_from, default_frame(kind, group)) {
            groups[group] = Some(from.after(default).after(&about_x(torsions[group - 1])));
        }
    }
    for (place, atom) in placed.iter_mut().zip(residue.atoms) {
        if let Some(group) = &groups[atom.group] {
            *place = group.apply(&vector(&atom.place)).map(|v| v as f32).into();
        }
    }
    placed
}

fn about_x([sin, cos]: [f32; 2]) -> Motion {
    let (sin, cos) = (f64::from(sin), f64::from(cos));
    let length = sin.hypot(cos);
    let (sin, cos) = if length > 0.0 { (sin / length, cos / length) } else { (0.0, 1.0) };
    let rotation = Matrix3::new(1.0, 0.0, 0.0, 0.0, cos, -sin, 0.0, sin, cos);
    Motion { rotation, translation: Vector3::zeros() }
}
