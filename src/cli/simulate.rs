//! `kinesome simulate`: a particle stack with known truth, from atomic structures.

use super::progress::{Stages, note};
use crate::cryo::simulate::{
    Contrast, Ensemble, Microscope, Poses, Shift, SimulateOptions, Spread, Stage, Summary, simulate,
};
use crate::error::{Error, Result};
use crate::io::star::Star;
use crate::io::structure::Structure;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Example: 5,000 images of a protein that moves from one structure to the other

  kinesome simulate open.pdb closed.pdb --path 50 -n 5000 -o simulated
  kinesome drgn train simulated/particles.star -o trained

Conventions
  Contrast  By default images are light (a bright particle on dark ground, as RELION
            extracts particles). cryoDRGN and `kinesome drgn` turn the sign of images
            unless told otherwise, and so get positive density without a flag.
            With --contrast dark, train with --uninvert-data. Without a CTF (--no-ctf)
            it is the other way round: light needs --uninvert-data, dark no flag.
  Centre    A point p of the structure lands at (R p) in x and y. The centre is pixel
            box/2, counted from 0. Structures are moved so that their common centroid
            is the centre; --keep-origin leaves them where they are.
  Shifts    --shift is in pixels, or in Å with an A behind the number. The star file
            holds rlnOriginXAngst and YAngst in Å: what centres the image if added.
  Signal    SNR is the variance of the CTF-multiplied noiseless stack over all pixels,
            divided by the variance of the noise. Noise is white; images are scaled so
            that it has standard deviation 1.
  Density   Each heavy atom is a Gaussian that holds its electrons. Maps are in
            electrons per voxel.

Files in DIR
  particles.mrcs, particles.star   the stack (RELION 3.1)
  truth.csv                        of each image: t along the path, state, true pose,
                                   origin (Å), defocus (Å)
  vol_000.mrc, ...                 true maps; conformations.pdb: the models in them
  simulate.json                    all parameters, and the numbers that came of them";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ContrastName {
    /// Bright particle; needs no flag in cryoDRGN (with a CTF)
    Light,
    /// Dark particle; cryoDRGN needs --uninvert-data (with a CTF)
    Dark,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SpreadName {
    /// Anywhere along the path, or any state
    Uniform,
    /// Only at the given points of the path
    Discrete,
    /// Half around t = 0.2, half around 0.8
    Bimodal,
}

