//! Poses and CTF parameters from the files of other programs: RELION .star and cryoSPARC .cs.

use super::files::{CtfTable, Poses};
use crate::cryo::pose;
use crate::error::{Error, Result};
use crate::io::cs::CsTable;
use crate::io::star::ParticleTable;
use std::path::{Path, PathBuf};

/// What was imported, with remarks for the user.
#[derive(Clone, Debug)]
pub struct Imported<T> {
    pub table: T,
    pub notes: Vec<String>,
}

/// Values that stand in for, or overrule, those of the file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// Box side, pixels.
    pub box_side: Option<f64>,
    /// Pixel size, Å.
    pub apix: Option<f64>,
    /// Voltage, kV.
    pub kv: Option<f64>,
    /// Spherical aberration, mm.
    pub cs: Option<f64>,
    /// Fraction of amplitude contrast.
    pub w: Option<f64>,
    /// Phase shift, degrees.
    pub ps: Option<f64>,
}

impl Given {
    fn check(&self) -> Result<()> {
        check_box(self.box_side)?;
        match self.apix {
            Some(apix) if !(apix > 0.0 && apix.is_finite()) => {
                Err(Error::usage(format!("--Apix {apix}: the pixel size must be a positive number of Å")))
            }
            _ => Ok(()),
        }
    }
}

fn check_box(given: Option<f64>) -> Result<()> {
    match given {
        Some(d) if !(d >= 2.0 && d % 2.0 == 0.0 && d < 1e6) => Err(Error::usage(format!(
            "-D {d}: the box must be an even number of pixels; crop or pad the particles"
        ))),
        _ => Ok(()),
    }
}

/// Poses of a RELION file (3.0 to 5): R by `pose::from_relion_deg`, shifts as fractions of the box.
pub fn poses_from_star(path: &Path, given: &Given) -> Result<Imported<Poses>> {
    given.check()?;
    let table = ParticleTable::open(path)?;
    let mut notes = Vec::new();
    let angles = [table.floats("rlnAngleRot")?, table.floats("rlnAngleTilt")?, table.floats("rlnAnglePsi")?];
    let rotations =
        (0..table.len()).map(|i| pose::from_relion_deg([0, 1, 2].map(|k| angles[k][i]))).collect();
    let translations = match table.origins_pixels(given.apix)? {
        None => {
            notes.push("the file has no origins (rlnOriginX/Y); all shifts are zero".to_string());
            vec![[0.0; 2]; table.len()]
        }
        Some(pixels) => {
            let sides = star_box(&table, given, &mut notes)?;
            pixels.iter().zip(sides).map(|(p, side)| p.map(|v| v / side)).collect()
        }
    };
    let bad = |i: usize| table.place(i);
    check_shifts(path, &translations, bad)?;
    Ok(Imported { table: Poses { rotations, translations: Some(translations) }, notes })
}

/// The box of every particle.
fn star_box(table: &ParticleTable, given: &Given, notes: &mut Vec<String>) -> Result<Vec<f64>> {
    let own = if given.box_side.is_none() {
        Some(table.floats("rlnImageSize")?)
    } else {
        table.optional_floats("rlnImageSize")?
    };
    if let Some(own) = &own
        && let Some(row) = own.iter().position(|b| b.is_nan() || *b < 2.0)
    {
        let problem = format!("_rlnImageSize is {}; give the box size with -D", own[row]);
        return Err(Error::malformed(table.path(), table.place(row), problem));
    }
    Ok(match (given.box_side, own) {
        (None, Some(own)) => own,
        (Some(d), own) => {
            if let Some(other) = own.iter().flatten().find(|b| **b != d) {
                notes.push(format!(
                    "the file says that the box is {other} pixels; -D {d} is used (shifts and pixel size must be \
                     those of this box)"
                ));
            }
            vec![d; table.len()]
        }
        (None, None) => vec![0.0; table.len()],
    })
}

fn check_shifts(path: &Path, shifts: &[[f64; 2]], place: impl Fn(usize) -> String) -> Result<()> {
    // NaN fails the comparison too.
    match shifts.iter().position(|t| !t.iter().all(|v| v.abs() <= 1.0)) {
        None => Ok(()),
        Some(i) => {
            let [x, y] = shifts[i];
            let problem = format!(
                "the origin is ({x:.3}, {y:.3}) of the box, which would move the particle out of its image; check the \
                 box (-D) and pixel size (--Apix): both must be those of the refinement"
            );
            Err(Error::malformed(path, place(i), problem))
        }
    }
}

