//! Particle STAR files: RELION 3.0 (one table) and 3.1 to 5 (particles and optics groups).

use super::{Star, Table};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The particle rows of a STAR file joined with their optics groups by `_rlnOpticsGroup`.
///
/// A field is looked up in the optics table first, then among the particles.
#[derive(Debug, Clone)]
pub struct ParticleTable {
    path: PathBuf,
    star: Star,
    particles: usize,
    optics: Option<usize>,
    /// The optics row of each particle row; empty without optics.
    group: Vec<u32>,
}

impl ParticleTable {
    /// Reads a file and finds its particles: `data_particles`, else the longest loop that is not optics.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_star(path.as_ref(), Star::read(&path)?)
    }

    /// The view of a file already read; `path` is for messages and relative image names.
    pub fn from_star(path: &Path, star: Star) -> Result<Self> {
        let loops = || star.tables.iter().enumerate().filter(|(_, t)| t.looped && t.block != "optics");
        let named = loops().find(|(_, t)| t.block == "particles");
        // max_by_key keeps the last of equals; reversed, the first.
        let Some((particles, _)) = named.or_else(|| loops().rev().max_by_key(|(_, t)| t.len())) else {
            let blocks: Vec<_> = star.tables.iter().map(|t| format!("data_{}", t.block)).collect();
            let problem = format!("no table of particles; the file has {}", blocks.join(", "));
            return Err(Error::malformed(path, "", problem));
        };
        if star.tables[particles].is_empty() {
            let problem = "the table has no rows: there are no particles in this file";
            return Err(Error::malformed(path, format!("data_{}", star.tables[particles].block), problem));
        }
        let optics = star.tables.iter().position(|t| t.block == "optics" && !t.is_empty());
        let mut table =
            ParticleTable { path: path.to_path_buf(), star, particles, optics, group: Vec::new() };
        table.join()?;
        Ok(table)
    }

    fn join(&mut self) -> Result<()> {
        let (Some(optics), rows) = (self.optics, self.particles()) else { return Ok(()) };
        let optics = &self.star.tables[optics];
        let (Some(here), Some(there)) = (rows.column("rlnOpticsGroup"), optics.column("rlnOpticsGroup"))
        else {
            if optics.len() == 1 {
                self.group = vec![0; rows.len()];
                return Ok(());
            }
            let problem =
                "several optics groups, but no _rlnOpticsGroup in both data_optics and the particles";
            return Err(Error::malformed(&self.path, "", problem));
        };
        let known: HashMap<&str, u32> =
            (0..optics.len()).filter_map(|r| Some((optics.get(r, there)?, r as u32))).collect();
        let mut group = Vec::with_capacity(rows.len());
        for row in 0..rows.len() {
            let name = rows.get(row, here).unwrap_or_default();
            match known.get(name) {
                Some(r) => group.push(*r),
                None => {
                    let problem = format!("optics group {name} is not in data_optics");
                    return Err(Error::malformed(&self.path, self.place(row), problem));
                }
            }
        }
        self.group = group;
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file.
    pub fn star(&self) -> &Star {
        &self.star
    }

    /// The particle rows.
    pub fn particles(&self) -> &Table {
        &self.star.tables[self.particles]
    }

    /// The optics rows (RELION 3.1 and later).
    pub fn optics(&self) -> Option<&Table> {
        self.optics.map(|o| &self.star.tables[o])
    }

    /// Number of particles, at least 1.
    pub fn len(&self) -> usize {
        self.particles().len()
    }

    /// Never true: a file without particles does not open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a particle row stands, for messages: `line 12`, or `row 3` if it came from no file.
    pub fn place(&self, row: usize) -> String {
        place(self.particles(), row)
    }

    /// Whether the field exists, for particles or their optics groups.
    pub fn has(&self, field: &str) -> bool {
        self.locate(field).is_some()
    }

    /// Table, column, and whether rows go through the optics group.
    fn locate(&self, field: &str) -> Option<(&Table, usize, bool)> {
        let optics = self.optics().and_then(|t| Some((t, t.column(field)?, true)));
        optics.or_else(|| Some((self.particles(), self.particles().column(field)?, false)))
    }

    fn missing(&self, field: &str) -> Error {
        let name = super::underscored(field);
        let instead = match name.as_str() {
            "_rlnVoltage" => "; give the voltage with --kv",
            "_rlnSphericalAberration" => "; give the spherical aberration with --cs",
            "_rlnAmplitudeContrast" => "; give the amplitude contrast with -w",
            "_rlnPhaseShift" => "; give the phase shift with --ps",
            "_rlnImageSize" => "; give the box size with -D",
            "_rlnImagePixelSize" | "_rlnDetectorPixelSize" | "_rlnMagnification" => {
                "; give the pixel size with --Apix"
            }
            "_rlnAngleRot" | "_rlnAngleTilt" | "_rlnAnglePsi" | "_rlnOriginX" | "_rlnOriginXAngst" => {
                "; poses come from a refinement (run_data.star), not from extraction"
            }
            "_rlnDefocusU" | "_rlnDefocusV" | "_rlnDefocusAngle" => "; estimate the CTF before extraction",
            "_rlnImageName" => "; give the STAR file of extracted particles",
            _ => "",
        };
        let optics = self.optics().map_or(String::new(), |t| format!("; optics: {}", t.columns().join(" ")));
        let columns = self.particles().columns().join(" ");
        let problem = format!("there is no column {name}{instead} (columns: {columns}{optics})");
        Error::malformed(&self.path, format!("data_{}", self.particles().block), problem)
    }

    /// The text of a field for every particle.
    pub fn texts(&self, field: &str) -> Result<Vec<&str>> {
        let (table, column, joined) = self.locate(field).ok_or_else(|| self.missing(field))?;
        let row_of = |row: usize| if joined { self.group[row] as usize } else { row };
        Ok((0..self.len()).map(|row| table.get(row_of(row), column).unwrap_or_default()).collect())
    }

    /// A numeric field for every particle.
    pub fn floats(&self, field: &str) -> Result<Vec<f64>> {
        let (table, column, joined) = self.locate(field).ok_or_else(|| self.missing(field))?;
        let parsed = (0..table.len())
            .map(|row| {
                let text = table.get(row, column).unwrap_or_default();
                text.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(|| {
                    let problem = format!("{} is `{text}`, not a finite number", table.columns()[column]);
                    Error::malformed(&self.path, place(table, row), problem)
                })
            })
            .collect::<Result<Vec<f64>>>()?;
        Ok(if joined { self.group.iter().map(|g| parsed[*g as usize]).collect() } else { parsed })
    }

    /// As [`ParticleTable::floats`]; None where the file has no such field.
    pub fn optional_floats(&self, field: &str) -> Result<Option<Vec<f64>>> {
        if self.has(field) { self.floats(field).map(Some) } else { Ok(None) }
    }

    /// Image index (from 0) and file name of a particle, from `12@stack.mrcs`.
    pub fn image(&self, row: usize) -> Result<(u32, &str)> {
        let (table, column, joined) =
            self.locate("rlnImageName").ok_or_else(|| self.missing("rlnImageName"))?;
        let at = if joined { self.group.get(row).map_or(usize::MAX, |g| *g as usize) } else { row };
        let text = table.get(at, column).unwrap_or_default();
        image_name(text).ok_or_else(|| {
            let problem = format!("the image name `{text}` is not of the form 12@stack.mrcs, counted from 1");
            Error::malformed(&self.path, self.place(row), problem)
        })
    }

    /// Å per pixel of every particle, from `_rlnImagePixelSize` or, in RELION 3.0,
    /// `_rlnDetectorPixelSize` (µm) and `_rlnMagnification`; None where the file says neither.
    pub fn apix(&self) -> Result<Option<Vec<f64>>> {
        let apix = if let Some(apix) = self.optional_floats("rlnImagePixelSize")? {
            apix
        } else if let Some(apix) = self.optional_floats("rlnPixelSize")? {
            apix
        } else if self.has("rlnDetectorPixelSize") && self.has("rlnMagnification") {
            let (detector, magnified) =
                (self.floats("rlnDetectorPixelSize")?, self.floats("rlnMagnification")?);
            detector.iter().zip(magnified).map(|(d, m)| 1e4 * d / m).collect()
        } else {
            return Ok(None);
        };
        if let Some(row) = apix.iter().position(|a| !a.is_finite() || *a <= 0.0) {
            let problem = format!("the pixel size is {} Å; give the right one with --Apix", apix[row]);
            return Err(Error::malformed(&self.path, self.place(row), problem));
        }
        Ok(Some(apix))
    }

    /// Origins x, y of every particle in pixels: `_rlnOriginXAngst` over the pixel size (`apix`, or the
    /// file's own), or RELION 3.0's `_rlnOriginX`; None where the file has neither.
    pub fn origins_pixels(&self, apix: Option<f64>) -> Result<Option<Vec<[f64; 2]>>> {
        let pair = |x: Vec<f64>, y: Vec<f64>| x.into_iter().zip(y).map(|(x, y)| [x, y]).collect::<Vec<_>>();
        if self.has("rlnOriginXAngst") {
            let shifts = pair(self.floats("rlnOriginXAngst")?, self.floats("rlnOriginYAngst")?);
            let apix = match (apix, self.apix()?) {
                (Some(a), _) => vec![a; shifts.len()],
                (None, Some(own)) => own,
                (None, None) => return Err(self.missing("rlnImagePixelSize")),
            };
            return Ok(Some(shifts.iter().zip(apix).map(|(s, a)| [s[0] / a, s[1] / a]).collect()));
        }
        if self.has("rlnOriginX") {
            return Ok(Some(pair(self.floats("rlnOriginX")?, self.floats("rlnOriginY")?)));
        }
        Ok(None)
    }

    /// The whole file with the given particle rows only, in the given order.
    pub fn select(&self, rows: &[usize]) -> Result<Star> {
        let mut star = self.star.clone();
        star.tables[self.particles] = self.particles().select(rows)?;
        Ok(star)
    }

    /// Replaces or appends a column of the particles.
    pub fn set_column(&mut self, name: &str, values: &[String]) -> Result<()> {
        self.star.tables[self.particles].set_column(name, values)?;
        self.join()
    }

    /// Replaces or appends a column of the optics groups, one value a group; nothing without optics.
    pub fn set_optics_column(&mut self, name: &str, values: &[String]) -> Result<()> {
        match self.optics {
            Some(optics) => self.star.tables[optics].set_column(name, values).and_then(|()| self.join()),
            None => Ok(()),
        }
    }
}

