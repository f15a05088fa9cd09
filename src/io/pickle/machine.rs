//! The pickle machine: opcodes in, [`Value`] out. Nothing is called; see the list in [`Machine::call`].
//!
//! Objects live in one table and are named by number, because a pickle may fill a list after it was put into another.
//! All lengths are checked against the bytes that are there, so a file that lies allocates nothing.

#[path = "finish.rs"]
mod finish;

use super::words::{
    ALLOWED, canonical, element_type, integer, latin1, long_integer, raw_unicode_escape, refusal, scalar,
    string_literal,
};
use super::{StorageType, TensorRef, Value};
use crate::error::Error;
use crate::io::npy::Element;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// Why a pickle was refused, and at which byte.
pub(super) struct Fault {
    at: usize,
    why: String,
}

impl Fault {
    pub fn at(self, path: &Path) -> Error {
        Error::malformed(path, format!("byte {}", self.at), self.why)
    }
}

/// Objects one pickle may make; far above any table of numbers, which is one object.
const MAX_OBJECTS: usize = 20_000_000;

type Id = usize;
type Outcome<T> = Result<T, String>;

enum Object<'a> {
    Plain(Value),
    /// Raw bytes; `text` says that Python 2 called them a string.
    Bytes {
        bytes: Cow<'a, [u8]>,
        text: bool,
    },
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name that may be called or stand in a call.
    Global(String),
    /// An array before its state arrived.
    Blank,
    /// A set of flags before its state, a dictionary, arrived.
    Flags,
    Element(Element),
    Storage {
        element: StorageType,
        key: String,
        len: usize,
    },
}

