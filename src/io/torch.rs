//! PyTorch checkpoints: a stored zip with `NAME/data.pkl` (protocol 2), one file of raw numbers a storage
//! (`NAME/data/0`, ...), `NAME/version` and `NAME/byteorder`. Nothing in them is run.

use crate::error::{Error, Result};
use crate::io::atomic;
use crate::io::npy::{self, Array, ArrayData, Element};
use crate::io::pickle::{self, StorageType, TensorRef, Value};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

type Archive = zip::ZipArchive<BufReader<File>>;

/// Elements a tensor may have beyond those of its storage (a stride of 0 repeats elements).
const MAX_REPEATED: usize = 1 << 24;

/// Reads a checkpoint. Tensors become arrays on the host in C order, whatever device they were saved from; half
/// and bfloat16 numbers become `f32`.
pub fn read(path: &Path) -> Result<Value> {
    let mut file = File::open(path).map_err(|e| Error::os("open", path, e))?;
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(64).read_to_end(&mut head).map_err(|e| Error::os("read", path, e))?;
    if !head.starts_with(b"PK") {
        return Err(Error::malformed(path, "", not_zip(&head)));
    }
    io::Seek::rewind(&mut file).map_err(|e| Error::os("read", path, e))?;
    let mut zip = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| broken(path, "", &e.to_string()))?;
    let names: Vec<String> = zip.file_names().flatten().map(|n| n.into_owned()).collect();
    let root = names.iter().find_map(|n| n.strip_suffix("data.pkl")).ok_or_else(|| {
        Error::malformed(path, "", "this zip is no PyTorch checkpoint (it holds no data.pkl)")
    })?;
    let order = format!("{root}byteorder");
    let big_endian = names.contains(&order) && entry(&mut zip, path, &order, 16)?.starts_with(b"big");
    let program = entry(&mut zip, path, &format!("{root}data.pkl"), 1 << 30)?;
    let tree = pickle::parse_all(&program, path)?.into_iter().next().unwrap_or(Value::None);
    let mut storages = Storages { zip, path, root, big_endian, read: HashMap::new() };
    storages.resolve(tree)
}

fn not_zip(head: &[u8]) -> String {
    // The magic number 0x1950a86a20f9469cfc6c that opens PyTorch's format of before version 1.6.
    if head.windows(10).any(|w| w == b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") {
        return "this checkpoint is in PyTorch's old format (before 1.6); load it there and save it again with \
                torch.save(torch.load(f), f)"
            .into();
    }
    "not a PyTorch checkpoint (no zip file); it may be empty or cut short".into()
}

fn broken(path: &Path, place: &str, why: &str) -> Error {
    Error::malformed(path, place, format!("the checkpoint is damaged or cut short ({why}); copy it again"))
}

/// One file of the archive; more than `limit` bytes are refused before they are unpacked.
fn entry(zip: &mut Archive, path: &Path, name: &str, limit: u64) -> Result<Vec<u8>> {
    let bad = |why: String| broken(path, name, &why);
    let file = zip.by_name(name).map_err(|e| bad(e.to_string()))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| bad(e.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(bad(format!("it holds more than the {limit} bytes it should")));
    }
    Ok(bytes)
}

struct Storages<'a> {
    zip: Archive,
    path: &'a Path,
    root: &'a str,
    big_endian: bool,
    read: HashMap<String, Array>,
}