fn place(table: &Table, row: usize) -> String {
    table.line(row).map_or_else(|| format!("row {row}"), |line| format!("line {line}"))
}

/// Splits RELION's `000012@stack.mrcs` into index (from 0) and file; a bare file is its first image.
pub fn image_name(text: &str) -> Option<(u32, &str)> {
    let (index, file) = match text.split_once('@') {
        Some((number, file)) => (number.trim().parse::<u32>().ok()?.checked_sub(1)?, file),
        None => (0, text),
    };
    (!file.is_empty()).then_some((index, file))
}

/// What goes into a new particle STAR file; every vector has one entry a particle.
#[derive(Debug, Clone, Default)]
pub struct NewParticles {
    /// `12@stack.mrcs`, counted from 1.
    pub images: Vec<String>,
    /// Box, Å/px, defocus U, V (Å), angle (°), kV, Cs (mm), amplitude contrast, phase shift (°): the columns
    /// of a ctf.pkl.
    pub ctf: Option<Vec<[f64; 9]>>,
    /// Rot, tilt, psi in degrees.
    pub euler: Option<Vec<[f64; 3]>>,
    /// Origin x, y in Å.
    pub origins: Option<Vec<[f64; 2]>>,
    /// Further columns, name and values.
    pub extra: Vec<(String, Vec<String>)>,
}

