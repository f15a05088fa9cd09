//! `parse_ctf_star`, `parse_ctf_csparc`: CTF parameters as cryoDRGN keeps them.

use super::expect_extension;
use crate::cli::progress::note;
use crate::cryo::ctf::CtfParams;
use crate::error::Result;
use crate::io::atomic;
use crate::io::outputs::Outputs;
use crate::report::Figure;
use crate::systems::drgn::files::CtfTable;
use crate::systems::drgn::import::{self, Given, Imported};
use std::path::{Path, PathBuf};

/// Values that the file lacks, or that shall overrule it.
#[derive(clap::Args, Debug)]
pub struct GivenArgs {
    /// Box of these particles in pixels [default: of the file]
    #[arg(short = 'D', value_name = "PX", help_heading = "Instead of the file's values")]
    side: Option<f64>,

    /// Pixel size in Å
    #[arg(long = "Apix", value_name = "Å", help_heading = "Instead of the file's values")]
    apix: Option<f64>,

    /// Acceleration voltage in kV
    #[arg(long, value_name = "KV", help_heading = "Instead of the file's values")]
    kv: Option<f64>,

    /// Spherical aberration in mm
    #[arg(long, value_name = "MM", help_heading = "Instead of the file's values")]
    cs: Option<f64>,

    /// Amplitude contrast, 0 to 1
    #[arg(short = 'w', value_name = "W", help_heading = "Instead of the file's values")]
    w: Option<f64>,

    /// Phase shift in degrees
    #[arg(
        long,
        value_name = "DEG",
        allow_negative_numbers = true,
        help_heading = "Instead of the file's values"
    )]
    ps: Option<f64>,
}

impl GivenArgs {
    pub fn values(&self) -> Given {
        Given { box_side: self.side, apix: self.apix, kv: self.kv, cs: self.cs, w: self.w, ps: self.ps }
    }
}

/// CTF parameters of a RELION .star file as ctf.pkl
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn parse_ctf_star run_data.star -o ctf.pkl
  kinesome drgn parse_ctf_star old.star -D 256 --Apix 1.06 --kv 300 --cs 2.7 -w 0.1 -o ctf.pkl

ctf.pkl is [N, 9]: box (px), pixel size (Å), DefocusU, DefocusV (Å), DefocusAngle (degrees), voltage (kV), Cs (mm), \
amplitude contrast, phase shift (degrees). It fits the particles at any box: box times pixel size is what counts.")]
pub struct StarArgs {
    /// A .star file of particles with CTF parameters
    star: PathBuf,

    #[command(flatten)]
    given: GivenArgs,

    /// CTF parameters to write
    #[arg(short, value_name = "PKL")]
    out: PathBuf,

    /// Plot the CTF of the first particle
    #[arg(long, value_name = "PNG")]
    png: Option<PathBuf>,

    /// RELION 3.1 is recognised by itself; the flag of older cryoDRGN versions is accepted
    #[arg(long, hide = true)]
    relion31: bool,
}

/// CTF parameters of a cryoSPARC .cs file as ctf.pkl
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn parse_ctf_csparc cryosparc_P1_J9_particles.cs -o ctf.pkl
  kinesome drgn parse_ctf_csparc J12_particles.cs J12_passthrough_particles.cs -o ctf.pkl

Several files of one job are joined by uid. For the columns of ctf.pkl see parse_ctf_star.")]
pub struct CsparcArgs {
    /// The .cs file with the CTF fields, and passthrough files to join
    #[arg(required = true, value_name = "CS")]
    input: Vec<PathBuf>,

    #[command(flatten)]
    given: GivenArgs,

    /// CTF parameters to write
    #[arg(short, value_name = "PKL")]
    out: PathBuf,

    /// Plot the CTF of the first particle
    #[arg(long, value_name = "PNG")]
    png: Option<PathBuf>,
}

pub fn run_star(args: StarArgs) -> Result<()> {
    finish(import::ctf_from_star(&args.star, &args.given.values())?, &args.out, args.png.as_deref())
}

pub fn run_csparc(args: CsparcArgs) -> Result<()> {
    let table = import::open_cs(&args.input)?;
    finish(import::ctf_from_cs(&table, &args.given.values())?, &args.out, args.png.as_deref())
}

fn finish(ctf: Imported<CtfTable>, out: &Path, png: Option<&Path>) -> Result<()> {
    expect_extension(out, "-o", &["pkl"])?;
    let mut outputs = Outputs::new();
    ctf.table.write(&outputs.file(out))?;
    if let (Some(png), Some(row)) = (png, ctf.table.rows.first()) {
        let bytes = plot(row)?.png()?;
        atomic::write(&outputs.file(png), |file| file.write_all(&bytes))?;
    }
    outputs.keep();
    report(&ctf, out);
    Ok(())
}

/// The CTF along the x axis, up to Nyquist.
fn plot(row: &[f32; 9]) -> Result<Figure> {
    let params = CtfParams::from_row(&row[1..])?;
    let frequency = |i: u32| 0.5 * f64::from(i) / 500.0;
    let x: Vec<f64> = (0..=500).map(|i| frequency(i) / params.apix).collect();
    let y: Vec<f64> = (0..=500).map(|i| params.at(frequency(i), 0.0)).collect();
    Ok(Figure::new("CTF of the first particle, along x", "Spatial frequency (1/Å)", "CTF").line("", &x, &y))
}

pub(super) fn report(ctf: &Imported<CtfTable>, out: &Path) {
    ctf.notes.iter().for_each(|text| note(text));
    let Some(first) = ctf.table.rows.first() else { return };
    let mean = |r: &[f32; 9]| f64::from(r[2] + r[3]) / 2e4;
    let low = ctf.table.rows.iter().map(mean).fold(f64::INFINITY, f64::min);
    let high = ctf.table.rows.iter().map(mean).fold(f64::NEG_INFINITY, f64::max);
    println!(
        "{}: {} particles, box {} px at {} Å, {} kV, Cs {} mm, amplitude contrast {}, defocus {low:.2} to {high:.2} µm",
        out.display(),
        ctf.table.rows.len(),
        first[0],
        first[1],
        first[5],
        first[6],
        first[7],
    );
}
