//! `center`: the middle of the box becomes the origin.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::atomic;
use crate::io::mrc::MrcFile;
use crate::io::structure::Structure;
use crate::systems::dyna::density::atoms::{atoms, centroid, middle};

/// Move models and their map so that the middle of the box is the origin
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna center model.pdb map.mrc     both by as much: they lie over one another as before
  kinesome dyna center model.pdb             the centroid of its electrons becomes the origin

Writes NAME_centered beside each file, or into --outdir. The other commands of kinesome dyna have the origin there.")]
pub struct Args {
    /// Models (PDB, mmCIF), and at most one map (MRC)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder to write [default: that of each file]
    #[arg(short, long, value_name = "DIR")]
    outdir: Option<PathBuf>,
}

fn is_map(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    ["mrc", "map", "ccp4"].contains(&extension.as_str())
}

pub fn run(args: Args) -> Result<()> {
    let (maps, models): (Vec<PathBuf>, Vec<PathBuf>) = args.files.into_iter().partition(|path| is_map(path));
    if maps.len() > 1 {
        return Err(Error::usage(format!("{} maps: give one, the models belong to its box", maps.len())));
    }
    if let Some(folder) = &args.outdir {
        atomic::folder(folder)?;
    }
    let target = |path: &Path| {
        let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let name = format!("{}_centered.{}", part(path.file_stem()), part(path.extension()));
        args.outdir.as_ref().map_or_else(|| path.with_file_name(&name), |folder| folder.join(&name))
    };
    let said = |path: &Path, [x, y, z]: [f64; 3]| {
        println!("{}: moved by {:.3} {:.3} {:.3} Å", path.display(), 0.0 - x, 0.0 - y, 0.0 - z);
    };
    let mut box_middle = None;
    for path in &maps {
        let map = MrcFile::open(path)?;
        let apix = map.header().apix.ok_or_else(|| {
            Error::malformed(path, "header", "has no pixel size; write it with kinesome drgn add_psize")
        })?;
        let there = middle(map.header(), apix);
        let origin = [0, 1, 2].map(|k| map.header().origin[k] - there[k]);
        map.write_copy(&target(path), apix, Some(origin))?;
        said(&target(path), there);
        box_middle = Some(there);
    }
    for path in &models {
        let mut structure = Structure::read(path)?;
        let there = box_middle.unwrap_or_else(|| centroid(&atoms(&structure, 0)));
        for place in structure.models.iter_mut().flatten() {
            (0..3).for_each(|k| place[k] -= there[k]);
        }
        structure.write(&target(path))?;
        said(&target(path), there);
    }
    Ok(())
}
