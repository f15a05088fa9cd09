//! `import`: a checkpoint of MDGen's own as one of ours.

use std::path::PathBuf;
use std::sync::Arc;

use crate::device::cpu::Cpu;
use crate::error::Result;
use crate::plan::Store;
use crate::systems::mdgen::checkpoint::{self, Checkpoint};
use crate::systems::mdgen::model::Network;

/// Turn a checkpoint of MDGen's own trainer into one of ours
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome mdgen import forward_sim.ckpt -o forward_sim.kinesome.ckpt

Weights, task and shape are taken over, optimiser and scripts are not. The network does as the reference does \
(train's --parity). All commands that generate, and `train --ckpt`, read the reference's checkpoints directly as well; \
nothing in a file is run.")]
pub struct Args {
    /// PyTorch Lightning checkpoint
    checkpoint: PathBuf,
    /// File to write
    #[arg(short, long = "out", value_name = "CKPT")]
    out: PathBuf,
}

/// The network of a checkpoint, the moving average of its weights where `average` asks for it.
pub fn load(path: &std::path::Path, average: bool) -> Result<(Network, Store)> {
    let held = Checkpoint::read(path)?;
    let network = Network::new(&held.config)?;
    let store = Store::new(Arc::new(Cpu::new()), 0);
    held.load(path, &network, &store, average, false)?;
    Ok((network, store))
}

pub fn run(args: Args) -> Result<()> {
    let (network, store) = load(&args.checkpoint, false)?;
    checkpoint::save(&args.out, &network, &store, None)?;
    let config = &network.config;
    println!(
        "{}: {:?}, {} frames, {} residues, width {}, {} + {} layers",
        args.out.display(),
        config.task,
        config.num_frames,
        config.crop,
        config.embed_dim,
        config.num_layers,
        config.num_layers
    );
    Ok(())
}
