//! `write_star` and `filter_star`: selections on their way back to RELION.

use super::{expect_extension, indices};
use crate::error::{Error, Result};
use crate::io::outputs::Outputs;
use crate::io::particles::ParticleStack;
use crate::io::star::{ParticleTable, Star};
use crate::systems::drgn::export::{self, Tables};
use crate::systems::drgn::files::{self, CtfTable, Poses};
use crate::systems::drgn::images::not_onto_input;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Write a RELION .star file of particles with CTF and poses
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn write_star particles.128.mrcs --ctf ctf.pkl --poses pose.pkl -o particles.star
  kinesome drgn write_star particles.128.mrcs --ctf ctf.pkl --ind chosen.pkl -o chosen.star
  kinesome drgn write_star particles.star --ind chosen.pkl -o chosen.star

Angles are written in degrees, origins in Å (RELION 3.0: pixels) from fractions of the box of ctf.pkl. Image names are \
relative to the new file where the stack lies below its folder, else absolute. A .star input without --ctf keeps all its \
columns.")]
pub struct WriteArgs {
    /// Particles (.mrcs, .mrc, .txt, .star, .cs)
    particles: PathBuf,

    /// CTF parameters (ctf.pkl)
    #[arg(long, value_name = "PKL")]
    ctf: Option<PathBuf>,

    /// Poses (pose.pkl)
    #[arg(long, value_name = "PKL")]
    poses: Option<PathBuf>,

    /// Write only these particles: numbers from 0 (.pkl or .npy)
    #[arg(long, value_name = "PKL")]
    ind: Option<PathBuf>,

    /// Folder in which to look for images that the .star, .cs or .txt names
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,

    /// Absolute image names
    #[arg(long)]
    full_path: bool,

    /// RELION 3.0 instead of 3.1
    #[arg(long)]
    relion30: bool,

    /// The .star file to write
    #[arg(short, long = "outfile", value_name = "STAR")]
    out: PathBuf,
}

/// Keep chosen particles of a .star file
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn filter_star particles.star --ind chosen.pkl -o chosen.star
  kinesome drgn filter_star particles.star --ind chosen.pkl -m -o by_micrograph
  kinesome drgn filter_star tilts.star --et --ind chosen.pkl -o chosen.star

All tables and columns stay as they are; only rows go. With --et the numbers are those of particles (distinct \
rlnGroupName in order of appearance), and all tilt images of a particle stay.")]
pub struct FilterArgs {
    /// The .star file
    input: PathBuf,

    /// Numbers from 0 of the particles to keep (.pkl or .npy)
    #[arg(long, value_name = "PKL")]
    ind: Option<PathBuf>,

    /// Tilt series: numbers are those of particles, not of images
    #[arg(long)]
    et: bool,

    /// One .star file for each micrograph (rlnMicrographName), into the folder -o
    #[arg(short, long)]
    micrograph_files: bool,

    /// The .star file to write, or the folder with -m
    #[arg(short, value_name = "STAR")]
    out: PathBuf,
}

pub fn run_write(args: WriteArgs) -> Result<()> {
    expect_extension(&args.out, "-o", &["star"])?;
    not_onto_input(&args.out, [args.particles.as_path()])?;
    let ind = indices(args.ind.as_deref())?;
    let is_star = args.particles.extension().is_some_and(|e| e.eq_ignore_ascii_case("star"));
    let (star, n) = if args.ctf.is_none() && is_star {
        if args.poses.is_some() || args.relion30 {
            return Err(Error::usage("--poses and --relion30 write a new table: give --ctf too"));
        }
        let table = ParticleTable::open(&args.particles)?;
        let rows = chosen(&table, ind)?;
        (table.select(&rows)?, rows.len())
    } else {
        let stack = ParticleStack::open(&args.particles, args.datadir.as_deref(), None)?;
        let rows = ind.unwrap_or_else(|| (0..stack.len()).collect());
        check_rows(&rows, stack.len())?;
        let Some(ctf) = &args.ctf else {
            return Err(Error::usage(
                "give the CTF parameters with --ctf (only a .star input brings its own)",
            ));
        };
        let poses = args.poses.as_deref().map(Poses::read).transpose()?;
        let tables = Tables { ctf: Some(CtfTable::read(ctf)?), poses };
        (export::star(&stack, &rows, &tables, (&args.out, args.full_path), args.relion30)?, rows.len())
    };
    star.write(&args.out)?;
    println!("{}: {n} particles", args.out.display());
    Ok(())
}

fn check_rows(rows: &[usize], n: usize) -> Result<()> {
    if rows.is_empty() {
        return Err(Error::usage("the selection of particles (--ind) is empty"));
    }
    match rows.iter().find(|i| **i >= n) {
        Some(i) => {
            Err(Error::usage(format!("--ind selects particle {i}, but there are {n} (counted from 0)")))
        }
        None => Ok(()),
    }
}

fn chosen(table: &ParticleTable, ind: Option<Vec<usize>>) -> Result<Vec<usize>> {
    let rows = ind.unwrap_or_else(|| (0..table.len()).collect());
    check_rows(&rows, table.len())?;
    Ok(rows)
}

/// Rows of the tilt images of chosen particles.
fn tilt_rows(table: &ParticleTable, particles: &[usize]) -> Result<Vec<usize>> {
    let field = if table.has("rlnGroupName") { "rlnGroupName" } else { "rlnGroupNumber" };
    let names = table.texts(field)?;
    let mut number = BTreeMap::new();
    let of_row: Vec<usize> = names
        .iter()
        .map(|name| {
            let next = number.len();
            *number.entry(*name).or_insert(next)
        })
        .collect();
    check_rows(particles, number.len())?;
    let wanted: std::collections::HashSet<usize> = particles.iter().copied().collect();
    Ok((0..of_row.len()).filter(|row| wanted.contains(&of_row[*row])).collect())
}

pub fn run_filter(args: FilterArgs) -> Result<()> {
    let table = ParticleTable::open(&args.input)?;
    if args.ind.is_none() && !args.micrograph_files {
        return Err(Error::usage("give the particles to keep with --ind (or -m to split by micrograph)"));
    }
    let rows = match (args.ind.as_deref().map(files::read_indices).transpose()?, args.et) {
        (Some(particles), true) => tilt_rows(&table, &particles)?,
        (ind, _) => chosen(&table, ind)?,
    };
    if !args.micrograph_files {
        expect_extension(&args.out, "-o", &["star"])?;
        not_onto_input(&args.out, [args.input.as_path()])?;
        table.select(&rows)?.write(&args.out)?;
        println!("{}: {} of {} rows", args.out.display(), rows.len(), table.len());
        return Ok(());
    }
    let names = table.texts("rlnMicrographName")?;
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for row in rows {
        let name =
            std::path::Path::new(names[row]).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        groups.entry(name).or_default().push(row);
    }
    let mut outputs = Outputs::new();
    outputs.folder(&args.out)?;
    for (name, rows) in &groups {
        let star: Star = table.select(rows)?;
        star.write(&outputs.file(args.out.join(format!("{name}.star"))))?;
    }
    outputs.keep();
    println!("{}: {} files, one for each micrograph", args.out.display(), groups.len());
    Ok(())
}
