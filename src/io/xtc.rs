//! XTC trajectories (GROMACS): coordinates as whole multiples of a precision, packed in as few bits as they need.
//!
//! Files hold nm; everything here is Å. The crate `molly` packs; frames are unpacked here, because molly panics on
//! damaged ones and allocates what their headers promise.

use crate::error::{Error, Result};
use crate::io::atomic::Pending;
use crate::io::mrc::map;
use crate::io::trajectory::{Snapshot, beyond, check};
use memmap2::Mmap;
use std::path::{Path, PathBuf};

/// Å in a nm.
const NM: f64 = 10.0;
/// Steps in a nm of the files written.
const PRECISION: f32 = 1000.0;
/// Å beyond which no coordinate is written: molly packs differences of more than 20,000 Å or so wrongly.
const MOST: f32 = 1e4;
/// Bytes of a frame's header, which ends in the number of atoms once more.
const HEADER: usize = 56;
/// Up to so many atoms a frame is stored as plain numbers.
const PLAIN: usize = 9;
/// Bytes behind a packed frame's header, up to the number of packed bytes: precision, least and largest coordinates,
/// the first small size.
const PRELUDE: usize = 32;

/// Ranges of a packed small difference, about 2^(i/3); part of the format.
const SIZES: [u32; 73] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 10, 12, 16, 20, 25, 32, 40, 50, 64, 80, 101, 128, 161, 203, 256, 322, 406,
    512, 645, 812, 1024, 1290, 1625, 2048, 2580, 3250, 4096, 5060, 6501, 8192, 10321, 13003, 16384, 20642,
    26007, 32768, 41285, 52015, 65536, 82570, 104031, 131072, 165140, 208063, 262144, 330280, 416127, 524287,
    660561, 832255, 1048576, 1321122, 1664510, 2097152, 2642245, 3329021, 4194304, 5284491, 6658042, 8388607,
    10568983, 13316085, 16777216,
];
/// The smallest that is used.
const SMALLEST: usize = 9;

/// An open file; where its frames begin is known, and that each ends inside the file.
pub struct XtcFile {
    path: PathBuf,
    map: Mmap,
    atoms: usize,
    begins: Vec<usize>,
}

impl XtcFile {
    pub fn open(path: &Path) -> Result<XtcFile> {
        let map = map(path)?;
        let (mut begins, mut atoms, mut at) = (Vec::new(), 0, 0);
        while at < map.len() {
            let frame = begins.len();
            let (count, length) =
                extent(&map[at..]).map_err(|why| Error::malformed(path, format!("frame {frame}"), why))?;
            if length > map.len() - at {
                let why = format!("it is cut short; the {frame} before it are whole, copy the file again");
                return Err(Error::malformed(path, format!("frame {frame}"), why));
            }
            if frame > 0 && count != atoms {
                let why = format!("it has {count} atoms, the first frame {atoms}");
                return Err(Error::malformed(path, format!("frame {frame}"), why));
            }
            atoms = count;
            begins.push(at);
            at += length;
        }
        Ok(XtcFile { path: path.to_path_buf(), map, atoms, begins })
    }

    pub fn frames(&self) -> usize {
        self.begins.len()
    }

    pub fn atoms(&self) -> usize {
        self.atoms
    }

    /// Frame `frame`, counted from 0.
    pub fn read(&self, frame: usize) -> Result<Snapshot> {
        let begin = *self.begins.get(frame).ok_or_else(|| beyond(frame, self.frames()))?;
        let bytes = &self.map[begin..];
        unpack(bytes, self.atoms)
            .ok_or("its packed coordinates make no sense: the file is damaged, copy it again")
            .map_err(|why| Error::malformed(&self.path, format!("frame {frame}"), why))
    }
}