impl NewParticles {
    /// RELION 3.1 to 5: an optics group for every distinct box, pixel size, voltage, Cs and contrast.
    pub fn relion31(&self) -> Result<Star> {
        let mut columns = self.columns();
        let mut tables = Vec::new();
        if let Some(ctf) = &self.ctf {
            let microscope = |c: &[f64; 9]| [c[7], c[6], c[5], c[1], c[0]];
            let mut groups: Vec<[f64; 5]> = Vec::new();
            let mut seen: HashMap<[u64; 5], usize> = HashMap::new();
            let group = ctf.iter().map(|c| {
                let m = microscope(c);
                let g = *seen.entry(m.map(f64::to_bits)).or_insert_with(|| {
                    groups.push(m);
                    groups.len()
                });
                g.to_string()
            });
            columns.push(("_rlnOpticsGroup", group.collect()));
            let numbers = || 1..=groups.len();
            let field = |k: usize| groups.iter().map(|g| number(g[k])).collect::<Vec<_>>();
            let optics = vec![
                ("_rlnOpticsGroup", numbers().map(|g| g.to_string()).collect()),
                ("_rlnOpticsGroupName", numbers().map(|g| format!("opticsGroup{g}")).collect()),
                ("_rlnAmplitudeContrast", field(0)),
                ("_rlnSphericalAberration", field(1)),
                ("_rlnVoltage", field(2)),
                ("_rlnImagePixelSize", field(3)),
                ("_rlnImageSize", field(4)),
                ("_rlnImageDimensionality", vec!["2".to_string(); groups.len()]),
            ];
            tables.push(Table::new("optics", optics)?);
        }
        if let Some(origins) = &self.origins {
            columns.push(("_rlnOriginXAngst", origins.iter().map(|o| number(o[0])).collect()));
            columns.push(("_rlnOriginYAngst", origins.iter().map(|o| number(o[1])).collect()));
        }
        tables.push(self.with_extra("particles", columns)?);
        tables.iter_mut().for_each(|t| t.version = Some("# version 30001".into()));
        Ok(Star { tables })
    }

