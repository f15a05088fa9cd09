//! Python pickles, read without running anything and written so that Python opens them.
//!
//! A pickle is a program for a small stack machine that may call any Python function. The reader here
//! runs that machine (protocols 0 to 5) but *calls* only what a short list names: NumPy arrays, ordered dictionaries and
//! PyTorch tensors, each rebuilt as plain data. Anything else is refused by name.

#[path = "pickle/machine.rs"]
mod machine;
#[path = "pickle/words.rs"]
mod words;

use crate::error::{Error, Result};
use crate::io::atomic;
use crate::io::npy::Array;
use std::io::{self, Write};
use std::path::Path;

/// What a pickle may hold here.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    /// Lists, and sets in the order of the file.
    List(Vec<Value>),
    Tuple(Vec<Value>),
    /// Plain and ordered dictionaries, in the order of the file.
    Dict(Vec<(Value, Value)>),
    /// Flags as an `argparse.Namespace`; only written: it is read as a dictionary.
    Namespace(Vec<(Value, Value)>),
    Array(Array),
    /// A PyTorch tensor whose storage lies elsewhere; [`crate::io::torch`] turns it into an array.
    Tensor(TensorRef),
}

/// A strided view into a storage of a PyTorch checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorRef {
    pub element: StorageType,
    /// The storage's name: the file `data/KEY` of a checkpoint.
    pub key: String,
    /// Elements the storage holds.
    pub storage_len: usize,
    /// First element; sizes and strides count elements.
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// The element types of PyTorch storages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageType {
    Float,
    Double,
    Half,
    BFloat16,
    Long,
    Int,
    Short,
    Char,
    Byte,
    Bool,
}

impl StorageType {
    const NAMES: [(&'static str, StorageType); 10] = [
        ("FloatStorage", StorageType::Float),
        ("DoubleStorage", StorageType::Double),
        ("HalfStorage", StorageType::Half),
        ("BFloat16Storage", StorageType::BFloat16),
        ("LongStorage", StorageType::Long),
        ("IntStorage", StorageType::Int),
        ("ShortStorage", StorageType::Short),
        ("CharStorage", StorageType::Char),
        ("ByteStorage", StorageType::Byte),
        ("BoolStorage", StorageType::Bool),
    ];

    fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
    }

    /// Its class in the module `torch`.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, t)| *t == self).map_or("", |(n, _)| n)
    }

    /// Bytes an element takes.
    pub fn size(self) -> usize {
        match self {
            StorageType::Double | StorageType::Long => 8,
            StorageType::Float | StorageType::Int => 4,
            StorageType::Half | StorageType::BFloat16 | StorageType::Short => 2,
            StorageType::Char | StorageType::Byte | StorageType::Bool => 1,
        }
    }
}

impl Value {
    pub fn str(text: impl Into<String>) -> Value {
        Value::Str(text.into())
    }

    /// The entry of a dictionary under a text key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dict(entries) => {
                entries.iter().find(|(k, _)| matches!(k, Value::Str(s) if s == key)).map(|(_, v)| v)
            }
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// A whole number: an `Int`, or an integer array of one element.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(i) => Some(*i),
            Value::Array(a) if a.len() == 1 => a.to_i64()?.first().copied(),
            _ => None,
        }
    }

    /// A number of any kind, also an array of one element.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(i) => Some(*i as f64),
            Value::Float(f) => Some(*f),
            Value::Array(a) if a.len() == 1 => a.to_f64().first().copied(),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Value::Array(a) => Some(a),
            _ => None,
        }
    }

    /// The elements of a list or tuple.
    pub fn as_slice(&self) -> Option<&[Value]> {
        match self {
            Value::List(v) | Value::Tuple(v) => Some(v),
            _ => None,
        }
    }

    /// Python's name of what it is, for messages.
    pub fn kind(&self) -> String {
        match self {
            Value::None => "None".into(),
            Value::Bool(_) => "a bool".into(),
            Value::Int(_) => "an int".into(),
            Value::Float(_) => "a float".into(),
            Value::Str(_) => "a str".into(),
            Value::Bytes(_) => "bytes".into(),
            Value::List(v) => format!("a list of {}", v.len()),
            Value::Tuple(v) => format!("a tuple of {}", v.len()),
            Value::Dict(_) => "a dict".into(),
            Value::Namespace(_) => "a namespace".into(),
            Value::Array(a) => format!("an array of {} with shape {:?}", a.data.type_name(), a.shape),
            Value::Tensor(t) => format!("a tensor with shape {:?}", t.shape),
        }
    }
}

/// Reads a file that holds one pickle; what follows it is not looked at.
pub fn read(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(|e| Error::os("read", path, e))?;
    machine::load(&bytes, 0).map(|(value, _)| value).map_err(|f| f.at(path))
}

/// Reads a file of pickles written one after the other (`z.pkl` holds two).
pub fn read_all(path: &Path) -> Result<Vec<Value>> {
    let bytes = std::fs::read(path).map_err(|e| Error::os("read", path, e))?;
    parse_all(&bytes, path)
}

