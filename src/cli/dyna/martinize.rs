//! `martinize`: proteins and nucleic acids as MARTINI's beads, for this program and for GROMACS.

use std::path::PathBuf;

use crate::cli::progress::note;
use crate::error::{Error, Result};
use crate::io::structure::Structure;
use crate::protein::martini::{Beads, Topology, write};

/// Map a model to MARTINI 2.2 beads and write their topology for GROMACS
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna martinize model.pdb -o beads

Writes model_cg.pdb (the beads), model.top and model_A.itp for each chain. The force field's own file, martini_v2.2.itp, \
is not among them. Secondary structure is assigned by hydrogen bonds as DSSP does it. Chain ends are charged, gaps within \
a chain are not; disulphide bridges are not set. \
Nucleotides are mapped too, but what holds them is the model's own geometry, not MARTINI's force field of nucleic acids.")]
pub struct Args {
    /// Model with all its atoms, PDB or mmCIF
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Folder to write to
    #[arg(short, long = "outdir", value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    let structure = Structure::read(&args.model)?;
    let beads = Beads::of(&structure, None, &args.model)?;
    for text in &beads.notes {
        note(text);
    }
    if !beads.others.is_empty() {
        note(&format!("groups that are no amino acids or nucleotides are left out: {}", beads.others.len()));
    }
    let topology = Topology::new(&beads);
    let name = args
        .model
        .file_stem()
        .and_then(|name| name.to_str())
        .filter(|name| !name.contains(char::is_whitespace));
    let name = name.ok_or_else(|| {
        Error::usage(format!("{}: GROMACS wants names without blanks; rename the file", args.model.display()))
    })?;
    let paths = write(&beads, &topology, &beads.places, &args.out, name)?;
    note(&format!(
        "{} residues as {} beads: {} bonds, {} angles, {} dihedrals, {} impropers",
        beads.residues.len(),
        beads.len(),
        topology.bonds.len(),
        topology.angles.len(),
        topology.dihedrals.len(),
        topology.impropers.len()
    ));
    for path in paths {
        println!("{}", path.display());
    }
    Ok(())
}
