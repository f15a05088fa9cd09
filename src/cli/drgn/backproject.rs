//! `backproject_voxel`: a consensus map from particles with known poses.

use super::indices;
use crate::cli::progress::{Progress, note};
use crate::cryo::backproject::{CtfWeighting, Options, Part};
use crate::cryo::fsc::FscSet;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::io::mrc::write_volume;
use crate::io::npy::Array;
use crate::io::outputs::Outputs;
use crate::io::particles::ParticleStack;
use crate::report::plots;
use crate::systems::drgn::files::write_array;
use crate::systems::drgn::reconstruct::{self, Maps, Views};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CtfAlgorithm {
    /// Multiply by the CTF, divide by its square
    Mul,
    /// Multiply by its sign only
    Flip,
}

/// Reconstruct a map from particles with known poses
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn backproject_voxel particles.128.mrcs --poses pose.pkl --ctf ctf.pkl -o backproject
  kinesome drgn backproject_voxel particles.star --poses pose.pkl --ctf ctf.pkl --first 10000 -o quick

Files in DIR:
  backproject.mrc                    the map; its density should be positive and look like the consensus map
  half_map_a.mrc, half_map_b.mrc     maps of every other image
  fsc-vals.txt, fsc-plot.png         FSC of the half maps by spatial frequency (cycles per pixel)

This is the check of poses, CTF and contrast before training. Memory does not grow with the stack. The pixel size is that of the CTF table (box times pixel size of its first row, \
over the present box).")]
pub struct Args {
    /// Particles (.mrcs, .mrc, .star, .cs, .txt)
    particles: PathBuf,

    /// Poses (pose.pkl)
    #[arg(long, value_name = "PKL")]
    poses: PathBuf,

    /// CTF parameters (ctf.pkl); without them images count as free of a CTF
    #[arg(long, value_name = "PKL")]
    ctf: Option<PathBuf>,

    /// Folder to write to; made if missing
    #[arg(short, long = "outdir", value_name = "DIR")]
    out: PathBuf,

    /// Images a batch at most; has no bearing on the result
    #[arg(short, long = "batch-size", default_value_t = 1000, value_name = "N")]
    batch: usize,

    /// How the CTF enters
    #[arg(long, value_enum, default_value = "mul")]
    ctf_alg: CtfAlgorithm,

    /// Weight of the regularisation: this times the mean weight is added to every voxel's
    #[arg(long, default_value_t = 1.0, value_name = "W")]
    reg_weight: f64,

    /// Use only the first N images
    #[arg(long, value_name = "N")]
    first: Option<usize>,

    /// No half maps and no FSC
    #[arg(long)]
    no_half_maps: bool,

    /// Half maps, but no FSC
    #[arg(long)]
    no_fsc_vals: bool,

    /// Write the accumulated transform and weights too ([D, D, D] arrays, D = box + 1): backproject.sums, .counts
    #[arg(long)]
    output_sumcount: bool,

    /// Do not turn the sign of the images: particles are bright after CTF correction
    #[arg(long)]
    uninvert_data: bool,

    /// Images are always read as they are needed; accepted for cryoDRGN's sake
    #[arg(long)]
    lazy: bool,

    /// Use only these particles: numbers from 0 (.pkl or .npy); poses and CTF may be of all or of these
    #[arg(long, value_name = "PKL")]
    ind: Option<PathBuf>,

    /// Folder in which to look for images that the .star, .cs or .txt names
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,

    /// Images between lines of progress; accepted for cryoDRGN's sake
    #[arg(long, default_value = "auto", value_name = "N", hide = true)]
    log_interval: String,

    #[arg(long, hide = true)]
    tilt: bool,

    #[arg(short = 'd', long = "dose-per-tilt", hide = true)]
    dose: Option<f64>,

    #[arg(long, hide = true)]
    ntilts: Option<usize>,

    #[arg(long, hide = true)]
    force_ntilts: bool,