/// As [`read_all`], from memory; `path` is for messages.
pub fn parse_all(bytes: &[u8], path: &Path) -> Result<Vec<Value>> {
    let mut values = Vec::new();
    let mut at = 0;
    while at < bytes.len() || values.is_empty() {
        let (value, end) = machine::load(bytes, at).map_err(|f| f.at(path))?;
        values.push(value);
        at = end;
    }
    Ok(values)
}

/// Writes one pickle (protocol 4).
pub fn write(path: &Path, value: &Value) -> Result<()> {
    write_all(path, std::slice::from_ref(value))
}

/// Writes pickles one after the other into one file.
pub fn write_all(path: &Path, values: &[Value]) -> Result<()> {
    atomic::write(path, |out| values.iter().try_for_each(|v| dump(v, 4, out, &mut refuse_tensor)))
}

fn refuse_tensor(_: &TensorRef, _: &mut dyn Write) -> io::Result<()> {
    Err(io::Error::other(Error::usage(
        "a tensor without its storage cannot be pickled; write it as an array",
    )))
}

/// Writes one pickle; `tensor` writes the tensors (only checkpoints hold any). Only operations that PyTorch's own
/// restricted reader knows are used, and no frames, which readers do not need.
pub(crate) fn dump(
    value: &Value,
    protocol: u8,
    out: &mut dyn Write,
    tensor: &mut dyn FnMut(&TensorRef, &mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    out.write_all(&[0x80, protocol])?;
    put(value, out, tensor)?;
    out.write_all(b".")
}

fn put(
    value: &Value,
    out: &mut dyn Write,
    tensor: &mut dyn FnMut(&TensorRef, &mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    match value {
        Value::None => out.write_all(b"N"),
        Value::Bool(b) => out.write_all(if *b { b"\x88" } else { b"\x89" }),
        Value::Int(i) => put_int(*i, out),
        Value::Float(f) => {
            out.write_all(b"G")?;
            out.write_all(&f.to_be_bytes())
        }
        Value::Str(s) => put_str(s, out),
        Value::Bytes(b) => put_bytes_head(b.len(), out).and_then(|()| out.write_all(b)),
        Value::List(v) => {
            out.write_all(b"](")?;
            v.iter().try_for_each(|v| put(v, out, tensor))?;
            out.write_all(b"e")
        }
        Value::Tuple(v) => {
            out.write_all(b"(")?;
            v.iter().try_for_each(|v| put(v, out, tensor))?;
            out.write_all(b"t")
        }
        Value::Dict(entries) => {
            out.write_all(b"}(")?;
            for (k, v) in entries {
                put(k, out, tensor)?;
                put(v, out, tensor)?;
            }
            out.write_all(b"u")
        }
        Value::Namespace(entries) => {
            out.write_all(b"cargparse\nNamespace\n)\x81")?;
            put(&Value::Dict(entries.clone()), out, tensor)?;
            out.write_all(b"b")
        }
        Value::Array(a) => put_array(a, out),
        Value::Tensor(t) => tensor(t, out),
    }
}

pub(crate) fn put_int(i: i64, out: &mut dyn Write) -> io::Result<()> {
    if let Ok(byte) = u8::try_from(i) {
        out.write_all(&[b'K', byte])
    } else if let Ok(word) = i32::try_from(i) {
        out.write_all(b"J")?;
        out.write_all(&word.to_le_bytes())
    } else {
        out.write_all(&[0x8a, 8])?;
        out.write_all(&i.to_le_bytes())
    }
}

pub(crate) fn put_str(s: &str, out: &mut dyn Write) -> io::Result<()> {
    let length = u32::try_from(s.len()).map_err(|_| io::Error::other("a text is longer than 4 GiB"))?;
    out.write_all(b"X")?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(s.as_bytes())
}

/// A tuple of whole numbers, as shapes are.
pub(crate) fn put_ints(v: &[usize], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"(")?;
    v.iter().try_for_each(|&i| put_int(i64::try_from(i).unwrap_or(i64::MAX), out))?;
    out.write_all(b"t")
}

fn put_bytes_head(length: usize, out: &mut dyn Write) -> io::Result<()> {
    match u32::try_from(length) {
        Ok(short) => {
            out.write_all(b"B")?;
            out.write_all(&short.to_le_bytes())
        }
        Err(_) => {
            out.write_all(b"\x8e")?;
            out.write_all(&(length as u64).to_le_bytes())
        }
    }
}

/// The calls NumPy 1 writes; the names under `numpy.core` are those that NumPy 1 and 2 both resolve.
fn put_array(a: &Array, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01")?;
    put_ints(&a.shape, out)?;
    out.write_all(b"cnumpy\ndtype\n")?;
    put_str(a.data.code(), out)?;
    out.write_all(b"\x89\x88\x87R(K\x03")?;
    put_str(if a.data.element_size() == 1 { "|" } else { "<" }, out)?;
    out.write_all(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")?;
    put_bytes_head(a.len() * a.data.element_size(), out)?;
    a.data.write_le(out)?;
    out.write_all(b"tb")
}
