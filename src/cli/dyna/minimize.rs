//! `minimize`: bead models at rest in their force field.

use std::path::PathBuf;

use crate::cli::progress::{Progress, note, quiet};
use crate::error::{Error, Result};
use crate::io::structure::Structure;
use crate::protein::minimise::Settings;
use crate::systems::dyna::relax::Relax;

/// Minimise MARTINI bead models in their force field
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna minimize beads/model_cg.pdb --reference model.pdb -o relaxed.pdb
  kinesome dyna minimize pred.pdb -o relaxed.pdb --emtol 100

Steepest descent with the settings that GROMACS knows: steps end when no force is above --emtol, or after --nsteps.")]
pub struct Args {
    /// Beads, PDB or mmCIF with one or many models
    #[arg(value_name = "BEADS")]
    input: PathBuf,
    /// The model of all atoms that the beads were made of, for its secondary structure
    #[arg(short, long, value_name = "PDB")]
    reference: Option<PathBuf>,
    /// Beads at rest, .pdb or .cif
    #[arg(short, long, value_name = "PDB")]
    out: PathBuf,
    /// Most steps
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    nsteps: usize,
    /// The largest force that counts as none, kJ/mol/nm
    #[arg(long, value_name = "FORCE", default_value_t = 750.0)]
    emtol: f64,
    /// Length of the first step, nm
    #[arg(long, value_name = "NM", default_value_t = 0.001)]
    emstep: f64,
}

pub fn run(args: Args) -> Result<()> {
    if !(args.emtol >= 0.0 && args.emstep > 0.0 && args.emstep < 1.0) {
        return Err(Error::usage("--emtol must not be negative, --emstep must lie between 0 and 1 nm"));
    }
    let models = Structure::read(&args.input)?;
    let reference = match &args.reference {
        Some(path) => Some((Structure::read(path)?, path.as_path())),
        None => None,
    };
    let relax = Relax::new(models, &args.input, reference)?;
    relax.notes.iter().for_each(|text| note(text));
    // Å from here on.
    let settings = Settings { steps: args.nsteps, tolerance: 0.1 * args.emtol, step: 10.0 * args.emstep };
    let mut progress = Progress::new("models", "models");
    let (structure, relaxed) = relax.run(&settings, &mut |done, total| progress.tick(done, total))?;
    drop(progress);
    structure.write(&args.out)?;
    for (m, model) in relaxed.iter().enumerate() {
        if !quiet() {
            let rest = if model.outcome.settled { "at rest" } else { "not at rest" };
            let (steps, force) = (model.outcome.steps, 10.0 * model.outcome.force);
            println!(
                "model {}: {rest} after {steps} steps, largest force {force:.0} kJ/mol/nm; kJ/mol",
                m + 1
            );
            for ((name, before), (_, after)) in model.before.iter().zip(&model.after) {
                println!("  {name:<14} {before:>14.1} -> {after:>12.1}");
            }
        }
    }
    println!("{}", args.out.display());
    Ok(())
}