    #[arg(short = 'a', long = "angle-per-tilt", hide = true)]
    angle: Option<f64>,
}

pub fn run(args: Args) -> Result<()> {
    if args.tilt || args.dose.is_some() || args.ntilts.is_some() || args.force_ntilts || args.angle.is_some()
    {
        let problem = "tilt series (--tilt, -d, --ntilts, --force-ntilts, -a) are not supported yet; single-particle \
                       images are";
        return Err(Error::usage(problem));
    }
    if !(args.reg_weight >= 0.0 && args.reg_weight.is_finite()) {
        return Err(Error::usage(format!("--reg-weight {}: must not be negative", args.reg_weight)));
    }
    if args.first == Some(0) {
        return Err(Error::usage("--first 0: there would be no image to reconstruct from"));
    }
    let ind = indices(args.ind.as_deref())?;
    let stack = ParticleStack::open(&args.particles, args.datadir.as_deref(), ind.as_deref())?;
    let views = Views::load(&stack, &args.poses, args.ctf.as_deref(), ind.as_deref())?;
    // Made before the work, so that a folder that cannot be made is known at once.
    let mut outputs = Outputs::new();
    outputs.folder(&args.out)?;
    let half_maps = !args.no_half_maps;
    let options = Options {
        ctf: match args.ctf_alg {
            CtfAlgorithm::Mul => CtfWeighting::Multiply,
            CtfAlgorithm::Flip => CtfWeighting::FlipPhase,
        },
        invert: !args.uninvert_data,
        half_maps,
        ..Options::default()
    };
    if args.ctf.is_none() {
        note("no --ctf: images are taken to be free of a contrast transfer function");
    }
    let mut progress = Progress::new("backprojecting", "images");
    let count = args.first.unwrap_or(usize::MAX);
    let sums =
        reconstruct::backproject(&stack, &views.views, options, (count, args.batch), &mut progress.ticker())?;
    let took = progress.finish();

    let (side, apix) = (stack.box_size(), views.apix);
    let maps = reconstruct::maps(&sums, args.reg_weight, half_maps)?;
    let curves = if args.no_fsc_vals { None } else { reconstruct::half_map_fsc(&maps, side, apix)? };
    if args.output_sumcount {
        let (sum, count) = sums.sums_and_counts(Part::Full)?;
        for (name, values) in [("backproject.sums", sum), ("backproject.counts", count)] {
            write_array(&outputs.file(args.out.join(name)), Array::f32(&[side + 1; 3], values)?)?;
        }
    }
    write(&mut outputs, &args.out, &maps, curves.as_ref(), side, apix)?;
    outputs.keep();

    println!("{}: {} images, box {side} at {apix} Å; {took}", args.out.display(), sums.images());
    if let Some(set) = &curves {
        super::fsc::say_resolution("no mask", &set.no_mask, apix);
        super::fsc::say_resolution("tight mask, corrected", &set.corrected, apix);
    }
    Ok(())
}

fn write(
    outputs: &mut Outputs,
    folder: &Path,
    maps: &Maps,
    curves: Option<&FscSet>,
    side: usize,
    apix: f64,
) -> Result<()> {
    let mut map = |name: &str, data: &[f32]| {
        write_volume(&outputs.file(folder.join(name)), data, [side; 3], apix, [0.0; 3])
    };
    map("backproject.mrc", &maps.full)?;
    if let Some([a, b]) = &maps.halves {
        map("half_map_a.mrc", a)?;
        map("half_map_b.mrc", b)?;
    }
    if let Some(set) = curves {
        let text = set.to_text();
        atomic::write(&outputs.file(folder.join("fsc-vals.txt")), |out| out.write_all(text.as_bytes()))?;
        let named = super::fsc::curves_of(set);
        let png = plots::fsc("FSC of half maps", &named, side, apix).png()?;
        atomic::write(&outputs.file(folder.join("fsc-plot.png")), |out| out.write_all(&png))?;
    }
    Ok(())
}
