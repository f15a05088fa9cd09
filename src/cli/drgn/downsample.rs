//! `downsample`: particles or a map to a smaller box.

use super::{expect_extension, indices};
use crate::cli::progress::{Progress, note};
use crate::error::{Error, Result};
use crate::io::outputs::Outputs;
use crate::io::particles::ParticleStack;
use crate::systems::drgn::downsample::{self, Written};
use std::path::{Path, PathBuf};

/// Downsample particles or a map by cropping in Fourier space
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn downsample particles.star -D 128 -o particles.128.mrcs --datadir Extract
  kinesome drgn downsample particles.mrcs -D 128 --chunk 50000 -o particles.128.mrcs
  kinesome drgn downsample particles.star -D 128 -o small/particles.star
  kinesome drgn downsample map.mrc -D 128 --is-vol -o map.128.mrc

--chunk writes particles.128.0.mrcs, particles.128.1.mrcs, ... and particles.128.txt, which lists them. A .star or .txt \
output gets one image file for each that the input names, in the same folders.

Memory does not grow with the stack. Half floats (mode 12) stay half floats, all other types become float32. The pixel \
size grows by old box / new box, rounded to 6 decimals. Existing pose.pkl and ctf.pkl fit the new particles.")]
pub struct Args {
    /// Particles (.mrcs, .mrc, .star, .cs, .txt), or a map with --is-vol
    input: PathBuf,

    /// New box in pixels, even
    #[arg(short = 'D', value_name = "PX")]
    side: usize,

    /// Stack (.mrcs, .mrc), or .star or .txt for one file per input file
    #[arg(short, long = "outfile", value_name = "FILE")]
    out: PathBuf,

    /// Images a batch at most; has no bearing on the result
    #[arg(short, default_value_t = 5000, value_name = "N")]
    batch: usize,

    /// Split the result into files of N images, listed in a .txt
    #[arg(long, value_name = "N")]
    chunk: Option<usize>,

    /// The input is a map
    #[arg(long)]
    is_vol: bool,

    /// Folder in which to look for images that the .star, .cs or .txt names
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,

    /// Use only these particles: numbers from 0 (.pkl or .npy)
    #[arg(long, value_name = "PKL")]
    ind: Option<PathBuf>,

    /// With -o .star or .txt: folder of the new image files [default: that of -o]
    #[arg(long, value_name = "DIR")]
    outdir: Option<PathBuf>,

    /// As --threads
    #[arg(long, default_value_t = 16, hide = true)]
    max_threads: usize,
}

pub fn run(args: Args) -> Result<()> {
    if args.side < 2 || !args.side.is_multiple_of(2) {
        let side = args.side;
        return Err(Error::usage(format!(
            "-D {side}: the new box must be even; take {} for example",
            side.max(1) + 1
        )));
    }
    let mut outputs = Outputs::new();
    if let Some(folder) = args.out.parent() {
        outputs.folder(folder)?;
    }
    if args.is_vol {
        let apix = downsample::volume(&args.input, args.side, &args.out)?;
        outputs.keep();
        println!("{}: {} voxels a side, {apix} Å per voxel", args.out.display(), args.side);
        return Ok(());
    }
    let ind = indices(args.ind.as_deref())?;
    let stack = ParticleStack::open(&args.input, args.datadir.as_deref(), ind.as_deref())?;
    let mut progress = Progress::new("downsampling", "images");
    let written = write(&args, &stack, ind.as_deref(), &mut progress)?;
    outputs.keep();
    if written.apix.is_none() {
        note("the input does not say its pixel size (or it differs); write the right one with add_psize");
    }
    let files = if written.files == 1 { String::new() } else { format!(" in {} files", written.files) };
    let apix = written.apix.map_or(String::new(), |apix| format!(", {apix} Å per pixel"));
    println!(
        "{}: {} images of {} pixels{files} from {}{apix}; {}",
        args.out.display(),
        written.images,
        args.side,
        stack.box_size(),
        progress.finish()
    );
    Ok(())
}

fn write(
    args: &Args,
    stack: &ParticleStack,
    ind: Option<&[usize]>,
    progress: &mut Progress,
) -> Result<Written> {
    let kind =
        |path: &Path| path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let (from, to) = (kind(&args.input), kind(&args.out));
    let tick = &mut progress.ticker();
    match (to.as_str(), args.chunk) {
        ("star" | "txt", None) if from == to => {
            if from == "txt" && ind.is_some() {
                note("the new .txt lists files that hold only the chosen particles");
            }
            let folder = args.outdir.clone().or(args.out.parent().map(Path::to_path_buf)).unwrap_or_default();
            downsample::to_tree(stack, (&args.input, ind), args.side, (&args.out, &folder), tick)
        }
        ("star" | "txt", None) => Err(Error::usage(format!(
            "-o {}: a .{to} can be written from a .{to} only; write a .mrcs (or, from any input, pieces and their .txt \
             with --chunk)",
            args.out.display()
        ))),
        (_, Some(chunk)) => {
            expect_extension(&args.out, "-o", &["mrcs", "mrc", "txt"])?;
            downsample::to_pieces(stack, args.side, chunk, &args.out, tick)
        }
        (_, None) => {
            expect_extension(&args.out, "-o", &["mrcs", "mrc", "star", "txt"])?;
            downsample::to_stack(stack, args.side, &args.out, tick)
        }
    }
}
