//! The text of a kernel: prelude, words, constants, accessors, `finish`, then the special's own file.
//!
//! Everything between the files is written here in the common subset of the languages, which is WGSL's, and
//! rewritten a little for CUDA C. A kernel file may hold several entries: what stands before the first line
//! `// entry: NAME ..` belongs to all of them, the rest to the entries it is under.

use std::collections::HashSet;

use super::{Access, Binding, Number, Pass, fold};
use crate::ops::vocabulary::single::WORDS;
use crate::plan::{Chain, Load, Source};
use crate::tensor::{DType, strides};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    Wgsl,
    Cuda,
}

/// Where a binding begins for WGSL, which sees whole buffers of words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Spot {
    /// Index among the buffers bound to the pass.
    pub memory: usize,
    /// Offset in 32-bit words.
    pub word: u32,
}

macro_rules! files {
    ($stem:expr, $folder:literal, $extension:literal) => {
        files!($stem, $folder, $extension, prelude attention chain concat conv encode fft gather graph_attention ipa
            long_conv matmul mlp norm order pad random reduce scan segment_sum slice softmax sort splat sum_squares topk)
    };
    ($stem:expr, $folder:literal, $extension:literal, $($known:ident)*) => {
        match $stem {
            $(stringify!($known) => {
                Some(include_str!(concat!("../../../", $folder, "/", stringify!($known), $extension)))
            })*
            _ => None,
        }
    };
}

/// The file of a special.
pub fn file(language: Language, stem: &str) -> Option<&'static str> {
    match language {
        Language::Wgsl => files!(stem, "shaders", ".wgsl"),
        Language::Cuda => files!(stem, "kernels", ".cu"),
    }
}

impl Language {
    /// WGSL has no 16-bit memory.
    pub fn stores_in_pairs(self) -> bool {
        self == Language::Wgsl
    }

    fn function(self, name: &str, arguments: &[(&str, &str)], result: &str, body: &str) -> String {
        let list = |each: &dyn Fn(&str, &str) -> String| {
            arguments.iter().map(|(name, kind)| each(name, kind)).collect::<Vec<_>>().join(", ")
        };
        match self {
            Language::Wgsl => {
                let list = list(&|name, kind| format!("{name}: {kind}"));
                let arrow = if result == "void" { String::new() } else { format!(" -> {result}") };
                format!("fn {name}({list}){arrow} {{\n{body}}}\n")
            }
            Language::Cuda => {
                let list = list(&|name, kind| format!("{kind} {name}"));
                format!("WORD {result} {name}({list}) {{\n{body}}}\n")
            }
        }
    }

    /// An expression of the common subset, or a block of `let`s that ends in one, as a function's body.
    fn body(self, text: &str) -> String {
        let inner = text.trim();
        let inner = inner.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(inner);
        let mut lines: Vec<&str> = inner.split(';').map(str::trim).collect();
        let value = lines.pop().unwrap_or("");
        let lets = lines.iter().map(|line| format!("    {line};\n")).collect::<String>();
        self.rewrite(&format!("{lets}    return {value};\n"))
    }