/// CTF parameters of a RELION file. A missing phase shift is zero; everything else must be in the file or `given`.
pub fn ctf_from_star(path: &Path, given: &Given) -> Result<Imported<CtfTable>> {
    given.check()?;
    let table = ParticleTable::open(path)?;
    let mut notes = Vec::new();
    let n = table.len();
    let column = |field: &str, given: Option<f64>| match given {
        Some(value) => Ok(vec![value; n]),
        None => table.floats(field),
    };
    let apix = match (given.apix, table.apix()?) {
        (Some(apix), _) => vec![apix; n],
        (None, Some(own)) => own,
        (None, None) => table.floats("rlnImagePixelSize")?,
    };
    let phase = match (given.ps, table.optional_floats("rlnPhaseShift")?) {
        (Some(ps), _) => vec![ps; n],
        (None, Some(own)) => own,
        (None, None) => {
            notes.push("the file has no phase shifts (rlnPhaseShift); they are zero".to_string());
            vec![0.0; n]
        }
    };
    let columns = [
        star_box(&table, given, &mut notes)?,
        apix,
        table.floats("rlnDefocusU")?,
        table.floats("rlnDefocusV")?,
        table.floats("rlnDefocusAngle")?,
        column("rlnVoltage", given.kv)?,
        column("rlnSphericalAberration", given.cs)?,
        column("rlnAmplitudeContrast", given.w)?,
        phase,
    ];
    ctf_table(path, &columns, |row| table.place(row), notes)
}

fn ctf_table(
    path: &Path,
    columns: &[Vec<f64>; 9],
    place: impl Fn(usize) -> String,
    mut notes: Vec<String>,
) -> Result<Imported<CtfTable>> {
    let n = columns[0].len();
    let mut rows = Vec::with_capacity(n);
    for i in 0..n {
        let row: [f64; 9] = std::array::from_fn(|k| columns[k].get(i).copied().unwrap_or(f64::NAN));
        if let Some(problem) = nonsense(&row) {
            return Err(Error::malformed(path, place(i), problem));
        }
        rows.push(row.map(|v| v as f32));
    }
    if columns[1].iter().any(|a| (a - columns[1][0]).abs() > 1e-4 * columns[1][0]) {
        notes.push(
            "pixel sizes differ between particles; training and reconstruction use the first one".to_string(),
        );
    }
    Ok(Imported { table: CtfTable { rows }, notes })
}

/// What is wrong with one row of CTF parameters, and the remedy.
fn nonsense(row: &[f64; 9]) -> Option<String> {
    let [side, apix, u, v, _, kv, cs, w, _] = *row;
    let defocus = u.abs().max(v.abs());
    Some(if row.iter().any(|v| !v.is_finite()) {
        format!("a CTF parameter is not a finite number: {row:?}")
    } else if side < 2.0 {
        format!("the box is {side} pixels; give it with -D")
    } else if apix <= 0.0 {
        format!("the pixel size is {apix} Å; give the right one with --Apix")
    } else if !(10.0..=2000.0).contains(&kv) {
        format!("the voltage is {kv} kV (it is 100 to 300 as a rule); give it with --kv")
    } else if !(0.0..=100.0).contains(&cs) {
        format!("the spherical aberration is {cs} mm (2.7 as a rule); give it with --cs")
    } else if !(0.0..=1.0).contains(&w) {
        format!("the amplitude contrast is {w}, which must lie between 0 and 1; give it with -w")
    } else if defocus > 0.0 && defocus < 50.0 {
        format!("the defocus is {u}, {v} Å, which looks like µm; multiply the columns by 10000")
    } else if defocus > 1e6 {
        format!("the defocus is {u}, {v} Å, more than 100 µm; check the columns DefocusU and DefocusV")
    } else {
        return None;
    })
}

/// Which of cryoSPARC's alignments hold the poses.
#[derive(Clone, Copy, Debug, Default)]
pub struct CsPoses {
    /// The first class of an ab-initio reconstruction (`alignments_class_0`) instead of `alignments3D`.
    pub abinit: bool,
    /// Heterogeneous refinement: shifts are doubled, because it works at half the box.
    pub hetrefine: bool,
}

/// Opens a .cs file and joins the others (passthrough files) to it by `uid`.
pub fn open_cs(paths: &[PathBuf]) -> Result<CsTable> {
    let (first, rest) = paths.split_first().ok_or_else(|| Error::usage("give a .cs file"))?;
    rest.iter().try_fold(CsTable::open(first)?, |table, path| table.join(CsTable::open(path)?))
}

