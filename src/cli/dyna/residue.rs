//! `residue`: a latent for each particle and a structure for each latent, one point a residue.

use super::stage::{self, Flags};
use crate::error::Result;
use crate::systems::dyna::config::Stage;

/// Learn the motion of a docked model, one point a residue
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna residue particles.star model.pdb -o run
  kinesome dyna residue particles.star model.pdb -o run --low-pass-bandwidth 8 -n 50
  kinesome dyna residue --config run/config.toml -o run --resume     goes on where a run was stopped, to the same bits

Particles come from a refinement (RELION star file with angles, origins and CTF), the model is docked into its map. Every \
few epochs a folder EPOCH_STEP appears in the run's: z.npy (a latent for each particle), pred.pdb (structures of \
clusters), pca-1.pdb .. pca-3.pdb (structures along the axes of most variance), ckpt.pt. Settings have the names that \
CryoDyna's configurations have: a TOML file with --config, single ones with --cfg-options loss.dist_weight=2.")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

pub fn run(args: Args) -> Result<()> {
    stage::run(args.flags, Stage::Residue, &[])
}