/// Number of atoms and bytes of the frame that begins here, by its header.
fn extent(bytes: &[u8]) -> Result<(usize, usize), String> {
    let cut = || "it is cut short; copy the file again".to_string();
    let word = |at: usize| word(bytes, at).ok_or_else(cut);
    let large = match word(0)? {
        1995 => false,
        2023 => true,
        other => {
            return Err(format!("it begins with {other}, where XTC has 1995 or 2023; is this an XTC file?"));
        }
    };
    let atoms = word(4)?;
    if atoms != word(HEADER - 4)? || atoms == 0 || atoms > i32::MAX as u32 {
        return Err("its number of atoms makes no sense: the file is damaged, copy it again".into());
    }
    let atoms = atoms as usize;
    if atoms <= PLAIN {
        return Ok((atoms, HEADER + 12 * atoms));
    }
    let at = HEADER + PRELUDE;
    let (packed, size) = match large {
        false => (u64::from(word(at)?), 4),
        true => (u64::from(word(at)?) << 32 | u64::from(word(at + 4)?), 8),
    };
    // Even the best packed atom takes a few bits: a header that lies about the atoms must not allocate.
    let packed = usize::try_from(packed).ok().filter(|n| *n < 1 << 32 && *n >= atoms / 8);
    let packed = packed.ok_or("its size makes no sense: the file is damaged, copy it again")?;
    Ok((atoms, at + size + packed.next_multiple_of(4)))
}

/// The frame that begins here; `None` where its packed coordinates contradict themselves.
fn unpack(bytes: &[u8], atoms: usize) -> Option<Snapshot> {
    let real = |at: usize| word(bytes, at).map(f32::from_bits);
    let time = real(12)?;
    let mut positions = Vec::with_capacity(atoms);
    if atoms <= PLAIN {
        for i in 0..atoms {
            let at = HEADER + 12 * i;
            positions.push([real(at)?, real(at + 4)?, real(at + 8)?].map(|x| (f64::from(x) * NM) as f32));
        }
        return Some(Snapshot { time, positions });
    }
    let precision = f64::from(real(HEADER)?);
    if !(precision > 0.0 && precision.is_finite()) {
        return None;
    }
    let three = |at: usize| -> Option<[i32; 3]> {
        Some([word(bytes, at)?, word(bytes, at + 4)?, word(bytes, at + 8)?].map(|w| w as i32))
    };
    let (least, largest) = (three(HEADER + 4)?, three(HEADER + 16)?);
    let mut small = word(bytes, HEADER + 28)? as usize;
    let at = HEADER + PRELUDE;
    let begin = at + if word(bytes, 0)? == 2023 { 8 } else { 4 };
    let packed = word(bytes, begin - 4)? as usize;
    let mut bits = Bits { bytes: bytes.get(begin..begin.checked_add(packed)?)?, at: 0 };
    let mut spans = [0u32; 3];
    for axis in 0..3 {
        let span = i64::from(largest[axis]) - i64::from(least[axis]) + 1;
        spans[axis] = u32::try_from(span).ok().filter(|span| *span > 0)?;
    }
    let mut put = |at: [i32; 3]| {
        let place = at.map(|steps| (f64::from(steps) / precision * NM) as f32);
        (positions.len() < atoms).then(|| positions.push(place))
    };
    // How many differences follow a full coordinate; it holds until it is changed.
    let (mut done, mut run) = (0, 0);
    while done < atoms {
        let first: [u32; 3] = bits.coordinate(spans)?;
        let mut last = [0; 3];
        for axis in 0..3 {
            last[axis] = least[axis].wrapping_add(first[axis] as i32);
        }
        let mut change = 0;
        if bits.take(1)? == 1 {
            let code = bits.take(5)?;
            run = code / 3;
            change = code as i32 % 3 - 1;
        }
        let size = *SIZES.get(small).filter(|size| **size > 0)?;
        let full = last;
        for k in 0..run {
            let difference = bits.small(size, small)?;
            for axis in 0..3 {
                last[axis] = last[axis].wrapping_add(difference[axis] as i32 - (size / 2) as i32);
            }
            put(last)?;
            // The first difference comes out before the coordinate it starts from: so hydrogens of water follow
            // their oxygen closely in both directions.
            if k == 0 {
                put(full)?;
            }
        }
        if run == 0 {
            put(full)?;
        }
        done += run as usize + 1;
        small = small.checked_add_signed(change as isize).filter(|s| (SMALLEST..SIZES.len()).contains(s))?;
    }
    Some(Snapshot { time, positions })
}

