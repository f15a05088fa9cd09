//! `simulate`: what follows a frame, window after window.

use serde::Serialize;

use super::sampling::{Molecule, Sampling, WindowFaults, Written, tell, write_json};
use crate::cli::progress::Progress;
use crate::error::{Error, Result};
use crate::protein::residue::Atoms;
use crate::systems::mdgen::config::Task;
use crate::systems::mdgen::generate::Generator;
use crate::systems::mdgen::window::Window;

/// Simulate from the first frame of stored trajectories
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome mdgen simulate --sim-ckpt run/last.ckpt --data-dir data --split data/split.csv --num-rollouts 10 -o generated
  kinesome mdgen simulate ... --num-samples 8 --batch-size 8      eight trajectories of each molecule, all at once

Every window starts from the last frame of the one before. Writes NAME.xtc with NAME.pdb (its first frame), heavy atoms, \
superposed, and NAME.json: how many frames of each window have a broken chain or clashes. --sampler dopri5 chooses its \
steps by their error; euler, heun and sde take --steps of them.")]
pub struct Args {
    #[command(flatten)]
    sampling: Sampling,
    /// Windows one after the other
    #[arg(long, default_value_t = 10, value_name = "N")]
    num_rollouts: usize,
    /// Trajectories of each molecule: NAME_0, NAME_1, ...
    #[arg(long, default_value_t = 1, value_name = "N")]
    num_samples: usize,
    /// Stored frame to start from
    #[arg(long, default_value_t = 0, value_name = "FRAME")]
    start_frame: usize,
    /// Time between frames, for the file
    #[arg(long, default_value_t = 10.0, value_name = "PS")]
    timestep: f32,
}

/// One trajectory on its way.
struct Rollout<'a> {
    molecule: &'a Molecule,
    sample: usize,
    last: Vec<Atoms>,
    written: Written,
}

#[derive(Serialize)]
struct Metadata<'a> {
    start_frame: usize,
    windows: &'a [WindowFaults],
}

pub fn run(args: Args) -> Result<()> {
    if args.num_rollouts == 0 || args.num_samples == 0 {
        return Err(Error::usage("--num-rollouts and --num-samples have to be at least 1"));
    }
    let (mut generator, molecules) = args.sampling.open(Task::Simulate)?;
    let all: Vec<(&Molecule, usize)> =
        molecules.iter().flat_map(|m| (0..args.num_samples).map(move |sample| (m, sample))).collect();
    let name = |molecule: &Molecule, sample: usize| match args.num_samples {
        1 => molecule.entry.name.clone(),
        _ => format!("{}_{sample}", molecule.entry.name),
    };
    for batch in all.chunks(generator.batch()) {
        if batch.iter().all(|(molecule, sample)| args.sampling.has(&name(molecule, *sample))) {
            continue;
        }
        let mut rollouts = Vec::with_capacity(batch.len());
        for &(molecule, sample) in batch {
            let last = start(molecule, args.start_frame)?;
            let written = args.sampling.begin(&name(molecule, sample), molecule.kinds(), args.timestep)?;
            rollouts.push(Rollout { molecule, sample, last, written });
        }
        let label = match rollouts.len() {
            1 => name(rollouts[0].molecule, rollouts[0].sample),
            n => format!("{n} trajectories"),
        };
        let mut progress = Progress::new(&label, "windows");
        for window in 0..args.num_rollouts {
            one_window(&mut generator, &mut rollouts, window)?;
            progress.tick(window + 1, args.num_rollouts)?;
        }
        let speed = progress.finish();
        for rollout in rollouts {
            let metadata = Metadata { start_frame: args.start_frame, windows: rollout.written.windows() };
            let name = name(rollout.molecule, rollout.sample);
            write_json(&args.sampling.file(&format!("{name}.json")), &metadata)?;
            let faults = rollout.written.faults();
            println!("{}: {faults}, {speed}", rollout.written.finish()?.display());
        }
    }
    tell(&generator);
    Ok(())
}

fn start(molecule: &Molecule, frame: usize) -> Result<Vec<Atoms>> {
    let (path, frames) = (molecule.store.path().display(), molecule.store.frames());
    if frame >= frames {
        return Err(Error::usage(format!("{path} has {frames} frames, so there is no frame {frame}")));
    }
    molecule.store.window(frame, 1, 1)
}

fn one_window(generator: &mut Generator, rollouts: &mut [Rollout], number: usize) -> Result<()> {
    let config = generator.config().clone();
    let known = |rollout: &Rollout| {
        Window::new(&config, rollout.molecule.kinds(), &rollout.last.repeat(config.num_frames))
    };
    let known = rollouts.iter().map(known).collect::<Result<Vec<_>>>()?;
    let streams: Vec<u64> = rollouts.iter().map(|r| r.molecule.stream(r.sample, number)).collect();
    for (rollout, sample) in rollouts.iter_mut().zip(generator.windows(&known, &streams)?) {
        let residues = rollout.last.len();
        // The first frame of a window is the last of the one before.
        rollout.last = rollout.written.push(sample.atoms[residues * usize::from(number > 0)..].to_vec())?;
    }
    Ok(())
}
