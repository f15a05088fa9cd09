//! `simulate`: what follows a frame, window after window.

use std::path::PathBuf;

use crate::cli::progress::{Progress, note};
use crate::device;
use crate::error::{Error, Result};
use crate::systems::mdgen::config::Task;
use crate::systems::mdgen::generate::Generator;
use crate::systems::mdgen::output::ChainWriter;
use crate::systems::mdgen::sampler::Solver;
use crate::systems::mdgen::split;
use crate::systems::mdgen::store::Store;
use crate::systems::mdgen::window::Window;

/// Simulate from the first frame of stored trajectories
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome mdgen simulate --sim-ckpt run/last.ckpt --data-dir data --split data/split.csv --num-rollouts 10 -o generated

Every window starts from the last frame of the one before. Writes NAME.xtc and NAME.pdb (its first frame), heavy atoms, \
superposed. --sampler dopri5 chooses its steps by their error; euler, heun and sde take --steps of them.")]
pub struct Args {
    /// Checkpoint of `train --sim-condition`
    #[arg(long, alias = "ckpt", value_name = "CKPT")]
    sim_ckpt: PathBuf,
    /// Folder of the trajectories
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Table of names and sequences
    #[arg(long, value_name = "CSV")]
    split: PathBuf,
    /// Text behind the names of the files
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    suffix: String,
    /// Only these names
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pdb_id: Vec<String>,
    /// Windows one after the other
    #[arg(long, default_value_t = 10, value_name = "N")]
    num_rollouts: usize,
    /// Frames of a window [default: as trained]
    #[arg(long, value_name = "N")]
    num_frames: Option<usize>,
    /// dopri5, euler, heun or sde
    #[arg(long, default_value = "dopri5", value_parser = ["dopri5", "euler", "heun", "sde"])]
    sampler: String,
    /// Steps of the other samplers
    #[arg(long, default_value_t = 50, value_name = "N")]
    steps: usize,
    /// Time between frames, for the file
    #[arg(long, default_value_t = 10.0, value_name = "PS")]
    timestep: f32,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Device: auto, cpu, cuda, wgpu; `kinesome devices` lists them
    #[arg(long, default_value = "auto")]
    device: String,
    /// Folder for the trajectories
    #[arg(short, long = "out-dir", alias = "out_dir", value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    let solver = match args.sampler.as_str() {
        "euler" => Solver::Euler { steps: args.steps },
        "heun" => Solver::Heun { steps: args.steps },
        "sde" => Solver::Sde { steps: args.steps, seed: args.seed },
        _ => Solver::Dopri5 { relative: 1e-3, absolute: 1e-6, past_one: false },
    };
    if args.num_rollouts == 0 {
        return Err(Error::usage("--num-rollouts has to be at least 1"));
    }
    let mut entries = split::read(&args.split)?;
    if let Some(unknown) = args.pdb_id.iter().find(|name| !entries.iter().any(|e| e.name == **name)) {
        return Err(Error::usage(format!("{} lists no {unknown}", args.split.display())));
    }
    entries.retain(|entry| args.pdb_id.is_empty() || args.pdb_id.contains(&entry.name));
    let device = device::open(&args.device)?;
    let mut generator =
        Generator::open(&args.sim_ckpt, device, Task::Simulate, args.num_frames, 1, solver, args.seed)?;
    let config = generator.config().clone();
    crate::io::atomic::folder(&args.out)?;
    for entry in &entries {
        let kinds = entry.kinds()?;
        if kinds.len() > config.crop {
            return Err(Error::usage(format!(
                "{} has {} residues, the network was trained for {}",
                entry.name,
                kinds.len(),
                config.crop
            )));
        }
        let store = Store::open(&entry.file(&args.data_dir, &args.suffix), &kinds)?;
        let mut start = store.window(0, 1, 1)?;
        let path = args.out.join(format!("{}.xtc", entry.name));
        let mut writer = ChainWriter::create(&path, &kinds, args.timestep)?;
        let mut progress = Progress::new(&entry.name, "windows");
        for done in 0..args.num_rollouts {
            let still = start.repeat(config.num_frames);
            let window = Window::new(&config, &kinds, &still)?;
            let Some(sample) = generator.windows(&[window])?.pop() else { break };
            let frames: Vec<_> = sample.atoms.chunks_exact(kinds.len()).collect();
            // The first frame of a window is the last of the one before.
            for frame in &frames[usize::from(done > 0)..] {
                writer.push(frame)?;
            }
            start = frames.last().map(|f| f.to_vec()).unwrap_or(start);
            progress.tick(done + 1, args.num_rollouts)?;
        }
        let speed = progress.finish();
        writer.finish()?;
        println!("{}: {speed}", path.display());
    }
    note(&format!("{} evaluations of the network", generator.effort.evaluations));
    Ok(())
}
