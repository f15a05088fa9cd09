//! The torsions by which ensembles are compared: all backbone φ and ψ, and all side-chain χ1..χ5.

use nalgebra::Vector3;
use rayon::prelude::*;

use super::trajectory::Trajectory;
use crate::protein::residue::{ATOMS, Atoms, RESIDUES};
use crate::stats::random::Philox;

/// The bond that a torsion turns about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Phi,
    Psi,
    /// χ, from 1.
    Chi(usize),
}

/// One torsion of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Torsion {
    /// From 0.
    pub residue: usize,
    pub part: Part,
    /// Four atoms, each by residue and place in atom14.
    atoms: [(usize, usize); 4],
}

impl Torsion {
    /// `phi_2`, `chi1_3`: residues count from 1.
    pub fn name(&self) -> String {
        let residue = self.residue + 1;
        match self.part {
            Part::Phi => format!("phi_{residue}"),
            Part::Psi => format!("psi_{residue}"),
            Part::Chi(k) => format!("chi{k}_{residue}"),
        }
    }

    /// For people: `φ 2`.
    pub fn symbol(&self) -> String {
        let residue = self.residue + 1;
        match self.part {
            Part::Phi => format!("φ {residue}"),
            Part::Psi => format!("ψ {residue}"),
            Part::Chi(k) => format!("χ{} {residue}", ['₁', '₂', '₃', '₄', '₅'][(k - 1).min(4)]),
        }
    }

    pub fn in_backbone(&self) -> bool {
        matches!(self.part, Part::Phi | Part::Psi)
    }
}

/// All torsions of a chain, the backbone first.
pub fn torsions(kinds: &[usize]) -> Vec<Torsion> {
    const ARG: usize = 1;
    let last = kinds.len().saturating_sub(1);
    let mut found = Vec::new();
    for residue in 0..kinds.len() {
        // N, CA and C are the first three atoms of every type.
        if residue > 0 {
            let atoms = [(residue - 1, 2), (residue, 0), (residue, 1), (residue, 2)];
            found.push(Torsion { residue, part: Part::Phi, atoms });
        }
        if residue < last {
            let atoms = [(residue, 0), (residue, 1), (residue, 2), (residue + 1, 0)];
            found.push(Torsion { residue, part: Part::Psi, atoms });
        }
    }
    for (residue, &kind) in kinds.iter().enumerate() {
        let Some(of) = RESIDUES.get(kind) else { continue };
        let fifth = || {
            let four: Option<Vec<usize>> =
                ["CD", "NE", "CZ", "NH1"].iter().map(|name| of.atom(name)).collect();
            four.filter(|_| kind == ARG)
        };
        let chis = (0..of.chi.len()).filter_map(|k| of.chi_atoms(k).map(Vec::from)).chain(fifth());
        for (k, four) in chis.enumerate() {
            let atoms = std::array::from_fn(|i| (residue, four[i]));
            found.push(Torsion { residue, part: Part::Chi(k + 1), atoms });
        }
    }
    found
}

/// The torsions of a trajectory, one series each.
#[derive(Debug, Clone)]
pub struct Angles {
    /// Radians, [torsions][frames].
    pub series: Vec<Vec<f32>>,
    pub frames: usize,
    /// Picoseconds from frame to frame.
    pub step: f64,
}

impl Angles {
    pub fn of(torsions: &[Torsion], trajectory: &Trajectory) -> Angles {
        let residues = trajectory.kinds.len();
        let frames = trajectory.frames();
        let series = torsions
            .par_iter()
            .map(|torsion| {
                let frame = |t: usize| {
                    let atoms = &trajectory.atoms[t * residues..(t + 1) * residues];
                    dihedral(torsion.atoms.map(|(residue, place)| at(&atoms[residue], place)))
                };
                (0..frames).map(frame).collect()
            })
            .collect();
        Angles { series, frames, step: trajectory.step }
    }

    /// Cosines and sines of all torsions, [frames, 2 torsions], as TICA takes them.
    pub fn features(&self) -> Vec<f32> {
        let width = 2 * self.series.len();
        let mut rows = vec![0.0; self.frames * width];
        if width > 0 {
            rows.par_chunks_mut(width).enumerate().for_each(|(t, row)| {
                for (pair, series) in row.chunks_exact_mut(2).zip(&self.series) {
                    (pair[0], pair[1]) = (series[t].cos(), series[t].sin());
                }
            });
        }
        rows
    }

    /// The frames `from..to` alone.
    pub fn stretch(&self, from: usize, to: usize) -> Angles {
        let to = to.min(self.frames);
        let series = self.series.iter().map(|s| s[from.min(to)..to].to_vec()).collect();
        Angles { series, frames: to - from.min(to), step: self.step }
    }

    /// As if residues knew nothing of one another: each residue takes its torsions from frames of its own.
    pub fn independent(&self, torsions: &[Torsion], seed: u64) -> Angles {
        let residues = torsions.iter().map(|t| t.residue + 1).max().unwrap_or(0);
        let orders: Vec<Vec<usize>> = (0..residues)
            .map(|residue| {
                let mut order: Vec<usize> = (0..self.frames).collect();
                Philox::new(seed, residue as u64).shuffle(&mut order);
                order
            })
            .collect();
        let taken = |(torsion, series): (&Torsion, &Vec<f32>)| {
            orders[torsion.residue].iter().map(|&t| series[t]).collect()
        };
        Angles { series: torsions.iter().zip(&self.series).map(taken).collect(), ..*self }
    }

    /// One series in double precision.
    pub fn wide(&self, torsion: usize) -> Vec<f64> {
        self.series[torsion].iter().map(|&v| f64::from(v)).collect()
    }
}

fn at(atoms: &Atoms, place: usize) -> Vector3<f64> {
    Vector3::from(atoms[place.min(ATOMS - 1)].map(f64::from))
}

/// The dihedral angle of four points in -π..=π, IUPAC's sign.
fn dihedral([a, b, c, d]: [Vector3<f64>; 4]) -> f32 {
    let (first, axis, last) = (b - a, c - b, d - c);
    let (left, right) = (first.cross(&axis), axis.cross(&last));
    (axis.norm() * first.dot(&right)).atan2(left.dot(&right)) as f32
}
