//! Particle images as batches: read, windowed, transformed, normalised and centred on the host while the
//! device works. The stack stays on disk; nothing here grows with it but poses and CTF parameters.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::config::DatasetArgs;
use super::files::{CtfTable, Poses, read_indices};
use crate::cryo::ctf::{CtfGrid, CtfParams, dataset_params};
use crate::cryo::image::{PhaseShift, Preprocessor, estimate_norm};
use crate::cryo::lattice::Lattice;
use crate::cryo::pose::shift_pixels;
use crate::io::particles::ParticleStack;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Where images, poses and CTF parameters come from, and how images are prepared.
#[derive(Clone, Debug)]
pub struct Source {
    pub particles: PathBuf,
    pub datadir: Option<PathBuf>,
    pub ind: Option<PathBuf>,
    /// Dark particles on light: the sign is turned.
    pub invert: bool,
    /// Radius where the soft window starts to fall; `None`: no window.
    pub window: Option<f32>,
    /// (mean, std) of the transforms; estimated from the stack when absent.
    pub norm: Option<(f32, f32)>,
}

impl Source {
    /// As a run's `config.yaml` describes it.
    pub fn of(args: &DatasetArgs) -> Source {
        Source {
            particles: args.particles.clone().into(),
            datadir: args.datadir.as_ref().map(PathBuf::from),
            ind: args.ind.as_ref().map(PathBuf::from),
            invert: args.invert_data,
            window: args.window.then_some(args.window_r as f32),
            norm: Some((args.norm[0] as f32, args.norm[1] as f32)),
        }
    }
}

/// A stack with what is known of each image.
pub struct Images {
    stack: ParticleStack,
    preprocessor: Preprocessor,
    phase_shift: PhaseShift,
    grid: CtfGrid,
    ctf: Option<Vec<CtfParams>>,
    poses: Poses,
    /// Flat indices of the loss mask in a D x D transform.
    mask: Vec<u32>,
    norm: (f32, f32),
}

/// What the training step is fed for some images; images beyond the end of an epoch have weight 0.
#[derive(Debug)]
pub struct Batch {
    /// `[B, P]`
    pub images: Tensor,
    /// `[B, P]`
    pub ctf: Tensor,
    /// `[B, 3, 3]`
    pub rotations: Tensor,
    /// `[B]`
    pub weights: Tensor,
}

impl Batch {
    pub fn feeds(&self) -> [(&'static str, &Tensor); 4] {
        [
            ("images", &self.images),
            ("ctf", &self.ctf),
            ("rotations", &self.rotations),
            ("weights", &self.weights),
        ]
    }
}

impl Images {
    /// Checks that images, poses and CTF parameters belong together. Tables may have a row for every image of
    /// the file or for every selected one.
    pub fn open(source: &Source, poses: Poses, ctf: Option<CtfTable>) -> Result<Images> {
        let ind = source.ind.as_deref().map(read_indices).transpose()?;
        let stack = ParticleStack::open(&source.particles, source.datadir.as_deref(), ind.as_deref())?;
        let (n, side) = (stack.len(), stack.box_size());
        let what = format!("the stack {}", source.particles.display());
        let rows = ind.as_deref().filter(|_| poses.len() != n);
        let poses = match rows {
            Some(rows) => select_poses(&poses, rows, &what)?,
            None => poses,
        };
        poses.check_len(n, &what)?;
        let ctf = match ctf {
            None => None,
            Some(table) => {
                let table = match ind.as_deref().filter(|_| table.rows.len() != n) {
                    Some(rows) => CtfTable {
                        rows: rows
                            .iter()
                            .map(|&i| pick(&table.rows, i, "CTF parameters", &what))
                            .collect::<Result<_>>()?,
                    },
                    None => table,
                };
                table.check_len(n, &what)?;
                Some(dataset_params(table.rows.as_flattened(), 9, side)?)
            }
        };
        let norm = match source.norm {
            Some(norm) => norm,
            None => estimate_norm(n, side, source.invert, |i, out| stack.read(i, out))?,
        };
        let lattice = Lattice::new(side + 1, 0.5)?;
        let mask = lattice.masked_indices(side / 2)?;
        let frequency = |i: usize| (i as f64 - (side / 2) as f64) / side as f64;
        let grid = CtfGrid::new(mask.iter().map(|&i| {
            let (y, x) = (i as usize / (side + 1), i as usize % (side + 1));
            [frequency(x), frequency(y)]
        }));
        Ok(Images {
            preprocessor: Preprocessor::new(side, source.window, source.invert, norm)?,
            phase_shift: PhaseShift::new(side)?,
            stack,
            grid,
            ctf,
            poses,
            mask,
            norm,
        })
    }

