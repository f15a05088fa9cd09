//! NumPy arrays: the [`Array`] that `.npy`, `.npz`, pickles and PyTorch checkpoints all carry, and the first two
//! formats themselves (the `npyz` and `zip` crates read and write the bytes).

use crate::error::{Error, Result};
use crate::io::atomic;
use npyz::WriterBuilder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// A dense array in C order (the last axis runs fastest).
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: ArrayData,
}

/// The elements of an [`Array`]. Files also hold half floats (kept here as `F32`) and other integers (`I64`).
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayData {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    Bool(Vec<bool>),
}

/// Evaluates `$body` with `$v` bound to the typed vector of an [`ArrayData`].
macro_rules! each {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            ArrayData::F32($v) => $body,
            ArrayData::F64($v) => $body,
            ArrayData::I32($v) => $body,
            ArrayData::I64($v) => $body,
            ArrayData::U8($v) => $body,
            ArrayData::Bool($v) => $body,
        }
    };
}

impl ArrayData {
    pub fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// NumPy's name of the element type.
    pub fn type_name(&self) -> &'static str {
        match self {
            ArrayData::F32(_) => "float32",
            ArrayData::F64(_) => "float64",
            ArrayData::I32(_) => "int32",
            ArrayData::I64(_) => "int64",
            ArrayData::U8(_) => "uint8",
            ArrayData::Bool(_) => "bool",
        }
    }

    /// NumPy's short code without the byte order: `f4`, `i8`, `b1`.
    pub fn code(&self) -> &'static str {
        match self {
            ArrayData::F32(_) => "f4",
            ArrayData::F64(_) => "f8",
            ArrayData::I32(_) => "i4",
            ArrayData::I64(_) => "i8",
            ArrayData::U8(_) => "u1",
            ArrayData::Bool(_) => "b1",
        }
    }

    /// Bytes an element takes in a file.
    pub fn element_size(&self) -> usize {
        match self {
            ArrayData::F64(_) | ArrayData::I64(_) => 8,
            ArrayData::F32(_) | ArrayData::I32(_) => 4,
            ArrayData::U8(_) | ArrayData::Bool(_) => 1,
        }
    }

    /// Writes the elements as little-endian bytes.
    pub fn write_le(&self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        macro_rules! chunks {
            ($v:expr) => {{
                let mut bytes = Vec::new();
                for chunk in $v.chunks(1 << 14) {
                    bytes.clear();
                    chunk.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
                    out.write_all(&bytes)?;
                }
                Ok(())
            }};
        }
        match self {
            ArrayData::F32(v) => chunks!(v),
            ArrayData::F64(v) => chunks!(v),
            ArrayData::I32(v) => chunks!(v),
            ArrayData::I64(v) => chunks!(v),
            ArrayData::U8(v) => out.write_all(v),
            ArrayData::Bool(v) => out.write_all(&v.iter().map(|&b| b as u8).collect::<Vec<_>>()),
        }
    }
}

impl Array {
    /// An array of `shape`; an error when the number of elements is another.
    pub fn new(shape: Vec<usize>, data: ArrayData) -> Result<Self> {
        match count(&shape) {
            Some(n) if n == data.len() => Ok(Array { shape, data }),
            _ => {
                Err(Error::Shape(format!("{} elements do not fill an array of shape {shape:?}", data.len())))
            }
        }
    }

    pub fn f32(shape: &[usize], data: Vec<f32>) -> Result<Self> {
        Array::new(shape.to_vec(), ArrayData::F32(data))
    }

    pub fn f64(shape: &[usize], data: Vec<f64>) -> Result<Self> {
        Array::new(shape.to_vec(), ArrayData::F64(data))
    }

    pub fn i64(shape: &[usize], data: Vec<i64>) -> Result<Self> {
        Array::new(shape.to_vec(), ArrayData::I64(data))
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements as `f32`, rounded where needed.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.data {
            ArrayData::F32(v) => v.clone(),
            ArrayData::F64(v) => v.iter().map(|&x| x as f32).collect(),
            ArrayData::I32(v) => v.iter().map(|&x| x as f32).collect(),
            ArrayData::I64(v) => v.iter().map(|&x| x as f32).collect(),
            ArrayData::U8(v) => v.iter().map(|&x| x as f32).collect(),
            ArrayData::Bool(v) => v.iter().map(|&x| x as u8 as f32).collect(),
        }
    }

