//! MD trajectories to the store: one chain's heavy atoms, superposed on the first frame.

use super::split::{self, Entry};
use super::store::{Precision, StoreWriter};
use crate::error::{Error, Result};
use crate::io::outputs::Outputs;
use crate::io::structure::Structure;
use crate::io::trajectory::Trajectory;
use crate::protein::chain::{Chain, OntoFirst, move_atoms};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A topology and the trajectories written with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Molecule {
    pub name: String,
    pub topology: PathBuf,
    /// Empty: the models of the topology itself.
    pub trajectories: Vec<PathBuf>,
}

/// What to make of them.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the stores.
    pub folder: PathBuf,
    /// Behind the names of the stores.
    pub suffix: String,
    pub split: PathBuf,
    /// Every so many frames, beginning with the one after `skip`.
    pub every: usize,
    pub skip: usize,
    pub precision: Precision,
    pub chain: Option<String>,
}

/// What was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub name: String,
    pub sequence: String,
    pub file: PathBuf,
    pub frames: usize,
    /// The largest coordinate, Å.
    pub largest: f32,
}

impl Molecule {
    /// A molecule named after its topology.
    pub fn new(topology: &Path, trajectories: Vec<PathBuf>) -> Molecule {
        Molecule { name: stem(topology), topology: topology.to_path_buf(), trajectories }
    }

    /// The molecules of a folder, or if it has none, of its subfolders: every structure file, with the trajectories
    /// beside it that are named like it, or like it and `_…`.
    pub fn of_folder(folder: &Path) -> Result<Vec<Molecule>> {
        let mut molecules = Molecule::beside_one_another(folder)?;
        if molecules.is_empty() {
            for folder in listing(folder)?.iter().filter(|path| path.is_dir()) {
                molecules.extend(Molecule::beside_one_another(folder)?);
            }
        }
        let mut names = BTreeMap::new();
        for molecule in &molecules {
            if let Some(other) = names.insert(&molecule.name, &molecule.topology) {
                let why = format!("{} has the same name; give each molecule its own", other.display());
                return Err(Error::malformed(&molecule.topology, "", why));
            }
        }
        if molecules.is_empty() {
            let why = "no PDB files in this folder; each trajectory needs its topology beside it";
            return Err(Error::malformed(folder, "", why));
        }
        Ok(molecules)
    }