/// Poses of a cryoSPARC table: rotation vectors and shifts in pixels over the box.
pub fn poses_from_cs(table: &CsTable, which: CsPoses, box_side: Option<f64>) -> Result<Imported<Poses>> {
    check_box(box_side)?;
    let alignment = if which.abinit { "alignments_class_0" } else { "alignments3D" };
    let vectors = rows::<3>(table, &format!("{alignment}/pose"))?;
    let shifts = rows::<2>(table, &format!("{alignment}/shift"))?;
    let mut notes = Vec::new();
    let sides = cs_box(table, box_side, &mut notes)?;
    if let Some(i) = vectors.iter().position(|v| v.iter().any(|x| !x.is_finite())) {
        return Err(Error::malformed(
            table.path(),
            format!("row {i}"),
            format!("{alignment}/pose is not finite"),
        ));
    }
    let factor = if which.hetrefine { 2.0 } else { 1.0 };
    let translations: Vec<[f64; 2]> =
        shifts.iter().zip(sides).map(|(s, side)| s.map(|v| factor * v / side)).collect();
    check_shifts(table.path(), &translations, |i| format!("row {i}"))?;
    let rotations = vectors.into_iter().map(pose::from_rotation_vector).collect();
    Ok(Imported { table: Poses { rotations, translations: Some(translations) }, notes })
}

/// A field as N rows of exactly W numbers.
fn rows<const W: usize>(table: &CsTable, field: &str) -> Result<Vec<[f64; W]>> {
    let flat = table.floats(field)?;
    let width = table.width(field)?;
    if width != W {
        let problem = format!("the field {field} has {width} values a row instead of {W}");
        return Err(Error::malformed(table.path(), "", problem));
    }
    Ok(flat.as_chunks::<W>().0.to_vec())
}

fn cs_box(table: &CsTable, given: Option<f64>, notes: &mut Vec<String>) -> Result<Vec<f64>> {
    if let Some(d) = given
        && !table.has("blob/shape")
    {
        return Ok(vec![d; table.len()]);
    }
    let own: Vec<f64> = rows::<2>(table, "blob/shape")?.into_iter().map(|[d, _]| d).collect();
    if let Some(row) = own.iter().position(|d| d.is_nan() || *d < 2.0) {
        let problem = format!("blob/shape is {}; give the box size with -D", own[row]);
        return Err(Error::malformed(table.path(), format!("row {row}"), problem));
    }
    let Some(d) = given else { return Ok(own) };
    if let Some(other) = own.iter().find(|b| **b != d) {
        notes.push(format!("the file says that the box is {other} pixels; -D {d} is used"));
    }
    Ok(vec![d; table.len()])
}

/// CTF parameters of a cryoSPARC table.
pub fn ctf_from_cs(table: &CsTable, given: &Given) -> Result<Imported<CtfTable>> {
    given.check()?;
    let mut notes = Vec::new();
    let n = table.len();
    let column = |field: &str, given: Option<f64>| match given {
        Some(value) => Ok(vec![value; n]),
        None => rows::<1>(table, field).map(|rows| rows.into_iter().map(|[v]| v).collect()),
    };
    let degrees = |field: &str| -> Result<Vec<f64>> {
        Ok(rows::<1>(table, field)?.into_iter().map(|[v]| v.to_degrees()).collect())
    };
    let columns = [
        cs_box(table, given.box_side, &mut notes)?,
        column("blob/psize_A", given.apix)?,
        column("ctf/df1_A", None)?,
        column("ctf/df2_A", None)?,
        degrees("ctf/df_angle_rad")?,
        column("ctf/accel_kv", given.kv)?,
        column("ctf/cs_mm", given.cs)?,
        column("ctf/amp_contrast", given.w)?,
        match given.ps {
            Some(ps) => vec![ps; n],
            None => degrees("ctf/phase_shift_rad")?,
        },
    ];
    ctf_table(table.path(), &columns, |row| format!("row {row}"), notes)
}

fn is_cs(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("cs"))
}

fn expect_metadata(path: &Path) -> Result<()> {
    let known = ["star", "cs"].iter().any(|k| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(k)));
    if known {
        return Ok(());
    }
    let text =
        "holds images only; give a .star or .cs file, or poses and CTF with --poses and --ctf to train_vae";
    Err(Error::malformed(path, "", text))
}

/// Poses of a .star or .cs file.
pub fn poses_of(path: &Path, given: &Given) -> Result<Imported<Poses>> {
    expect_metadata(path)?;
    if is_cs(path) {
        return poses_from_cs(&CsTable::open(path)?, CsPoses::default(), given.box_side);
    }
    poses_from_star(path, given)
}

/// CTF parameters of a .star or .cs file.
pub fn ctf_of(path: &Path, given: &Given) -> Result<Imported<CtfTable>> {
    expect_metadata(path)?;
    if is_cs(path) { ctf_from_cs(&CsTable::open(path)?, given) } else { ctf_from_star(path, given) }
}
