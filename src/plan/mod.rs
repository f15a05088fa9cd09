//! The plan: a tape's live nodes as a short list of launches over buffers with fixed places.
//!
//! What happens, in order: products get 16-bit factors where that is asked for ([`precision`]); equal nodes become
//! one and dead ones go ([`graph`]); elementwise nodes join into chains, a chain over a matrix product becomes its
//! epilogue, one in front of a reduction its prologue ([`fuse`]); the chains of an optimiser become one launch
//! ([`horizontal`]); every buffer gets a place in one arena by its lifetime ([`arena`]). Shapes are fixed, so peak
//! memory is known before the first step.
//! No device is known here; a [`Program`] is data that a device loads, and that can be printed.

mod arena;
mod chain;
mod fuse;
mod graph;
mod horizontal;
mod precision;
mod step;

use std::ops::Range;
use std::sync::Arc;

use crate::ops::Operation;
use crate::tape::{State, Tape, Var};
use crate::tensor::{DType, Meta, Tensor};
use crate::{Error, Result};
pub use chain::{Chain, ChainStep, Load, Source};
pub use step::{Step, Store};

pub type BufferId = usize;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Join elementwise nodes. Without it every node is a launch of its own.
    pub fuse: bool,
    /// Let buffers share places in the arena. Without it every value of the step can be looked at afterwards.
    pub reuse: bool,
    /// What matrix products read their factors in: f32, bf16 or f16.
    pub precision: DType,
    /// Let products of f32 round their factors to tf32 (11 bits) where a device has tensor cores for it.
    pub tf32: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { fuse: true, reuse: true, precision: DType::F32, tf32: false }
    }
}

impl Options {
    /// Node by node, every value kept: what `--eager` runs.
    pub fn eager() -> Self {
        Options { fuse: false, reuse: false, precision: DType::F32, tf32: false }
    }
}

#[derive(Clone, Debug)]
pub enum Place {
    /// Byte offset.
    Arena(usize),
    /// Index into [`Program::inputs`].
    Input(usize),
    /// Index into [`Program::states`].
    State(usize),
    Constant(Arc<Tensor>),
}

