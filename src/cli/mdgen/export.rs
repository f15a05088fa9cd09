//! `export`: one of our checkpoints as MDGen's own scripts load it.

use std::path::PathBuf;

use super::import::load;
use crate::cli::progress::note;
use crate::error::{Error, Result};
use crate::systems::mdgen::checkpoint;

/// Turn one of our checkpoints into one that MDGen's own scripts load
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome mdgen export run/last.ckpt -o run/mdgen.ckpt

Writes PyTorch Lightning's form with all names, fixed arrays and flags. Of a run with --ema the average is written.")]
pub struct Args {
    /// Checkpoint of `train`
    checkpoint: PathBuf,
    /// File to write
    #[arg(short, long = "out", value_name = "CKPT")]
    out: PathBuf,
    /// The last weights, not their moving average
    #[arg(long)]
    last: bool,
}

pub fn run(args: Args) -> Result<()> {
    let (network, store) = load(&args.checkpoint, !args.last)?;
    if !network.config.spread.is_empty() {
        return Err(Error::usage(
            "this network upsamples by departures from straight lines, which the reference does not know: train it with \
             --parity to export it",
        ));
    }
    if !network.config.parity {
        note(
            "this network was trained without --parity: the reference computes the first residue's phi otherwise, so its \
             samples differ a little",
        );
    }
    checkpoint::export(&args.out, &network, &store)?;
    println!("{}", args.out.display());
    Ok(())
}
