//! The trajectory store: the reference's `.npy` of float16 (or float32) [frames, residues, 14, 3] in Å, read through a
//! memory map window by window, so that memory does not grow with the trajectory.

use crate::error::{Error, Result};
use crate::io::atomic::Pending;
use crate::io::mrc::map;
use crate::io::npy;
use crate::protein::residue::{ATOMS, Atoms, RESIDUES};
use half::f16;
use memmap2::Mmap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Numbers of a residue.
const EACH: usize = ATOMS * 3;

/// How coordinates are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// As the reference stores them: 0.03 Å between 32 and 64 Å from the origin.
    #[default]
    Half,
    Single,
}

impl Precision {
    fn bytes(self) -> usize {
        match self {
            Precision::Half => 2,
            Precision::Single => 4,
        }
    }
}

/// A trajectory of one chain on disk.
pub struct Store {
    path: PathBuf,
    map: Mmap,
    /// Byte of the first number.
    begin: usize,
    precision: Precision,
    frames: usize,
    kinds: Vec<usize>,
}

impl Store {
    /// Opens the trajectory of a chain with residues of these types, and compares the first frame with them.
    pub fn open(path: &Path, kinds: &[usize]) -> Result<Store> {
        let bad = |why: String| Error::malformed(path, "", why);
        let map = map(path)?;
        let mut rest = &map[..];
        let header = npy::read_header(&mut rest).map_err(|e| npy::fault(path, "", e))?;
        let npyz::DType::Plain(kind) = header.dtype() else {
            return Err(bad(
                "it holds a table, where a trajectory is an array [frames, residues, 14, 3]".into()
            ));
        };
        let code = kind.to_string();
        let precision = match code.as_str() {
            "<f2" => Precision::Half,
            "<f4" => Precision::Single,
            other => return Err(bad(format!("elements are `{other}`, where float16 or float32 is needed"))),
        };
        let shape = header.shape();
        let [frames, residues, 14, 3] = *shape else {
            return Err(bad(format!("its shape is {shape:?}, where [frames, residues, 14, 3] is needed")));
        };
        if header.order() == npyz::Order::Fortran {
            return Err(bad("its axes run in Fortran order; save it in C order".into()));
        }
        if frames == 0 {
            return Err(bad("it has no frames".into()));
        }
        if residues != kinds.len() as u64 {
            let why = format!("it has {residues} residues, the sequence {}", kinds.len());
            return Err(bad(why));
        }
        let begin = map.len() - rest.len();
        let promised =
            frames.checked_mul(residues).and_then(|n| n.checked_mul((EACH * precision.bytes()) as u64));
        if promised != Some(rest.len() as u64) {
            let why = format!("its shape is {shape:?}, but {} bytes follow; copy it again", rest.len());
            return Err(bad(why));
        }
        let frames = usize::try_from(frames).unwrap_or(usize::MAX);
        let store = Store { path: path.to_path_buf(), map, begin, precision, frames, kinds: kinds.to_vec() };
        store.compare_with_sequence()?;
        Ok(store)
    }

    fn compare_with_sequence(&self) -> Result<()> {
        for (i, (residue, &kind)) in self.window(0, 1, 1)?.iter().zip(&self.kinds).enumerate() {
            let Some(known) = RESIDUES.get(kind) else { continue };
            for (a, place) in residue.iter().enumerate() {
                if (*place != [0.0; 3]) != (a < known.atoms.len()) {
                    // CA may lie in the origin.
                    if a < known.atoms.len() && a == 1 {
                        continue;
                    }
                    let found = residue.iter().filter(|p| **p != [0.0; 3]).count();
                    let why = format!(
                        "it has {found} atoms, where a {} of the sequence has {}: is this the right sequence?",
                        known.name,
                        known.atoms.len()
                    );
                    return Err(Error::malformed(&self.path, format!("residue {i}"), why));
                }
            }
        }
        Ok(())
    }

    pub fn frames(&self) -> usize {
        self.frames
    }

