//! The files of a simulated data set, made in a hidden folder and moved to their places together.

use super::draw::Shot;
use super::{Ensemble, SimulateOptions, Summary};
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::io::star::{Star, Table};
use std::fs;
use std::path::{Path, PathBuf};

/// A hidden folder inside the target; dropped before [`Staging::publish`], it leaves no trace.
pub struct Staging {
    target: PathBuf,
    hidden: PathBuf,
    /// The folders that were made for this, outermost first.
    made: Vec<PathBuf>,
    published: bool,
}

impl Staging {
    pub fn begin(target: &Path, overwrite: bool) -> Result<Staging> {
        if !overwrite && target.join("particles.star").exists() {
            return Err(Error::usage(format!(
                "{} holds a particle stack already; choose another folder, or give --overwrite to replace it",
                target.display()
            )));
        }
        let mut made: Vec<PathBuf> = target
            .ancestors()
            .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
            .map(Path::to_path_buf)
            .collect();
        made.reverse();
        atomic::folder(target)?;
        let hidden = target.join(format!(".simulate-{}.tmp", std::process::id()));
        let staging = Staging { target: target.to_path_buf(), hidden, made, published: false };
        if staging.hidden.exists() {
            // Left behind by a killed process that had our number.
            fs::remove_dir_all(&staging.hidden).map_err(|e| Error::os("write into folder", target, e))?;
        }
        fs::create_dir(&staging.hidden).map_err(|e| Error::os("write into folder", target, e))?;
        Ok(staging)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.hidden.join(name)
    }

