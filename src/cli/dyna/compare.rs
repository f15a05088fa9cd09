//! `compare`: whether two runs tell of the same motion.

use std::path::{Path, PathBuf};

use crate::device;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::systems::dyna::compare::Agreement;
use crate::systems::dyna::run::Run;

/// Compare two runs over the same particles: halves, bent models, seeds
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna residue particles.star model.pdb -o halves --half-sets          does it by itself
  kinesome dyna residue particles.star model.pdb -o bent --perturb-prior 2
  kinesome dyna compare run bent -o agreement

Writes compare.json and compare.html. Each particle has a structure in each run; the agreement of its displacements from \
the mean is 1 where both runs move it alike.")]
pub struct Args {
    /// Folders of the two runs
    #[arg(value_name = "RUN", num_args = 2, required = true)]
    runs: Vec<PathBuf>,
    /// The model, if it lies elsewhere by now
    #[arg(long, value_name = "PDB")]
    model: Option<PathBuf>,
    /// Folder for the results
    #[arg(short, long = "outdir", value_name = "DIR")]
    out: PathBuf,
    /// Device: auto, cpu, cuda, wgpu
    #[arg(long, default_value = "auto")]
    device: String,
}

pub fn run(args: Args) -> Result<()> {
    let [a, b] = args.runs.as_slice() else { return Err(Error::usage("give two runs")) };
    compare([a, b], args.model.as_deref(), &args.out, &args.device)
}

pub fn compare(runs: [&Path; 2], model: Option<&Path>, out: &Path, device: &str) -> Result<()> {
    let device = device::open(device)?;
    let [a, b] = runs.map(|run| Run::open(run, None, model, device.clone()));
    let (a, b) = (a?, b?);
    let agreement = Agreement::between(&a, &b)?;
    atomic::folder(out)?;
    let json = serde_json::to_string_pretty(&agreement).map_err(|e| Error::usage(e.to_string()))?;
    atomic::write(&out.join("compare.json"), |to| to.write_all(json.as_bytes()))?;
    let names = runs.map(|run| run.file_name().unwrap_or_default().to_string_lossy().into_owned());
    let html = agreement.page([&names[0], &names[1]], &a)?;
    let path = out.join("compare.html");
    atomic::write(&path, |to| to.write_all(html.as_bytes()))?;
    println!(
        "agreement of displacements {:.3} (chance {:.3}), of directions {:.3}, of fluctuations {:.3}; {:.2} Å apart, moving by {:.2} and {:.2} Å",
        agreement.displacements,
        agreement.chance,
        agreement.directions,
        agreement.fluctuations,
        agreement.apart,
        agreement.amplitudes[0],
        agreement.amplitudes[1]
    );
    println!("{}: {}", path.display(), agreement.remark().1);
    Ok(())
}
