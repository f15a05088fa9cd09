//! Back to RELION: a .star file of a stack with its CTF parameters and poses.

use super::downsample::name_from;
use super::files::{CtfTable, Poses};
use crate::cryo::pose;
use crate::error::{Error, Result};
use crate::io::particles::ParticleStack;
use crate::io::star::{NewParticles, Star};
use std::path::Path;

/// What goes into the file beside image names.
#[derive(Debug, Default)]
pub struct Tables {
    pub ctf: Option<CtfTable>,
    pub poses: Option<Poses>,
}

/// The table of the particles `rows` of a stack; CTF and pose tables have one row for each particle of the stack, or
/// one for each of `rows`. `out` is where the file will lie, for relative image names.
pub fn star(
    stack: &ParticleStack,
    rows: &[usize],
    tables: &Tables,
    (out, full_path): (&Path, bool),
    relion30: bool,
) -> Result<Star> {
    let mut images = Vec::with_capacity(rows.len());
    let mut last: Option<(std::path::PathBuf, String)> = None;
    for row in rows {
        let (path, image) = stack.source(*row)?;
        let name = match &last {
            Some((known, name)) if known == path => name.clone(),
            _ if full_path => std::path::absolute(path)
                .unwrap_or_else(|_| path.to_path_buf())
                .to_string_lossy()
                .into_owned(),
            _ => name_from(out, path),
        };
        images.push(format!("{:06}@{name}", image + 1));
        if last.as_ref().is_none_or(|(known, _)| known != path) {
            last = Some((path.to_path_buf(), name));
        }
    }
    let row_of = |len: usize, what: &str| {
        if len == stack.len() {
            Ok(rows.to_vec())
        } else if len == rows.len() {
            Ok((0..len).collect())
        } else {
            let (n, have) = (stack.len(), rows.len());
            Err(Error::usage(format!(
                "{len} {what} for {n} images ({have} selected); give the tables of this stack"
            )))
        }
    };
    let ctf = match &tables.ctf {
        None => None,
        Some(table) => {
            let of = row_of(table.rows.len(), "rows of CTF parameters")?;
            Some(of.iter().map(|i| table.rows[*i].map(as_written)).collect::<Vec<_>>())
        }
    };
    let mut new = NewParticles { images, ctf, ..NewParticles::default() };
    if let Some(poses) = &tables.poses {
        let of = row_of(poses.len(), "poses")?;
        new.euler = Some(of.iter().map(|i| pose::to_relion_deg(&poses.rotations[*i])).collect());
        if let Some(translations) = &poses.translations {
            let Some(ctf) = &new.ctf else {
                return Err(Error::usage("shifts are written in Å: give the CTF parameters too (--ctf)"));
            };
            // Fractions of the box of the table, times its box and pixel size.
            let angst = |(i, row): (&usize, &[f64; 9])| translations[*i].map(|t| t * row[0] * row[1]);
            new.origins = Some(of.iter().zip(ctf).map(angst).collect());
        }
    }
    if relion30 { new.relion30() } else { new.relion31() }
}

/// The decimal number that the float32 stands for: 2.7 rather than 2.700000047683716.
fn as_written(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::from(v))
}
