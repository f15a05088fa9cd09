//! `simulate-density`: a map of an atomic model.

use std::path::PathBuf;

use crate::cli::progress::note;
use crate::error::{Error, Result};
use crate::io::mrc::write_volume;
use crate::io::structure::Structure;
use crate::systems::dyna::density::atoms::{atoms, map, residues};

/// Make a map of an atomic model: a Gaussian for each atom
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna simulate-density model.pdb -o model.mrc -s 96 -a 1.5
  kinesome dyna simulate-density run/0020_0015620/pca-1.pdb -o motion.mrc --residues     motion_000.mrc ..

Each Gaussian is as high as its atom's electrons and cut off at six standard deviations, where less than 1e-7 of it is \
left. The origin of the coordinates is the middle of the map (voxel side/2), and the header says so: map and model lie \
over one another in ChimeraX. Of several models each gets a map.")]
pub struct Args {
    /// Model, PDB or mmCIF
    #[arg(value_name = "PDB")]
    input: PathBuf,
    /// Map to write
    #[arg(short, long, value_name = "MRC")]
    output: PathBuf,
    /// Voxels along an axis
    #[arg(short, long, default_value_t = 128, value_name = "VOXELS")]
    side: usize,
    /// Å per voxel
    #[arg(short, long, default_value_t = 1.0, value_name = "Å")]
    apix: f64,
    /// Width of a Gaussian: its standard deviation
    #[arg(long, default_value_t = 2.0, value_name = "Å")]
    sigma: f64,
    /// One Gaussian a residue, with the electrons of its atoms
    #[arg(long)]
    residues: bool,
}

pub fn run(args: Args) -> Result<()> {
    for (name, value) in [("--apix", args.apix), ("--sigma", args.sigma)] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(Error::usage(format!("{name} {value}: give a positive number of Å")));
        }
    }
    if !(2..=1024).contains(&args.side) {
        return Err(Error::usage(format!("--side {}: give 2 to 1024 voxels", args.side)));
    }
    let half = 0.5 * args.side as f64 * args.apix;
    if args.sigma > half {
        return Err(Error::usage(format!("--sigma {}: wider than half the box, {half} Å", args.sigma)));
    }
    let structure = Structure::read(&args.input)?;
    let count = structure.models.len();
    for model in 0..count {
        let points = match args.residues {
            true => residues(&structure, model, &args.input)?,
            false => atoms(&structure, model),
        };
        let outside = points.iter().filter(|(p, _)| p.iter().any(|v| v.abs() > half)).count();
        if outside == points.len() {
            let why = format!(
                "nothing of model {} lies within {half} Å of the origin, where the box is: move it there \
                 (kinesome dyna center), or give a larger --side or --apix",
                model + 1
            );
            return Err(Error::malformed(&args.input, "", why));
        }
        if outside > 0 {
            note(&format!("model {}: {outside} of {} points lie outside the box", model + 1, points.len()));
        }
        let path = match count {
            1 => args.output.clone(),
            _ => {
                let stem = args.output.file_stem().unwrap_or_default().to_string_lossy();
                args.output.with_file_name(format!("{stem}_{model:03}.mrc"))
            }
        };
        let origin = -((args.side / 2) as f64) * args.apix;
        let map = map(&points, args.side, args.apix, args.sigma);
        write_volume(&path, &map, [args.side; 3], args.apix, [origin; 3])?;
        println!("{}: {} points", path.display(), points.len());
    }
    Ok(())
}
