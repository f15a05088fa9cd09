//! `upsample`: what happens between the frames of a stored trajectory.

use super::sampling::{Molecule, Sampling, Written, tell, write_json};
use crate::cli::progress::Progress;
use crate::error::{Error, Result};
use crate::systems::mdgen::config::{Config, Task};
use crate::systems::mdgen::generate::Generator;
use crate::systems::mdgen::window::Window;

/// Fill in the frames between those of stored trajectories
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome mdgen upsample --sim-ckpt run/last.ckpt --data-dir coarse --split coarse/split.csv --timestep 0.1 -o fine
  kinesome mdgen upsample ... --data-dir known --stored-interval 100 -o again       to compare with what is known
  kinesome mdgen evaluate known/AAAA.npy again/AAAA.xtc --upsampling 100 --reference-step 0.1 --lag 5

The checkpoint is one of `train --sim-condition --cond-interval N`: N - 1 frames are put between any two stored ones. \
Neighbouring windows share a stored frame, so there is no seam; stored frames come out as they went in. Writes NAME.xtc \
with NAME.pdb, and NAME.json.")]
pub struct Args {
    #[command(flatten)]
    sampling: Sampling,
    /// Take every Nth stored frame only: the others tell how good it is
    #[arg(long, default_value_t = 1, value_name = "N")]
    stored_interval: usize,
    /// Stored frames to take, from the first [default: all]
    #[arg(long, value_name = "N")]
    stored_frames: Option<usize>,
    /// Time between generated frames, for the file
    #[arg(long, default_value_t = 0.1, value_name = "PS")]
    timestep: f32,
}

pub fn run(args: Args) -> Result<()> {
    let (mut generator, molecules) = args.sampling.open(Task::Upsample)?;
    if args.stored_interval == 0 {
        return Err(Error::usage("--stored-interval has to be at least 1"));
    }
    for molecule in &molecules {
        let name = &molecule.entry.name;
        if args.sampling.has(name) {
            continue;
        }
        let stored = args
            .stored_frames
            .unwrap_or(usize::MAX)
            .min(molecule.store.frames().div_ceil(args.stored_interval));
        let stretches = stretches(generator.config(), stored)
            .map_err(|why| Error::usage(format!("{}: {why}", molecule.store.path().display())))?;
        let mut progress = Progress::new(name, "windows");
        let mut written = args.sampling.begin(name, molecule.kinds(), args.timestep)?;
        for (part, batch) in stretches.chunks(generator.batch()).enumerate() {
            let first = part * generator.batch();
            fill(&mut generator, molecule, args.stored_interval, batch, first, &mut written)?;
            progress.tick(first + batch.len(), stretches.len())?;
        }
        let speed = progress.finish();
        write_json(&args.sampling.file(&format!("{name}.json")), &written.windows())?;
        let faults = written.faults();
        println!("{}: {faults}, {speed}", written.finish()?.display());
    }
    tell(&generator);
    Ok(())
}

/// One window: the stored frame that it begins with, and which of its frames are new.
#[derive(Debug, PartialEq)]
struct Stretch {
    first: usize,
    keep: std::ops::Range<usize>,
}

/// Windows over `stored` frames, each beginning with the last stored frame of the one before; the last is moved
/// back so that it ends with the trajectory.
fn stretches(config: &Config, stored: usize) -> Result<Vec<Stretch>, String> {
    let every = config.cond_interval;
    // The last stretch of a window leads to a frame that the window does not hold.
    let spans = (config.num_frames - 1) / every;
    if spans == 0 {
        let frames = config.num_frames;
        return Err(format!(
            "windows of {frames} frames hold no two of the stored ones; --num-frames {}",
            every + 1
        ));
    }
    if stored < spans + 1 {
        let fitting = stored.saturating_sub(1) * every + 1;
        return Err(format!(
            "there are {stored} frames, a window takes {}; give --num-frames {fitting} or fewer",
            spans + 1
        ));
    }
    let mut found = vec![Stretch { first: 0, keep: 0..spans * every + 1 }];
    let mut done = spans;
    while done + 1 < stored {
        let first = done.min(stored - 1 - spans);
        found.push(Stretch { first, keep: (done - first) * every + 1..spans * every + 1 });
        done = first + spans;
    }
    Ok(found)
}

fn fill(
    generator: &mut Generator,
    molecule: &Molecule,
    interval: usize,
    stretches: &[Stretch],
    number: usize,
    written: &mut Written,
) -> Result<()> {
    let config = generator.config().clone();
    let (every, residues) = (config.cond_interval, molecule.kinds().len());
    let known = |stretch: &Stretch| {
        let spans = (config.num_frames - 1) / every;
        let stored = molecule.store.window(stretch.first * interval, spans + 1, interval)?;
        // What lies between, and behind the last, is not told to the network.
        let frame = |t: usize| stored[t / every * residues..][..residues].iter().copied();
        Window::new(&config, molecule.kinds(), &(0..config.num_frames).flat_map(frame).collect::<Vec<_>>())
    };
    let known = stretches.iter().map(known).collect::<Result<Vec<_>>>()?;
    let streams: Vec<u64> = (0..known.len()).map(|i| molecule.stream(0, number + i)).collect();
    for (stretch, sample) in stretches.iter().zip(generator.windows(&known, &streams)?) {
        let keep = stretch.keep.start * residues..stretch.keep.end * residues;
        written.push(sample.atoms[keep].to_vec())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_frame_once() {
        for (frames, every, stored) in
            [(1000, 100, 101), (1000, 100, 10), (21, 10, 3), (11, 10, 8), (30, 7, 23)]
        {
            let config = Config { num_frames: frames, cond_interval: every, ..Config::default() };
            let mut next = 0;
            for stretch in stretches(&config, stored).unwrap() {
                assert_eq!(stretch.first * every + stretch.keep.start, next);
                assert!(stretch.keep.end <= frames);
                next = stretch.first * every + stretch.keep.end;
            }
            assert_eq!(next, (stored - 1) * every + 1);
        }
        let config = Config { num_frames: 100, cond_interval: 100, ..Config::default() };
        assert!(stretches(&config, 50).unwrap_err().contains("--num-frames 101"));
        let config = Config { num_frames: 301, ..config };
        assert!(stretches(&config, 2).unwrap_err().contains("--num-frames 101 or fewer"));
    }
}
