//! `kinesome doctor`: is this machine fit, and does every operation compute what it should on it?

use super::devices::{gib, memory};
use super::progress::Progress;
use crate::conformance::{self, Sample};
use crate::device::{self, Device};
use crate::error::{Error, Result};
use std::sync::Arc;

/// Check this machine, and every operation on every device
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome doctor

Every operation is run on small cases and compared, value and derivative, with a plain calculation in 64 bits. All is \
well when every line says ok; otherwise the exit code is 1, and the output belongs into a bug report.")]
pub struct Args {
    /// Show every case, not only operations
    #[arg(long)]
    verbose: bool,
}

pub fn run(args: Args) -> Result<()> {
    println!("kinesome {}", env!("CARGO_PKG_VERSION"));
    println!("threads        {}", rayon::current_num_threads());
    match memory() {
        Some(m) => println!("memory         {}, {} free", gib(m.total), gib(m.available)),
        None => println!("memory         unknown on this system"),
    }
    let mut faults = usize::from(!temporary_folder());
    let devices = device::all();
    for device in &devices {
        println!("\n{}: {}", device.name(), device.describe());
        faults += check_device(device, args.verbose)?;
    }
    for kind in ["cuda", "wgpu"] {
        if !devices.iter().any(|d| d.name().starts_with(kind)) {
            println!("\n{kind}: {}", missing(kind));
        }
    }
    match faults {
        0 => {
            println!("all is well");
            Ok(())
        }
        n => Err(Error::usage(format!("{n} faults were found; please report the lines above"))),
    }
}

/// Why no device of a kind is listed, and what would change that.
fn missing(kind: &str) -> String {
    match device::open(kind) {
        Ok(_) => "one answered only now; run this again".into(),
        Err(Error::Device { problem, .. }) => problem,
        Err(error) => error.to_string(),
    }
}

fn temporary_folder() -> bool {
    let folder = std::env::temp_dir();
    let probe = folder.join(format!(".kinesome-doctor-{}", std::process::id()));
    let outcome = std::fs::write(&probe, b"kinesome").and_then(|()| std::fs::remove_file(&probe));
    match &outcome {
        Ok(()) => println!("temporary      {} can be written", folder.display()),
        Err(e) => {
            println!("temporary      {} cannot be written ({e}); set TMPDIR to another", folder.display())
        }
    }
    outcome.is_ok()
}

/// Sample cases under the name of their operation; those of the expression table stand together.
fn cases() -> Vec<(&'static str, Vec<Sample>)> {
    let specials = crate::ops::SPECIALS.iter().map(|special| (special.stem, (special.samples)()));
    std::iter::once(("elementwise", conformance::samples::rows())).chain(specials).collect()
}

fn check_device(device: &Arc<dyn Device>, verbose: bool) -> Result<usize> {
    let operations = cases();
    let total = operations.iter().map(|(_, samples)| samples.len()).sum();
    let mut progress = Progress::new("checking operations", "cases");
    let (mut done, mut found) = (0, 0);
    let mut table = String::new();
    for (operation, samples) in &operations {
        let mut faults = Vec::new();
        for sample in samples {
            match conformance::check(device, sample) {
                Ok(list) => faults.extend(list.into_iter().map(|f| format!("{}: {}", f.sample, f.what))),
                Err(e) => faults.push(format!("{}: {e}", sample.name)),
            }
            done += 1;
            progress.tick(done, total)?;
        }
        let verdict = if faults.is_empty() { "ok".to_string() } else { format!("{} FAULTS", faults.len()) };
        table.push_str(&format!("  {operation:16} {:4} cases  {verdict}\n", samples.len()));
        faults.iter().for_each(|fault| table.push_str(&format!("      {fault}\n")));
        if verbose {
            samples.iter().for_each(|sample| table.push_str(&format!("      {}\n", sample.name)));
        }
        found += faults.len();
    }
    let took = progress.finish();
    println!("{table}  {total} cases, {took}");
    Ok(found)
}