impl Storages<'_> {
    /// The tree with every tensor in place. Its depth was bounded when it was read.
    fn resolve(&mut self, value: Value) -> Result<Value> {
        Ok(match value {
            Value::Tensor(t) => Value::Array(self.tensor(&t)?),
            Value::List(v) => Value::List(v.into_iter().map(|v| self.resolve(v)).collect::<Result<_>>()?),
            Value::Tuple(v) => Value::Tuple(v.into_iter().map(|v| self.resolve(v)).collect::<Result<_>>()?),
            Value::Dict(entries) => {
                let entries = entries.into_iter().map(|(k, v)| Ok((k, self.resolve(v)?)));
                Value::Dict(entries.collect::<Result<_>>()?)
            }
            plain => plain,
        })
    }

    fn tensor(&mut self, t: &TensorRef) -> Result<Array> {
        let place = format!("tensor in storage {}", t.key);
        let bad = |why: &str| Error::malformed(self.path, place.clone(), why);
        let n = npy::count(&t.shape).ok_or_else(|| bad("its shape is impossibly large"))?;
        if t.shape.len() != t.strides.len() {
            return Err(bad("it has another number of sizes than of strides"));
        }
        if n > t.storage_len.max(MAX_REPEATED) {
            return Err(bad("it has many more elements than its storage"));
        }
        let reach = t.shape.iter().zip(&t.strides).try_fold(t.offset, |end, (&size, &stride)| {
            end.checked_add(size.saturating_sub(1).checked_mul(stride)?)
        });
        if n > 0 && reach.is_none_or(|last| last >= t.storage_len) {
            return Err(bad("it reaches beyond its storage"));
        }
        if n == 0 {
            let empty = self.decode(t, &[])?;
            return Ok(Array { shape: t.shape.clone(), data: empty.data });
        }
        if !self.read.contains_key(&t.key) {
            let bytes =
                t.storage_len.checked_mul(t.element.size()).ok_or_else(|| bad("its storage is too large"))?;
            let raw = entry(&mut self.zip, self.path, &format!("{}data/{}", self.root, t.key), bytes as u64)?;
            let storage = self.decode(t, &raw)?;
            if storage.len() != t.storage_len {
                let why = format!("the storage holds {} elements of {}", storage.len(), t.storage_len);
                return Err(broken(self.path, &place, &why));
            }
            if (t.offset, n) == (0, t.storage_len) && is_contiguous(&t.shape, &t.strides) {
                // The usual case, a tensor with a storage of its own: nothing to keep.
                return Ok(Array { shape: t.shape.clone(), data: storage.data });
            }
            self.read.insert(t.key.clone(), storage);
        }
        let Some(storage) = self.read.get(&t.key) else { return Err(bad("its storage is missing")) };
        let data = match &storage.data {
            ArrayData::F32(v) => gather(v, t, n).map(ArrayData::F32),
            ArrayData::F64(v) => gather(v, t, n).map(ArrayData::F64),
            ArrayData::I32(v) => gather(v, t, n).map(ArrayData::I32),
            ArrayData::I64(v) => gather(v, t, n).map(ArrayData::I64),
            ArrayData::U8(v) => gather(v, t, n).map(ArrayData::U8),
            ArrayData::Bool(v) => gather(v, t, n).map(ArrayData::Bool),
        };
        let data = data.ok_or_else(|| bad("it reaches beyond its storage"))?;
        Ok(Array { shape: t.shape.clone(), data })
    }

    /// All elements of a storage.
    fn decode(&self, t: &TensorRef, raw: &[u8]) -> Result<Array> {
        let size = t.element.size();
        let kind = match t.element {
            StorageType::Float | StorageType::Double | StorageType::Half => 'f',
            StorageType::BFloat16 => {
                let word = |c: &[u8]| {
                    let word = [c[0], c[1]];
                    if self.big_endian { u16::from_be_bytes(word) } else { u16::from_le_bytes(word) }
                };
                let v =
                    raw.chunks_exact(2).map(|c| half::bf16::from_bits(word(c)).to_f32()).collect::<Vec<_>>();
                return Array::f32(&[v.len()], v);
            }
            StorageType::Long | StorageType::Int | StorageType::Short | StorageType::Char => 'i',
            StorageType::Byte => 'u',
            StorageType::Bool => 'b',
        };
        let element = Element { kind, size, big_endian: self.big_endian };
        let whole = raw.len() / size;
        element
            .decode(vec![whole], false, &raw[..whole * size])
            .map_err(|why| broken(self.path, &format!("storage {}", t.key), &why))
    }
}

fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected *= size;
        fits
    })
}