    /// From the common subset: `let` and literals.
    fn rewrite(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first.is_ascii_digit() {
                let (literal, after) = rest.split_at(literal_length(rest));
                out.extend(literal.chars().filter(|&c| c != '_'));
                let is_float = literal.contains('.') || literal.contains('e');
                if self == Language::Cuda && is_float && !literal.starts_with("0x") {
                    out.push('f');
                }
                rest = after;
            } else if first.is_alphabetic() || first == '_' {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                out += match (self, word) {
                    (Language::Cuda, "let") => "const auto",
                    _ => word,
                };
                rest = after;
            } else {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        out
    }
}

/// Of the literal that a text starts with: digits, `.`, an exponent with its sign, `u` and hexadecimals.
fn literal_length(text: &str) -> usize {
    let mut previous = ' ';
    text.find(|c: char| {
        let goes_on = c.is_alphanumeric() || c == '.' || c == '_' || (c == '-' && previous == 'e');
        previous = c;
        !goes_on
    })
    .unwrap_or(text.len())
}

/// The shader of a pass; `spots` has one entry a binding, `memories` says of each buffer whether it is written.
pub fn wgsl(pass: &Pass, spots: &[Spot], memories: &[bool]) -> Option<String> {
    let language = Language::Wgsl;
    let mut text = String::from(file(language, "prelude")?);
    let [width, _] = fold(pass.groups);
    text += &format!("\nconst GROUPS_A_ROW: u32 = {width}u;\n");
    text += &constants(language, pass);
    for (i, &written) in memories.iter().enumerate() {
        let access = if written { "read_write" } else { "read" };
        text += &format!("@group(0) @binding({i}) var<storage, {access}> m{i}: array<u32>;\n");
    }
    if !pass.sets.is_empty() {
        text += &format!(
            "@group(0) @binding({}) var<storage, read> table: array<u32>;\nvar<private> window_number: u32;\n\
             var<private> window_end: u32;\n",
            memories.len()
        );
        text += &open_window(language, pass, &|name| format!("first_{name}"), &|_| String::new());
    }
    for (binding, spot) in pass.bindings.iter().zip(spots) {
        let (name, Spot { memory, word }) = (&binding.name, *spot);
        let word = match pass.sets.is_empty() {
            true => format!("{word}u"),
            false => {
                text += &format!("var<private> first_{name}: u32;\n");
                format!("first_{name}")
            }
        };
        let reads = match binding.dtype {
            DType::F32 => format!("    return bitcast<f32>(m{memory}[{word} + i]);\n"),
            DType::I32 => format!("    return bitcast<i32>(m{memory}[{word} + i]);\n"),
            DType::F16 | DType::BF16 => {
                format!("    return from_{}(half_of(m{memory}[{word} + (i >> 1u)], i));\n", binding.dtype)
            }
        };
        let kind = value_type(binding.dtype);
        if binding.access != Access::Write {
            text += &language.function(&format!("load_{name}"), &[("i", "u32")], kind, &reads);
        }
        if binding.access == Access::Read || !memories[memory] {
            continue;
        }
        let at = format!("m{memory}[{word} + i]");
        text += &match binding.dtype {
            DType::F32 | DType::I32 => {
                let body = format!("    {at} = bitcast<u32>(v);\n");
                language.function(&format!("store_{name}"), &[("i", "u32"), ("v", kind)], "void", &body)
            }
            dtype => {
                // `i` counts words here; the last one may be half.
                let body = format!(
                    "    if (2u * i + 1u < {}) {{\n        {at} = to_{dtype}(low) | (to_{dtype}(high) << 16u);\n    \
                     }} else {{\n        {at} = with_low({at}, to_{dtype}(low));\n    }}\n",
                    end(pass, binding.len)
                );
                let arguments = [("i", "u32"), ("low", "f32"), ("high", "f32")];
                language.function(&format!("store_pair_{name}"), &arguments, "void", &body)
            }
        };
    }
    text += &words(language);
    text += &rows(language, pass);
    text += &prologue(language, pass);
    text += &finish(language, pass);
    text += &entry(file(language, pass.stem)?, pass.entry);
    Some(text)
}

/// The CUDA kernel of a pass. Its parameters are the pointers of the bindings, in their order.
///
/// The kernel file's text stands inside a structure that holds these pointers, so that its functions see the
/// accessors by name.
pub fn cuda(pass: &Pass) -> Option<String> {
    let language = Language::Cuda;
    let mut text = String::from("namespace kinesome {\n");
    text += file(language, "prelude")?;
    text += &constants(language, pass);
    text += &words(language);
    text += "struct Bindings {\n";
    let mut parameters = vec![];
    let mut pointers = vec![];
    if !pass.sets.is_empty() {
        text += "const unsigned long long* table;\nu32 window_number, window_end;\n";
    }
    for binding in &pass.bindings {
        let (name, dtype) = (&binding.name, binding.dtype);
        let held = held(binding);
        text += &format!("{held} pointer_{name};\n");
        parameters.push(format!("{held} {name}"));
        pointers.push(name.as_str());
        let kind = value_type(dtype);
        let (from, to) = match dtype {
            DType::F32 | DType::I32 => (String::new(), String::new()),
            DType::F16 | DType::BF16 => (format!("from_{dtype}"), format!("to_{dtype}")),
        };
        if binding.access != Access::Write {
            // Memory that nothing writes meanwhile may come through the read-only cache.
            let value = match binding.access {
                Access::Read => format!("__ldg(pointer_{name} + i)"),
                _ => format!("pointer_{name}[i]"),
            };
            let body = format!("    return {from}({value});\n");
            text += &language.function(&format!("load_{name}"), &[("i", "u32")], kind, &body);
        }
        if binding.access != Access::Read {
            let body = format!("    pointer_{name}[i] = {to}(v);\n");
            let arguments = [("i", "u32"), ("v", kind)];
            text += &language.function(&format!("store_{name}"), &arguments, "void", &body);
        }
    }
    if !pass.sets.is_empty() {
        let kind = |binding: &Binding| format!("({})", held(binding));
        text += &open_window(language, pass, &|name| format!("pointer_{name}"), &kind);
        (parameters, pointers) = (vec!["const unsigned long long* table".into()], vec!["table"]);
    }
    text += &rows(language, pass);
    text += &prologue(language, pass);
    text += &finish(language, pass);
    text += &entry(file(language, pass.stem)?, pass.entry);
    text += "};\n";
    text += &format!(
        "extern \"C\" __global__ void __launch_bounds__({}) {}({}) {{\n    Bindings{{{}}}.{}();\n}}\n}}\n",
        pass.threads,
        cuda_name(pass),
        parameters.join(", "),
        pointers.join(", "),
        pass.entry
    );
    Some(text)
}

/// What a kernel has of a binding.
fn held(binding: &Binding) -> String {
    let kind = match binding.dtype {
        DType::F32 => "f32",
        DType::I32 => "i32",
        DType::F16 | DType::BF16 => "u16",
    };
    let constant = if binding.access == Access::Read { "const " } else { "" };
    format!("{constant}{kind}*")
}

/// `open_window(row)` of a pass over sets: takes the places of the bindings from the table, and gives the first
/// element of the row's window.
fn open_window(
    language: Language,
    pass: &Pass,
    place: &dyn Fn(&str) -> String,
    kind: &dyn Fn(&Binding) -> String,
) -> String {
    let mut body = format!("    let at = row * {}u;\n", pass.bindings.len() + 3);
    body += "    window_number = u32(table[at]);\n    window_end = u32(table[at + 2u]);\n";
    for (i, binding) in pass.bindings.iter().enumerate() {
        body += &format!("    {} = {}table[at + {}u];\n", place(&binding.name), kind(binding), i + 3);
    }
    body += "    return u32(table[at + 1u]);\n";
    language.function("open_window", &[("row", "u32")], "u32", &language.rewrite(&body))
}

/// The end of what may be stored through a binding of so many elements.
fn end(pass: &Pass, len: usize) -> String {
    if pass.sets.is_empty() { format!("{len}u") } else { "window_end".into() }
}

/// The name a driver knows a kernel by; with a prefix, as CUDA has functions of its own (`norm`).
pub fn cuda_name(pass: &Pass) -> String {
    format!("kinesome_{}", pass.entry)
}

/// What accessors take and give.
fn value_type(dtype: DType) -> &'static str {
    if dtype == DType::I32 { "i32" } else { "f32" }
}

