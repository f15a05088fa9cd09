//! cryoSPARC `.cs` files: NumPy structured arrays, one row a particle.
//!
//! The file is memory-mapped and columns are converted when asked for. A passthrough file is joined by `uid`;
//! a field is taken from whichever file has it. A selection of rows is written back byte for byte.

use crate::error::{Error, Result};
use crate::io::{atomic, mrc};
use half::f16;
use memmap2::Mmap;
use npyz::{DType, Endianness, TypeChar, TypeStr, WriterBuilder};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// One column: a scalar, a fixed-size array or a string in every row.
#[derive(Debug, Clone)]
struct Field {
    name: String,
    kind: TypeStr,
    /// Bytes from the row's beginning.
    offset: usize,
    /// Values a row (1 for a scalar).
    width: usize,
    /// Bytes of one value.
    bytes: usize,
}

/// A `.cs` file, alone or joined with passthrough files.
#[derive(Debug)]
pub struct CsTable {
    path: PathBuf,
    map: Mmap,
    dtype: DType,
    fields: Vec<Field>,
    /// Where rows begin, their number and their size.
    start: usize,
    rows: usize,
    row_bytes: usize,
    /// Joined files, and for every row here its row there.
    passthrough: Vec<(CsTable, Vec<usize>)>,
}

