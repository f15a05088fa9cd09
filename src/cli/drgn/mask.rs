//! `gen_mask`: a soft mask around a map.

use crate::cryo::mask::{MaskOptions, cosine_mask, default_threshold};
use crate::error::{Error, Result};
use crate::io::mrc::{Volume, write_volume};
use crate::systems::drgn::images::not_onto_input;
use std::path::PathBuf;

/// Make a soft mask around a map
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn gen_mask backproject.mrc mask.mrc --dilate 25 --dist 15

Voxels above the threshold, grown by --dilate, with an edge of width --dist outside that falls as a cosine.")]
pub struct Args {
    /// Map
    input: PathBuf,

    /// Mask to write
    output: PathBuf,

    /// Density from which on a voxel counts [default: half the 99.99 percentile]
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    threshold: Option<f32>,

    /// Growth in Å
    #[arg(long, default_value_t = 25.0, value_name = "Å")]
    dilate: f64,

    /// Width of the soft edge in Å
    #[arg(long, default_value_t = 15.0, value_name = "Å")]
    dist: f64,

    /// Pixel size in Å [default: of the map]
    #[arg(long = "Apix", value_name = "Å")]
    apix: Option<f64>,
}

pub fn run(args: Args) -> Result<()> {
    let map = Volume::read(&args.input)?;
    not_onto_input(&args.output, [args.input.as_path()])?;
    let side = match map.dims {
        [z, y, x] if z == y && y == x => x,
        [z, y, x] => {
            return Err(Error::malformed(
                &args.input,
                "",
                format!("the map is {x} x {y} x {z}; it must be a cube"),
            ));
        }
    };
    let apix = args.apix.or(map.apix).unwrap_or(1.0);
    let threshold = match args.threshold {
        Some(threshold) => threshold,
        None => {
            default_threshold(&map.data).map_err(|e| Error::malformed(&args.input, "", e.to_string()))? as f32
        }
    };
    let options = MaskOptions { threshold: Some(threshold), dilate: args.dilate, edge: args.dist };
    let mask = cosine_mask(&map.data, side, apix, &options)?;
    write_volume(&args.output, &mask, [side; 3], apix, map.origin)?;
    let inside = mask.iter().filter(|v| **v >= 1.0).count() as f64 / mask.len().max(1) as f64;
    println!("{}: threshold {threshold}, {:.1} % of the box inside", args.output.display(), 100.0 * inside);
    Ok(())
}
