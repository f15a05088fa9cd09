//! MRC volumes and MRCS image stacks (MRC2014, Cheng et al., J. Struct. Biol. 192, 146 (2015)).
//!
//! Files are memory-mapped and checked against their own header when opened; sections are copied out one at a
//! time as f32. Modes 0, 1, 2, 6, 12 and 17 are read in both byte orders. **Mode 0 is signed**, as the
//! standard says, unless the header carries IMOD's stamp with its "bytes are signed" flag clear, or the
//! caller asks for unsigned bytes ([`MrcFile::open_unsigned`]); some programs wrote unsigned bytes unstamped.

use crate::error::{Error, Result};
use crate::io::atomic::{self, Pending};
use half::f16;
use memmap2::Mmap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const HEADER: usize = 1024;
/// "IMOD" as a little-endian integer, at byte 152; the next word's lowest bit says that bytes are signed.
const IMOD_STAMP: i32 = 1_146_047_817;

/// How one pixel is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Mode 0 (also 17, read only).
    Int8,
    /// Mode 0 under IMOD's stamp.
    Uint8,
    /// Mode 1.
    Int16,
    /// Mode 2.
    Float32,
    /// Mode 6.
    Uint16,
    /// Mode 12.
    Float16,
}

impl Mode {
    /// Bytes of one pixel.
    pub fn bytes(self) -> usize {
        match self {
            Mode::Int8 | Mode::Uint8 => 1,
            Mode::Int16 | Mode::Uint16 | Mode::Float16 => 2,
            Mode::Float32 => 4,
        }
    }

    /// The number in the header.
    pub fn number(self) -> i32 {
        match self {
            Mode::Int8 | Mode::Uint8 => 0,
            Mode::Int16 => 1,
            Mode::Float32 => 2,
            Mode::Uint16 => 6,
            Mode::Float16 => 12,
        }
    }

    fn is_float(self) -> bool {
        matches!(self, Mode::Float32 | Mode::Float16)
    }
}

/// The header fields that mean something to us.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Columns, rows and sections; columns are fastest.
    pub nx: usize,
    pub ny: usize,
    pub nz: usize,
    pub mode: Mode,
    pub big_endian: bool,
    /// Pixel size in Å, `cella / mx`; None where the header leaves it open.
    pub apix: Option<f64>,
    /// Origin x, y, z in Å.
    pub origin: [f64; 3],
    /// 0 for image stacks, 1 for volumes, 401 for stacks of volumes.
    pub ispg: i32,
    /// Which axis (0 = x, 1 = y, 2 = z) columns, rows and sections run along.
    pub axes: [usize; 3],
    /// Minimum, maximum, mean and rms deviation as the header states them.
    pub stats: [f32; 4],
    /// Where the pixels begin: 1024 plus the extended header.
    pub data_offset: u64,
    /// The text labels that are set.
    pub labels: Vec<String>,
}