impl CsTable {
    /// Maps a file and checks its size against its header.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let map = mrc::map(path)?;
        let bad = |problem: String| Error::malformed(path, "", problem);
        let (header, start) =
            read_header(&map).map_err(|why| bad(format!("not a cryoSPARC .cs file: {why}")))?;
        let dtype = header.dtype();
        let DType::Record(record) = &dtype else {
            return Err(bad("a plain NumPy array, not the structured array of a .cs file".into()));
        };
        let mut offset = 0usize;
        let mut fields = Vec::new();
        for field in record {
            let too_big = || bad(format!("the field {} is impossibly large", field.name));
            let (kind, width) = scalar(&field.dtype)
                .map_err(|why| bad(format!("the field {} {why}; export the particles again", field.name)))?;
            let bytes = kind.num_bytes().ok_or_else(too_big)?;
            let size = bytes.checked_mul(width).ok_or_else(too_big)?;
            fields.push(Field { name: field.name.clone(), kind: kind.clone(), offset, width, bytes });
            offset = offset.checked_add(size).ok_or_else(too_big)?;
        }
        let [rows] = header.shape() else {
            return Err(bad(format!(
                "an array of shape {:?}; a .cs file has one row a particle",
                header.shape()
            )));
        };
        let found = map.len() - start;
        let expected = usize::try_from(*rows).ok().and_then(|n| n.checked_mul(offset));
        if expected != Some(found) {
            return Err(bad(format!(
                "the header promises {rows} rows of {offset} bytes, but {found} bytes follow it; \
                 the file is cut short or damaged: copy or export it again"
            )));
        }
        if *rows == 0 || offset == 0 {
            return Err(bad("there are no particles in this file".into()));
        }
        let (rows, row_bytes) = (*rows as usize, offset);
        let passthrough = Vec::new();
        Ok(CsTable { path: path.to_path_buf(), map, dtype, fields, start, rows, row_bytes, passthrough })
    }

    /// Joins a passthrough file by `uid`: every row here must have its row there. Only the other file's own
    /// fields are joined.
    pub fn join(mut self, other: CsTable) -> Result<Self> {
        let mut row_of = HashMap::with_capacity(other.rows);
        for (row, uid) in other.integers("uid")?.into_iter().enumerate() {
            if row_of.insert(uid, row).is_some() {
                let problem = format!("uid {uid} occurs twice, so rows cannot be matched");
                return Err(Error::malformed(&other.path, format!("row {row}"), problem));
            }
        }
        let mut map = Vec::with_capacity(self.rows);
        for (row, uid) in self.integers("uid")?.into_iter().enumerate() {
            let Some(there) = row_of.get(&uid) else {
                let problem =
                    format!("uid {uid} is not in {}; take both from the same job", other.path.display());
                return Err(Error::malformed(&self.path, format!("row {row}"), problem));
            };
            map.push(*there);
        }
        self.passthrough.push((other, map));
        Ok(self)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of particles, at least 1.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Never true: a file without particles does not open.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Names of all fields, those of passthrough files last.
    pub fn fields(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
        for (other, _) in &self.passthrough {
            names.extend(
                other
                    .fields
                    .iter()
                    .map(|f| f.name.as_str())
                    .filter(|n| !self.fields.iter().any(|f| f.name == *n)),
            );
        }
        names
    }

    /// Type of each of this file's own fields as NumPy writes it, with values a row: `<f4`, 3.
    pub fn describe(&self) -> Vec<(&str, String, usize)> {
        self.fields.iter().map(|f| (f.name.as_str(), f.kind.to_string(), f.width)).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The table that has the field, the field, and the row map to it.
    fn find(&self, name: &str) -> Option<(&CsTable, &Field, Option<&[usize]>)> {
        if let Some(field) = self.fields.iter().find(|f| f.name == name) {
            return Some((self, field, None));
        }
        self.passthrough.iter().find_map(|(other, rows)| {
            let field = other.fields.iter().find(|f| f.name == name)?;
            Some((other, field, Some(rows.as_slice())))
        })
    }

    fn locate(&self, name: &str) -> Result<(&CsTable, &Field, Option<&[usize]>)> {
        self.find(name).ok_or_else(|| {
            let instead = match name {
                "blob/path" | "blob/idx" => {
                    "; take the file of extracted particles or join its passthrough file"
                }
                "blob/shape" => "; give the box size with -D",
                "blob/psize_A" => "; give the pixel size with --Apix",
                "alignments3D/pose" | "alignments3D/shift" => {
                    "; poses come from a refinement job, or from --abinit"
                }
                n if n.starts_with("ctf/") => "; join the job's passthrough file, which holds the CTF",
                _ => "",
            };
            let problem = format!("there is no field {name}{instead} (fields: {})", self.fields().join(" "));
            Error::malformed(&self.path, "", problem)
        })
    }

    /// Values a row of a field.
    pub fn width(&self, name: &str) -> Result<usize> {
        self.locate(name).map(|(_, field, _)| field.width)
    }

    /// A numeric field as f64, [N, width] row by row.
    pub fn floats(&self, name: &str) -> Result<Vec<f64>> {
        self.values(name, "numbers", number)
    }

    /// An integer field, 64-bit safe, [N, width] row by row.
    pub fn integers(&self, name: &str) -> Result<Vec<u64>> {
        self.values(name, "whole numbers that are not negative", integer)
    }

    /// A string field.
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        self.values(name, "text", text)
    }

    /// `blob/path` of every row without cryoSPARC's leading `>`.
    pub fn image_paths(&self) -> Result<Vec<String>> {
        let mut paths = self.texts("blob/path")?;
        for path in &mut paths {
            if let Some(bare) = path.strip_prefix('>') {
                *path = bare.to_string();
            }
        }
        Ok(paths)
    }

    fn values<T>(&self, name: &str, what: &str, read: fn(&TypeStr, &[u8]) -> Option<T>) -> Result<Vec<T>> {
        let (table, field, rows) = self.locate(name)?;
        // Zero-sized arrays have no bytes to cut; every other count is bounded by the file's size.
        let mut out = Vec::with_capacity(if field.bytes == 0 { 0 } else { self.rows * field.width });
        for row in 0..self.rows {
            let there = rows.map_or(row, |r| r[row]);
            let begin = table.start + there * table.row_bytes + field.offset;
            let cell = table.map.get(begin..begin + field.bytes * field.width).unwrap_or_default();
            for value in cell.chunks_exact(field.bytes.max(1)) {
                out.push(read(&field.kind, value).ok_or_else(|| {
                    let problem = format!("the field {name} ({}) does not hold {what}", field.kind);
                    Error::malformed(&table.path, format!("row {there}"), problem)
                })?);
            }
        }
        if out.len() != self.rows * field.width {
            return Err(Error::malformed(&table.path, "", format!("the field {name} has no size")));
        }
        Ok(out)
    }

    /// Writes the given rows of this file (not of its passthrough files), byte for byte.
    pub fn write_rows(&self, path: &Path, rows: &[usize]) -> Result<()> {
        if let Some(row) = rows.iter().find(|r| **r >= self.rows) {
            let (file, n) = (self.path.display(), self.rows);
            return Err(Error::usage(format!("row {row} is selected, but {file} has {n} rows (from 0)")));
        }
        atomic::write(path, |out| {
            npyz::WriteOptions::new_header_only()
                .dtype(self.dtype.clone())
                .shape(&[rows.len() as u64])
                .writer(&mut *out)
                .write_header_only()?;
            rows.iter().try_for_each(|row| {
                let begin = self.start + row * self.row_bytes;
                out.write_all(self.map.get(begin..begin + self.row_bytes).unwrap_or_default())
            })
        })
    }
}

/// The scalar type and count behind a field's type.
fn scalar(mut dtype: &DType) -> std::result::Result<(&TypeStr, usize), String> {
    let mut width = 1usize;
    loop {
        match dtype {
            DType::Plain(kind) if kind.uses_pickled_array() => {
                return Err("holds Python objects, which are never unpickled here".into());
            }
            DType::Plain(kind) => return Ok((kind, width)),
            DType::Array(n, inner) => {
                width = usize::try_from(*n).ok().and_then(|n| width.checked_mul(n)).ok_or("is too large")?;
                dtype = inner;
            }
            DType::Record(_) => return Err("is itself a structure".into()),
        }
    }
}

