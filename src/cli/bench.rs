//! `kinesome bench`: operations and training steps against the limits of this machine.

use crate::bench::{self, Peak, Share, Timing};
use crate::cli::progress::{Stages, note};
use crate::device;
use crate::error::{Error, Result};
use crate::plan::Options;
use crate::tensor::DType;

/// Time operations and training steps, as fractions of this machine's measured peak
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome bench                                 everything, on the best device
  kinesome bench drgn/ --device cpu --threads 1  the training steps of cryoDRGN on one core
  kinesome bench matmul --json > products.json
  kinesome bench drgn/box64-256x3 --profile      where the time of a step goes
  kinesome bench mdgen/long                      time and memory against the length of a trajectory

A case's share is that of the device's own matrix product or memory copy, whichever it is nearer to; both are measured \
in the same run. Short cases run many times between two waits for their result.")]
pub struct Args {
    /// Only cases whose names hold one of these
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Device: auto, cpu, cuda, wgpu; `kinesome devices` lists them
    #[arg(long, default_value = "auto")]
    device: String,
    /// Time spent on each case
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    seconds: f64,
    /// What matrix products take: f32, tf32 (GPUs of NVIDIA), bf16 or f16
    #[arg(long, default_value = "f32", value_parser = ["f32", "tf32", "bf16", "f16"], value_name = "TYPE")]
    precision: String,
    /// Instead: what each launch of the cases takes, timed by itself
    #[arg(long, conflicts_with = "json")]
    profile: bool,
    /// One JSON object with all numbers instead of the table
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Results {
    device: String,
    description: String,
    precision: String,
    threads: usize,
    peak: Peak,
    cases: Vec<Timing>,
}

pub fn run(args: Args) -> Result<()> {
    let device = device::open(&args.device)?;
    let precision = match args.precision.as_str() {
        "bf16" => DType::BF16,
        "f16" => DType::F16,
        _ => DType::F32,
    };
    let options = Options { precision, tf32: args.precision == "tf32", ..Options::default() };
    let mut cases = bench::cases()?;
    if !args.names.is_empty() {
        let known: Vec<String> = cases.iter().map(|c| c.name.clone()).collect();
        cases.retain(|c| args.names.iter().any(|n| c.name.contains(n.as_str())));
        if cases.is_empty() {
            return Err(Error::usage(format!("no case is called that; there are {}", known.join(", "))));
        }
    }
    if args.profile {
        return cases.iter().try_for_each(|case| {
            println!("{}", case.name);
            print_profile(&bench::profile(&device, case, options)?);
            Ok(())
        });
    }
    let mut stages = Stages::default();
    stages.show("measuring the peak", "cases", 0, 1)?;
    let peak = bench::peak(&device, options, args.seconds)?;
    let threads = rayon::current_num_threads();
    let mut results = Results {
        device: device.name().into(),
        description: device.describe(),
        precision: args.precision.clone(),
        threads,
        peak,
        cases: vec![],
    };
    if !args.json {
        println!("{}: {}", results.device, results.description);
        println!("peak: {:.1} GFLOP/s in products, {:.1} GB/s in a copy\n", peak.gflops, peak.gigabytes);
        println!(
            "case                              ms  GFLOP/s    GB/s  of peak  launches      MB  examples/s"
        );
    }
    for (done, case) in cases.iter().enumerate() {
        stages.show("timing", "cases", done, cases.len())?;
        match bench::measure(&device, case, &peak, options, args.seconds) {
            Ok(timing) => {
                if !args.json {
                    println!("{}", line(&timing));
                }
                results.cases.push(timing);
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            // A device too small for one case is still worth the others.
            Err(e) => note(&format!("{}: {e}", case.name)),
        }
    }
    stages.end();
    if args.json {
        let text = serde_json::to_string_pretty(&results).map_err(|e| Error::usage(e.to_string()))?;
        println!("{text}");
    }
    if results.cases.is_empty() { Err(Error::usage("no case could be timed")) } else { Ok(()) }
}

fn print_profile(shares: &[Share]) {
    let total: f64 = shares.iter().map(|s| s.seconds).sum();
    println!("      ms  share   CPU ms  GFLOP/s    GB/s  launch");
    for s in shares {
        let (ms, share) = (1e3 * s.seconds, 100.0 * s.seconds / total);
        let cpu = s.cpu_seconds.map(|cpu| format!("{:8.3}", 1e3 * cpu)).unwrap_or_default();
        println!("{ms:8.3} {share:5.1} % {cpu:8} {:8.1} {:7.1}  {}", s.gflops, s.gigabytes, s.label);
    }
    println!("{:8.3} ms in {} launches, each timed by itself\n", 1e3 * total, shares.len());
}

fn line(t: &Timing) -> String {
    let examples = t.examples_per_second.map(|v| format!("{v:11.2}")).unwrap_or_default();
    format!(
        "{:28} {:8.3} {:8.1} {:7.1} {:6.0} % {:9} {:7.0} {examples}",
        t.name,
        1e3 * t.seconds,
        t.gflops,
        t.gigabytes,
        100.0 * t.share_of_peak,
        t.launches,
        t.megabytes
    )
}