impl Header {
    fn parse(bytes: &[u8; HEADER], big_endian: bool) -> std::result::Result<Self, String> {
        let word = |at: usize| -> [u8; 4] {
            let w = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            if big_endian { [w[3], w[2], w[1], w[0]] } else { w }
        };
        let int = |at: usize| i32::from_le_bytes(word(at));
        let real = |at: usize| f32::from_le_bytes(word(at));
        let size = |at: usize, name: &str| match int(at) {
            n @ 1.. => Ok(n as usize),
            n => Err(format!("{name} is {n}; a map or stack has at least one")),
        };
        let (nx, ny, nz) = (size(0, "nx")?, size(4, "ny")?, size(8, "nz")?);
        let imod_unsigned = int(152) == IMOD_STAMP && int(156) & 1 == 0;
        let mode = match int(12) {
            0 if imod_unsigned => Mode::Uint8,
            0 | 17 => Mode::Int8,
            1 => Mode::Int16,
            2 => Mode::Float32,
            6 => Mode::Uint16,
            12 => Mode::Float16,
            m @ (3 | 4) => {
                return Err(format!("mode {m} holds complex numbers, not an image; save it as mode 2"));
            }
            m => {
                return Err(format!(
                    "mode {m} is not one of 0, 1, 2, 6, 12, 17; save it as mode 2 (float32)"
                ));
            }
        };
        let extended = int(92);
        if extended < 0 {
            return Err(format!("the extended header has {extended} bytes"));
        }
        let sampling = if int(28) > 0 { int(28) as f64 } else { nx as f64 };
        let apix = Some(f64::from(real(40)) / sampling).filter(|a| a.is_finite() && *a > 0.0);
        let axis = |at: usize| (int(at) as usize).wrapping_sub(1);
        let mut axes = [axis(64), axis(68), axis(72)];
        let mut sorted = axes;
        sorted.sort_unstable();
        if sorted != [0, 1, 2] {
            axes = [0, 1, 2]; // unset in many stacks
        }
        let labels = (0..10)
            .map(|k| String::from_utf8_lossy(&bytes[224 + 80 * k..304 + 80 * k]).into_owned())
            .map(|l| l.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_string())
            .filter(|l| !l.is_empty())
            .collect();
        Ok(Header {
            nx,
            ny,
            nz,
            mode,
            big_endian,
            apix,
            origin: [real(196), real(200), real(204)].map(f64::from),
            ispg: int(88),
            axes,
            stats: [real(76), real(80), real(84), real(216)],
            data_offset: HEADER as u64 + extended as u64,
            labels,
        })
    }

    /// Bytes the whole file must have; None beyond 64 bits.
    fn file_size(&self) -> Option<u64> {
        let pixels = (self.nx as u64).checked_mul(self.ny as u64)?.checked_mul(self.nz as u64)?;
        pixels.checked_mul(self.mode.bytes() as u64)?.checked_add(self.data_offset)
    }
}

/// A memory-mapped MRC or MRCS file whose size has been checked against its header.
#[derive(Debug)]
pub struct MrcFile {
    path: PathBuf,
    header: Header,
    map: Mmap,
}