/// The `n` elements of a strided view in C order.
fn gather<T: Copy>(storage: &[T], t: &TensorRef, n: usize) -> Option<Vec<T>> {
    let mut index = vec![0; t.shape.len()];
    let mut out = Vec::with_capacity(n);
    for _ in 0..n {
        let at = t.offset + index.iter().zip(&t.strides).map(|(i, s)| i * s).sum::<usize>();
        out.push(*storage.get(at)?);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < t.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Some(out)
}

/// Writes a checkpoint that `torch.load` opens, also with `weights_only=True`. Arrays become CPU tensors, each with a
/// storage of its own that starts at a multiple of 64 bytes, so that PyTorch can map it.
pub fn write(path: &Path, tree: &Value) -> Result<()> {
    let mut storages: Vec<&Array> = Vec::new();
    let program = program(tree, &mut storages).map_err(|e| match e.downcast::<Error>() {
        Ok(own) => own,
        Err(e) => Error::os("write", path, e),
    })?;
    // PyTorch names the folder inside after the file.
    let root = path.file_stem().and_then(|s| s.to_str()).filter(|s| !s.is_empty()).unwrap_or("archive");
    atomic::write_seek(path, |out| {
        let mut zip = zip::ZipWriter::new(out);
        let options = |bytes: u64| {
            zip::write::SimpleFileOptions::default()
                .compression_method(zip::CompressionMethod::Stored)
                .last_modified_time(zip::DateTime::default())
                .with_alignment(64)
                .large_file(bytes > 1 << 31)
        };
        let mut file = |name: &str, bytes: u64, fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>| {
            zip.start_file(format!("{root}/{name}"), options(bytes))?;
            fill(&mut zip)
        };
        file("data.pkl", program.len() as u64, &mut |out| out.write_all(&program))?;
        file("byteorder", 6, &mut |out| out.write_all(b"little"))?;
        for (key, array) in storages.iter().enumerate() {
            let bytes = array.len() as u64 * array.data.element_size() as u64;
            file(&format!("data/{key}"), bytes, &mut |out| array.data.write_le(out))?;
        }
        file("version", 2, &mut |out| out.write_all(b"3\n"))?;
        zip.finish()?;
        Ok(())
    })
}

/// The pickle of a tree whose arrays go to storages of their own.
fn program<'a>(tree: &'a Value, storages: &mut Vec<&'a Array>) -> io::Result<Vec<u8>> {
    let referring = refer(tree, storages)?;
    let mut out = Vec::new();
    pickle::dump(&referring, 2, &mut out, &mut put_tensor)?;
    Ok(out)
}

/// The tree with a reference in place of every array.
fn refer<'a>(value: &'a Value, storages: &mut Vec<&'a Array>) -> io::Result<Value> {
    Ok(match value {
        Value::Array(a) => {
            let mut strides = vec![1usize; a.shape.len()];
            for i in (1..a.shape.len()).rev() {
                strides[i - 1] = strides[i] * a.shape[i].max(1);
            }
            let element = match a.data {
                ArrayData::F32(_) => StorageType::Float,
                ArrayData::F64(_) => StorageType::Double,
                ArrayData::I32(_) => StorageType::Int,
                ArrayData::I64(_) => StorageType::Long,
                ArrayData::U8(_) => StorageType::Byte,
                ArrayData::Bool(_) => StorageType::Bool,
            };
            let key = storages.len().to_string();
            storages.push(a);
            Value::Tensor(TensorRef {
                element,
                key,
                storage_len: a.len(),
                offset: 0,
                shape: a.shape.clone(),
                strides,
            })
        }
        Value::List(v) => Value::List(v.iter().map(|v| refer(v, storages)).collect::<io::Result<_>>()?),
        Value::Tuple(v) => Value::Tuple(v.iter().map(|v| refer(v, storages)).collect::<io::Result<_>>()?),
        Value::Dict(entries) => {
            let entries = entries.iter().map(|(k, v)| Ok((k.clone(), refer(v, storages)?)));
            Value::Dict(entries.collect::<io::Result<_>>()?)
        }
        Value::Bytes(_) | Value::Tensor(_) => {
            return Err(io::Error::other(Error::usage(format!(
                "{} cannot be written to a checkpoint",
                value.kind()
            ))));
        }
        plain => plain.clone(),
    })
}

fn put_tensor(t: &TensorRef, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"ctorch._utils\n_rebuild_tensor_v2\n((")?;
    pickle::put_str("storage", out)?;
    write!(out, "ctorch\n{}\n", t.element.name())?;
    pickle::put_str(&t.key, out)?;
    pickle::put_str("cpu", out)?;
    let len = i64::try_from(t.storage_len).map_err(io::Error::other)?;
    pickle::put_int(len, out)?;
    out.write_all(b"tQK\x00")?;
    pickle::put_ints(&t.shape, out)?;
    pickle::put_ints(&t.strides, out)?;
    // requires_grad = False, no hooks.
    out.write_all(b"\x89ccollections\nOrderedDict\n)RtR")
}