    pub fn len(&self) -> usize {
        self.stack.len()
    }

    pub fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    /// Box side in pixels.
    pub fn side(&self) -> usize {
        self.stack.box_size()
    }

    pub fn norm(&self) -> (f32, f32) {
        self.norm
    }

    /// Å/px: of the CTF parameters, else of the stack.
    pub fn apix(&self) -> Option<f64> {
        self.ctf.as_ref().and_then(|c| c.first()).map(|c| c.apix).or(self.stack.apix())
    }

    /// Images `indices`, padded to `size`.
    pub fn batch(&self, indices: &[usize], size: usize) -> Result<Batch> {
        let (side, pixels) = (self.side(), self.mask.len());
        let mut images = vec![0.0; size * pixels];
        let mut ctf = vec![1.0; size * pixels];
        let points = (side + 1) * (side + 1);
        images.par_chunks_mut(pixels).zip(ctf.par_chunks_mut(pixels)).zip(indices).try_for_each_init(
            || (vec![0.0; side * side], vec![0.0; points], vec![0.0; points], self.preprocessor.scratch()),
            |(raw, transform, moved, scratch), ((image, ctf), &i)| -> Result<()> {
                self.stack.read(i, raw)?;
                self.preprocessor.run(raw, transform, scratch)?;
                let centred = match &self.poses.translations {
                    Some(shifts) => {
                        self.phase_shift.run(transform, shift_pixels(shifts[i], side)?, moved)?;
                        &*moved
                    }
                    None => &*transform,
                };
                image.iter_mut().zip(&self.mask).for_each(|(to, &at)| *to = centred[at as usize]);
                if let Some(params) = &self.ctf {
                    self.grid.eval(&params[i], ctf)?;
                }
                Ok(())
            },
        )?;
        let mut rotations = vec![0.0; size * 9];
        for (to, &i) in rotations.chunks_mut(9).zip(indices) {
            to.iter_mut().zip(self.poses.rotations[i].as_flattened()).for_each(|(to, &r)| *to = r as f32);
        }
        let mut weights = vec![0.0; size];
        weights[..indices.len()].fill(1.0 / indices.len().max(1) as f32);
        Ok(Batch {
            images: Tensor::f32(&[size, pixels], images),
            ctf: Tensor::f32(&[size, pixels], ctf),
            rotations: Tensor::f32(&[size, 3, 3], rotations),
            weights: Tensor::f32(&[size], weights),
        })
    }
}

fn pick<T: Clone>(rows: &[T], i: usize, what: &str, stack: &str) -> Result<T> {
    rows.get(i).cloned().ok_or_else(|| {
        Error::usage(format!("image {i} is selected from {stack}, but there are {} {what}", rows.len()))
    })
}

fn select_poses(poses: &Poses, rows: &[usize], stack: &str) -> Result<Poses> {
    let rotations = rows.iter().map(|&i| pick(&poses.rotations, i, "poses", stack)).collect::<Result<_>>()?;
    let translations = match &poses.translations {
        Some(t) => Some(rows.iter().map(|&i| pick(t, i, "poses", stack)).collect::<Result<_>>()?),
        None => None,
    };
    Ok(Poses { rotations, translations })
}

/// The file of a run that a name in its `config.yaml` means: as it stands, or beside the run's folder.
pub fn resolve(path: &str, folder: &Path) -> PathBuf {
    let given = PathBuf::from(path);
    if given.exists() || given.is_absolute() { given } else { folder.join(&given) }
}