    fn beside_one_another(folder: &Path) -> Result<Vec<Molecule>> {
        let files = listing(folder)?;
        let of_kind = |kinds: &[&str]| -> Vec<&PathBuf> {
            let extension = |path: &Path| path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
            files.iter().filter(|p| extension(p).is_some_and(|e| kinds.contains(&e.as_str()))).collect()
        };
        let topologies = of_kind(&["pdb", "ent", "cif", "mmcif"]);
        let mut molecules: Vec<Molecule> = topologies.iter().map(|t| Molecule::new(t, Vec::new())).collect();
        for path in of_kind(&["xtc", "dcd"]) {
            let name = stem(path);
            let fits = |m: &&mut Molecule| {
                name.strip_prefix(&m.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
            };
            // Of `1abc` and `1abc_A` the longer name.
            match molecules.iter_mut().filter(fits).max_by_key(|m| m.name.len()) {
                Some(molecule) => molecule.trajectories.push(path.clone()),
                None => {
                    let why = format!("there is no topology `{name}.pdb` beside it");
                    return Err(Error::malformed(path, "", why));
                }
            }
        }
        Ok(molecules)
    }

    fn files(&self, options: &Options) -> Vec<PathBuf> {
        let file = |tag: &str| options.folder.join(format!("{}{tag}{}.npy", self.name, options.suffix));
        match self.trajectories.len() {
            0 | 1 => vec![file("")],
            // As the reference names the replicates of ATLAS.
            n => (1..=n).map(|i| file(&format!("_R{i}"))).collect(),
        }
    }
}

/// What a folder holds, sorted.
fn listing(folder: &Path) -> Result<Vec<PathBuf>> {
    let refused = |e| Error::os("read", folder, e);
    let entries = std::fs::read_dir(folder).map_err(refused)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>().map_err(refused)?;
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// An opened trajectory of a chain, and where it goes.
struct Job {
    molecule: String,
    chain: Chain,
    source: PathBuf,
    trajectory: Trajectory,
    target: PathBuf,
    /// Frames to write.
    frames: usize,
}

/// Writes a store for each trajectory, and the molecules into the split file. `tick` is told of frames. Nothing is left
/// behind when a trajectory is refused.
pub fn prepare(
    molecules: &[Molecule],
    options: &Options,
    tick: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<Vec<Made>> {
    if options.every == 0 {
        return Err(Error::usage("every 0th frame was asked for; take 1 for all"));
    }
    // All are looked at before the first is written; opened again one by one, for there may be thousands.
    let mut total = 0;
    for molecule in molecules {
        total += jobs(molecule, options)?.iter().map(|job| job.frames).sum::<usize>();
    }
    let mut outputs = Outputs::new();
    outputs.folder(&options.folder)?;
    let (mut made, mut done) = (Vec::new(), 0);
    for molecule in molecules {
        for job in jobs(molecule, options)? {
            outputs.file(&job.target);
            made.push(write(&job, options, &mut |frames| tick(done + frames, total))?);
            done += job.frames;
        }
    }
    let entries: Vec<Entry> =
        made.iter().map(|m| Entry { name: m.name.clone(), sequence: m.sequence.clone() }).collect();
    split::add(&options.split, &entries)?;
    outputs.keep();
    Ok(made)
}

fn jobs(molecule: &Molecule, options: &Options) -> Result<Vec<Job>> {
    let topology = &molecule.topology;
    let structure = Structure::read(topology)?;
    let chain = Chain::of(&structure, topology, options.chain.as_deref())?;
    let mut sources = molecule.trajectories.clone();
    if sources.is_empty() {
        sources.push(topology.clone());
    }
    let mut jobs = Vec::new();
    for (source, target) in sources.into_iter().zip(molecule.files(options)) {
        let trajectory = if source == *topology {
            Trajectory::Models(structure.clone())
        } else {
            Trajectory::open(&source)?
        };
        if trajectory.atoms() != structure.atoms.len() {
            let why = format!(
                "it has {} atoms, its topology {} has {}; give the topology it was written with",
                trajectory.atoms(),
                topology.display(),
                structure.atoms.len()
            );
            return Err(Error::malformed(source, "", why));
        }
        let frames = trajectory.frames().saturating_sub(options.skip).div_ceil(options.every);
        if frames == 0 {
            let why = format!("no frame is left of its {}", trajectory.frames());
            return Err(Error::malformed(source, "", why));
        }
        let (molecule, chain) = (molecule.name.clone(), chain.clone());
        jobs.push(Job { molecule, chain, source, trajectory, target, frames });
    }
    Ok(jobs)
}

fn write(job: &Job, options: &Options, tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<Made> {
    let (chain, mut onto) = (&job.chain, OntoFirst::default());
    let mut out = StoreWriter::create(&job.target, job.frames, chain.kinds.len(), options.precision)?;
    let mut largest = 0.0f32;
    for i in 0..job.frames {
        let frame = options.skip + i * options.every;
        let positions = job.trajectory.read(frame)?.positions;
        let bad = |why: String| Error::malformed(&job.source, format!("frame {frame}"), why);
        if let Some(&at) = chain.members.iter().find(|&&i| positions[i].iter().any(|x| !x.is_finite())) {
            let label = chain.residue_of(at).unwrap_or_default();
            return Err(bad(format!("a coordinate of atom {}, in {label}, is not a finite number", at + 1)));
        }
        let mut atoms = chain.atoms(&positions)?;
        chain.check(&atoms).map_err(bad)?;
        let heavy = chain.members.iter().map(|&i| positions[i].map(f64::from)).collect();
        move_atoms(&chain.kinds, &onto.motion(heavy), &mut atoms);
        largest = atoms.as_flattened().as_flattened().iter().fold(largest, |m, x| m.max(x.abs()));
        out.push(&atoms)?;
        tick(i + 1)?;
    }
    out.finish()?;
    let (name, sequence) = (job.molecule.clone(), chain.sequence());
    Ok(Made { name, sequence, file: job.target.clone(), frames: job.frames, largest })
}