impl MrcFile {
    /// Maps a file and checks it; nothing but the header is read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let map = map(path)?;
        let Some(bytes) = map.first_chunk::<HEADER>() else {
            let problem =
                format!("{} bytes are too few for an MRC file, whose header alone has 1024", map.len());
            return Err(Error::malformed(path, "", problem));
        };
        let header = choose_order(bytes, map.len() as u64).map_err(|problem| {
            Error::malformed(path, "header", format!("not a readable MRC file: {problem}"))
        })?;
        check_size(path, &header, map.len() as u64)?;
        Ok(MrcFile { path: path.to_path_buf(), header, map })
    }

    /// As [`MrcFile::open`], with mode 0 read as unsigned bytes whatever the header says.
    pub fn open_unsigned(path: impl AsRef<Path>) -> Result<Self> {
        let mut file = MrcFile::open(path)?;
        if file.header.mode == Mode::Int8 {
            file.header.mode = Mode::Uint8;
        }
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Number of images or sections.
    pub fn len(&self) -> usize {
        self.header.nz
    }

    /// Never true: a file without sections does not open.
    pub fn is_empty(&self) -> bool {
        self.header.nz == 0
    }

    /// The stored bytes of section `i` (from 0).
    pub fn image_bytes(&self, i: usize) -> Result<&[u8]> {
        let h = &self.header;
        if i >= h.nz {
            let problem = format!("the file holds {} images (0 to {})", h.nz, h.nz - 1);
            return Err(Error::malformed(&self.path, format!("image {i}"), problem));
        }
        let size = h.nx * h.ny * h.mode.bytes();
        let start = h.data_offset as usize + i * size;
        self.map.get(start..start + size).ok_or_else(|| {
            Error::malformed(
                &self.path,
                format!("image {i}"),
                "lies beyond the end of the file; copy it again",
            )
        })
    }

    /// Copies section `i` (from 0) into `out` \[ny * nx\], x fastest.
    pub fn read_image(&self, i: usize, out: &mut [f32]) -> Result<()> {
        let bytes = self.image_bytes(i)?;
        if out.len() != self.header.nx * self.header.ny {
            let (nx, ny, n) = (self.header.nx, self.header.ny, out.len());
            return Err(Error::Shape(format!("{}: {ny} x {nx} images into {n} values", self.path.display())));
        }
        decode(bytes, self.header.mode, self.header.big_endian, out);
        self.let_go(i, bytes.len());
        Ok(())
    }

    /// Takes the pages of a copied section out of this process again: they stay in the system's cache, but a
    /// pass over a large stack must not count as memory of ours. Whole windows of 2 MiB, because up to that
    /// much is mapped around a first touch.
    fn let_go(&self, i: usize, size: usize) {
        #[cfg(unix)]
        {
            // Windows are aligned in memory, not in the file.
            const WINDOW: usize = 1 << 21;
            let lead = self.map.as_ptr().addr() % WINDOW;
            let begin = self.header.data_offset as usize + i * size + lead;
            let start = (begin / WINDOW * WINDOW).saturating_sub(lead);
            let end = ((begin + size).next_multiple_of(WINDOW) - lead).min(self.map.len());
            // SAFETY: the map is shared, file-backed and never written, so that pages let go are read again from
            // the file; a thread that reads them now only waits for them.
            let done = unsafe {
                self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start)
            };
            // Advice only: refused, it costs nothing but the count.
            let _ = done;
        }
        #[cfg(not(unix))]
        let _ = (i, size);
    }

    /// The whole map as [z, y, x], whatever order its axes are stored in.
    pub fn read_volume(&self) -> Result<Volume> {
        let h = &self.header;
        let stored = [h.nx, h.ny, h.nz];
        let mut data = vec![0.0; h.nx * h.ny * h.nz];
        for (i, section) in data.chunks_exact_mut(h.nx * h.ny).enumerate() {
            self.read_image(i, section)?;
        }
        // size[a] and stride[a] of axis a (x, y, z) in the stored order.
        let (mut size, mut stride) = ([0; 3], [0; 3]);
        for (k, step) in [1, h.nx, h.nx * h.ny].into_iter().enumerate() {
            size[h.axes[k]] = stored[k];
            stride[h.axes[k]] = step;
        }
        if h.axes != [0, 1, 2] {
            let mut turned = Vec::with_capacity(data.len());
            for z in 0..size[2] {
                for y in 0..size[1] {
                    let row = z * stride[2] + y * stride[1];
                    turned.extend((0..size[0]).map(|x| data[row + x * stride[0]]));
                }
            }
            data = turned;
        }
        Ok(Volume { data, dims: [size[2], size[1], size[0]], apix: h.apix, origin: h.origin })
    }

    /// Writes a copy with another pixel size and, where given, another origin (both in Å); the pixels, the
    /// byte order, the extended header and the labels stay as they are.
    pub fn write_copy(&self, path: &Path, apix: f64, origin: Option<[f64; 3]>) -> Result<()> {
        check_apix(apix)?;
        let mut head = self.map.get(..HEADER).unwrap_or_default().to_vec();
        let mut put = |at: usize, v: f64| {
            let b = (v as f32).to_le_bytes();
            let b = if self.header.big_endian { [b[3], b[2], b[1], b[0]] } else { b };
            head[at..at + 4].copy_from_slice(&b);
        };
        for axis in 0..3 {
            let at = 28 + 4 * axis;
            let b = [self.map[at], self.map[at + 1], self.map[at + 2], self.map[at + 3]];
            let sampling = if self.header.big_endian { i32::from_be_bytes(b) } else { i32::from_le_bytes(b) };
            let stored = [self.header.nx, self.header.ny, self.header.nz][axis] as f64;
            put(40 + 4 * axis, apix * if sampling > 0 { f64::from(sampling) } else { stored });
            if let Some(o) = origin {
                put(196 + 4 * axis, o[axis]);
            }
        }
        atomic::write(path, |out| {
            out.write_all(&head)?;
            out.write_all(&self.map[HEADER..])
        })
    }
}

/// A density map in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// [z, y, x], x fastest.
    pub data: Vec<f32>,
    /// z, y, x.
    pub dims: [usize; 3],
    /// Å per voxel; None where the file did not say.
    pub apix: Option<f64>,
    /// Origin x, y, z in Å.
    pub origin: [f64; 3],
}

