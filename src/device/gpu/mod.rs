//! What the GPU devices share: a planned launch as a list of passes.
//!
//! A pass is one entry of a kernel file, the numbers baked into it, its bindings and how many groups run it.
//! [`lower`] does that arithmetic once for both devices, one file a special; [`source`] makes the text, in
//! WGSL or CUDA C. No driver is known here, so all of it can be checked on any machine.

mod attention;
mod chain;
mod concat;
mod conv;
mod encode;
mod fft;
mod gather;
mod graph_attention;
mod ipa;
mod long_conv;
mod matmul;
mod mlp;
mod norm;
mod order;
mod pad;
mod random;
mod reduce;
mod scan;
mod segment_sum;
mod slice;
mod softmax;
mod sort;
pub mod source;
mod splat;
mod sum_squares;
mod topk;

use std::any::Any;

use crate::ops::{self, Operation};
use crate::plan::{BufferId, Chain, Kernel, Launch, Place, Program, Source};
use crate::tensor::{DType, Meta};
use crate::{Error, Result};
pub use source::Language;

/// A number that a kernel knows by name.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Number {
    U32(u32),
    I32(i32),
    F32(f32),
}

/// What stands behind a binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    Buffer(BufferId),
    /// Index into [`Lowered::scratch`].
    Scratch(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Nothing writes it during the pass, under this name or another.
    Read,
    Write,
    ReadWrite,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Binding {
    /// The kernel's own word: `a`, `y`; a chain's reads are `r0`, `r1`, .., its writes `w0`, ...
    pub name: String,
    pub content: Content,
    pub dtype: DType,
    pub access: Access,
    /// Elements.
    pub len: usize,
}

#[derive(Clone, Debug)]
pub struct Pass {
    /// `shaders/<stem>.wgsl`, `kernels/<stem>.cu`
    pub stem: &'static str,
    pub entry: &'static str,
    pub constants: Vec<(&'static str, Number)>,
    pub bindings: Vec<Binding>,
    /// Of one group: a multiple of 32, at most 256.
    pub threads: u32,
    pub groups: u64,
    /// What `finish(i, value)` does with element i of the result; without one it stores to binding `y`.
    pub epilogue: Option<Chain>,
    /// What `load_x(i)` evaluates; without one it loads from binding `x`.
    pub prologue: Option<Chain>,
    /// Where the pass goes over several sets of buffers, and each group takes a window of one: the sets. What the
    /// bindings say is then true of the first.
    pub sets: Vec<Set>,
}

/// What stands behind the bindings of a pass, in their order, and how many elements are to be done there.
#[derive(Clone, PartialEq, Debug)]
pub struct Set {
    pub contents: Vec<Content>,
    pub len: usize,
    /// Of its first window among those of all sets.
    pub number: usize,
}

/// Elements of a set that one group takes; even, as some are stored in pairs.
const WINDOW: usize = 1024;

/// A launch as a device runs it: passes in order, each seeing what the ones before wrote.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    pub passes: Vec<Pass>,
    /// Bytes of each scratch buffer; none outlives the launch.
    pub scratch: Vec<usize>,
}

/// Elements are counted in i32 by strides and in u32 by kernels.
const MOST_ELEMENTS: usize = i32::MAX as usize;
/// Groups along one axis of a dispatch that every device takes.
const MOST_GROUPS: u64 = 65_535;

/// A linear count of groups as two axes; the last row may be wider than needed.
pub fn fold(groups: u64) -> [u32; 2] {
    let rows = groups.div_ceil(MOST_GROUPS).max(1);
    [groups.div_ceil(rows) as u32, rows as u32]
}

impl Pass {
    fn new(stem: &'static str, entry: &'static str, threads: u32, groups: usize) -> Pass {
        let (constants, bindings) = (vec![], vec![]);
        Pass {
            stem,
            entry,
            constants,
            bindings,
            threads,
            groups: groups as u64,
            epilogue: None,
            prologue: None,
            sets: vec![],
        }
    }

    /// Windows of so many elements.
    fn windows(len: usize) -> usize {
        len.div_ceil(WINDOW)
    }

    /// The pass over all sets of these contents and lengths.
    fn over_sets(self, each: impl Iterator<Item = (Vec<Content>, usize)>) -> Pass {
        let mut number = 0;
        let set = |(contents, len)| {
            let set = Set { contents, len, number };
            number += Pass::windows(len);
            set
        };
        let sets = each.filter(|(_, len)| *len > 0).map(set).collect();
        self.over(sets)
    }

    /// The pass over these of its sets alone.
    pub fn over(mut self, sets: Vec<Set>) -> Pass {
        self.groups = sets.iter().map(|set| Pass::windows(set.len) as u64).sum();
        self.sets = sets;
        self
    }

    /// What the groups of a pass over sets look up, a row each: the number, the first element and the end of its
    /// window, then the place of each binding as the device has it.
    pub fn table<T, E>(&self, place: impl Fn(usize, Content) -> Result<T, E>) -> Result<Vec<T>, E>
    where
        T: From<u32> + Copy,
    {
        let mut table = vec![];
        for set in &self.sets {
            let places = set.contents.iter().enumerate().map(|(binding, &content)| place(binding, content));
            let places = places.collect::<Result<Vec<T>, E>>()?;
            for (at, first) in (0..set.len).step_by(WINDOW).enumerate() {
                // Fewer elements than u32 counts: `lower` has looked.
                table.push(T::from((set.number + at) as u32));
                table.push(T::from(first as u32));
                table.push(T::from(set.len.min(first + WINDOW) as u32));
                table.extend(&places);
            }
        }
        Ok(table)
    }

    /// One thread an element.
    fn elements(stem: &'static str, entry: &'static str, count: usize) -> Pass {
        Pass::new(stem, entry, 256, count.div_ceil(256)).size("COUNT", count)
    }

    fn number(mut self, name: &'static str, value: Number) -> Pass {
        self.constants.push((name, value));
        self
    }

    /// Lengths are below [`MOST_ELEMENTS`]: [`lower`] has looked.
    fn size(self, name: &'static str, value: usize) -> Pass {
        self.number(name, Number::U32(value as u32))
    }

    fn flag(self, name: &'static str, value: bool) -> Pass {
        self.number(name, Number::U32(value as u32))
    }

    fn bind(mut self, name: &str, access: Access, whole: Whole) -> Pass {
        let Whole { content, dtype, len } = whole;
        self.bindings.push(Binding { name: name.into(), content, dtype, access, len });
        self
    }

    fn reads(self, name: &str, whole: Whole) -> Pass {
        self.bind(name, Access::Read, whole)
    }

    fn writes(self, name: &str, whole: Whole) -> Pass {
        self.bind(name, Access::Write, whole)
    }
}

/// A buffer or scratch from its first element to its last.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Whole {
    content: Content,
    dtype: DType,
    len: usize,
}

