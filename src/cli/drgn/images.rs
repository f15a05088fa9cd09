//! Small tools for maps, stacks and their headers.

use crate::cli::progress::Progress;
use crate::error::{Error, Result};
use crate::io::cs::CsTable;
use crate::io::mrc::MrcFile;
use crate::io::particles::ParticleStack;
use crate::systems::drgn::files::{CtfTable, Poses, read_array};
use crate::systems::drgn::images;
use std::path::{Path, PathBuf};

/// Reverse the z axis of a map: the other hand
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn flip_hand map.mrc -o map_flip.mrc")]
pub struct FlipHandArgs {
    /// Map
    input: PathBuf,

    /// Map to write [default: NAME_flip.mrc]
    #[arg(short, long = "outmrc", value_name = "MRC")]
    out: Option<PathBuf>,
}

/// Multiply a map or stack by -1
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn invert_contrast particles.mrcs -o particles_inverted.mrcs")]
pub struct InvertArgs {
    /// Map or stack
    input: PathBuf,

    /// File to write [default: NAME_inv.mrc or .mrcs]
    #[arg(short, long = "outmrc", value_name = "MRC")]
    out: Option<PathBuf>,
}

/// Write the pixel size into a header
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn add_psize map.mrc --Apix 1.06 -o map_psize.mrc

Only the header changes; pixels, byte order and extended header stay as they are.")]
pub struct PsizeArgs {
    /// Map or stack
    input: PathBuf,

    /// Pixel size in Å
    #[arg(long = "Apix", default_value_t = 1.0, value_name = "Å")]
    apix: f64,

    /// File to write
    #[arg(short, value_name = "MRC")]
    out: PathBuf,
}

/// Correct particle images for the sign of their CTF
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn phase_flip particles.mrcs ctf.pkl -o particles_flipped.mrcs

Each image's transform is multiplied by the sign of its own CTF. (The program of this name in cryoDRGN mixes images with \
one another; this one does not.)")]
pub struct PhaseFlipArgs {
    /// Particles (.mrcs, .mrc, .star, .cs, .txt)
    particles: PathBuf,

    /// CTF parameters (ctf.pkl)
    ctf_params: PathBuf,

    /// Stack to write
    #[arg(short, value_name = "MRCS")]
    out: PathBuf,

    /// Folder in which to look for images that the .star, .cs or .txt names
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,
}

/// Move particle images by their shifts
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn translate_mrcs particles.mrcs pose.pkl -o centred.mrcs

Moves image i by +shift, in Fourier space. Shifts are fractions of the box (pose.pkl, or an array [N, 2]); --tscale \
multiplies them: give 1/box for shifts in pixels.")]
pub struct TranslateArgs {
    /// Particles (.mrcs, .mrc, .star, .cs, .txt)
    mrcs: PathBuf,

    /// pose.pkl, or an array [N, 2] (.pkl or .npy)
    trans: PathBuf,

    /// Factor on the shifts
    #[arg(long, default_value_t = 1.0, value_name = "F", allow_negative_numbers = true)]
    tscale: f64,

    /// Stack to write
    #[arg(short, value_name = "MRCS")]
    out: PathBuf,

    /// Folder in which to look for images that the .star, .cs or .txt names
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,
}

/// Show the header of a map or stack
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn view_header particles.mrcs")]
pub struct HeaderArgs {
    /// Map or stack
    input: PathBuf,
}

/// Show the fields of a cryoSPARC .cs file
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn view_cs_header cryosparc_P1_J9_particles.cs")]
pub struct CsHeaderArgs {
    /// The .cs file
    input: PathBuf,
}

/// `folder/name.mrc` to `folder/nameSUFFIX.mrc`.
fn beside(input: &Path, suffix: &str) -> PathBuf {
    let part = |p: Option<&std::ffi::OsStr>| p.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, extension) = (part(input.file_stem()), part(input.extension()));
    input.with_file_name(format!("{stem}{suffix}.{extension}"))
}

pub fn run_flip_hand(args: FlipHandArgs) -> Result<()> {
    let out = args.out.unwrap_or_else(|| beside(&args.input, "_flip"));
    images::flip_hand(&args.input, &out)?;
    println!("{}", out.display());
    Ok(())
}