    /// Moves all files to their places; the star file, which names the others, comes last. Maps of an earlier
    /// simulation that have no successor are removed.
    pub fn publish(mut self) -> Result<()> {
        let refused = |e| Error::os("write into folder", &self.target, e);
        let names = |folder: &Path| -> std::io::Result<Vec<std::ffi::OsString>> {
            fs::read_dir(folder)?.map(|entry| entry.map(|e| e.file_name())).collect()
        };
        let mut fresh = names(&self.hidden).map_err(refused)?;
        fresh.sort_by_key(|name| (name == "particles.star", name.clone()));
        let generated = |name: &std::ffi::OsString| {
            name.to_str().is_some_and(|n| {
                let number = |head: &str, tail: &str| {
                    let middle = n.strip_prefix(head).and_then(|n| n.strip_suffix(tail));
                    middle.is_some_and(|m| m.len() == 3 && m.bytes().all(|b| b.is_ascii_digit()))
                };
                number("vol_", ".mrc") || number("conformations_", ".pdb") || n == "particles_clean.mrcs"
            })
        };
        for old in names(&self.target).map_err(refused)? {
            if generated(&old) && !fresh.contains(&old) {
                fs::remove_file(self.target.join(&old)).map_err(refused)?;
            }
        }
        for name in fresh {
            fs::rename(self.hidden.join(&name), self.target.join(&name)).map_err(refused)?;
        }
        self.published = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.hidden);
        if !self.published {
            // Only folders that are still empty go.
            for folder in self.made.iter().rev() {
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

/// The conformations at the true maps, in the maps' frame: voxel 0 stands at 0 Å, so models lie in their maps.
pub fn conformations(staging: &Staging, ensemble: &Ensemble, stops: &[f64], half_box: f64) -> Result<()> {
    let structures = ensemble.models_at(stops, half_box);
    for (k, structure) in structures.iter().enumerate() {
        let name = match structures.len() {
            1 => "conformations.pdb".to_string(),
            _ => format!("conformations_{k:03}.pdb"),
        };
        structure.write(&staging.path(&name))?;
    }
    Ok(())
}

/// `truth.csv`: what each image shows.
pub fn truth(staging: &Staging, shots: &[Shot], apix: f64) -> Result<()> {
    atomic::write(&staging.path("truth.csv"), |out| {
        writeln!(
            out,
            "image,t,state,rot_deg,tilt_deg,psi_deg,origin_x_angst,origin_y_angst,defocus_u_angst,defocus_v_angst,\
             defocus_angle_deg"
        )?;
        for (i, s) in shots.iter().enumerate() {
            let [rot, tilt, psi] = s.angles;
            let [x, y] = s.origin.map(|o| o * apix);
            let (u, v, angle) =
                s.ctf.map_or((0.0, 0.0, 0.0), |c| (c.defocus_u, c.defocus_v, c.defocus_angle));
            let (t, state) = (s.t, s.state);
            writeln!(
                out,
                "{i},{t:.6},{state},{rot:.6},{tilt:.6},{psi:.6},{x:.6},{y:.6},{u:.2},{v:.2},{angle:.4}"
            )?;
        }
        Ok(())
    })
}

/// `particles.star` as RELION 3.1 writes it, with one optics group.
pub fn star(staging: &Staging, shots: &[Shot], options: &SimulateOptions, apix: f64) -> Result<()> {
    let one = |value: String| vec![value];
    let mut optics =
        vec![("_rlnOpticsGroupName", one("opticsGroup1".into())), ("_rlnOpticsGroup", one("1".into()))];
    if let Some(m) = &options.microscope {
        optics.push(("_rlnVoltage", one(format!("{:.6}", m.voltage_kv))));
        optics.push(("_rlnSphericalAberration", one(format!("{:.6}", m.cs_mm))));
        optics.push(("_rlnAmplitudeContrast", one(format!("{:.6}", m.amplitude_contrast))));
    }
    optics.push(("_rlnImagePixelSize", one(format!("{apix:.6}"))));
    optics.push(("_rlnImageSize", one(options.box_side.to_string())));
    optics.push(("_rlnImageDimensionality", one("2".into())));

    let column = |value: &dyn Fn(&Shot) -> String| shots.iter().map(value).collect::<Vec<String>>();
    let names = (0..shots.len()).map(|i| format!("{:06}@particles.mrcs", i + 1)).collect();
    let mut particles = vec![
        ("_rlnImageName", names),
        ("_rlnOpticsGroup", column(&|_| "1".into())),
        ("_rlnAngleRot", column(&|s| format!("{:.6}", s.written_angles[0]))),
        ("_rlnAngleTilt", column(&|s| format!("{:.6}", s.written_angles[1]))),
        ("_rlnAnglePsi", column(&|s| format!("{:.6}", s.written_angles[2]))),
        ("_rlnOriginXAngst", column(&|s| format!("{:.6}", s.origin[0] * apix))),
        ("_rlnOriginYAngst", column(&|s| format!("{:.6}", s.origin[1] * apix))),
    ];
    if let Some(m) = &options.microscope {
        let ctf = |s: &Shot| s.ctf.map_or([0.0; 3], |c| [c.defocus_u, c.defocus_v, c.defocus_angle]);
        particles.push(("_rlnDefocusU", column(&|s| format!("{:.4}", ctf(s)[0]))));
        particles.push(("_rlnDefocusV", column(&|s| format!("{:.4}", ctf(s)[1]))));
        particles.push(("_rlnDefocusAngle", column(&|s| format!("{:.6}", ctf(s)[2]))));
        particles.push(("_rlnPhaseShift", column(&|_| format!("{:.6}", m.phase_shift_deg))));
        if m.b_factor > 0.0 {
            particles.push(("_rlnCtfBfactor", column(&|_| format!("{:.6}", m.b_factor))));
        }
    }
    let mut tables = vec![Table::new("optics", optics)?, Table::new("particles", particles)?];
    tables.iter_mut().for_each(|t| t.version = Some("# version 30001".into()));
    Star { tables }.write(&staging.path("particles.star"))
}

/// `simulate.json`: all options and results.
pub fn record(staging: &Staging, options: &SimulateOptions, summary: &Summary) -> Result<()> {
    let both = serde_json::json!({
        "program": concat!("kinesome ", env!("CARGO_PKG_VERSION")),
        "options": options,
        "result": summary,
    });
    atomic::write(&staging.path("simulate.json"), |out| {
        serde_json::to_writer_pretty(&mut *out, &both).map_err(std::io::Error::from)?;
        writeln!(out)
    })
}