/// What a special's lowering gets, and what it fills.
struct Call<'a> {
    inputs: &'a [Meta],
    result: &'a Meta,
    reads: Vec<Whole>,
    writes: Vec<Whole>,
    prologue: Option<&'a Chain>,
    epilogue: Option<&'a Chain>,
    language: Language,
    /// Products of f32 may round their factors to tf32.
    tf32: bool,
    lowered: Lowered,
}

impl Call<'_> {
    fn push(&mut self, pass: Pass) {
        // Of nothing there is nothing to do.
        if pass.groups > 0 {
            self.lowered.passes.push(pass);
        }
    }

    fn scratch(&mut self, dtype: DType, len: usize) -> Whole {
        self.lowered.scratch.push((len * dtype.size()).next_multiple_of(4));
        Whole { content: Content::Scratch(self.lowered.scratch.len() - 1), dtype, len }
    }

    /// Binds the only input as `x`, or has the prologue make it.
    fn input(&self, mut pass: Pass) -> Pass {
        let Some(chain) = self.prologue else { return pass.reads("x", self.reads[0]) };
        for r in read_indices(chain) {
            pass = pass.reads(&format!("r{r}"), self.reads[r]);
        }
        pass.prologue = Some(chain.clone());
        pass
    }

    /// The pass that makes the result's elements: with the epilogue, or with binding `y`.
    fn finish(&mut self, pass: Pass) {
        let pass = match self.epilogue {
            Some(chain) => chain::attach(pass, chain, &self.reads, &self.writes),
            None => pass.writes("y", self.writes[0]),
        };
        self.push(pass);
    }

    /// For specials whose kernel stores by itself.
    fn out(&self) -> Whole {
        self.writes[0]
    }
}