impl Volume {
    /// Reads a map.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        MrcFile::open(path)?.read_volume()
    }

    /// Writes the map (1 Å per voxel where it does not say).
    pub fn write(&self, path: &Path) -> Result<()> {
        write_volume(path, &self.data, self.dims, self.apix.unwrap_or(1.0), self.origin)
    }

    /// The side of a cubic map of even side, which is what networks and reconstructions work on.
    pub fn cube_side(&self) -> Result<usize> {
        match self.dims {
            [z, y, x] if z == y && y == x && x % 2 == 0 => Ok(x),
            [z, y, x] => {
                Err(Error::Shape(format!("the map is {x} x {y} x {z}; a cube of even side is needed")))
            }
        }
    }
}

/// Writes a map as mode 2 with its true statistics; `data` is [z, y, x] of `dims` (z, y, x), `origin` x, y, z.
pub fn write_volume(path: &Path, data: &[f32], dims: [usize; 3], apix: f64, origin: [f64; 3]) -> Result<()> {
    let [nz, ny, nx] = dims;
    if nx.checked_mul(ny).and_then(|n| n.checked_mul(nz)) != Some(data.len()) || data.is_empty() {
        return Err(Error::Shape(format!(
            "{}: {} values for {nx} x {ny} x {nz}",
            path.display(),
            data.len()
        )));
    }
    check_apix(apix)?;
    let head = header_bytes([nx, ny, nz], Mode::Float32, apix, origin, 1, statistics(data))
        .map_err(|e| Error::os("write", path, e))?;
    atomic::write(path, |out| {
        out.write_all(&head)?;
        let mut bytes = Vec::new();
        data.chunks(nx * ny).try_for_each(|section| {
            encode(section, Mode::Float32, &mut bytes)?;
            out.write_all(&bytes)
        })
    })
}

/// An image stack being written, one image at a time in constant memory; it appears at its path when finished.
pub struct StackWriter {
    out: Pending,
    nx: usize,
    ny: usize,
    mode: Mode,
    apix: f64,
    count: usize,
    bytes: Vec<u8>,
}

impl StackWriter {
    /// A stack of `ny` x `nx` images stored in `mode`, `apix` Å per pixel.
    pub fn create(path: &Path, nx: usize, ny: usize, mode: Mode, apix: f64) -> Result<Self> {
        check_apix(apix)?;
        if nx == 0 || ny == 0 {
            return Err(Error::Shape(format!("{}: images of {ny} x {nx} pixels", path.display())));
        }
        let mut out = Pending::create(path)?;
        // Room for the header, which is written when the number of images is known.
        out.write_all(&[0; HEADER]).map_err(|e| Error::os("write", path, e))?;
        Ok(StackWriter { out, nx, ny, mode, apix, count: 0, bytes: Vec::new() })
    }

    /// Appends one image \[ny * nx\]. Integer modes round to the nearest and saturate.
    pub fn push(&mut self, image: &[f32]) -> Result<()> {
        if image.len() != self.nx * self.ny {
            let (ny, nx, n) = (self.ny, self.nx, image.len());
            return Err(Error::Shape(format!("image {} has {n} values for {ny} x {nx} pixels", self.count)));
        }
        let done = encode(image, self.mode, &mut self.bytes).and_then(|()| self.out.write_all(&self.bytes));
        done.map_err(|e| Error::os("write", self.out.target(), e))?;
        self.count += 1;
        Ok(())
    }

    /// Images pushed so far.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Completes the header and puts the stack in its place.
    pub fn finish(mut self) -> Result<()> {
        if self.count == 0 {
            let path = self.out.target().display().to_string();
            return Err(Error::usage(format!("{path}: no image to write; the selection is empty")));
        }
        // Statistics -1, -2, -3, -1 mean "not determined" (max below min), as cryo-EM stacks have them.
        let size = [self.nx, self.ny, self.count];
        header_bytes(size, self.mode, self.apix, [0.0; 3], 0, [-1.0, -2.0, -3.0, -1.0])
            .and_then(|head| {
                self.out.seek(SeekFrom::Start(0))?;
                self.out.write_all(&head)
            })
            .map_err(|e| Error::os("write", self.out.target(), e))?;
        self.out.commit()
    }
}