fn constants(language: Language, pass: &Pass) -> String {
    let groups = ("GROUPS", Number::U32(pass.groups as u32));
    let all = pass.constants.iter().copied().chain([("THREADS", Number::U32(pass.threads)), groups]);
    all.map(|(name, value)| {
        let (kind, value) = match value {
            Number::U32(v) => ("u32", format!("{v}u")),
            Number::I32(v) => ("i32", v.to_string()),
            Number::F32(v) => ("f32", language.rewrite(&format!("{v:e}"))),
        };
        match language {
            Language::Wgsl => format!("const {name}: {kind} = {value};\n"),
            Language::Cuda => format!("constexpr {kind} {name} = {value};\n"),
        }
    })
    .collect()
}

fn words(language: Language) -> String {
    let each = WORDS.iter().map(|word| {
        let arguments: Vec<(&str, &str)> = word.arguments.iter().map(|&a| (a, "f32")).collect();
        language.function(word.name, &arguments, "f32", &language.body(word.text))
    });
    each.collect()
}

/// The rows that a pass's chains are made of, each once.
fn rows(language: Language, pass: &Pass) -> String {
    let mut known = HashSet::new();
    let steps = pass.prologue.iter().chain(&pass.epilogue).flat_map(|chain| &chain.steps);
    let each = steps.filter(|step| known.insert(step.row.name)).map(|step| {
        let arguments: Vec<(&str, &str)> = step.row.arguments.iter().map(|&a| (a, "f32")).collect();
        let name = format!("row_{}", step.row.name);
        language.function(&name, &arguments, "f32", &language.body(step.row.text))
    });
    each.collect()
}

/// `load_x(i)` as a chain.
fn prologue(language: Language, pass: &Pass) -> String {
    let Some((chain, &[(slot, _)])) = pass.prologue.as_ref().map(|chain| (chain, &chain.stores[..])) else {
        return String::new();
    };
    let integer = |r: usize| is_integer(pass, r);
    let body = evaluate(chain, &integer, "i", "s") + &format!("    return s{slot};\n");
    language.function("load_x", &[("i", "u32")], "f32", &language.rewrite(&body))
}

fn is_integer(pass: &Pass, read: usize) -> bool {
    let name = format!("r{read}");
    pass.bindings.iter().any(|b| b.name == name && b.dtype == DType::I32)
}

