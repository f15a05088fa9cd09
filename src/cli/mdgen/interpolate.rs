//! `interpolate`: paths from one frame of a stored trajectory to another.

use serde::Serialize;

use super::sampling::{Molecule, Sampling, StateChoice, WindowFaults, tell, write_json};
use crate::cli::progress::Progress;
use crate::error::{Error, Result};
use crate::systems::mdgen::config::Task;
use crate::systems::mdgen::ends::Landscape;
use crate::systems::mdgen::generate::Generator;
use crate::systems::mdgen::window::Window;

/// Generate transition paths between two states of stored trajectories
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome mdgen interpolate --sim-ckpt paths/last.ckpt --data-dir data --split data/split.csv --num-paths 100 -o paths
  kinesome mdgen interpolate ... --pdb-id AAAA --frames 12 4711 --num-paths 10 -o paths
  kinesome mdgen evaluate data/AAAA.npy paths --transition-paths --reference-step 2

The checkpoint is one of `train --tps-condition`. Unless --frames names them, the first and last frame of each path are \
drawn from two coarse states of the stored trajectory: those with the rarest transition, or --between two by number \
(as `evaluate` numbers them with the same --lag, --clusters, --states). Writes NAME_0.xtc, NAME_1.xtc, ... with their \
.pdb, and NAME.json: states, end frames, broken chains and clashes of each path.")]
pub struct Args {
    #[command(flatten)]
    sampling: Sampling,
    #[command(flatten)]
    choice: StateChoice,
    /// Stored frames to begin and end with, from 0
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], conflicts_with = "between")]
    frames: Option<Vec<usize>>,
    /// Paths of each molecule
    #[arg(long, default_value_t = 100, value_name = "N")]
    num_paths: usize,
}

#[derive(Serialize)]
struct Metadata {
    /// Coarse states, from 1.
    states: Option<(usize, usize)>,
    paths: Vec<PathMetadata>,
}

#[derive(Serialize)]
struct PathMetadata {
    first_frame: usize,
    last_frame: usize,
    faults: WindowFaults,
}

pub fn run(args: Args) -> Result<()> {
    if args.num_paths == 0 {
        return Err(Error::usage("--num-paths has to be at least 1"));
    }
    let (mut generator, molecules) = args.sampling.open(Task::Interpolate)?;
    for molecule in &molecules {
        let name = &molecule.entry.name;
        let metadata = args.sampling.file(&format!("{name}.json"));
        if args.sampling.resumes() && metadata.is_file() {
            continue;
        }
        let (states, ends) = ends(&args, molecule, generator.config().frame_interval)?;
        let mut progress = Progress::new(name, "paths");
        let mut paths = Vec::with_capacity(ends.len());
        for (part, batch) in ends.chunks(generator.batch()).enumerate() {
            let first = part * generator.batch();
            paths.extend(one_batch(&args, &mut generator, molecule, batch, first)?);
            progress.tick(paths.len(), ends.len())?;
        }
        let speed = progress.finish();
        let faults = paths.iter().fold(WindowFaults::default(), |sum, path| sum.and(path.faults));
        write_json(&metadata, &Metadata { states, paths })?;
        println!("{}: {faults}, {speed}", metadata.display());
    }
    tell(&generator);
    Ok(())
}

/// First and last frames of all paths, and the states (from 1) that they were drawn from.
type Ends = (Option<(usize, usize)>, Vec<(usize, usize)>);

fn ends(args: &Args, molecule: &Molecule, interval: usize) -> Result<Ends> {
    if let Some([from, to]) = args.frames.as_deref() {
        let (path, frames) = (molecule.store.path().display(), molecule.store.frames());
        if let Some(missing) = [from, to].into_iter().find(|t| **t >= frames) {
            return Err(Error::usage(format!("{path} has {frames} frames, so there is no frame {missing}")));
        }
        return Ok((None, vec![(*from, *to); args.num_paths]));
    }
    let landscape =
        Landscape::of(&molecule.store, args.choice.stored_step(interval), &args.choice.options())?;
    let pair = match args.choice.between()? {
        Some(pair) => pair,
        None => landscape.pair(true)?,
    };
    Ok((Some((pair.0 + 1, pair.1 + 1)), landscape.draw(pair, args.num_paths, args.sampling.seed())?))
}

fn one_batch(
    args: &Args,
    generator: &mut Generator,
    molecule: &Molecule,
    ends: &[(usize, usize)],
    number: usize,
) -> Result<Vec<PathMetadata>> {
    let config = generator.config().clone();
    let known = |&(from, to): &(usize, usize)| {
        let mut atoms = molecule.store.window(from, 1, 1)?.repeat(config.num_frames - 1);
        atoms.extend(molecule.store.window(to, 1, 1)?);
        Window::new(&config, molecule.kinds(), &atoms)
    };
    let known = ends.iter().map(known).collect::<Result<Vec<_>>>()?;
    let streams: Vec<u64> = (0..known.len()).map(|i| molecule.stream(number + i, 0)).collect();
    let samples = generator.windows(&known, &streams)?;
    ends.iter()
        .zip(samples)
        .enumerate()
        .map(|(i, (&(first_frame, last_frame), sample))| {
            let name = format!("{}_{}", molecule.entry.name, number + i);
            let faults = args.sampling.write(&name, &sample, args.choice.timestep())?;
            Ok(PathMetadata { first_frame, last_frame, faults })
        })
        .collect()
}