/// Simulate a cryo-EM particle stack with known truth from atomic structures
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArgs {
    /// Structures (PDB or mmCIF); each file and each model in it is one conformation
    #[arg(required = true, value_name = "PDB")]
    structures: Vec<PathBuf>,

    /// Folder for the stack and the truth; made if missing
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// Number of images
    #[arg(short = 'n', long, default_value_t = 1000, value_name = "N")]
    images: usize,

    /// Side of the images in pixels, even
    #[arg(long = "box", default_value_t = 64, value_name = "PX")]
    box_side: usize,

    /// Pixel size in Å [default: such that the particle fills 60 % of the box and the CTF does not alias]
    #[arg(long, value_name = "Å")]
    apix: Option<f64>,

    /// Signal-to-noise ratio; `inf` for clean images
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true)]
    snr: f64,

    /// Move the molecule along a path of N conformations through all given ones: domains move on arcs about
    /// their hinges, and bonds survive [default: each given conformation is a state of its own]
    #[arg(long, value_name = "N", help_heading = "Conformations")]
    path: Option<usize>,

    /// How images are spread over the conformations
    #[arg(long, value_enum, default_value = "uniform", help_heading = "Conformations")]
    distribution: SpreadName,

    /// With --path: leave files in their own frames instead of laying each onto the first by their largest
    /// common rigid domain
    #[arg(long, help_heading = "Conformations")]
    no_align: bool,

    /// Leave the coordinates where they are: 0, 0, 0 is the centre of the box
    #[arg(long, help_heading = "Conformations")]
    keep_origin: bool,

    /// Number of true maps [default: 10 along a path, or one of each state]
    #[arg(long, value_name = "N", help_heading = "Conformations")]
    volumes: Option<usize>,

    /// Width of an atom: standard deviation of its Gaussian in Å [default: one pixel, which does not alias]
    #[arg(long, value_name = "Å", help_heading = "Images")]
    sigma: Option<f64>,

    /// Width of an atom by resolution in Å: sigma is 0.225 times this
    #[arg(long, value_name = "Å", conflicts_with = "sigma", help_heading = "Images")]
    resolution: Option<f64>,

    /// Sign of the images; see Conventions
    #[arg(long, value_enum, default_value = "light", help_heading = "Images")]
    contrast: ContrastName,

    /// Store 16-bit floats (MRC mode 12) instead of 32-bit ones
    #[arg(long, help_heading = "Images")]
    float16: bool,

    /// Write the noiseless images too, as particles_clean.mrcs
    #[arg(long, help_heading = "Images")]
    keep_clean: bool,

    /// `uniform`, `side[:DEG]`, `cone[:DEG]` (spread, standard deviation), or a star file whose angles are used in turn
    #[arg(long, default_value = "uniform", value_name = "POSES", help_heading = "Poses")]
    poses: String,

    /// Let written poses miss the true ones by this angle (rms, degrees)
    #[arg(
        long,
        default_value_t = 0.0,
        value_name = "DEG",
        allow_negative_numbers = true,
        help_heading = "Poses"
    )]
    pose_error_deg: f64,

    /// Shifts per axis: half the width of a uniform distribution in pixels; `5A` for Å
    #[arg(long, default_value = "2", value_name = "PX", help_heading = "Poses", allow_hyphen_values = true)]
    shift: String,

    /// Shifts are Gaussian and --shift is their standard deviation
    #[arg(long, help_heading = "Poses")]
    gaussian_shifts: bool,

    /// Range of the mean defocus in µm of underfocus
    #[arg(
        long, num_args = 2, value_names = ["MIN", "MAX"], default_values_t = [1.0, 2.0],
        help_heading = "Microscope", allow_negative_numbers = true
    )]
    defocus: Vec<f64>,

    /// Largest difference between DefocusU and DefocusV, Å
    #[arg(long, default_value_t = 400.0, value_name = "Å", help_heading = "Microscope")]
    astigmatism: f64,

    /// Acceleration voltage
    #[arg(long, default_value_t = 300.0, value_name = "KV", help_heading = "Microscope")]
    voltage: f64,

    /// Spherical aberration
    #[arg(long, default_value_t = 2.7, value_name = "MM", help_heading = "Microscope")]
    cs: f64,

    /// Amplitude contrast, 0 to 1
    #[arg(long, default_value_t = 0.1, value_name = "W", help_heading = "Microscope")]
    amplitude_contrast: f64,

    /// Phase shift of a phase plate
    #[arg(long, default_value_t = 0.0, value_name = "DEG", help_heading = "Microscope")]
    phase_shift: f64,

    /// Envelope exp(-B/4 s²) on all images, Å²
    #[arg(long, default_value_t = 0.0, value_name = "B", help_heading = "Microscope")]
    b_factor: f64,

    /// Apply the CTF in a box this many times larger and crop, so that detail it carries out of the image is
    /// lost instead of wrapping around
    #[arg(long, default_value_t = 1, value_name = "TIMES", help_heading = "Microscope")]
    pad: usize,

    /// No CTF at all: an ideal microscope
    #[arg(long, help_heading = "Microscope")]
    no_ctf: bool,

    /// Seed of all random numbers: the same seed gives the same files, on any number of threads
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Replace an earlier simulation in the folder
    #[arg(long)]
    overwrite: bool,
}

impl SimulateArgs {
    fn options(&self, shift: Shift, poses: Poses) -> SimulateOptions {
        let (low, high) =
            (self.defocus.first().copied().unwrap_or(1.0), self.defocus.last().copied().unwrap_or(2.0));
        let microscope = Microscope {
            voltage_kv: self.voltage,
            cs_mm: self.cs,
            amplitude_contrast: self.amplitude_contrast,
            phase_shift_deg: self.phase_shift,
            defocus: [1e4 * low, 1e4 * high],
            astigmatism: self.astigmatism,
            b_factor: self.b_factor,
        };
        SimulateOptions {
            images: self.images,
            box_side: self.box_side,
            apix: self.apix,
            snr: (self.snr != f64::INFINITY).then_some(self.snr),
            // The Fourier transform of the Gaussian falls to 1/e at 1/resolution.
            sigma: self
                .sigma
                .or(self.resolution.map(|r| r / (std::f64::consts::PI * std::f64::consts::SQRT_2))),
            poses,
            pose_error_deg: self.pose_error_deg,
            shift,
            microscope: (!self.no_ctf).then_some(microscope),
            contrast: match self.contrast {
                ContrastName::Light => Contrast::Light,
                ContrastName::Dark => Contrast::Dark,
            },
            spread: match self.distribution {
                SpreadName::Uniform => Spread::Uniform,
                SpreadName::Discrete => Spread::Discrete,
                SpreadName::Bimodal => Spread::Bimodal,
            },
            volumes: self.volumes,
            keep_origin: self.keep_origin,
            pad: self.pad,
            half_precision: self.float16,
            seed: self.seed,
            keep_clean: self.keep_clean,
            overwrite: self.overwrite,
        }
    }
}