/// The passes of one launch.
pub fn lower(program: &Program, launch: &Launch, language: Language) -> Result<Lowered> {
    let whole = |&id: &BufferId| {
        let Meta { dtype, .. } = program.buffers[id].meta;
        Whole { content: Content::Buffer(id), dtype, len: program.buffers[id].meta.len() }
    };
    let reads: Vec<Whole> = launch.reads.iter().map(whole).collect();
    let writes: Vec<Whole> = launch.writes.iter().map(whole).collect();
    if let Some(large) = reads.iter().chain(&writes).find(|w| w.len > MOST_ELEMENTS) {
        let n = large.len;
        return Err(problem(format!(
            "{}: {n} elements are more than 2^31; use smaller batches",
            launch.label
        )));
    }
    let mut lowered = match &launch.kernel {
        Kernel::Chain(chain) if chain.is_empty() => Lowered::default(),
        Kernel::Chain(chain) => {
            Lowered { passes: vec![chain::lower(chain, &reads, &writes, language)], scratch: vec![] }
        }
        Kernel::Chains { chain, lengths } => {
            let pass = chain::lower_sets(chain, lengths, &reads, &writes, language);
            Lowered { passes: vec![pass], scratch: vec![] }
        }
        Kernel::Special { result, .. } if result.is_empty() => Lowered::default(),
        Kernel::Special { op, inputs, result, prologue, epilogue } => {
            // Where 16 bits cannot be stored alone, chains of their own store them, in pairs: one for the epilogue
            // with all it writes, or one for each result.
            let is_half = |w: &Whole| language.stores_in_pairs() && w.dtype.size() < 4;
            let mut call = Call {
                inputs,
                result,
                reads,
                writes,
                prologue: prologue.as_ref(),
                epilogue: epilogue.as_ref(),
                language,
                tf32: program.tf32,
                lowered: Lowered::default(),
            };
            let mut finals = vec![];
            if epilogue.is_some() && call.writes.iter().any(is_half) {
                let values = call.scratch(DType::F32, result.len());
                finals.push((
                    std::mem::replace(&mut call.writes, vec![values]),
                    call.epilogue.take(),
                    values,
                ));
            } else if epilogue.is_none() {
                for at in 0..call.writes.len() {
                    let whole = call.writes[at];
                    if is_half(&whole) {
                        call.writes[at] = call.scratch(DType::F32, whole.len);
                        finals.push((vec![whole], None, call.writes[at]));
                    }
                }
            }
            lower_special(op.as_ref(), &mut call)?;
            for (writes, epilogue, values) in finals {
                let pass = chain::after(epilogue, values, &call.reads, &writes, language);
                call.push(pass);
            }
            call.lowered
        }
    };
    lowered.passes.iter_mut().for_each(|pass| mark_aliases(program, pass));
    Ok(lowered)
}

fn lower_special(op: &dyn Operation, call: &mut Call<'_>) -> Result<()> {
    let any: &dyn Any = op;
    macro_rules! kernels {
        ($($stem:ident: $kind:ident),* $(,)?) => {
            $(if let Some(op) = any.downcast_ref::<ops::$stem::$kind>() {
                return { $stem::lower(op, call); Ok(()) };
            })*
        };
    }
    kernels!(
        matmul: MatMul, reduce: Reduce, softmax: Softmax, norm: Norm, gather: Gather, segment_sum: SegmentSum,
        concat: Concat, pad: Pad, encode: Encode, fft: Fft, slice: Slice, random: Random,
        attention: Attention, graph_attention: GraphAttention, conv: Conv, ipa: Ipa, long_conv: LongConv, mlp: Mlp, scan: Scan,
        sort: Sort, splat: Splat, sum_squares: SumSquares, topk: TopK,
    );
    Err(problem(format!("there is no kernel for {}", op.stem())))
}

/// A next value that stands in its state's place makes that state's reads ones of memory that is written.
fn mark_aliases(program: &Program, pass: &mut Pass) {
    let state = |content: Content| match content {
        Content::Buffer(id) => match program.buffers[id].place {
            Place::State(at) => Some(at),
            _ => None,
        },
        Content::Scratch(_) => None,
    };
    let states = |at: usize, binding: &Binding| -> Vec<usize> {
        let contents = pass.sets.iter().map(|set| set.contents[at]);
        contents.chain([binding.content]).filter_map(state).collect()
    };
    let states: Vec<Vec<usize>> = pass.bindings.iter().enumerate().map(|(at, b)| states(at, b)).collect();
    let is_written = |(binding, _): &(&Binding, &Vec<usize>)| binding.access != Access::Read;
    let written: Vec<usize> =
        pass.bindings.iter().zip(&states).filter(is_written).flat_map(|(_, s)| s).copied().collect();
    for (binding, states) in pass.bindings.iter_mut().zip(&states) {
        if binding.access == Access::Read && states.iter().any(|s| written.contains(s)) {
            binding.access = Access::ReadWrite;
        }
    }
}

fn problem(text: impl Into<String>) -> Error {
    Error::Device { device: "gpu".into(), problem: text.into() }
}

/// Reads of the launch that a chain loads from, as the names of its bindings.
fn read_indices(chain: &Chain) -> Vec<usize> {
    let mut indices: Vec<usize> = chain
        .loads
        .iter()
        .filter_map(|load| match load.source {
            Source::Read(r) => Some(r),
            _ => None,
        })
        .collect();
    indices.sort_unstable();
    indices.dedup();
    indices
}
