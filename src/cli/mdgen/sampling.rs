//! What all commands that generate have in common: the network, the molecules, the sampler, and what is said of the
//! trajectories that come out.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use crate::cli::progress::note;
use crate::device;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::protein::linkage::{self, Faults};
use crate::protein::residue::Atoms;
use crate::systems::mdgen::config::Task;
use crate::systems::mdgen::evaluate::Options;
use crate::systems::mdgen::generate::{Generator, Sample};
use crate::systems::mdgen::output::ChainWriter;
use crate::systems::mdgen::sampler::Solver;
use crate::systems::mdgen::split::{self, Entry};
use crate::systems::mdgen::store::Store;

#[derive(clap::Args, Debug)]
pub struct Sampling {
    /// Checkpoint of `train`, or one of MDGen's own
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
    /// Frames of a window [default: as trained]
    #[arg(long, value_name = "N")]
    num_frames: Option<usize>,
    /// Windows sampled at once
    #[arg(long, default_value_t = 1, value_name = "N")]
    batch_size: usize,
    /// dopri5 (steps by their error), euler, heun or sde
    #[arg(long, default_value = "dopri5", value_parser = ["dopri5", "euler", "heun", "sde"])]
    sampler: String,
    /// Steps of the other samplers
    #[arg(long, default_value_t = 50, value_name = "N")]
    steps: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Move residues, as little as it takes, until the bonds between them are sound and nothing clashes; rollouts go on
    /// from what comes out
    #[arg(long)]
    repair: bool,
    /// Keep what a stopped run has finished
    #[arg(long)]
    resume: bool,
    /// Device: auto, cpu, cuda, wgpu; `kinesome devices` lists them
    #[arg(long, default_value = "auto")]
    device: String,
    /// Folder for the trajectories
    #[arg(short, long = "out-dir", alias = "out_dir", value_name = "DIR")]
    out: PathBuf,
}

/// Which two states of a stored trajectory to go between.
#[derive(clap::Args, Debug)]
pub struct StateChoice {
    /// Coarse states to go between, from 1
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
    between: Option<Vec<usize>>,
    /// Time between generated frames
    #[arg(long, default_value_t = 10.0, value_name = "PS")]
    timestep: f32,
    /// Lag of TICA and of the Markov models in ps
    #[arg(long, default_value_t = 100.0, value_name = "PS")]
    lag: f64,
    /// Microstates of k-means
    #[arg(long, default_value_t = 100, value_name = "K")]
    clusters: usize,
    /// Coarse states of PCCA+
    #[arg(long, default_value_t = 10, value_name = "N")]
    states: usize,
}

impl StateChoice {
    /// The states that the user chose, from 0.
    pub fn between(&self) -> Result<Option<(usize, usize)>> {
        match self.between.as_deref() {
            None => Ok(None),
            Some(&[from, to]) if from > 0 && to > 0 && from != to => Ok(Some((from - 1, to - 1))),
            Some(_) => Err(Error::usage("--between takes two different states, counted from 1")),
        }
    }

    pub fn timestep(&self) -> f32 {
        self.timestep
    }

    /// Time between stored frames, every `interval`-th of which is generated, ps.
    pub fn stored_step(&self, interval: usize) -> f64 {
        f64::from(self.timestep) / interval.max(1) as f64
    }

    pub fn options(&self) -> Options {
        Options { lag: self.lag, clusters: self.clusters, states: self.states, ..Options::default() }
    }
}

/// A molecule of the table, and its trajectory.
pub struct Molecule {
    pub entry: Entry,
    /// Its line in the table: its noise is its own, whichever others are asked for.
    line: u64,
    pub store: Store,
}

impl Molecule {
    pub fn kinds(&self) -> &[usize] {
        self.store.kinds()
    }

    /// The stream of random numbers of one window of one of this molecule's trajectories.
    pub fn stream(&self, trajectory: usize, window: usize) -> u64 {
        self.line << 36 | (trajectory as u64) << 18 | window as u64
    }
}