/// Runs the pickle that starts at byte `start`; also returns where it ended.
pub(super) fn load(bytes: &[u8], start: usize) -> Result<(Value, usize), Fault> {
    let mut m = Machine {
        bytes,
        at: start,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Vec::new(),
        budget: 1_000_000usize.saturating_add(bytes.len().saturating_mul(4)),
        uses: Vec::new(),
    };
    if start >= bytes.len() {
        return Err(Fault { at: start, why: "the file is empty".into() });
    }
    loop {
        let at = m.at;
        match m.step() {
            Ok(None) => {}
            Ok(Some(top)) => {
                m.count_uses();
                let value = m.value(top, 0, false).map_err(|why| Fault { at, why })?;
                return Ok((value, m.at));
            }
            Err(why) => return Err(Fault { at, why }),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    objects: Vec<Object<'a>>,
    /// What the finished value may still take: shared objects are copied, and copies of copies grow fast.
    budget: usize,
    /// How often each object stands in a container; what stands in one place is moved out, not copied.
    uses: Vec<u32>,
}

impl<'a> Machine<'a> {
    /// One operation; the finished object when it was the last.
    fn step(&mut self) -> Outcome<Option<Id>> {
        let op = self.take(1)?[0];
        match op {
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.drop_top()?,
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            0x80 => {
                let protocol = self.take(1)?[0];
                if protocol > 5 {
                    return Err(format!("pickle protocol {protocol} is not known (0 to 5 are)"));
                }
            }
            0x95 => drop(self.take(8)?), // a frame's length: only a hint for buffering

            // Plain values.
            b'N' => self.push(Object::Plain(Value::None))?,
            0x88 => self.push(Object::Plain(Value::Bool(true)))?,
            0x89 => self.push(Object::Plain(Value::Bool(false)))?,
            b'I' => {
                let value = match self.line()? {
                    "00" => Value::Bool(false),
                    "01" => Value::Bool(true),
                    text => Value::Int(integer(text)?),
                };
                self.push(Object::Plain(value))?;
            }
            b'L' => {
                let text = self.line()?;
                self.int(integer(text.trim_end_matches('L'))?)?;
            }
            b'J' => {
                let word = self.word::<4>()?;
                self.int(i32::from_le_bytes(word).into())?;
            }
            b'K' => {
                let byte = self.take(1)?[0];
                self.int(byte.into())?;
            }
            b'M' => {
                let word = self.word::<2>()?;
                self.int(u16::from_le_bytes(word).into())?;
            }
            0x8a | 0x8b => {
                let n = if op == 0x8a { self.take(1)?[0] as usize } else { self.length(4)? };
                let long = self.take(n)?;
                self.int(long_integer(long)?)?;
            }
            b'F' => {
                let text = self.line()?;
                let x = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
                self.push(Object::Plain(Value::Float(x)))?;
            }
            b'G' => {
                let x = f64::from_be_bytes(self.word()?);
                self.push(Object::Plain(Value::Float(x)))?;
            }
            b'X' | 0x8c | 0x8d => {
                let n = self.length(if op == b'X' {
                    4
                } else if op == 0x8c {
                    1
                } else {
                    8
                })?;
                let text = std::str::from_utf8(self.take(n)?).map_err(|_| "a text is not UTF-8")?;
                self.push(Object::Plain(Value::Str(text.to_string())))?;
            }
            b'V' => {
                let text = raw_unicode_escape(self.raw_line()?)?;
                self.push(Object::Plain(Value::Str(text)))?;
            }
            b'S' => {
                let bytes = string_literal(self.raw_line()?)?;
                self.push(Object::Bytes { bytes: bytes.into(), text: true })?;
            }
            b'T' | b'U' => self.raw(if op == b'T' { 4 } else { 1 }, true)?,
            b'B' => self.raw(4, false)?,
            b'C' => self.raw(1, false)?,
            0x8e | 0x96 => self.raw(8, false)?,

            // Containers.
            b']' | 0x8f => self.push(Object::List(Vec::new()))?,
            b'}' => self.push(Object::Dict(Vec::new()))?,
            b')' => self.push(Object::Tuple(Vec::new()))?,
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Object::List(items))?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Object::Tuple(items))?;
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Object::Dict(pairs(items)?))?;
            }
            0x85..=0x87 => {
                let n = op as usize - 0x84;
                let mut items = (0..n).map(|_| self.pop()).collect::<Outcome<Vec<_>>>()?;
                items.reverse();
                self.push(Object::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![(key, value)])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(pairs(items)?)?;
            }

            // The memo.
            b'p' | b'q' | b'r' | 0x94 => {
                let slot = match op {
                    b'p' => self.line()?.parse().map_err(|_| "a memo number is damaged")?,
                    b'q' => self.take(1)?[0].into(),
                    b'r' => u32::from_le_bytes(self.word()?).into(),
                    _ => self.memo.len() as u64,
                };
                let top = self.top()?;
                self.memo.insert(slot, top);
            }
            b'g' | b'h' | b'j' => {
                let slot: u64 = match op {
                    b'g' => self.line()?.parse().map_err(|_| "a memo number is damaged")?,
                    b'h' => self.take(1)?[0].into(),
                    _ => u32::from_le_bytes(self.word()?).into(),
                };
                let id = *self
                    .memo
                    .get(&slot)
                    .ok_or_else(|| format!("memo {slot} is used before it is filled"))?;
                self.stack.push(id);
            }

            // Names and calls.
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                self.global(name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let name = format!("{}.{}", self.text(module)?, self.text(name)?);
                self.global(name)?;
            }
            b'R' | 0x81 => {
                let (args, callee) = (self.pop()?, self.pop()?);
                self.call(callee, args)?;
            }
            b'b' => {
                let state = self.pop()?;
                self.build(state)?;
            }
            b'i' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                return Err(refusal(&name));
            }
            b'o' => {
                let items = self.pop_mark()?;
                let callee = *items.first().ok_or("an object without a class")?;
                return Err(self.refused(callee));
            }
            0x92 => {
                self.drop_top()?;
                self.drop_top()?;
                let callee = self.pop()?;
                return Err(self.refused(callee));
            }
            b'P' => return Err("it refers to an object outside the file".into()),
            b'Q' => {
                let id = self.pop()?;
                self.storage(id)?;
            }
            0x82..=0x84 => return Err("it uses Python's extension registry: refused".into()),
            0x97 | 0x98 => {
                return Err("its arrays were stored outside the file; save them with protocol 4".into());
            }
            _ => return Err(format!("not a pickle, or damaged: {op:#04x} is no pickle operation")),
        }
        Ok(None)
    }

    // Reading the bytes.

    fn take(&mut self, n: usize) -> Outcome<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..n).ok_or_else(|| {
            format!("the file is cut short: {n} bytes are needed and {} are left", rest.len())
        })?;
        self.at += n;
        Ok(taken)
    }

    fn word<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let mut word = [0; N];
        word.copy_from_slice(self.take(N)?);
        Ok(word)
    }

    /// An unsigned length of `width` bytes.
    fn length(&mut self, width: usize) -> Outcome<usize> {
        let mut word = [0; 8];
        word[..width].copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(word)).map_err(|_| "a length is impossibly large".into())
    }

    fn raw_line(&mut self) -> Outcome<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&b| b == b'\n').ok_or("the file is cut short in a line")?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn line(&mut self) -> Outcome<&'a str> {
        let line = std::str::from_utf8(self.raw_line()?).map_err(|_| "a line is not text")?;
        Ok(line.trim_end_matches('\r'))
    }

    fn raw(&mut self, width: usize, text: bool) -> Outcome<()> {
        let n = self.length(width)?;
        let bytes = self.take(n)?.into();
        self.push(Object::Bytes { bytes, text })
    }

    // The stack.

    fn push(&mut self, object: Object<'a>) -> Outcome<()> {
        if self.objects.len() >= MAX_OBJECTS {
            return Err(format!("more than {MAX_OBJECTS} objects; store numbers as NumPy arrays"));
        }
        self.stack.push(self.objects.len());
        self.objects.push(object);
        Ok(())
    }

    fn int(&mut self, i: i64) -> Outcome<()> {
        self.push(Object::Plain(Value::Int(i)))
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Outcome<Id> {
        if self.stack.len() <= self.floor() {
            return Err("damaged: it takes more objects than it made".into());
        }
        self.stack.pop().ok_or_else(|| "damaged: nothing is left".into())
    }

    /// `POP` also takes away a mark when nothing lies above it.
    fn drop_top(&mut self) -> Outcome<()> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn top(&self) -> Outcome<Id> {
        if self.stack.len() <= self.floor() {
            return Err("damaged: it uses an object that is not there".into());
        }
        self.stack.last().copied().ok_or_else(|| "damaged: nothing is there".into())
    }

    fn pop_mark(&mut self) -> Outcome<Vec<Id>> {
        let mark = self.marks.pop().ok_or("damaged: a mark is missing")?;
        if mark > self.stack.len() {
            return Err("damaged: a mark lies above the stack".into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn extend(&mut self, items: Vec<Id>) -> Outcome<()> {
        let top = self.top()?;
        match &mut self.objects[top] {
            Object::List(list) => list.extend(items),
            _ => return Err("damaged: it appends to what is no list".into()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<(Id, Id)>) -> Outcome<()> {
        let top = self.top()?;
        match &mut self.objects[top] {
            Object::Dict(entries) => entries.extend(items),
            _ => return Err("damaged: it sets items of what is no dictionary".into()),
        }
        Ok(())
    }

    // Names and calls.

    fn global(&mut self, name: String) -> Outcome<()> {
        let storage = name.strip_prefix("torch.").and_then(StorageType::from_name).is_some();
        if !storage && !ALLOWED.contains(&canonical(&name).as_str()) {
            return Err(refusal(&name));
        }
        self.push(Object::Global(name))
    }

    fn refused(&self, callee: Id) -> String {
        match &self.objects[callee] {
            Object::Global(name) => refusal(name),
            _ => "this pickle would call an object: refused".into(),
        }
    }

    fn text(&self, id: Id) -> Outcome<&str> {
        match &self.objects[id] {
            Object::Plain(Value::Str(s)) => Ok(s),
            Object::Bytes { bytes, text: true } => {
                std::str::from_utf8(bytes).map_err(|_| "a name is not text".into())
            }
            _ => Err("damaged: a text is missing".into()),
        }
    }

    fn tuple(&self, id: Id) -> Outcome<&[Id]> {
        match &self.objects[id] {
            Object::Tuple(items) | Object::List(items) => Ok(items),
            _ => Err("damaged: a tuple is missing".into()),
        }
    }

    fn number(&self, id: Id) -> Outcome<usize> {
        match &self.objects[id] {
            Object::Plain(Value::Int(i)) => usize::try_from(*i).map_err(|_| format!("{i} is not a size")),
            _ => Err("damaged: a size is missing".into()),
        }
    }

    fn numbers(&self, id: Id) -> Outcome<Vec<usize>> {
        self.tuple(id)?.iter().map(|&i| self.number(i)).collect()
    }

    fn is_true(&self, id: Id) -> bool {
        matches!(&self.objects[id], Object::Plain(Value::Bool(true)))
            || matches!(&self.objects[id], Object::Plain(Value::Int(i)) if *i != 0)
    }

    fn element(&self, id: Id) -> Outcome<Element> {
        match &self.objects[id] {
            Object::Element(e) => Ok(*e),
            _ => Err("damaged: an array has no element type".into()),
        }
    }

    /// Array data: bytes, or a text of Latin-1 characters as Python 2 left it.
    fn data(&self, id: Id) -> Outcome<Cow<'_, [u8]>> {
        match &self.objects[id] {
            Object::Bytes { bytes, .. } => Ok(Cow::Borrowed(bytes)),
            Object::Plain(Value::Str(s)) => latin1(s).map(Cow::Owned),
            Object::List(_) => {
                Err("it is an array of Python objects; save a plain array of numbers instead".into())
            }
            _ => Err("damaged: an array has no data".into()),
        }
    }

    /// What the allowed names do. Everything is data in, data out.
    fn call(&mut self, callee: Id, args: Id) -> Outcome<()> {
        let Object::Global(name) = &self.objects[callee] else { return Err(self.refused(callee)) };
        let name = canonical(name);
        let a = self.tuple(args)?.to_vec();
        let arg = |i: usize| a.get(i).copied().ok_or_else(|| format!("damaged: {name} lacks an argument"));
        let made = match name.as_str() {
            "collections.OrderedDict" => match a.first() {
                None => Object::Dict(Vec::new()),
                Some(&list) => {
                    let entries = self.tuple(list)?.iter().map(|&pair| match self.tuple(pair)? {
                        [k, v] => Ok((*k, *v)),
                        _ => Err("damaged: a dictionary entry is no pair".into()),
                    });
                    Object::Dict(entries.collect::<Outcome<_>>()?)
                }
            },
            "_codecs.encode" => Object::Bytes { bytes: latin1(self.text(arg(0)?)?)?.into(), text: false },
            "builtins.bytes" | "builtins.bytearray" => match a.first() {
                None => Object::Bytes { bytes: Cow::Borrowed(&[]), text: false },
                Some(_) => return Err("it builds bytes from other objects: refused".into()),
            },
            "builtins.set" | "builtins.frozenset" => {
                Object::List(if a.is_empty() { Vec::new() } else { self.tuple(arg(0)?)?.to_vec() })
            }
            "numpy.multiarray._reconstruct" => Object::Blank,
            "argparse.Namespace" => Object::Flags,
            "numpy.dtype" => Object::Element(element_type(self.text(arg(0)?)?)?),
            "numpy.multiarray.scalar" => {
                let one = self.element(arg(0)?)?.decode(Vec::new(), false, &self.data(arg(1)?)?)?;
                Object::Plain(scalar(&one))
            }
            "numpy.numeric._frombuffer" => {
                let fortran = self.text(arg(3)?)? == "F";
                let shape = self.numbers(arg(2)?)?;
                let array = self.element(arg(1)?)?.decode(shape, fortran, &self.data(arg(0)?)?)?;
                Object::Plain(Value::Array(array))
            }
            "torch._utils._rebuild_tensor_v2" => {
                let Object::Storage { element, key, len } = &self.objects[arg(0)?] else {
                    return Err("damaged: a tensor has no storage".into());
                };
                Object::Plain(Value::Tensor(TensorRef {
                    element: *element,
                    key: key.clone(),
                    storage_len: *len,
                    offset: self.number(arg(1)?)?,
                    shape: self.numbers(arg(2)?)?,
                    strides: self.numbers(arg(3)?)?,
                }))
            }
            "torch._utils._rebuild_parameter" => match &self.objects[arg(0)?] {
                Object::Plain(t @ Value::Tensor(_)) => Object::Plain(t.clone()),
                _ => return Err("damaged: a parameter has no tensor".into()),
            },
            "torch.Size" => Object::Tuple(self.tuple(arg(0)?)?.to_vec()),
            _ => return Err(refusal(&name)),
        };
        self.push(made)
    }

    /// Gives the object on top its state.
    fn build(&mut self, state: Id) -> Outcome<()> {
        let top = self.top()?;
        let made = match &self.objects[top] {
            Object::Blank => {
                let s = self.tuple(state)?;
                // (version, shape, dtype, Fortran order, data); very old files lack the version.
                let &[shape, dtype, fortran, data] = (if s.len() == 5 { &s[1..] } else { s }) else {
                    return Err("damaged: an array's state has another form".into());
                };
                let element = self.element(dtype)?;
                let bytes = self.data(data)?;
                Object::Plain(Value::Array(element.decode(
                    self.numbers(shape)?,
                    self.is_true(fortran),
                    &bytes,
                )?))
            }
            Object::Element(e) => {
                let s = self.tuple(state)?;
                let order = s.get(1).copied().ok_or("damaged: an element type's state has another form")?;
                if s.get(2..5).is_some_and(|s| {
                    s.iter().any(|&i| !matches!(self.objects[i], Object::Plain(Value::None)))
                }) {
                    return Err(
                        "it is a table of named fields, where a plain array of numbers is needed".into()
                    );
                }
                Object::Element(Element { big_endian: self.text(order)? == ">", ..*e })
            }
            Object::Flags => match &self.objects[state] {
                Object::Dict(entries) => Object::Dict(entries.clone()),
                _ => return Err("damaged: flags are no dictionary".into()),
            },
            // PyTorch keeps version numbers of layers as an attribute of the dictionary.
            Object::Dict(_) => return Ok(()),
            _ => return Err("damaged: it sets the state of a plain value".into()),
        };
        self.objects[top] = made;
        Ok(())
    }

    /// A reference ('storage', class, name, device, length) to the storages of a checkpoint.
    fn storage(&mut self, id: Id) -> Outcome<()> {
        let made = match *self.tuple(id)? {
            [tag, class, key, _device, len, ..] if self.text(tag)? == "storage" => {
                let Object::Global(class) = &self.objects[class] else {
                    return Err("damaged: a storage has no type".into());
                };
                let element = class.strip_prefix("torch.").and_then(StorageType::from_name);
                let element = element.ok_or_else(|| format!("storages of type {class} are not supported"))?;
                Object::Storage { element, key: self.text(key)?.to_string(), len: self.number(len)? }
            }
            _ => return Err("it refers to an object outside the file".into()),
        };
        self.push(made)
    }
}

fn pairs(items: Vec<Id>) -> Outcome<Vec<(Id, Id)>> {
    if !items.len().is_multiple_of(2) {
        return Err("damaged: a dictionary key has no value".into());
    }
    Ok(items.chunks_exact(2).map(|p| (p[0], p[1])).collect())
}