/// Runs the command.
pub fn run(args: SimulateArgs) -> Result<()> {
    let shift = parse_shift(&args.shift, args.apix, args.gaussian_shifts)?;
    let options = args.options(shift, parse_poses(&args.poses)?);
    // Refused before the structures are read and the path is made.
    options.check()?;
    let structures = args.structures.iter().map(|p| Structure::read(p)).collect::<Result<Vec<_>>>()?;
    let ensemble = match args.path {
        Some(points) => Ensemble::path(&structures, points, !args.no_align)?,
        None => Ensemble::states(&structures)?,
    };
    let mut stages = Stages::default();
    let summary = simulate(&options, ensemble, &args.out, &mut |stage, done, total| {
        let (label, unit) = match stage {
            Stage::Measure => ("measuring the signal", "images"),
            Stage::Images => ("writing images", "images"),
            Stage::Maps => ("writing true maps", "maps"),
        };
        stages.show(label, unit, done, total)
    })?;
    stages.end();
    report(&summary);
    Ok(())
}

fn report(s: &Summary) {
    s.notes.iter().for_each(|text| note(text));
    println!(
        "{} images of {} x {} pixels, {} Å per pixel, {} conformation{}, {:.1} s ({:.0} images/s)",
        s.images,
        s.box_side,
        s.box_side,
        s.apix,
        s.conformations,
        if s.conformations == 1 { "" } else { "s" },
        s.seconds,
        s.images as f64 / s.seconds.max(1e-9)
    );
    println!(
        "stack:  {} (truth.csv, {} true maps and their models beside it)",
        s.star().display(),
        s.maps.len()
    );
    let flag = s.sign_flag.as_deref().map_or(String::new(), |flag| format!(" {flag}"));
    println!("next:   kinesome drgn train {}{flag} -o trained", s.star().display());
    let models = ["conformations.pdb", "conformations_000.pdb"].map(|name| s.star().with_file_name(name));
    if let Some(models) = models.iter().find(|path| path.is_file()) {
        println!("or:     kinesome dyna residue {} {} -o moved", s.star().display(), models.display());
    }
}

fn parse_shift(text: &str, apix: Option<f64>, gaussian: bool) -> Result<Shift> {
    let bad = || {
        Error::usage(format!(
            "--shift {text}: give a number of pixels such as 2, or of Å such as 5A, not negative"
        ))
    };
    let trimmed = text.trim();
    let angst = trimmed.strip_suffix(['A', 'a', 'Å']);
    let number = angst.or(trimmed.strip_suffix("px")).unwrap_or(trimmed);
    let value: f64 = number.trim().parse().map_err(|_| bad())?;
    if !value.is_finite() || value < 0.0 {
        return Err(bad());
    }
    match (angst, apix) {
        (None, _) => Ok(Shift { pixels: value, gaussian }),
        (Some(_), Some(apix)) if apix > 0.0 => Ok(Shift { pixels: value / apix, gaussian }),
        (Some(_), _) => Err(Error::usage("--shift in Å needs --apix, the pixel size; or give it in pixels")),
    }
}

fn parse_poses(text: &str) -> Result<Poses> {
    let (name, spread) = text.split_once(':').map_or((text, None), |(name, spread)| (name, Some(spread)));
    let degrees = |default: f64| match spread {
        None => Ok(default),
        Some(s) => s.parse::<f64>().map_err(|_| {
            Error::usage(format!(
                "--poses {text}: `{s}` is not a number of degrees; write for example {name}:20"
            ))
        }),
    };
    match name {
        "uniform" if spread.is_none() => Ok(Poses::Uniform),
        "side" => Ok(Poses::Side { spread: degrees(5.0)? }),
        "cone" | "gaussian-cone" => Ok(Poses::Cone { spread: degrees(20.0)? }),
        _ if text.to_ascii_lowercase().ends_with(".star") => read_poses(Path::new(text)).map(Poses::Given),
        _ => {
            Err(Error::usage(format!("--poses {text}: give uniform, side[:DEG], cone[:DEG] or a star file")))
        }
    }
}

fn read_poses(path: &Path) -> Result<Vec<[f64; 3]>> {
    const ANGLES: [&str; 3] = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"];
    let star = Star::read(path)?;
    let table = star.tables.iter().find(|t| t.column(ANGLES[0]).is_some());
    let missing =
        |name: &str| Error::malformed(path, "", format!("it has no column _{name}, which poses need"));
    let table = table.ok_or_else(|| missing(ANGLES[0]))?;
    let mut columns = [0; 3];
    for (column, name) in columns.iter_mut().zip(ANGLES) {
        *column = table.column(name).ok_or_else(|| missing(name))?;
    }
    (0..table.len())
        .map(|row| {
            let mut angles = [0.0; 3];
            for ((angle, column), name) in angles.iter_mut().zip(columns).zip(ANGLES) {
                let text = table.get(row, column).unwrap_or("");
                *angle = text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| {
                    let place =
                        table.line(row).map_or(format!("row {}", row + 1), |line| format!("line {line}"));
                    Error::malformed(path, place, format!("_{name} is `{text}`, which is not a number"))
                })?;
            }
            Ok(angles)
        })
        .collect()
}