    /// The elements as `f64`.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            ArrayData::F32(v) => v.iter().map(|&x| x as f64).collect(),
            ArrayData::F64(v) => v.clone(),
            ArrayData::I32(v) => v.iter().map(|&x| x as f64).collect(),
            ArrayData::I64(v) => v.iter().map(|&x| x as f64).collect(),
            ArrayData::U8(v) => v.iter().map(|&x| x as f64).collect(),
            ArrayData::Bool(v) => v.iter().map(|&x| x as u8 as f64).collect(),
        }
    }

    /// The elements as integers; `None` when they are floats (also whole ones) or booleans.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        match &self.data {
            ArrayData::I32(v) => Some(v.iter().map(|&x| x as i64).collect()),
            ArrayData::I64(v) => Some(v.clone()),
            ArrayData::U8(v) => Some(v.iter().map(|&x| x as i64).collect()),
            _ => None,
        }
    }

    pub fn is_float(&self) -> bool {
        matches!(self.data, ArrayData::F32(_) | ArrayData::F64(_))
    }
}

/// The number of elements of a shape; `None` when it cannot be counted.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    // Zeros count as one while multiplying, so that (0, huge, huge) is refused too.
    let all = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)))?;
    Some(if shape.contains(&0) { 0 } else { all })
}

/// How a file stores an element: NumPy's kind letter, bytes, and byte order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Element {
    pub kind: char,
    pub size: usize,
    pub big_endian: bool,
}

impl Element {
    /// Whether [`Element::decode`] knows it; otherwise what to tell the user.
    pub fn check(self) -> Result<Self, String> {
        match (self.kind, self.size) {
            ('f', 2 | 4 | 8) | ('i' | 'u', 1 | 2 | 4 | 8) | ('b', 1) => Ok(self),
            ('O', _) => Err("it is an array of Python objects; save a plain array of numbers instead".into()),
            ('c', _) => Err("complex numbers are not supported; save real and imaginary part".into()),
            _ => Err(format!("elements of type `{}{}` are not supported", self.kind, self.size)),
        }
    }

    /// Typed elements from `bytes`, which must hold exactly `shape`; Fortran order is turned to C order.
    pub fn decode(self, shape: Vec<usize>, fortran: bool, bytes: &[u8]) -> Result<Array, String> {
        self.check()?;
        let n = count(&shape).ok_or_else(|| format!("the shape {shape:?} is impossibly large"))?;
        if n.checked_mul(self.size) != Some(bytes.len()) {
            return Err(format!(
                "the shape {shape:?} needs {n} elements of {} bytes, but {} bytes are there",
                self.size,
                bytes.len()
            ));
        }
        macro_rules! words {
            ($t:ty) => {
                bytes.chunks_exact(size_of::<$t>()).map(|c| {
                    let mut word = [0u8; size_of::<$t>()];
                    word.copy_from_slice(c);
                    if self.big_endian { <$t>::from_be_bytes(word) } else { <$t>::from_le_bytes(word) }
                })
            };
        }
        let data = match (self.kind, self.size) {
            ('f', 2) => ArrayData::F32(words!(u16).map(|h| half::f16::from_bits(h).to_f32()).collect()),
            ('f', 4) => ArrayData::F32(words!(f32).collect()),
            ('f', _) => ArrayData::F64(words!(f64).collect()),
            ('i', 1) => ArrayData::I64(bytes.iter().map(|&b| b as i8 as i64).collect()),
            ('i', 2) => ArrayData::I64(words!(i16).map(i64::from).collect()),
            ('i', 4) => ArrayData::I32(words!(i32).collect()),
            ('i', _) => ArrayData::I64(words!(i64).collect()),
            ('u', 1) => ArrayData::U8(bytes.to_vec()),
            ('u', 2) => ArrayData::I64(words!(u16).map(i64::from).collect()),
            ('u', 4) => ArrayData::I64(words!(u32).map(i64::from).collect()),
            ('u', _) => {
                let whole: Result<_, _> = words!(u64).map(i64::try_from).collect();
                ArrayData::I64(whole.map_err(|_| "an unsigned 64-bit number is too large".to_string())?)
            }
            _ => ArrayData::Bool(bytes.iter().map(|&b| b != 0).collect()),
        };
        let data =
            if fortran && shape.len() > 1 { each!(data, v => to_c_order(&shape, v).into()) } else { data };
        Ok(Array { shape, data })
    }
}