#[derive(Clone, Debug)]
pub struct Buffer {
    pub meta: Meta,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub enum Kernel {
    /// A chain over elements.
    Chain(Chain),
    /// A chain over several sets of buffers, each of so many elements. Its loads are of element i or always of
    /// the same one; reads and writes are those of the first set, then of the second, and so on.
    Chains { chain: Chain, lengths: Vec<usize> },
    Special {
        op: Arc<dyn Operation>,
        inputs: Vec<Meta>,
        result: Meta,
        /// Its one store is the special's only input, which stands nowhere else.
        prologue: Option<Chain>,
        /// The result goes through it and is not stored itself.
        epilogue: Option<Chain>,
    },
}

#[derive(Clone, Debug)]
pub struct Launch {
    pub kernel: Kernel,
    /// A special's own inputs first (none with a prologue), then what its chains load.
    pub reads: Vec<BufferId>,
    pub writes: Vec<BufferId>,
    /// The node this launch completes: layer, operation, shape and the line that recorded it.
    pub label: String,
    pub flop: u64,
}

#[derive(Debug)]
pub struct Program {
    pub buffers: Vec<Buffer>,
    pub launches: Vec<Launch>,
    pub inputs: Vec<(String, BufferId)>,
    pub states: Vec<(State, BufferId)>,
    pub outputs: Vec<(String, BufferId)>,
    pub arena_bytes: usize,
    /// As in [`Options`].
    pub tf32: bool,
}

impl Program {
    /// Plans the computation of `outputs` and of every state assigned on the tape.
    pub fn new(tape: &Tape, outputs: &[(&str, Var<'_>)], options: Options) -> Result<Program> {
        tape.check()?;
        let graph = graph::Graph::new(tape, outputs, options.precision);
        let mut program = fuse::lower(&graph, options);
        if options.fuse {
            horizontal::fuse(&mut program);
        }
        arena::place(&mut program, options.reuse);
        Ok(program)
    }

    /// The arena as byte ranges of at most `most` bytes that no value lies across, where there are such.
    pub fn segments(&self, most: usize) -> Vec<Range<usize>> {
        let mut segments = vec![];
        let (mut start, mut free) = (0, 0);
        let inside = |at: usize| {
            self.buffers.iter().any(|b| match b.place {
                Place::Arena(offset) => offset < at && at < offset + b.meta.bytes(),
                _ => false,
            })
        };
        let cuts = (1..).map(|i| i * arena::SEGMENT).take_while(|&at| at < self.arena_bytes);
        for at in cuts.filter(|&at| !inside(at)).chain([self.arena_bytes]) {
            if at - start > most && free > start {
                segments.push(start..free);
                start = free;
            }
            free = at;
        }
        segments.push(start..self.arena_bytes);
        segments
    }

    pub fn flop(&self) -> u64 {
        self.launches.iter().map(|l| l.flop).sum()
    }

    /// Elements of all states whose name does not start with an optimiser's prefix (`adam.`, `ema.`, `loss_scale.`).
    pub fn parameter_count(&self) -> usize {
        let moments = ["adam.", "ema.", "loss_scale."];
        let is_parameter =
            |s: &State| s.meta.dtype.is_float() && !moments.iter().any(|m| s.name.starts_with(m));
        self.states.iter().filter(|(s, _)| is_parameter(s)).map(|(s, _)| s.meta.len()).sum()
    }

    pub fn state_bytes(&self) -> usize {
        self.states.iter().map(|(s, _)| s.meta.bytes()).sum()
    }

    pub fn input_bytes(&self) -> usize {
        self.inputs.iter().map(|(_, b)| self.buffers[*b].meta.bytes()).sum()
    }

    /// Bytes a launch reads and writes, each buffer once.
    pub fn traffic(&self, launch: &Launch) -> usize {
        let mut buffers = [&launch.reads[..], &launch.writes].concat();
        buffers.sort_unstable();
        buffers.dedup();
        buffers.into_iter().map(|b| self.buffers[b].meta.bytes()).sum()
    }

    pub fn input(&self, name: &str) -> Result<(usize, &Meta)> {
        let at = self.inputs.iter().position(|(n, _)| n == name);
        let at = at.ok_or_else(|| Error::Shape(format!("the plan has no input called {name}")))?;
        Ok((at, &self.buffers[self.inputs[at].1].meta))
    }

    /// One line a launch: bytes, FLOP, what it is.
    pub fn listing(&self) -> String {
        let mut text = format!(
            "{} launches, {:.1} MFLOP, arena {:.1} MiB, states {:.1} MiB, inputs {:.1} MiB\n",
            self.launches.len(),
            self.flop() as f64 / 1e6,
            self.arena_bytes as f64 / 1048576.0,
            self.state_bytes() as f64 / 1048576.0,
            self.input_bytes() as f64 / 1048576.0,
        );
        for (i, launch) in self.launches.iter().enumerate() {
            let what = match &launch.kernel {
                Kernel::Chain(chain) => chain.to_string(),
                Kernel::Chains { chain, lengths } => format!("{} x ({chain})", lengths.len()),
                Kernel::Special { op, prologue, epilogue, .. } => {
                    let before = prologue.as_ref().map(|chain| format!("{chain} + ")).unwrap_or_default();
                    let after = epilogue.as_ref().map(|chain| format!(" + {chain}")).unwrap_or_default();
                    format!("{before}{}{after}", op.stem())
                }
            };
            text += &format!(
                "{i:4} {:10.3} MB {:10.2} MFLOP  {what:40} {}\n",
                self.traffic(launch) as f64 / 1e6,
                launch.flop as f64 / 1e6,
                launch.label
            );
        }
        text
    }
}