    /// RELION 3.0: one table, origins in pixels, pixel size as detector pixel over magnification.
    pub fn relion30(&self) -> Result<Star> {
        let mut columns = self.columns();
        let get = |rows: &[[f64; 9]], k: usize| rows.iter().map(|c| number(c[k])).collect::<Vec<_>>();
        if let Some(ctf) = &self.ctf {
            columns.push(("_rlnVoltage", get(ctf, 5)));
            columns.push(("_rlnSphericalAberration", get(ctf, 6)));
            columns.push(("_rlnAmplitudeContrast", get(ctf, 7)));
            // At this magnification the detector pixel in µm reads as Å per pixel.
            columns.push(("_rlnDetectorPixelSize", get(ctf, 1)));
            columns.push(("_rlnMagnification", vec!["10000.000000".to_string(); ctf.len()]));
        }
        if let Some(origins) = &self.origins {
            let Some(ctf) = self.ctf.as_ref().filter(|c| c.len() == origins.len()) else {
                let problem =
                    "RELION 3.0 keeps origins in pixels: give the CTF parameters too, for the pixel size";
                return Err(Error::usage(problem));
            };
            let pixels =
                |k: usize| origins.iter().zip(ctf).map(|(o, c)| number(o[k] / c[1])).collect::<Vec<_>>();
            columns.push(("_rlnOriginX", pixels(0)));
            columns.push(("_rlnOriginY", pixels(1)));
        }
        Ok(Star { tables: vec![self.with_extra("", columns)?] })
    }

    fn columns(&self) -> Vec<(&str, Vec<String>)> {
        let mut columns = vec![("_rlnImageName", self.images.clone())];
        if let Some(ctf) = &self.ctf {
            for (name, k) in
                [("_rlnDefocusU", 2), ("_rlnDefocusV", 3), ("_rlnDefocusAngle", 4), ("_rlnPhaseShift", 8)]
            {
                columns.push((name, ctf.iter().map(|c| number(c[k])).collect()));
            }
        }
        if let Some(euler) = &self.euler {
            for (k, name) in ["_rlnAngleRot", "_rlnAngleTilt", "_rlnAnglePsi"].into_iter().enumerate() {
                columns.push((name, euler.iter().map(|e| number(e[k])).collect()));
            }
        }
        columns
    }

    fn with_extra<'a>(&'a self, block: &str, mut columns: Vec<(&'a str, Vec<String>)>) -> Result<Table> {
        columns.extend(self.extra.iter().map(|(name, values)| (name.as_str(), values.clone())));
        Table::new(block, columns)
    }
}

/// RELION's own style: whole numbers bare, others with six decimals.
fn number(v: f64) -> String {
    if v == v.trunc() && v.abs() < 1e9 { format!("{v:.0}") } else { format!("{v:.6}") }
}
