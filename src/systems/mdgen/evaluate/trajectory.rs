//! Trajectories to compare: a topology with XTC, DCD or many models, or an array of atoms.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::npy;
use crate::io::structure::Structure;
use crate::io::trajectory::Trajectory as Frames;
use crate::protein::chain::Chain;
use crate::protein::residue::{Atoms, letter_of_type, type_of_letter};
use crate::systems::mdgen::split;
use crate::systems::mdgen::store::Store;

/// All heavy atoms of one chain in time.
#[derive(Debug, Clone)]
pub struct Trajectory {
    pub name: String,
    /// Residue types.
    pub kinds: Vec<usize>,
    /// Å, [frames × residues].
    pub atoms: Vec<Atoms>,
    /// Picoseconds from frame to frame.
    pub step: f64,
}

impl Trajectory {
    pub fn frames(&self) -> usize {
        self.atoms.len() / self.kinds.len().max(1)
    }

    pub fn sequence(&self) -> String {
        self.kinds.iter().map(|&k| letter_of_type(k)).collect()
    }
}

/// The file of one trajectory, and its topology where it needs one.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub path: PathBuf,
    pub topology: Option<PathBuf>,
}

fn extension(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase()
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// How much a file of a folder is preferred to others of the same name: exact coordinates with times first.
fn rank(path: &Path) -> Option<usize> {
    ["xtc", "dcd", "npy", "pdb", "cif"].iter().position(|e| *e == extension(path))
}

/// The trajectories at a path: a file, or all in a folder, one a name.
pub fn sources(path: &Path) -> Result<Vec<Source>> {
    let beside = |path: &Path| {
        ["pdb", "cif"].iter().map(|e| path.with_extension(e)).find(|p| p != path && p.is_file())
    };
    let source = |path: PathBuf| Source { name: stem(&path), topology: beside(&path), path };
    if !path.is_dir() {
        if !path.exists() {
            return Err(Error::os("open", path, std::io::ErrorKind::NotFound.into()));
        }
        return Ok(vec![source(path.to_path_buf())]);
    }
    let entries = std::fs::read_dir(path).map_err(|e| Error::os("read folder", path, e))?;
    let mut best: BTreeMap<String, (usize, PathBuf)> = BTreeMap::new();
    for entry in entries {
        let file = entry.map_err(|e| Error::os("read folder", path, e))?.path();
        let Some(rank) = rank(&file).filter(|_| file.is_file()) else { continue };
        let known = best.entry(stem(&file)).or_insert((rank, file.clone()));
        if rank < known.0 {
            *known = (rank, file);
        }
    }
    if best.is_empty() {
        let why = "the folder holds no trajectories; they end in .xtc, .dcd, .npy or .pdb";
        return Err(Error::malformed(path, "", why));
    }
    Ok(best.into_values().map(|(_, file)| source(file)).collect())
}

/// What is known of a trajectory besides its file.
#[derive(Debug, Clone, Default)]
pub struct Given<'a> {
    /// Picoseconds between frames, before what the file says.
    pub step: Option<f64>,
    /// The flag that sets it.
    pub step_flag: &'a str,
    /// The trajectory that it is compared with.
    pub like: Option<&'a Source>,
}

/// Reads a trajectory.
pub fn read(source: &Source, given: &Given) -> Result<Trajectory> {
    let (kinds, atoms, step) = match extension(&source.path).as_str() {
        "npy" => from_array(source, given)?,
        _ => from_frames(source, given)?,
    };
    let path = &source.path;
    if atoms.len() < 2 * kinds.len() {
        return Err(Error::malformed(path, "", "it has fewer than two frames; a trajectory is needed"));
    }
    if let Some(i) = atoms.iter().position(|r| r.iter().flatten().any(|x| !x.is_finite())) {
        let (frame, residue) = (i / kinds.len(), i % kinds.len() + 1);
        let why =
            format!("residue {residue} has a coordinate that is not a number; cut the damaged frames off");
        return Err(Error::malformed(path, format!("frame {frame}"), why));
    }
    let Some(step) = given.step.or(step) else {
        let why = format!(
            "the file does not say how much time lies between its frames; give it as {} in ps",
            given.step_flag
        );
        return Err(Error::malformed(path, "", why));
    };
    if !(step > 0.0 && step.is_finite()) {
        return Err(Error::usage(format!(
            "{} {step}: the time between frames must be above 0",
            given.step_flag
        )));
    }
    Ok(Trajectory { name: source.name.clone(), kinds, atoms, step })
}

