//! `parse_pose_star`, `parse_pose_csparc`, `parse_star`: poses as cryoDRGN keeps them.

use super::expect_extension;
use crate::cli::progress::note;
use crate::error::{Error, Result};
use crate::io::outputs::Outputs;
use crate::systems::drgn::files::{CtfTable, Poses};
use crate::systems::drgn::import::{self, CsPoses, Given, Imported};
use std::path::PathBuf;

/// Poses of a RELION .star file as pose.pkl
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn parse_pose_star run_data.star -o pose.pkl
  kinesome drgn parse_pose_star old.star -D 256 -o pose.pkl     RELION 3.0: no box in the file

Reads rlnAngleRot/Tilt/Psi (degrees) and rlnOriginX/YAngst (Å) or rlnOriginX/Y (pixels). pose.pkl holds rotation \
matrices [N, 3, 3] and shifts [N, 2] as fractions of the box, so it fits the particles at any box: parse the poses of \
the refinement's own particles, then downsample.")]
pub struct StarArgs {
    /// The .star file of a refinement (run_data.star)
    input: PathBuf,

    /// Box of these particles in pixels [default: rlnImageSize]
    #[arg(short = 'D', value_name = "PX")]
    side: Option<f64>,

    /// Pixel size in Å [default: of the file]
    #[arg(long = "Apix", value_name = "Å")]
    apix: Option<f64>,

    /// Poses to write
    #[arg(short, long = "outpkl", value_name = "PKL")]
    out: PathBuf,

    /// RELION 3.1 is recognised by itself; the flag of older cryoDRGN versions is accepted
    #[arg(long, hide = true)]
    relion31: bool,
}

/// Poses of a cryoSPARC .cs file as pose.pkl
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn parse_pose_csparc cryosparc_P1_J9_particles.cs -D 300 -o pose.pkl
  kinesome drgn parse_pose_csparc J12_particles.cs J12_passthrough_particles.cs -o pose.pkl

Several files of one job are joined by uid. Shifts (pixels) become fractions of the box.")]
pub struct CsparcArgs {
    /// The .cs file with the alignments, and passthrough files to join
    #[arg(required = true, value_name = "CS")]
    input: Vec<PathBuf>,

    /// The alignments are those of the first class of an ab-initio reconstruction
    #[arg(long)]
    abinit: bool,

    /// The alignments are of a heterogeneous refinement: shifts are doubled
    #[arg(long)]
    hetrefine: bool,

    /// Box of these particles in pixels [default: blob/shape]
    #[arg(short = 'D', value_name = "PX")]
    side: Option<f64>,

    /// Poses to write
    #[arg(short, long = "outpkl", value_name = "PKL")]
    out: PathBuf,
}

/// Poses and CTF of a RELION .star file in one go
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn parse_star run_data.star --poses pose.pkl --ctf ctf.pkl

The same as parse_pose_star and parse_ctf_star; see there. Without --poses and --ctf, pose.pkl and ctf.pkl are written \
beside the .star file.")]
pub struct BothArgs {
    /// The .star file of a refinement (run_data.star)
    input: PathBuf,

    /// Poses to write [default: pose.pkl beside the input]
    #[arg(long, value_name = "PKL")]
    poses: Option<PathBuf>,

    /// CTF parameters to write [default: ctf.pkl beside the input]
    #[arg(long, value_name = "PKL")]
    ctf: Option<PathBuf>,

    /// Replace files that exist
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    given: super::ctf::GivenArgs,
}

pub fn run_star(args: StarArgs) -> Result<()> {
    expect_extension(&args.out, "-o", &["pkl"])?;
    let given = Given { box_side: args.side, apix: args.apix, ..Given::default() };
    let poses = import::poses_from_star(&args.input, &given)?;
    poses.table.write(&args.out)?;
    report(&poses, &args.out);
    Ok(())
}

pub fn run_csparc(args: CsparcArgs) -> Result<()> {
    expect_extension(&args.out, "-o", &["pkl"])?;
    let table = import::open_cs(&args.input)?;
    let which = CsPoses { abinit: args.abinit, hetrefine: args.hetrefine };
    let poses = import::poses_from_cs(&table, which, args.side)?;
    poses.table.write(&args.out)?;
    report(&poses, &args.out);
    Ok(())
}

pub fn run_both(args: BothArgs) -> Result<()> {
    let pose_path = args.poses.unwrap_or_else(|| args.input.with_file_name("pose.pkl"));
    let ctf_path = args.ctf.unwrap_or_else(|| args.input.with_file_name("ctf.pkl"));
    for (path, flag) in [(&pose_path, "--poses"), (&ctf_path, "--ctf")] {
        expect_extension(path, flag, &["pkl"])?;
        if path.exists() && !args.overwrite {
            return Err(Error::usage(format!("{} exists; give --overwrite or another name", path.display())));
        }
    }
    let given = args.given.values();
    let poses: Imported<Poses> = import::poses_from_star(&args.input, &given)?;
    let ctf: Imported<CtfTable> = import::ctf_from_star(&args.input, &given)?;
    let mut outputs = Outputs::new();
    poses.table.write(&outputs.file(&pose_path))?;
    ctf.table.write(&outputs.file(&ctf_path))?;
    outputs.keep();
    report(&poses, &pose_path);
    super::ctf::report(&ctf, &ctf_path);
    Ok(())
}

fn report(poses: &Imported<Poses>, out: &std::path::Path) {
    poses.notes.iter().for_each(|text| note(text));
    let shifts = poses.table.translations.iter().flatten().flatten();
    let largest = shifts.fold(0.0f64, |m, v| m.max(v.abs()));
    println!(
        "{}: {} poses, shifts up to {:.1} % of the box",
        out.display(),
        poses.table.len(),
        100.0 * largest
    );
}