    pub fn residues(&self) -> usize {
        self.kinds.len()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Type of each residue.
    pub fn kinds(&self) -> &[usize] {
        &self.kinds
    }

    /// `count` frames from `first` on, `step` apart: [count × residues], Å. A coordinate that is not finite is an error.
    pub fn window(&self, first: usize, count: usize, step: usize) -> Result<Vec<Atoms>> {
        let last = count.checked_sub(1).and_then(|n| n.checked_mul(step)).and_then(|n| n.checked_add(first));
        if last.is_none_or(|last| last >= self.frames) {
            let why = format!(
                "a window of {count} frames, {step} apart, from frame {first} on does not fit its {} frames; take a \
                 shorter one",
                self.frames
            );
            return Err(Error::malformed(&self.path, "", why));
        }
        let residues = self.residues();
        let bytes = residues * EACH * self.precision.bytes();
        let mut window = Vec::with_capacity(count * residues);
        for i in 0..count {
            let frame = first + i * step;
            let stored = &self.map[self.begin + frame * bytes..][..bytes];
            let numbers: Vec<f32> = match self.precision {
                Precision::Half => {
                    stored.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
                }
                Precision::Single => {
                    stored.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
                }
            };
            if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
                let (residue, atom) = (at / EACH, at % EACH / 3);
                let known = RESIDUES.get(self.kinds[residue]).and_then(|r| r.atoms.get(atom));
                let name = known.map_or("an absent atom", |a| a.name);
                let why = format!("a coordinate of {name} is {}", numbers[at]);
                return Err(Error::malformed(&self.path, format!("frame {frame}, residue {residue}"), why));
            }
            window.extend_from_slice(numbers.as_chunks::<3>().0.as_chunks::<ATOMS>().0);
        }
        Ok(window)
    }
}

/// A store being written, frame by frame; it appears whole at [`StoreWriter::finish`].
pub struct StoreWriter {
    out: Pending,
    precision: Precision,
    frames: usize,
    residues: usize,
    written: usize,
}

impl StoreWriter {
    /// Begins a file of so many frames.
    pub fn create(path: &Path, frames: usize, residues: usize, precision: Precision) -> Result<StoreWriter> {
        let mut out = Pending::create(path)?;
        let code = format!("<f{}", precision.bytes());
        let mut header = format!(
            "{{'descr': '{code}', 'fortran_order': False, 'shape': ({frames}, {residues}, 14, 3), }}"
        );
        // The numbers begin at a multiple of 64.
        header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
        header.push('\n');
        let length = u16::try_from(header.len()).unwrap_or(u16::MAX);
        let bytes = [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], header.as_bytes()].concat();
        out.write_all(&bytes).map_err(|e| Error::os("write", path, e))?;
        Ok(StoreWriter { out, precision, frames, residues, written: 0 })
    }

    /// Appends a frame [residues], Å.
    pub fn push(&mut self, frame: &[Atoms]) -> Result<()> {
        if frame.len() != self.residues {
            let why = format!("a frame of {} residues for a store of {}", frame.len(), self.residues);
            return Err(Error::Shape(why));
        }
        let numbers = frame.as_flattened().as_flattened();
        let most = if self.precision == Precision::Half { f16::MAX.to_f32() } else { f32::MAX };
        if let Some(at) = numbers.iter().position(|x| !(-most..=most).contains(x)) {
            let place = format!("frame {}, residue {}", self.written, at / EACH);
            let why = format!("a coordinate is {} Å, which cannot be stored", numbers[at]);
            return Err(Error::malformed(self.out.target(), place, why));
        }
        let bytes: Vec<u8> = match self.precision {
            Precision::Half => numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
            Precision::Single => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        self.written += 1;
        self.out.write_all(&bytes).map_err(|e| Error::os("write", self.out.target(), e))
    }

    pub fn finish(self) -> Result<()> {
        if self.written != self.frames {
            let why = format!("{} frames were promised and {} written", self.frames, self.written);
            return Err(Error::Shape(why));
        }
        self.out.commit()
    }
}