macro_rules! into_data {
    ($($t:ty => $variant:ident),*) => {
        $(impl From<Vec<$t>> for ArrayData {
            fn from(v: Vec<$t>) -> Self {
                ArrayData::$variant(v)
            }
        })*
    };
}
into_data!(f32 => F32, f64 => F64, i32 => I32, i64 => I64, u8 => U8, bool => Bool);

/// Reorders elements whose first axis runs fastest.
fn to_c_order<T: Copy>(shape: &[usize], v: Vec<T>) -> Vec<T> {
    let mut strides = vec![1; shape.len()];
    for i in 1..shape.len() {
        strides[i] = strides[i - 1] * shape[i - 1];
    }
    let mut index = vec![0; shape.len()];
    let mut out = Vec::with_capacity(v.len());
    for _ in 0..v.len() {
        out.push(v[index.iter().zip(&strides).map(|(i, s)| i * s).sum::<usize>()]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

/// Reads an `.npy` file.
pub fn read(path: &Path) -> Result<Array> {
    let file = File::open(path).map_err(|e| Error::os("open", path, e))?;
    read_from(BufReader::new(file)).map_err(|e| fault(path, "", e))
}

/// Reads every array of an `.npz` file, by name (without `.npy`).
pub fn read_npz(path: &Path) -> Result<BTreeMap<String, Array>> {
    let file = File::open(path).map_err(|e| Error::os("open", path, e))?;
    let bad =
        |place: &str, why: String| Error::malformed(path, place, format!("not a whole .npz file: {why}"));
    let mut zip = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| bad("", e.to_string()))?;
    let mut arrays = BTreeMap::new();
    for i in 0..zip.len() {
        let entry = zip.by_index(i).map_err(|e| bad(&format!("entry {i}"), e.to_string()))?;
        let name = entry.name().map_err(|e| bad(&format!("entry {i}"), e.to_string()))?.into_owned();
        if let Some(name) = name.strip_suffix(".npy") {
            let array = read_from(entry).map_err(|e| fault(path, &format!("array `{name}`"), e))?;
            arrays.insert(name.to_string(), array);
        }
    }
    Ok(arrays)
}

/// What went wrong with a file, or with `place` in it.
pub(crate) fn fault(path: &Path, place: &str, e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => Error::malformed(path, place, "the file is cut short; copy it again"),
        io::ErrorKind::InvalidData => Error::malformed(path, place, e.to_string()),
        _ => Error::os("read", path, e),
    }
}

/// Reads one `.npy` stream.
fn read_from(mut from: impl Read) -> io::Result<Array> {
    let header = read_header(&mut from)?;
    let npyz::DType::Plain(kind) = header.dtype() else {
        return Err(invalid("it is a table of named fields, where a plain array of numbers is needed"));
    };
    let element = Element {
        kind: kind.type_char().to_str().chars().next().unwrap_or('?'),
        size: usize::try_from(kind.size_field()).unwrap_or(usize::MAX),
        big_endian: kind.endianness() == npyz::Endianness::Big,
    };
    element.check().map_err(invalid)?;
    let shape: Option<Vec<usize>> = header.shape().iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape =
        shape.filter(|s| count(s).is_some()).ok_or_else(|| invalid("its shape is impossibly large"))?;
    let wanted = count(&shape).and_then(|n| n.checked_mul(element.size)).unwrap_or(usize::MAX);
    // `take` and not a buffer of the promised size: a header that lies must not allocate.
    let mut bytes = Vec::new();
    from.take(wanted as u64).read_to_end(&mut bytes)?;
    if bytes.len() < wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    element.decode(shape, header.order() == npyz::Order::Fortran, &bytes).map_err(invalid)
}

/// Reads an `.npy` header with `npyz`, which trusts what it reads: depth of nesting and size of the shape are
/// checked first, for they would overflow its stack or its arithmetic.
pub(crate) fn read_header(from: &mut impl Read) -> io::Result<npyz::NpyHeader> {
    let mut head = vec![0u8; 10];
    from.read_exact(&mut head)?;
    if &head[..6] != b"\x93NUMPY" {
        return Err(invalid("not a .npy file (it does not start with `\\x93NUMPY`)"));
    }
    let length = match head[6] {
        1 => u16::from_le_bytes([head[8], head[9]]) as usize,
        2 | 3 => {
            let mut more = [0; 2];
            from.read_exact(&mut more)?;
            head.extend_from_slice(&more);
            u32::from_le_bytes([head[8], head[9], more[0], more[1]]) as usize
        }
        v => return Err(invalid(format!("version {v} of the .npy format is not known"))),
    };
    if length > 1 << 20 {
        return Err(invalid(format!("its header claims to be {length} bytes long")));
    }
    let start = head.len();
    head.resize(start + length, 0);
    from.read_exact(&mut head[start..])?;
    check_header_text(&head[start..]).map_err(|why| invalid(format!("its header is damaged: {why}")))?;
    npyz::NpyHeader::from_reader(&head[..]).map_err(|e| invalid(format!("its header is damaged: {e}")))
}

fn check_header_text(text: &[u8]) -> Result<(), String> {
    let mut quote = None;
    let mut depth = 0usize;
    let (mut number, mut product) = (0u64, 1u64);
    for &c in text.iter().chain(b" ") {
        if let Some(q) = quote {
            if c == b'\\' {
                return Err("a backslash".into());
            }
            quote = (c != q).then_some(q);
            continue;
        }
        if c.is_ascii_digit() {
            let next = number.checked_mul(10).and_then(|n| n.checked_add((c - b'0') as u64));
            number = next.ok_or("a number is impossibly large")?;
            continue;
        }
        product = product.checked_mul(number.max(1)).ok_or("the shape is impossibly large")?;
        number = 0;
        match c {
            b'\'' | b'"' => quote = Some(c),
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            b',' | b':' | b' ' | b'\n' | b'\t' => {}
            _ if b"TrueFalseNoneL".contains(&c) => {}
            _ => return Err(format!("an unexpected character `{}`", c.escape_ascii())),
        }
        if depth > 8 {
            return Err("nested too deeply".into());
        }
    }
    Ok(())
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// Writes an `.npy` file.
pub fn write_npy(path: &Path, array: &Array) -> Result<()> {
    atomic::write(path, |out| write_to(array, out))
}

/// Writes an `.npz` file (deflated) with the arrays in the order given; names without `.npy`.
pub fn write_npz<'a>(path: &Path, arrays: impl IntoIterator<Item = (&'a str, &'a Array)>) -> Result<()> {
    atomic::write_seek(path, |out| {
        let mut zip = zip::ZipWriter::new(out);
        for (name, array) in arrays {
            // Beyond 4 GiB an entry needs the long form, which must be chosen before it is written.
            let large = array.len() as u64 * array.data.element_size() as u64 > 1 << 31;
            let options = zip::write::SimpleFileOptions::default()
                .compression_method(zip::CompressionMethod::Deflated)
                .last_modified_time(zip::DateTime::default())
                .large_file(large);
            zip.start_file(format!("{name}.npy"), options)?;
            write_to(array, &mut zip)?;
        }
        zip.finish()?;
        Ok(())
    })
}

fn write_to(array: &Array, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    let shape: Vec<u64> = array.shape.iter().map(|&d| d as u64).collect();
    let mut out = out;
    each!(&array.data, v => {
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut out).begin_nd()?;
        writer.extend(v.iter().copied())?;
        writer.finish()
    })
}