type Parts = (Vec<usize>, Vec<Atoms>, Option<f64>);

/// A trajectory store, or an array of the reference program.
fn from_array(source: &Source, given: &Given) -> Result<Parts> {
    let path = &source.path;
    let residues = residues_of(path)?;
    let kinds = match (kinds_of(source, residues)?, given.like) {
        (Some(kinds), _) => Some(kinds),
        (None, Some(like)) => kinds_of(like, residues)?,
        (None, None) => None,
    };
    let Some(kinds) = kinds else {
        let why = "its sequence is not known; name the file after it, list it in a split.csv beside it, or put a .pdb of \
                   the same name there";
        return Err(Error::malformed(path, "", why));
    };
    let store = Store::open(path, &kinds)?;
    let atoms = store.window(0, store.frames(), 1)?;
    Ok((kinds, atoms, None))
}

/// Residues of an array by its header; 0 where it has no such axis.
fn residues_of(path: &Path) -> Result<usize> {
    let file = std::fs::File::open(path).map_err(|e| Error::os("open", path, e))?;
    let header = npy::read_header(&mut std::io::BufReader::new(file)).map_err(|e| npy::fault(path, "", e))?;
    Ok(header.shape().get(1).map_or(0, |n| usize::try_from(*n).unwrap_or(0)))
}

/// The residues of an array: by its topology, by the table beside it, or by its name if that has as many letters.
fn kinds_of(source: &Source, residues: usize) -> Result<Option<Vec<usize>>> {
    if let Some(topology) = &source.topology {
        return Ok(Some(Chain::of(&Structure::read(topology)?, topology, None)?.kinds));
    }
    let table = source.path.with_file_name("split.csv");
    if table.is_file() {
        let entries = split::read(&table)?;
        if let Some(entry) = entries.iter().find(|e| e.name == source.name) {
            return entry.kinds().map(Some);
        }
    }
    let letters = source.name.split(['_', '.']).next().unwrap_or_default();
    let kinds: Option<Vec<usize>> = letters.chars().map(type_of_letter).collect();
    Ok(kinds.filter(|k| !k.is_empty() && k.len() == residues))
}

/// XTC, DCD, or a structure with many models.
fn from_frames(source: &Source, given: &Given) -> Result<Parts> {
    let path = &source.path;
    let frames = Frames::open(path)?;
    let chain = match &frames {
        Frames::Models(structure) => Chain::of(structure, path, None)?,
        _ => {
            let file = source.topology.as_ref().or(given.like.and_then(|like| like.topology.as_ref()));
            let Some(file) = file else {
                let why = "it has no topology; put a .pdb of the same name beside it";
                return Err(Error::malformed(path, "", why));
            };
            Chain::of(&Structure::read(file)?, file, None)?
        }
    };
    let count = frames.frames();
    let mut atoms = Vec::with_capacity(count * chain.kinds.len());
    let mut times = Vec::with_capacity(count);
    for frame in 0..count {
        let snapshot = frames.read(frame)?;
        times.push(f64::from(snapshot.time));
        let there = chain.atoms(&snapshot.positions);
        atoms.extend(there.map_err(|e| Error::malformed(path, format!("frame {frame}"), e.to_string()))?);
    }
    Ok((chain.kinds, atoms, step(&times)))
}

/// Time between frames that lie evenly in time.
fn step(times: &[f64]) -> Option<f64> {
    let (first, last) = (times.first()?, times.last()?);
    let step = (last - first) / (times.len() - 1).max(1) as f64;
    let even = times.windows(2).all(|pair| (pair[1] - pair[0] - step).abs() < 0.01 * step.abs().max(0.1));
    // Single precision in the file leaves a tail of digits.
    (step > 0.0 && even).then(|| (step * 1e5).round() / 1e5)
}
