//! `prepare`: MD trajectories to the store that training and evaluation read.

use crate::cli::progress::{Progress, note};
use crate::error::{Error, Result};
use crate::systems::mdgen::prepare::{Molecule, Options, prepare};
use crate::systems::mdgen::store::Precision;
use std::path::PathBuf;

/// Turn MD trajectories into the files that training reads
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome mdgen prepare peptide.pdb peptide.xtc -o data
  kinesome mdgen prepare simulations -o data --every 5
  kinesome mdgen prepare 6uof_A.pdb R1.xtc R2.xtc R3.xtc -o atlas --suffix _i40 --every 40
  kinesome mdgen prepare complex.pdb run.dcd -o data --chain B

Writes data/NAME.npy for each molecule, NAME being that of its topology (several trajectories of one topology: \
NAME_R1.npy, NAME_R2.npy, ...), and adds its name and sequence to data/split.csv. A file holds [frames, residues, 14, 3] \
in \u{c5} as MDGen's own do: heavy atoms without OXT in AlphaFold's atom14 order, superposed on the first frame over \
the chain's heavy atoms.

One chain of amino acids, of any length; water, ions, ligands and caps (ACE, NME) are left out. Names of force fields \
(HSD, HIE, CYX, ...) and selenomethionine are known. Missing atoms, gaps and other residues are refused. Memory does not \
grow with the trajectory.")]
pub struct Args {
    /// Topology (.pdb, .cif), or a folder of topologies with trajectories of the same names
    input: PathBuf,

    /// Trajectories (.xtc, .dcd, or .pdb with many models) [default: the models of the topology]
    trajectory: Vec<PathBuf>,

    /// Folder for the files
    #[arg(short, long = "outdir", value_name = "DIR")]
    out: PathBuf,

    /// Text behind the names of the files: `_i100`
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    suffix: String,

    /// Table of names and sequences to add to [default: split.csv in the folder]
    #[arg(long, value_name = "CSV")]
    split: Option<PathBuf>,

    /// Keep every Nth frame
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,

    /// Frames to leave out at the start
    #[arg(long, default_value_t = 0, value_name = "N")]
    skip: usize,

    /// Store float32 in place of float16, for molecules larger than 60 \u{c5}
    #[arg(long)]
    f32: bool,

    /// The chain to take of several
    #[arg(long, value_name = "ID")]
    chain: Option<String>,
}

/// Beyond this distance from the origin float16 is coarser than 0.06 Å.
const COARSE: f32 = 128.0;

pub fn run(args: Args) -> Result<()> {
    let molecules = if args.input.is_dir() {
        if let Some(more) = args.trajectory.first() {
            let why = "a folder brings its own trajectories; give a topology, or the folder alone";
            return Err(Error::usage(format!("{}: {why}", more.display())));
        }
        Molecule::of_folder(&args.input)?
    } else {
        vec![Molecule::new(&args.input, args.trajectory)]
    };
    let options = Options {
        split: args.split.unwrap_or_else(|| args.out.join("split.csv")),
        folder: args.out,
        suffix: args.suffix,
        every: args.every as usize,
        skip: args.skip,
        precision: if args.f32 { Precision::Single } else { Precision::Half },
        chain: args.chain,
    };
    let mut progress = Progress::new("preparing", "frames");
    let made = prepare(&molecules, &options, &mut progress.ticker())?;
    let speed = progress.finish();
    for one in &made {
        println!("{}: {} frames of {}", one.file.display(), one.frames, one.sequence);
        if options.precision == Precision::Half && one.largest > COARSE {
            let text = format!(
                "{}: reaches {:.0} \u{c5} from the origin, where float16 is coarse",
                one.name, one.largest
            );
            note(&format!("{text}; consider --f32"));
        }
    }
    println!("{} molecules in {} ({speed})", molecules.len(), options.split.display());
    Ok(())
}
