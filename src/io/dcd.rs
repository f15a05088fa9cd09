//! DCD trajectories (CHARMM, NAMD, X-PLOR, OpenMM): Fortran records of single-precision coordinates in Å, in either
//! byte order. Cells and velocities are passed over; written files have neither.

use crate::error::{Error, Result};
use crate::io::atomic::Pending;
use crate::io::mrc::map;
use crate::io::trajectory::{Snapshot, beyond, check};
use memmap2::Mmap;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// CHARMM's unit of time, ps.
const AKMA: f64 = 0.048_888_21;
/// Bytes of the first record, which tells the byte order.
const HEAD: usize = 84;

/// An open file whose every frame is where the header says.
pub struct DcdFile {
    path: PathBuf,
    map: Mmap,
    big_endian: bool,
    atoms: usize,
    frames: usize,
    /// Byte at which the first frame begins, and bytes of a frame.
    begin: usize,
    stride: usize,
    /// Bytes of a frame in front of x.
    cell: usize,
    /// ps of the first frame and between frames.
    start: f64,
    step: f64,
}

impl DcdFile {
    pub fn open(path: &Path) -> Result<DcdFile> {
        let map = map(path)?;
        DcdFile::parse(map, path).map_err(|(place, why)| Error::malformed(path, place, why))
    }

    fn parse(map: Mmap, path: &Path) -> Result<DcdFile, (&'static str, String)> {
        let header = |why: &str| ("header", why.to_string());
        let cut = || header("the file is cut short; copy it again");
        let big_endian = match map.get(..8) {
            Some([84, 0, 0, 0, b'C', b'O', b'R', b'D']) => false,
            Some([0, 0, 0, 84, b'C', b'O', b'R', b'D']) => true,
            Some([84 | 0, _, _, _, b'V', b'E', b'L', b'D']) => {
                return Err(header("the file holds velocities, not coordinates"));
            }
            _ => return Err(header("not a DCD file (its first record is no `CORD` of 84 bytes)")),
        };
        let word = |at: usize| word(&map, at, big_endian).ok_or_else(cut);
        // Number `i` of the control words behind CORD.
        let control = |i: usize| word(8 + 4 * i);
        if word(4 + HEAD)? as usize != HEAD {
            return Err(header("its first record does not end where it should"));
        }
        let title = HEAD + 8;
        let natoms = title + 8 + word(title)? as usize;
        if word(natoms)? != 4 || word(natoms + 8)? != 4 {
            return Err(header("the record of the number of atoms is not where it should be"));
        }
        let atoms = word(natoms + 4)? as i32;
        let atoms = usize::try_from(atoms).ok().filter(|n| *n > 0);
        let atoms = atoms.ok_or_else(|| header("the number of atoms is not positive"))?;
        if control(8)? != 0 {
            let why = "frames without their fixed atoms are not supported; write all atoms of every frame";
            return Err(header(why));
        }
        let charmm = control(19)? != 0;
        let (has_cell, has_fourth) = (charmm && control(10)? != 0, charmm && control(11)? != 0);
        let begin = natoms + 12;
        // The length of the cell's record is in the file.
        let cell = if has_cell && begin < map.len() { 8 + word(begin)? as usize } else { 0 };
        let column = atoms.checked_mul(4).and_then(|n| n.checked_add(8));
        let stride = column.and_then(|n| n.checked_mul(3 + usize::from(has_fourth)));
        let stride = stride.and_then(|n| n.checked_add(cell));
        let stride = stride.ok_or_else(|| header("the number of atoms is impossibly large"))?;
        // The count in the header is of no use: programs that were stopped leave it as it was.
        let body = map.len().saturating_sub(begin);
        if !body.is_multiple_of(stride) {
            let whole = body / stride;
            let why =
                format!("frame {whole} is cut short; the {whole} before it are whole, copy the file again");
            return Err(("", why));
        }
        let delta = if charmm {
            f64::from(f32::from_bits(control(9)?))
        } else {
            let (a, b) = (u64::from(control(9)?), u64::from(control(10)?));
            f64::from_bits(if big_endian { a << 32 | b } else { b << 32 | a })
        };
        let step = f64::from(control(2)?) * delta * AKMA;
        let start = f64::from(control(1)?) * delta * AKMA;
        let (start, step) = if start.is_finite() && step.is_finite() { (start, step) } else { (0.0, 0.0) };
        let (path, frames) = (path.to_path_buf(), body / stride);
        Ok(DcdFile { path, map, big_endian, atoms, frames, begin, stride, cell, start, step })
    }