/// The NumPy header and where the data begin.
fn read_header(bytes: &[u8]) -> std::result::Result<(npyz::NpyHeader, usize), String> {
    let (length, begin): (usize, usize) = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => (u16::from_le_bytes([*a, *b]) as usize, 10),
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => {
            (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12)
        }
        _ => return Err("it does not begin as a NumPy file".into()),
    };
    let text = bytes.get(begin..begin.saturating_add(length)).ok_or("its header is cut short")?;
    check_header_text(text)?;
    let header = npyz::NpyHeader::from_reader(&mut io::Cursor::new(&bytes[..begin + length]));
    Ok((header.map_err(|e| e.to_string())?, begin + length))
}

/// Keeps out of the literal parser what would cost it its stack, exponential time or an overflow; no file
/// that NumPy wrote is concerned.
fn check_header_text(text: &[u8]) -> std::result::Result<(), String> {
    let mut depth = 0;
    for byte in text {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b'\\' => return Err("its header has escaped characters".into()),
            _ => {}
        }
        if depth > 6 {
            return Err("its header is nested too deeply".into());
        }
    }
    let text = std::str::from_utf8(text).map_err(|_| "its header is not text")?;
    for (at, key) in text.match_indices("shape") {
        let after = text[at + key.len()..].trim_start_matches(['\'', '"']).trim_start();
        let Some(shape) = after.strip_prefix(':') else { continue };
        let digits = shape.split([')', ']', '}']).next().unwrap_or_default();
        let sizes = digits.split(',').map(|d| d.trim_matches([' ', '(', '['])).filter(|d| !d.is_empty());
        let mut total = sizes.map(|d| d.parse::<u64>().ok().map(|d| d.max(1)));
        if total.try_fold(1u64, |n, d| n.checked_mul(d?)).is_none_or(|n| n > 1 << 48) {
            return Err("its shape is impossibly large".into());
        }
    }
    Ok(())
}

/// One to eight bytes as a little-endian number, zero-filled.
fn little<const N: usize>(kind: &TypeStr, bytes: &[u8]) -> Option<[u8; N]> {
    let mut word: [u8; N] = bytes.try_into().ok()?;
    if kind.endianness() == Endianness::Big {
        word.reverse();
    }
    Some(word)
}

fn number(kind: &TypeStr, bytes: &[u8]) -> Option<f64> {
    Some(match (kind.type_char(), bytes.len()) {
        (TypeChar::Float, 2) => f16::from_le_bytes(little(kind, bytes)?).to_f64(),
        (TypeChar::Float, 4) => f64::from(f32::from_le_bytes(little(kind, bytes)?)),
        (TypeChar::Float, 8) => f64::from_le_bytes(little(kind, bytes)?),
        (TypeChar::Bool, 1) => f64::from(u8::from(bytes != [0])),
        (TypeChar::Int | TypeChar::Uint, _) => signed(kind, bytes)? as f64,
        _ => return None,
    })
}

fn integer(kind: &TypeStr, bytes: &[u8]) -> Option<u64> {
    signed(kind, bytes).and_then(|v| u64::try_from(v).ok())
}

fn signed(kind: &TypeStr, bytes: &[u8]) -> Option<i128> {
    Some(match (kind.type_char(), bytes.len()) {
        (TypeChar::Int, 1) => i8::from_le_bytes(little(kind, bytes)?).into(),
        (TypeChar::Int, 2) => i16::from_le_bytes(little(kind, bytes)?).into(),
        (TypeChar::Int, 4) => i32::from_le_bytes(little(kind, bytes)?).into(),
        (TypeChar::Int, 8) => i64::from_le_bytes(little(kind, bytes)?).into(),
        (TypeChar::Uint, 1) => u8::from_le_bytes(little(kind, bytes)?).into(),
        (TypeChar::Uint, 2) => u16::from_le_bytes(little(kind, bytes)?).into(),
        (TypeChar::Uint, 4) => u32::from_le_bytes(little(kind, bytes)?).into(),
        (TypeChar::Uint, 8) => u64::from_le_bytes(little(kind, bytes)?).into(),
        _ => return None,
    })
}

/// Zero-padded bytes, or UTF-32 code points.
fn text(kind: &TypeStr, bytes: &[u8]) -> Option<String> {
    let whole: String = match kind.type_char() {
        TypeChar::ByteStr => String::from_utf8_lossy(bytes).into_owned(),
        TypeChar::UnicodeStr => {
            let points = bytes.chunks_exact(4).map(|b| little(kind, b).map(u32::from_le_bytes));
            points.map(|p| p.and_then(char::from_u32)).collect::<Option<String>>()?
        }
        _ => return None,
    };
    Some(whole.trim_end_matches('\0').to_string())
}