pub fn run_invert(args: InvertArgs) -> Result<()> {
    let out = args.out.unwrap_or_else(|| beside(&args.input, "_inv"));
    let mut progress = Progress::new("inverting", "images");
    images::invert(&args.input, &out, &mut progress.ticker())?;
    println!("{}", out.display());
    Ok(())
}

pub fn run_psize(args: PsizeArgs) -> Result<()> {
    let file = MrcFile::open(&args.input)?;
    images::not_onto_input(&args.out, [args.input.as_path()])?;
    file.write_copy(&args.out, args.apix, None)?;
    println!("{}: {} Å per pixel", args.out.display(), args.apix);
    Ok(())
}

pub fn run_phase_flip(args: PhaseFlipArgs) -> Result<()> {
    let stack = ParticleStack::open(&args.particles, args.datadir.as_deref(), None)?;
    let ctf = CtfTable::read(&args.ctf_params)?;
    let mut progress = Progress::new("flipping phases", "images");
    let n = images::flip_phases(&stack, &ctf, &args.out, &mut progress.ticker())?;
    println!("{}: {n} images; {}", args.out.display(), progress.finish());
    Ok(())
}

pub fn run_translate(args: TranslateArgs) -> Result<()> {
    let stack = ParticleStack::open(&args.mrcs, args.datadir.as_deref(), None)?;
    let scale = args.tscale * stack.box_size() as f64;
    if !scale.is_finite() {
        return Err(Error::usage("--tscale must be a finite number"));
    }
    let shifts: Vec<[f64; 2]> = shifts(&args.trans)?.into_iter().map(|t| t.map(|v| v * scale)).collect();
    let mut progress = Progress::new("moving", "images");
    let n = images::translate(&stack, &shifts, &args.out, &mut progress.ticker())?;
    println!("{}: {n} images; {}", args.out.display(), progress.finish());
    Ok(())
}

fn shifts(path: &Path) -> Result<Vec<[f64; 2]>> {
    // An array of two columns, or else a pose file.
    if let Ok(array) = read_array(path)
        && array.shape.len() == 2
        && array.shape[1] == 2
    {
        let values = array.to_f64();
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::malformed(path, format!("row {}", i / 2), "a shift is not a finite number"));
        }
        return Ok(values.as_chunks::<2>().0.to_vec());
    }
    let poses = Poses::read(path)?;
    poses
        .translations
        .ok_or_else(|| Error::malformed(path, "", "the pose file has rotations only, no shifts"))
}

pub fn run_header(args: HeaderArgs) -> Result<()> {
    let file = MrcFile::open(&args.input)?;
    let h = file.header();
    println!("file         {}", args.input.display());
    println!(
        "size         {} x {} x {} (x, y, {})",
        h.nx,
        h.ny,
        file.len(),
        if h.ispg == 0 { "images" } else { "z" }
    );
    println!("mode         {} ({:?})", h.mode.number(), h.mode);
    println!("byte order   {}", if h.big_endian { "big-endian" } else { "little-endian" });
    println!("pixel size   {}", h.apix.map_or("not stated".into(), |a| format!("{a} Å")));
    println!("origin       {} {} {} Å", h.origin[0], h.origin[1], h.origin[2]);
    println!("space group  {}", h.ispg);
    println!("axes         {}", h.axes.map(|a| ["x", "y", "z"].get(a).copied().unwrap_or("?")).join(" "));
    let [min, max, mean, rms] = h.stats;
    println!("statistics   min {min}, max {max}, mean {mean}, rms {rms} (as stated)");
    println!("data at      byte {}", h.data_offset);
    h.labels.iter().for_each(|label| println!("label        {label}"));
    Ok(())
}

pub fn run_cs_header(args: CsHeaderArgs) -> Result<()> {
    let table = CsTable::open(&args.input)?;
    println!("{} rows", table.len());
    for (name, kind, width) in table.describe() {
        println!("{name:40} {kind}{}", if width == 1 { String::new() } else { format!(" x {width}") });
    }
    Ok(())
}
