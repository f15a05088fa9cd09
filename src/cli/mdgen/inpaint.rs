//! `inpaint`: inner residues, and their types, to go with the motion of the outer ones.

use serde::Serialize;

use super::sampling::{Molecule, Sampling, StateChoice, WindowFaults, tell, write_json};
use crate::cli::progress::Progress;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::protein::residue::letter_of_type;
use crate::stats::random::Philox;
use crate::systems::mdgen::config::Task;
use crate::systems::mdgen::ends::Landscape;
use crate::systems::mdgen::generate::Generator;
use crate::systems::mdgen::window::Window;

/// Generate inner residues and their types from the motion of the outer ones
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome mdgen inpaint --sim-ckpt design/last.ckpt --data-dir data --split data/split.csv --random-start-idx -o designs
  kinesome mdgen evaluate data/KLVF.npy designs/KLVF_0.xtc --designs designs/KLVF.fasta --designed 2 3 --reference-step 2

The checkpoint is one of `train --inpainting`. Stretches of the stored trajectory are taken from anywhere with \
--random-start-idx, else where it crosses between two coarse states: those with the most transitions, or --between two. \
Writes NAME_0.xtc, ... with their .pdb (in the residues designed), NAME.fasta with all the sequences, and NAME.json.")]
pub struct Args {
    #[command(flatten)]
    sampling: Sampling,
    #[command(flatten)]
    choice: StateChoice,
    /// Stretches from anywhere, not only those between two states
    #[arg(long, alias = "random_start_idx", conflicts_with = "between")]
    random_start_idx: bool,
    /// Designs for each molecule
    #[arg(long, default_value_t = 100, value_name = "N")]
    num_designs: usize,
}

#[derive(Serialize)]
struct Design {
    sequence: String,
    /// Stored frame that its stretch begins with.
    first_frame: usize,
    faults: WindowFaults,
}

pub fn run(args: Args) -> Result<()> {
    if args.num_designs == 0 {
        return Err(Error::usage("--num-designs has to be at least 1"));
    }
    let (mut generator, molecules) = args.sampling.open(Task::Inpaint)?;
    for molecule in &molecules {
        let name = &molecule.entry.name;
        let metadata = args.sampling.file(&format!("{name}.json"));
        if args.sampling.resumes() && metadata.is_file() {
            continue;
        }
        let config = generator.config();
        let starts =
            starts(&args, molecule, (config.num_frames - 1) * config.frame_interval, config.frame_interval)?;
        let mut progress = Progress::new(name, "designs");
        let mut designs = Vec::with_capacity(starts.len());
        for batch in starts.chunks(generator.batch()) {
            let number = designs.len();
            designs.extend(one_batch(&args, &mut generator, molecule, batch, number)?);
            progress.tick(designs.len(), starts.len())?;
        }
        let speed = progress.finish();
        let faults = designs.iter().fold(WindowFaults::default(), |sum, design| sum.and(design.faults));
        let sequences = args.sampling.file(&format!("{name}.fasta"));
        atomic::write(&sequences, |out| {
            let mut all = designs.iter().enumerate();
            all.try_for_each(|(i, design)| writeln!(out, ">{name}_{i}\n{}", design.sequence))
        })?;
        write_json(&metadata, &designs)?;
        println!("{}: {faults}, {speed}", sequences.display());
    }
    tell(&generator);
    Ok(())
}

/// Stored frames that the stretches of `span` frames begin with.
fn starts(args: &Args, molecule: &Molecule, span: usize, interval: usize) -> Result<Vec<usize>> {
    let (path, frames) = (molecule.store.path().display(), molecule.store.frames());
    if frames <= span {
        return Err(Error::usage(format!("{path} has {frames} frames, a stretch takes {}", span + 1)));
    }
    let from: Vec<usize> = if args.random_start_idx {
        (0..frames - span).collect()
    } else {
        let landscape =
            Landscape::of(&molecule.store, args.choice.stored_step(interval), &args.choice.options())?;
        let pair = match args.choice.between()? {
            Some(pair) => pair,
            None => landscape.pair(false)?,
        };
        landscape.crossings(pair, span)
    };
    if from.is_empty() {
        return Err(Error::usage(format!(
            "{path} never goes from one of the two states to the other within {span} frames; take --random-start-idx"
        )));
    }
    let mut philox = Philox::new(args.sampling.seed(), 0x7374_6172);
    let mut one = || from[((philox.uniform_f64() * from.len() as f64) as usize).min(from.len() - 1)];
    Ok((0..args.num_designs).map(|_| one()).collect())
}

fn one_batch(
    args: &Args,
    generator: &mut Generator,
    molecule: &Molecule,
    starts: &[usize],
    number: usize,
) -> Result<Vec<Design>> {
    let config = generator.config().clone();
    let known = |&start: &usize| {
        let atoms = molecule.store.window(start, config.num_frames, config.frame_interval)?;
        Window::new(&config, molecule.kinds(), &atoms)
    };
    let known = starts.iter().map(known).collect::<Result<Vec<_>>>()?;
    let streams: Vec<u64> = (0..known.len()).map(|i| molecule.stream(number + i, 0)).collect();
    let samples = generator.windows(&known, &streams)?;
    starts
        .iter()
        .zip(samples)
        .enumerate()
        .map(|(i, (&first_frame, sample))| {
            let name = format!("{}_{}", molecule.entry.name, number + i);
            let faults = args.sampling.write(&name, &sample, args.choice.timestep())?;
            let sequence = sample.kinds.iter().map(|&kind| letter_of_type(kind)).collect();
            Ok(Design { sequence, first_frame, faults })
        })
        .collect()
}
