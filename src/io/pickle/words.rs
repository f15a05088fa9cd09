//! The words of pickles: which names may stand in them, and how numbers, texts and element types are spelled.

use super::Value;
use crate::io::npy::{Array, ArrayData, Element};

type Outcome<T> = Result<T, String>;

/// The names a pickle may use, in the form [`canonical`] gives them.
pub(super) const ALLOWED: [&str; 15] = [
    "collections.OrderedDict",
    "argparse.Namespace",
    "_codecs.encode",
    "builtins.bytes",
    "builtins.bytearray",
    "builtins.set",
    "builtins.frozenset",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.multiarray._reconstruct",
    "numpy.multiarray.scalar",
    "numpy.numeric._frombuffer",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
];

/// NumPy 1 and 2 and Python 2 and 3 have different names for the same things.
pub(super) fn canonical(name: &str) -> String {
    for (from, to) in [("numpy.core.", "numpy."), ("numpy._core.", "numpy."), ("__builtin__.", "builtins.")] {
        if let Some(rest) = name.strip_prefix(from) {
            return format!("{to}{rest}");
        }
    }
    name.to_string()
}

pub(super) fn refusal(name: &str) -> String {
    let shown: String = name.chars().take(80).flat_map(char::escape_default).collect();
    format!("this pickle would call {shown}: refused (only arrays, tensors and plain values are read)")
}

pub(super) fn integer(text: &str) -> Outcome<i64> {
    text.parse().map_err(|_| format!("`{}` is no whole number of 64 bits", text.escape_default()))
}

/// A little-endian two's complement integer of any length.
pub(super) fn long_integer(bytes: &[u8]) -> Outcome<i64> {
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut word = [fill; 8];
    for (i, &b) in bytes.iter().enumerate() {
        match word.get_mut(i) {
            Some(slot) => *slot = b,
            None if b == fill => {}
            None => return Err("a whole number does not fit 64 bits".into()),
        }
    }
    let value = i64::from_le_bytes(word);
    if (value < 0) != (fill == 0xff) {
        return Err("a whole number does not fit 64 bits".into());
    }
    Ok(value)
}

pub(super) fn latin1(text: &str) -> Outcome<Vec<u8>> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).map_err(|_| "bytes are stored as wide text".into()))
        .collect()
}

/// `f4`, `<i8`, `b1`, `?`: NumPy's short names.
pub(super) fn element_type(code: &str) -> Outcome<Element> {
    let unknown = || format!("elements of type `{}` are not supported", code.escape_default());
    let (big_endian, short) = match code.strip_prefix('>') {
        Some(rest) => (true, rest),
        None => (false, code.trim_start_matches(['<', '|', '='])),
    };
    if short == "?" {
        return Ok(Element { kind: 'b', size: 1, big_endian });
    }
    let mut letters = short.chars();
    let kind = letters.next().ok_or_else(unknown)?;
    let size = letters.as_str().parse().map_err(|_| unknown())?;
    Element { kind, size, big_endian }.check()
}

pub(super) fn scalar(one: &Array) -> Value {
    match &one.data {
        ArrayData::Bool(v) => Value::Bool(v.first().copied().unwrap_or_default()),
        _ => match one.to_i64() {
            Some(v) => Value::Int(v.first().copied().unwrap_or_default()),
            None => Value::Float(one.to_f64().first().copied().unwrap_or_default()),
        },
    }
}

/// Python's `raw-unicode-escape`: Latin-1 in which only `\uXXXX` and `\UXXXXXXXX` are escapes.
pub(super) fn raw_unicode_escape(mut rest: &[u8]) -> Outcome<String> {
    let mut out = String::with_capacity(rest.len());
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        let width = match (b, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                out.push(b.into());
                continue;
            }
        };
        let digits = after.get(1..=width).and_then(|d| std::str::from_utf8(d).ok());
        let code = digits.and_then(|d| u32::from_str_radix(d, 16).ok()).and_then(char::from_u32);
        out.push(code.ok_or("a text escape is damaged")?);
        rest = &after[1 + width..];
    }
    Ok(out)
}

/// A quoted Python string of protocol 0.
pub(super) fn string_literal(text: &[u8]) -> Outcome<Vec<u8>> {
    let text = text.trim_ascii_end();
    let inner = [b"'", b"\""].iter().find_map(|&q| text.strip_prefix(q).and_then(|t| t.strip_suffix(q)));
    let mut bytes = inner.ok_or("a text has no quotes")?.iter().copied();
    let mut out = Vec::new();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        out.push(match bytes.next().ok_or("a text escape is cut short")? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digit = |b: Option<u8>| {
                    b.and_then(|b| (b as char).to_digit(16)).ok_or("a text escape is damaged")
                };
                (digit(bytes.next())? * 16 + digit(bytes.next())?) as u8
            }
            other => other,
        });
    }
    Ok(out)
}