    pub fn frames(&self) -> usize {
        self.frames
    }

    pub fn atoms(&self) -> usize {
        self.atoms
    }

    /// Frame `frame`, counted from 0.
    pub fn read(&self, frame: usize) -> Result<Snapshot> {
        if frame >= self.frames {
            return Err(beyond(frame, self.frames));
        }
        let mut positions = vec![[0.0f32; 3]; self.atoms];
        let bytes = 4 * self.atoms;
        for axis in 0..3 {
            let at = self.begin + frame * self.stride + self.cell + axis * (bytes + 8);
            let mark = |at| word(&self.map, at, self.big_endian).map(|n| n as usize);
            if mark(at) != Some(bytes) || mark(at + 4 + bytes) != Some(bytes) {
                let why = format!("the record of {} is not where it should be", ["x", "y", "z"][axis]);
                return Err(Error::malformed(&self.path, format!("frame {frame}"), why));
            }
            for (place, word) in positions.iter_mut().zip(self.map[at + 4..].as_chunks::<4>().0) {
                place[axis] =
                    if self.big_endian { f32::from_be_bytes(*word) } else { f32::from_le_bytes(*word) };
            }
        }
        Ok(Snapshot { time: (self.start + self.step * frame as f64) as f32, positions })
    }
}

fn word(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(if big_endian { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) })
}

/// A file being written, little-endian in CHARMM's form.
pub struct DcdWriter {
    out: Pending,
    frames: usize,
    atoms: usize,
    /// ps of the first two frames, from which the header takes the time of all.
    times: [f32; 2],
}

impl DcdWriter {
    pub fn create(path: &Path) -> Result<DcdWriter> {
        Ok(DcdWriter { out: Pending::create(path)?, frames: 0, atoms: 0, times: [0.0; 2] })
    }

    /// Appends a frame.
    pub fn push(&mut self, frame: &Snapshot) -> Result<()> {
        if self.frames == 0 {
            self.atoms = frame.positions.len();
        }
        check(self.out.target(), self.frames, self.atoms, frame, f32::MAX)?;
        if let Some(time) = self.times.get_mut(self.frames) {
            *time = frame.time;
        }
        let first = self.frames == 0;
        self.frames += 1;
        let mut bytes = if first { self.header() } else { Vec::new() };
        for axis in 0..3 {
            let column: Vec<u8> = frame.positions.iter().flat_map(|p| p[axis].to_le_bytes()).collect();
            record(&mut bytes, &column);
        }
        self.out.write_all(&bytes).map_err(|e| Error::os("write", self.out.target(), e))
    }

    fn header(&self) -> Vec<u8> {
        let step = if self.frames > 1 { self.times[1] - self.times[0] } else { 1.0 };
        // Readers multiply whole numbers of steps with the time of one.
        let step = if step > 0.0 { step } else { 1.0 };
        let mut control = [0i32; 20];
        control[0] = i32::try_from(self.frames).unwrap_or(i32::MAX);
        control[1] = (self.times[0] / step).round() as i32;
        control[2] = 1;
        control[3] = control[0];
        // A real number among whole ones.
        control[9] = i32::from_ne_bytes(((f64::from(step) / AKMA) as f32).to_ne_bytes());
        control[19] = 24;
        let mut head = b"CORD".to_vec();
        control.iter().for_each(|word| head.extend(word.to_le_bytes()));
        let mut bytes = Vec::new();
        record(&mut bytes, &head);
        record(
            &mut bytes,
            &[&1i32.to_le_bytes()[..], format!("{:<80}", "Written by kinesome").as_bytes()].concat(),
        );
        record(&mut bytes, &i32::try_from(self.atoms).unwrap_or(i32::MAX).to_le_bytes());
        bytes
    }

    pub fn finish(mut self) -> Result<()> {
        let target = self.out.target().to_path_buf();
        if self.frames == 0 {
            return Err(Error::usage(format!("{}: there are no frames to write", target.display())));
        }
        let header = self.header();
        let rewritten = self.out.seek(SeekFrom::Start(0)).and_then(|_| self.out.write_all(&header));
        rewritten.map_err(|e| Error::os("write", target, e))?;
        self.out.commit()
    }
}

/// A Fortran record: the bytes between their number, twice.
fn record(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend(length);
    out.extend(bytes);
    out.extend(length);
}