/// Whether every value is finite. Written on the bits, branch-free, so that it vectorises.
pub fn all_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    !values.chunks(4096).any(|c| c.iter().fold(false, |bad, v| bad | (v.to_bits() & EXPONENT == EXPONENT)))
}

impl MrcFile {
    /// Whether the stored type can hold NaN or infinities at all.
    pub fn may_hold_nan(&self) -> bool {
        self.header.mode.is_float()
    }
}

/// Maps a regular file of at least one byte.
pub(crate) fn map(path: &Path) -> Result<Mmap> {
    let refused = |e| Error::os("read", path, e);
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let meta = std::fs::metadata(path).map_err(refused)?;
    if !meta.is_file() {
        return Err(Error::malformed(path, "", "not a regular file"));
    }
    if meta.len() == 0 {
        return Err(Error::malformed(path, "", "the file is empty"));
    }
    let file = File::open(path).map_err(refused)?;
    // SAFETY: the map is only read, and every read copies plain bytes. Another program that changes the file
    // meanwhile changes the values read; one that cuts it short ends this process with SIGBUS, as every
    // user of memory maps must accept.
    unsafe { Mmap::map(&file) }.map_err(refused)
}

/// Byte order: the machine stamp at byte 212 if it is one and gives a sane header, else whichever order
/// gives a sane header that fits the file.
fn choose_order(bytes: &[u8; HEADER], file_size: u64) -> std::result::Result<Header, String> {
    let little = Header::parse(bytes, false);
    let big = Header::parse(bytes, true);
    let fits = |h: &std::result::Result<Header, String>| {
        h.as_ref().is_ok_and(|h| h.file_size().is_some_and(|n| n <= file_size))
    };
    let big_first = match (bytes[212], bytes[213]) {
        (0x11, _) => true,
        (0x44, _) => false,
        _ => fits(&big) && !fits(&little),
    };
    match if big_first { (big, little) } else { (little, big) } {
        (Ok(first), _) => Ok(first),
        (Err(_), Ok(second)) => Ok(second),
        (Err(why), Err(_)) => Err(why),
    }
}

fn check_size(path: &Path, h: &Header, found: u64) -> Result<()> {
    let shape = format!("{} x {} x {} pixels of mode {}", h.nx, h.ny, h.nz, h.mode.number());
    let expected = h.file_size().unwrap_or(u64::MAX);
    let section = (h.nx as u64).saturating_mul(h.ny as u64).saturating_mul(h.mode.bytes() as u64);
    if found < expected {
        let problem = format!(
            "the header promises {shape}, {expected} bytes with a header of {}, but the file has {found}; \
             it is cut short or its header is wrong: copy or export it again",
            h.data_offset
        );
        return Err(Error::malformed(path, "", problem));
    }
    // A few bytes of padding are common and harmless; whole sections that the header denies are not.
    if found - expected >= section {
        let problem = format!(
            "the header promises {shape}, {expected} bytes with a header of {}, but the file has {found}: \
             {} more sections than it says; its header was not updated when images were added",
            h.data_offset,
            (found - expected) / section
        );
        return Err(Error::malformed(path, "", problem));
    }
    Ok(())
}

fn check_apix(apix: f64) -> Result<()> {
    if apix.is_finite() && apix > 0.0 {
        return Ok(());
    }
    Err(Error::usage(format!("a pixel size of {apix} Å is not possible; give a positive number (--Apix)")))
}

