//! `beads`: as `residue`, with a point for each of MARTINI's beads.

use std::path::PathBuf;

use toml::Value;

use super::stage::{self, Flags};
use crate::error::Result;
use crate::systems::dyna::config::Stage;

/// Learn the motion of a docked model as MARTINI's beads, side chains included
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna beads particles.star model.pdb -o run
  kinesome dyna beads particles.star model.pdb -o run --ref-cg-pdb-path minimised.pdb
  kinesome dyna beads --config run/config.toml -o run --resume

The model is a protein, a nucleic acid or both with all atoms; kinesome dyna martinize shows the beads that it becomes. \
Files and settings are those of kinesome dyna residue, but structures hold beads (BB, SC1 to SC4), and MARTINI's bonds, angles, dihedrals and pairs \
hold them (loss.bonded_weight and so on). It does not start from a run of the residue stage.")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// The same beads where their energy is low; laid on the model
    #[arg(long, value_name = "PDB", help_heading = "Data")]
    ref_cg_pdb_path: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<()> {
    let path = args.ref_cg_pdb_path.map(|path| Value::String(path.to_string_lossy().into_owned()));
    stage::run(args.flags, Stage::Beads, &[("dataset_attr.ref_cg_pdb_path", path)])
}
