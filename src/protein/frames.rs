//! A rigid frame for each residue, and motions between frames as a unit quaternion and a translation.
//!
//! The frame of a residue has its origin in CA, its x axis towards C and its y axis, at right angles, towards N
//! (AlphaFold's convention). Columns of the rotation are the axes.

use super::residue::Atoms;
use crate::error::{Error, Result};
use nalgebra::{Matrix3, Quaternion, Rotation3, UnitQuaternion, Vector3};
use rayon::prelude::*;

/// Keeps the length of a vanishing vector from dividing by zero, Å².
pub(super) const TINY: f64 = 1e-8;

/// Motion between two frames: unit quaternion (w, x, y, z) with w ≥ 0, then the translation in Å.
pub type Offset = [f32; 7];

/// Frames of residues, x → R x + t. Many time steps follow one another: [frames × residues].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frames {
    /// Rows of R: `rotations[i][row][column]`. `as_flattened()` twice gives [frames, residues, 3, 3].
    pub rotations: Vec<[[f32; 3]; 3]>,
    /// t in Å.
    pub translations: Vec<[f32; 3]>,
}

impl Frames {
    /// Frames of residues with N, CA and C at places 0, 1 and 2; `atoms` [frames × residues] in Å.
    pub fn of_atoms(atoms: &[Atoms]) -> Frames {
        let rotations = atoms.par_iter().with_min_len(256).map(|a| rows(&backbone(a))).collect();
        Frames { rotations, translations: atoms.iter().map(|a| a[1]).collect() }
    }

    pub fn len(&self) -> usize {
        self.rotations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rotations.is_empty()
    }

    /// Each frame as seen from the `key` frame of its residue, key⁻¹ ∘ frame. `key` holds one time step [residues],
    /// self [frames × residues]; the result is [frames × residues].
    pub fn offsets_from(&self, key: &Frames) -> Result<Vec<Offset>> {
        whole_steps("frames", self.len(), key.len())?;
        let one = |i: usize| {
            let k = i % key.len();
            let from = matrix(&key.rotations[k]).transpose();
            let rotation = from * matrix(&self.rotations[i]);
            let shift = from * (vector(&self.translations[i]) - vector(&key.translations[k]));
            let q = quaternion(&rotation);
            [q[0], q[1], q[2], q[3], shift[0], shift[1], shift[2]].map(|v| v as f32)
        };
        Ok((0..self.len()).into_par_iter().with_min_len(256).map(one).collect())
    }

    /// The inverse of [`Frames::offsets_from`]: key ∘ offset. Quaternions of any length count as unit ones, as a
    /// network gives them.
    pub fn from_offsets(key: &Frames, offsets: &[Offset]) -> Result<Frames> {
        whole_steps("offsets", offsets.len(), key.len())?;
        let one = |(i, offset): (usize, &Offset)| {
            let k = i % key.len();
            let [w, x, y, z, a, b, c] = offset.map(f64::from);
            let unit = UnitQuaternion::try_new(Quaternion::new(w, x, y, z), 0.0).unwrap_or_default();
            let to = matrix(&key.rotations[k]);
            let place: Vector3<f64> = to * Vector3::new(a, b, c) + vector(&key.translations[k]);
            (rows(&(to * unit.to_rotation_matrix().into_inner())), <[f32; 3]>::from(place.map(|v| v as f32)))
        };
        let (rotations, translations) = offsets.par_iter().enumerate().with_min_len(256).map(one).unzip();
        Ok(Frames { rotations, translations })
    }

    /// The time steps `from..to` of frames with so many residues each.
    pub fn steps(&self, residues: usize, from: usize, to: usize) -> Frames {
        let end = to.saturating_mul(residues).min(self.len());
        let range = from.saturating_mul(residues).min(end)..end;
        Frames {
            rotations: self.rotations[range.clone()].to_vec(),
            translations: self.translations[range].to_vec(),
        }
    }
}

/// Refuses a number of entries that is no whole number of time steps.
pub(super) fn whole_steps(what: &str, entries: usize, residues: usize) -> Result<usize> {
    if residues == 0 || !entries.is_multiple_of(residues) {
        let why = format!("{entries} {what} are no whole number of time steps of {residues} residues");
        return Err(Error::Shape(why));
    }
    Ok(entries / residues)
}

fn backbone(atoms: &Atoms) -> Matrix3<f64> {
    let [n, ca, c] = [0, 1, 2].map(|i| vector(&atoms[i]));
    axes(c - ca, n - ca)
}

/// Axes with the first along `x` and the second, at right angles, towards `y`.
pub(super) fn axes(x: Vector3<f64>, y: Vector3<f64>) -> Matrix3<f64> {
    let x = unit(x);
    let y = unit(y - x * x.dot(&y));
    Matrix3::from_columns(&[x, y, x.cross(&y)])
}

fn unit(v: Vector3<f64>) -> Vector3<f64> {
    v / (v.norm_squared() + TINY).sqrt()
}

/// (w, x, y, z) of a rotation, with w ≥ 0.
fn quaternion(rotation: &Matrix3<f64>) -> [f64; 4] {
    let q = UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(*rotation));
    let sign = if q.w < 0.0 { -1.0 } else { 1.0 };
    [q.w, q.i, q.j, q.k].map(|v| v * sign)
}

pub(super) fn vector(v: &[f32; 3]) -> Vector3<f64> {
    Vector3::from(v.map(f64::from))
}

pub(super) fn matrix(r: &[[f32; 3]; 3]) -> Matrix3<f64> {
    Matrix3::from_fn(|i, j| f64::from(r[i][j]))
}

fn rows(r: &Matrix3<f64>) -> [[f32; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| r[(i, j)] as f32))
}
