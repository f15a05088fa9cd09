//! The consensus map of a stack with known poses: streaming backprojection, half maps and their FSC.

use super::Tick;
use super::files::{CtfTable, Poses};
use crate::cryo::backproject::{Backprojector, Options, Part, View};
use crate::cryo::ctf::dataset_params;
use crate::cryo::fsc::{FscSet, fsc_set};
use crate::cryo::pose::shift_pixels;
use crate::error::{Error, Result};
use crate::io::particles::ParticleStack;
use rayon::prelude::*;
use std::path::Path;

/// Memory for the raw images of one batch.
const BATCH_BYTES: usize = 64 << 20;
/// Seed of the random phases in the corrected FSC.
const PHASE_SEED: u64 = 0;

/// Poses and imaging conditions of the particles of a stack.
#[derive(Debug)]
pub struct Views {
    pub views: Vec<View>,
    /// Å per pixel: of the CTF table, else of the stack, else 1.
    pub apix: f64,
}

impl Views {
    /// Reads `pose.pkl` and `ctf.pkl`. Tables longer than the stack are those of the stack that `ind` selects from.
    pub fn load(
        stack: &ParticleStack,
        poses: &Path,
        ctf: Option<&Path>,
        ind: Option<&[usize]>,
    ) -> Result<Self> {
        let (n, side) = (stack.len(), stack.box_size());
        let what = "the stack";
        let mut table = Poses::read(poses)?;
        if let Some(rows) = selected(table.len(), n, ind, poses)? {
            table.rotations = rows.iter().map(|i| table.rotations[*i]).collect();
            table.translations = table.translations.map(|t| rows.iter().map(|i| t[*i]).collect());
        }
        table.check_len(n, what).map_err(|e| name_file(poses, e))?;
        let params = match ctf {
            None => None,
            Some(path) => {
                let mut table = CtfTable::read(path)?;
                if let Some(rows) = selected(table.rows.len(), n, ind, path)? {
                    table.rows = rows.iter().map(|i| table.rows[*i]).collect();
                }
                table.check_len(n, what).map_err(|e| name_file(path, e))?;
                let flat: Vec<f32> = table.rows.iter().flatten().copied().collect();
                Some(dataset_params(&flat, 9, side).map_err(|e| name_file(path, e))?)
            }
        };
        let apix = params.as_ref().and_then(|p| p.first()).map(|p| p.apix).or(stack.apix()).unwrap_or(1.0);
        let views = table.rotations.into_iter().enumerate().map(|(i, rotation)| {
            let fraction = table.translations.as_ref().map_or([0.0; 2], |t| t[i]);
            let ctf = params.as_ref().map(|p| p[i]);
            Ok(View { rotation, shift: shift_pixels(fraction, side)?, ctf, envelope: None })
        });
        Ok(Views { views: views.collect::<Result<_>>()?, apix })
    }
}

/// The rows of a table that belong to a selection, if the table is of the whole.
fn selected<'a>(rows: usize, n: usize, ind: Option<&'a [usize]>, path: &Path) -> Result<Option<&'a [usize]>> {
    match ind {
        Some(ind) if rows > n => match ind.iter().find(|i| **i >= rows) {
            Some(i) => {
                Err(Error::malformed(path, "", format!("--ind selects row {i}, but there are {rows}")))
            }
            None => Ok(Some(ind)),
        },
        _ => Ok(None),
    }
}

fn name_file(path: &Path, e: Error) -> Error {
    Error::malformed(path, "", e.to_string())
}

/// Adds the first `count` images of a stack, `batch` at a time (fewer where images are large).
pub fn backproject(
    stack: &ParticleStack,
    views: &[View],
    options: Options,
    (count, batch): (usize, usize),
    tick: Tick,
) -> Result<Backprojector> {
    let side = stack.box_size();
    let pixels = side * side;
    let mut sums = Backprojector::new(side, options)?;
    let count = count.min(stack.len()).min(views.len());
    let batch = batch.min(BATCH_BYTES / (4 * pixels)).max(1);
    let mut images = vec![0.0; batch.min(count) * pixels];
    let mut next = 0;
    while next < count {
        let here = batch.min(count - next);
        let images = &mut images[..here * pixels];
        images.par_chunks_mut(pixels).enumerate().try_for_each(|(k, image)| stack.read(next + k, image))?;
        sums.add(images, &views[next..next + here])?;
        next += here;
        tick(next, count)?;
    }
    Ok(sums)
}

/// Maps [n, n, n] made of all images and of each half.
pub struct Maps {
    pub full: Vec<f32>,
    pub halves: Option<[Vec<f32>; 2]>,
}

/// Divides the sums by their regularised weights and transforms back.
pub fn maps(sums: &Backprojector, regularisation: f64, half_maps: bool) -> Result<Maps> {
    let full = sums.finish(Part::Full, regularisation)?;
    let halves = match half_maps {
        true => Some([sums.finish(Part::HalfA, regularisation)?, sums.finish(Part::HalfB, regularisation)?]),
        false => None,
    };
    Ok(Maps { full, halves })
}

/// The FSC curves of the half maps, if there are any.
pub fn half_map_fsc(maps: &Maps, side: usize, apix: f64) -> Result<Option<FscSet>> {
    maps.halves.as_ref().map(|[a, b]| fsc_set(&maps.full, a, b, side, apix, PHASE_SEED)).transpose()
}