/// Bits of a packed frame, the highest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `n` ≤ 32 bits as a number.
    fn take(&mut self, n: u32) -> Option<u32> {
        let from = self.bytes.get(self.at / 8..)?;
        let mut eight = [0; 8];
        let some = from.len().min(8);
        eight[..some].copy_from_slice(&from[..some]);
        let shift = self.at % 8;
        self.at += n as usize;
        if self.at > 8 * self.bytes.len() {
            return None;
        }
        let left = u64::from_be_bytes(eight) << shift;
        Some(left.checked_shr(64 - n).unwrap_or(0) as u32)
    }

    /// A full coordinate, each axis below its span: one number of three digits, or apart where that is too large.
    fn coordinate(&mut self, spans: [u32; 3]) -> Option<[u32; 3]> {
        if spans.iter().any(|span| *span > 0xff_ffff) {
            let mut apart = [0; 3];
            for (value, span) in apart.iter_mut().zip(spans) {
                *value = self.take(32 - span.leading_zeros())?;
            }
            return Some(apart);
        }
        let all: u128 = spans.iter().map(|span| u128::from(*span)).product();
        self.digits(spans, 128 - all.leading_zeros())
    }

    /// A small difference, each axis below `size`, in as many bits as the place of the size in the table.
    fn small(&mut self, size: u32, bits: usize) -> Option<[u32; 3]> {
        self.digits([size; 3], bits as u32)
    }

    /// Three digits in the mixed base `spans`, packed into a number of `bits` bits, its lowest byte first.
    fn digits(&mut self, spans: [u32; 3], bits: u32) -> Option<[u32; 3]> {
        let mut number = 0u128;
        let mut place = 0;
        while place < bits {
            let some = (bits - place).min(8);
            number |= u128::from(self.take(some)?) << place;
            place += some;
        }
        let [_, y, z] = spans.map(u64::from);
        // Most fit 64 bits, where division is fast.
        match u64::try_from(number) {
            Ok(n) => Some([(n / z / y) as u32, (n / z % y) as u32, (n % z) as u32]),
            Err(_) => {
                let [y, z] = [y, z].map(u128::from);
                Some([(number / z / y) as u32, (number / z % y) as u32, (number % z) as u32])
            }
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|word| u32::from_be_bytes(*word))
}

/// A file being written.
pub struct XtcWriter {
    out: molly::XTCWriter<Pending>,
    frames: usize,
    atoms: usize,
}

impl XtcWriter {
    pub fn create(path: &Path) -> Result<XtcWriter> {
        Ok(XtcWriter { out: molly::XTCWriter::new(Pending::create(path)?), frames: 0, atoms: 0 })
    }

    /// Appends a frame; coordinates are rounded to 0.01 Å.
    pub fn push(&mut self, frame: &Snapshot) -> Result<()> {
        if self.frames == 0 {
            self.atoms = frame.positions.len();
        }
        check(self.out.file.target(), self.frames, self.atoms, frame, MOST)?;
        let nm: Vec<[f32; 3]> =
            frame.positions.iter().map(|p| p.map(|x| (f64::from(x) / NM) as f32)).collect();
        let step = u32::try_from(self.frames).unwrap_or(u32::MAX);
        self.frames += 1;
        let written = self.out.write_frame_parts(step, frame.time, [0.0; 9], nm.iter(), PRECISION);
        written.map_err(|e| Error::os("write", self.out.file.target(), e))
    }

    pub fn finish(self) -> Result<()> {
        if self.frames == 0 {
            let target = self.out.file.target().display();
            return Err(Error::usage(format!("{target}: there are no frames to write")));
        }
        self.out.file.commit()
    }
}