impl Sampling {
    /// The network and the molecules to generate.
    pub fn open(&self, task: Task) -> Result<(Generator, Vec<Molecule>)> {
        let solver = match self.sampler.as_str() {
            "euler" => Solver::Euler { steps: self.steps },
            "heun" => Solver::Heun { steps: self.steps },
            "sde" => Solver::Sde { steps: self.steps, seed: 0, stream: 0 },
            _ => Solver::Dopri5 { relative: 1e-3, absolute: 1e-6, past_one: false },
        };
        if self.batch_size == 0 {
            return Err(Error::usage("--batch-size has to be at least 1"));
        }
        let entries = split::read(&self.split)?;
        if let Some(unknown) = self.pdb_id.iter().find(|name| !entries.iter().any(|e| e.name == **name)) {
            return Err(Error::usage(format!("{} lists no {unknown}", self.split.display())));
        }
        let device = device::open(&self.device)?;
        let generator = Generator::open(
            &self.sim_ckpt,
            device,
            task,
            self.num_frames,
            self.batch_size,
            solver,
            self.seed,
        )?;
        let wanted = entries.into_iter().enumerate();
        let wanted = wanted.filter(|(_, e)| self.pdb_id.is_empty() || self.pdb_id.contains(&e.name));
        let molecules: Result<Vec<Molecule>> = wanted
            .map(|(line, entry)| {
                let kinds = entry.kinds()?;
                let crop = generator.config().crop;
                if kinds.len() > crop {
                    let (name, residues) = (&entry.name, kinds.len());
                    let why = format!("{name} has {residues} residues, the network was trained for {crop}");
                    return Err(Error::usage(why));
                }
                let store = Store::open(&entry.file(&self.data_dir, &self.suffix), &kinds)?;
                Ok(Molecule { entry, line: line as u64, store })
            })
            .collect();
        Ok((generator, molecules?))
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    pub fn resumes(&self) -> bool {
        self.resume
    }

    /// Whether a trajectory is there already and is to be kept.
    pub fn has(&self, name: &str) -> bool {
        self.resumes() && self.file(&format!("{name}.xtc")).is_file()
    }

    /// A trajectory to fill, `NAME.xtc` with `NAME.pdb`, with a frame every `step` ps.
    pub fn begin(&self, name: &str, kinds: &[usize], step: f32) -> Result<Written> {
        atomic::folder(&self.out)?;
        let path = self.file(&format!("{name}.xtc"));
        let writer = ChainWriter::create(&path, kinds, step)?;
        Ok(Written { writer, path, kinds: kinds.to_vec(), repair: self.repair, windows: vec![] })
    }

    /// A trajectory of one window.
    pub fn write(&self, name: &str, sample: &Sample, step: f32) -> Result<WindowFaults> {
        let mut written = self.begin(name, &sample.kinds, step)?;
        written.push(sample.atoms.clone())?;
        let faults = written.faults();
        written.finish()?;
        Ok(faults)
    }
}

/// Faults of some frames.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct WindowFaults {
    pub frames: usize,
    /// Frames with a peptide bond longer than 2 Å.
    pub broken: usize,
    /// Frames in which atoms of different residues come nearer than 2 Å.
    pub clashing: usize,
}

impl WindowFaults {
    pub fn and(self, other: WindowFaults) -> WindowFaults {
        WindowFaults {
            frames: self.frames + other.frames,
            broken: self.broken + other.broken,
            clashing: self.clashing + other.clashing,
        }
    }
}

impl std::fmt::Display for WindowFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let share = |count: usize| 100.0 * count as f64 / self.frames.max(1) as f64;
        let (broken, clashing) = (share(self.broken), share(self.clashing));
        write!(f, "{} frames, chain broken in {broken:.1} %, clashes in {clashing:.1} %", self.frames)
    }
}

/// A trajectory being generated.
pub struct Written {
    writer: ChainWriter,
    path: PathBuf,
    kinds: Vec<usize>,
    repair: bool,
    windows: Vec<WindowFaults>,
}

impl Written {
    /// Appends the frames of a window [frames × residues], Å; the last of them, repaired where that is asked for.
    pub fn push(&mut self, mut atoms: Vec<Atoms>) -> Result<Vec<Atoms>> {
        let kinds = &self.kinds;
        if self.repair {
            atoms.par_chunks_mut(kinds.len()).for_each(|frame| linkage::repair(kinds, frame));
        }
        let found: Vec<Faults> =
            atoms.par_chunks(kinds.len()).map(|frame| linkage::faults(kinds, frame)).collect();
        self.windows.push(WindowFaults {
            frames: found.len(),
            broken: found.iter().filter(|f| f.breaks > 0).count(),
            clashing: found.iter().filter(|f| f.clashes > 0).count(),
        });
        atoms.chunks(self.kinds.len()).try_for_each(|frame| self.writer.push(frame))?;
        Ok(atoms.split_off(atoms.len().saturating_sub(self.kinds.len())))
    }

    /// Of all windows so far.
    pub fn faults(&self) -> WindowFaults {
        self.windows.iter().fold(WindowFaults::default(), |sum, w| sum.and(*w))
    }

    pub fn windows(&self) -> &[WindowFaults] {
        &self.windows
    }

    pub fn finish(self) -> Result<PathBuf> {
        self.writer.finish()?;
        Ok(self.path)
    }
}

pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(value).map_err(|e| Error::usage(e.to_string()))?;
    atomic::write(path, |out| out.write_all(json.as_bytes()))
}

/// Tells what all the sampling took.
pub fn tell(generator: &Generator) {
    note(&format!("{} evaluations of the network", generator.effort.evaluations));
}