fn decode(bytes: &[u8], mode: Mode, big: bool, out: &mut [f32]) {
    fn each<const N: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
        for (o, b) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
            *o = value(*b);
        }
    }
    match (mode, big) {
        (Mode::Int8, _) => each(bytes, out, |b| f32::from(i8::from_le_bytes(b))),
        (Mode::Uint8, _) => each(bytes, out, |[b]| f32::from(b)),
        (Mode::Int16, false) => each(bytes, out, |b| f32::from(i16::from_le_bytes(b))),
        (Mode::Int16, true) => each(bytes, out, |b| f32::from(i16::from_be_bytes(b))),
        (Mode::Uint16, false) => each(bytes, out, |b| f32::from(u16::from_le_bytes(b))),
        (Mode::Uint16, true) => each(bytes, out, |b| f32::from(u16::from_be_bytes(b))),
        (Mode::Float16, false) => each(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
        (Mode::Float16, true) => each(bytes, out, |b| f16::from_be_bytes(b).to_f32()),
        (Mode::Float32, false) => each(bytes, out, f32::from_le_bytes),
        (Mode::Float32, true) => each(bytes, out, f32::from_be_bytes),
    }
}

/// Little-endian bytes of the values in `mode`.
fn encode(values: &[f32], mode: Mode, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    bytes.reserve(values.len() * mode.bytes());
    match mode {
        // `as` saturates.
        Mode::Int8 => bytes.extend(values.iter().map(|v| v.round() as i8 as u8)),
        Mode::Uint8 => bytes.extend(values.iter().map(|v| v.round() as u8)),
        Mode::Int16 => bytes.extend(values.iter().flat_map(|v| (v.round() as i16).to_le_bytes())),
        Mode::Uint16 => bytes.extend(values.iter().flat_map(|v| (v.round() as u16).to_le_bytes())),
        Mode::Float32 => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Mode::Float16 => {
            // 65520 is the first value that rounds to infinity.
            if let Some(v) = values.iter().find(|v| v.abs() >= 65520.0 && v.is_finite()) {
                return Err(io::Error::other(format!(
                    "{v} is beyond float16 (mode 12); write float32 (mode 2)"
                )));
            }
            bytes.extend(values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()));
        }
    }
    Ok(())
}

/// Minimum, maximum, mean and rms deviation from the mean; "not determined" if a value is not finite.
fn statistics(data: &[f32]) -> [f32; 4] {
    if !all_finite(data) {
        return [-1.0, -2.0, -3.0, -1.0];
    }
    let n = data.len() as f64;
    let mean = data.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let rms = (data.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let min = data.iter().copied().fold(f32::INFINITY, f32::min);
    let max = data.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    [min, max, mean as f32, rms as f32]
}

/// A little-endian header; `size` is nx, ny, nz.
fn header_bytes(
    size: [usize; 3],
    mode: Mode,
    apix: f64,
    origin: [f64; 3],
    ispg: i32,
    stats: [f32; 4],
) -> io::Result<[u8; HEADER]> {
    let mut head = [0u8; HEADER];
    let mut put = |at: usize, b: [u8; 4]| head[at..at + 4].copy_from_slice(&b);
    for (k, n) in size.into_iter().enumerate() {
        let n =
            i32::try_from(n).map_err(|_| io::Error::other(format!("{n} is too many for the MRC format")))?;
        put(4 * k, n.to_le_bytes());
        put(28 + 4 * k, n.to_le_bytes());
        put(40 + 4 * k, ((f64::from(n) * apix) as f32).to_le_bytes());
        put(52 + 4 * k, 90f32.to_le_bytes());
        put(64 + 4 * k, (k as i32 + 1).to_le_bytes());
        put(196 + 4 * k, (origin[k] as f32).to_le_bytes());
        put(76 + 4 * k, stats[k].to_le_bytes());
    }
    put(12, mode.number().to_le_bytes());
    put(88, ispg.to_le_bytes());
    put(108, 20140i32.to_le_bytes());
    if mode == Mode::Uint8 {
        put(152, IMOD_STAMP.to_le_bytes());
    }
    put(208, *b"MAP ");
    put(212, [0x44, 0x44, 0, 0]);
    put(216, stats[3].to_le_bytes());
    put(220, 1i32.to_le_bytes());
    let label = concat!("kinesome ", env!("CARGO_PKG_VERSION"));
    head[224..304].fill(b' ');
    head[224..224 + label.len()].copy_from_slice(label.as_bytes());
    Ok(head)
}