/// `finish(i, value)`, and `finish_pair(i)` for a chain of its own whose 16-bit stores go in pairs.
fn finish(language: Language, pass: &Pass) -> String {
    let arguments = [("i", "u32"), ("value", "f32")];
    let Some(chain) = &pass.epilogue else {
        // A kernel that makes integers stores them itself.
        let takes = |b: &Binding| b.name == "y" && b.access != Access::Read && b.dtype != DType::I32;
        if !pass.bindings.iter().any(takes) {
            return String::new();
        }
        return language.function("finish", &arguments, "void", "    store_y(i, value);\n");
    };
    let dtype = |w: usize| {
        let name = format!("w{w}");
        pass.bindings.iter().find(|b| b.name == name).map_or(DType::F32, |b| b.dtype)
    };
    let is_half = |w: usize| language.stores_in_pairs() && dtype(w).size() < 4;
    let integer = |r: usize| is_integer(pass, r);
    let converted = |w: usize, slot: &str| match dtype(w) {
        DType::I32 => format!("i32({slot})"),
        _ => slot.to_string(),
    };
    if !chain.stores.iter().any(|&(_, w)| is_half(w)) {
        let mut body = evaluate(chain, &integer, "i", "s");
        for &(slot, w) in &chain.stores {
            body += &format!("    store_w{w}(i, {});\n", converted(w, &format!("s{slot}")));
        }
        return language.function("finish", &arguments, "void", &language.rewrite(&body));
    }
    // The second of an odd number's last pair is evaluated again as the first, and not stored.
    let mut body = format!("    let j = i + u32(i + 1u < {});\n", end(pass, chain.len()));
    body += &evaluate(chain, &integer, "i", "s");
    body += &evaluate(chain, &integer, "j", "t");
    for &(slot, w) in &chain.stores {
        if is_half(w) {
            body += &format!("    store_pair_w{w}(i >> 1u, s{slot}, t{slot});\n");
        } else {
            body += &format!("    store_w{w}(i, {});\n", converted(w, &format!("s{slot}")));
            body += &format!("    store_w{w}(j, {});\n", converted(w, &format!("t{slot}")));
        }
    }
    language.function("finish_pair", &[("i", "u32")], "void", &language.rewrite(&body))
}

/// Lines that give every slot of a chain at `element` the name `prefix`, number of the slot.
fn evaluate(chain: &Chain, integer: &dyn Fn(usize) -> bool, element: &str, prefix: &str) -> String {
    let mut text = String::new();
    let is_direct = |load: &Load| chain.is_direct(load);
    let axes = chain.shape.len();
    let needed = |axis: usize| {
        chain
            .loads
            .iter()
            .any(|l| matches!(l.source, Source::Read(_)) && !is_direct(l) && l.strides[axis] != 0)
    };
    let own = strides(&chain.shape);
    for axis in (0..axes).filter(|&axis| needed(axis)) {
        let (step, length) = (own[axis], chain.shape[axis]);
        let quotient = if step == 1 { element.to_string() } else { format!("({element} / {step}u)") };
        let position = if axis == 0 { quotient } else { format!("{quotient} % {length}u") };
        text += &format!("    let {prefix}p{axis} = i32({position});\n");
    }
    for (slot, load) in chain.loads.iter().enumerate() {
        let value = match load.source {
            Source::Immediate(value) => immediate(value),
            Source::Result => "value".to_string(),
            Source::Read(r) => {
                let place = match is_direct(load) {
                    true => element.to_string(),
                    false => place(load, prefix),
                };
                match integer(r) {
                    true => format!("f32(load_r{r}({place}))"),
                    false => format!("load_r{r}({place})"),
                }
            }
        };
        text += &format!("    let {prefix}{slot} = {value};\n");
    }
    for (at, step) in chain.steps.iter().enumerate() {
        let arguments: Vec<String> = step.arguments.iter().map(|a| format!("{prefix}{a}")).collect();
        let slot = chain.loads.len() + at;
        text += &format!("    let {prefix}{slot} = row_{}({});\n", step.row.name, arguments.join(", "));
    }
    text
}

/// The element of a strided load.
fn place(load: &Load, prefix: &str) -> String {
    let mut sum = load.offset.to_string();
    for (axis, &stride) in load.strides.iter().enumerate().filter(|(_, s)| **s != 0) {
        sum += &format!(" + {prefix}p{axis} * {stride}");
    }
    format!("u32({sum})")
}

/// A number of a recorded step, bit for bit.
fn immediate(value: f32) -> String {
    if value.is_normal() || value.to_bits() == 0 {
        let text = format!("{value:e}");
        let text = if text.contains('.') { text } else { text.replace('e', ".0e") };
        format!("f32({text})")
    } else {
        format!("from_bits({:#x}u)", value.to_bits())
    }
}

/// The part of a kernel file that one entry needs.
fn entry(file: &str, name: &str) -> String {
    let mut text = String::new();
    let mut wanted = true;
    for line in file.lines() {
        if let Some(of) = line.trim().strip_prefix("// entry: ") {
            wanted = of.split_whitespace().any(|of| of == name);
        }
        if wanted {
            text += line;
            text.push('\n');
        }
    }
    text
}
