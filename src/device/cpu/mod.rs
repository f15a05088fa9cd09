//! The CPU device: launches are function calls on a rayon pool. One file a special, as everywhere; `chain`
//! runs elementwise rows block by block in cache. Work is cut by shape alone, never by the number of
//! threads, so that the same bits come out on any machine.

mod attention;
mod chain;
mod concat;
mod conv;
mod encode;
mod few_keys;
mod fft;
mod gather;
mod graph_attention;
mod ipa;
mod long_conv;
mod matmul;
mod memory;
mod mlp;
mod norm;
mod pad;
mod panel;
mod random;
mod reduce;
mod scan;
mod segment_sum;
mod slice;
mod softmax;
mod sort;
mod splat;
mod sum_squares;
mod topk;

use std::any::Any;
use std::cell::RefCell;
use std::sync::Arc;

use super::{Device, Executable, Memory};
use crate::ops::{self, Operation};
use crate::plan::{Chain, Kernel, Place, Program};
use crate::tensor::{DType, Meta};
use crate::{Error, Result};
use memory::Block;

#[derive(Default)]
pub struct Cpu;

impl Cpu {
    pub fn new() -> Self {
        Cpu
    }
}

fn block(memory: &Arc<dyn Memory>) -> Result<&Block> {
    let any: &dyn Any = memory.as_ref();
    any.downcast_ref().ok_or_else(|| problem("memory of another device"))
}

fn problem(text: impl Into<String>) -> Error {
    Error::Device { device: "cpu".into(), problem: text.into() }
}

impl Device for Cpu {
    fn name(&self) -> &str {
        "cpu"
    }

    fn describe(&self) -> String {
        let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = model.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split(": ").nth(1));
        format!("{}, {} threads", model.unwrap_or(std::env::consts::ARCH), rayon::current_num_threads())
    }

    fn allocate(&self, bytes: usize) -> Result<Arc<dyn Memory>> {
        Ok(Arc::new(Block::new(bytes)?))
    }

    fn write(&self, memory: &Arc<dyn Memory>, bytes: &[u8]) -> Result<()> {
        block(memory)?.write(0, bytes)
    }

    fn read(&self, memory: &Arc<dyn Memory>, bytes: &mut [u8]) -> Result<()> {
        block(memory)?.read(0, bytes)
    }

    fn load(&self, program: Arc<Program>, states: Vec<Arc<dyn Memory>>) -> Result<Box<dyn Executable>> {
        for launch in &program.launches {
            if let Kernel::Special { op, .. } = &launch.kernel
                && !ops::SPECIALS.iter().any(|s| s.stem == op.stem())
            {
                return Err(problem(format!("has no kernel for {}", launch.label)));
            }
        }
        let inputs = program
            .inputs
            .iter()
            .map(|(_, b)| Block::new(program.buffers[*b].meta.bytes()))
            .collect::<Result<_>>()?;
        let arena = Block::new(program.arena_bytes)?;
        Ok(Box::new(Loaded { program, arena, inputs, states }))
    }
}

struct Loaded {
    program: Arc<Program>,
    arena: Block,
    inputs: Vec<Block>,
    states: Vec<Arc<dyn Memory>>,
}

/// A buffer as a kernel sees it.
#[derive(Clone, Copy)]
struct Raw {
    pointer: *mut u8,
    len: usize,
    dtype: DType,
    /// Kept between replays, so a launch may be reading it while it writes it.
    is_state: bool,
}

// Kernels split a buffer among threads without overlap.
unsafe impl Send for Raw {}
unsafe impl Sync for Raw {}

impl Raw {
    /// # Safety
    /// Nothing may write the buffer while the slice lives.
    unsafe fn slice<'a, T: bytemuck::Pod>(self) -> &'a [T] {
        unsafe { std::slice::from_raw_parts(self.pointer.cast(), self.len) }
    }

    /// # Safety
    /// Nothing else may use the range while the slice lives.
    unsafe fn slice_mut<'a, T: bytemuck::Pod>(self, start: usize, len: usize) -> &'a mut [T] {
        debug_assert!(start + len <= self.len);
        // Wrapping: a window of a larger whole begins before its own memory.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.cast::<T>().wrapping_add(start), len) }
    }
}

/// What a special's kernel gets: metas and buffers of its inputs, its result, and the chain that follows.
struct Call<'a> {
    inputs: &'a [Meta],
    result: &'a Meta,
    reads: &'a [Raw],
    writes: &'a [Raw],
    prologue: Option<&'a Chain>,
    epilogue: Option<&'a Chain>,
}

impl Call<'_> {
    fn f32(&self, input: usize) -> &[f32] {
        unsafe { self.reads[input].slice() }
    }

    fn i32(&self, input: usize) -> &[i32] {
        unsafe { self.reads[input].slice() }
    }

    /// The whole result, for kernels without an epilogue.
    #[allow(clippy::mut_from_ref)]
    fn out(&self) -> &mut [f32] {
        unsafe { self.writes[0].slice_mut(0, self.result.len()) }
    }

    #[allow(clippy::mut_from_ref)]
    fn out_i32(&self) -> &mut [i32] {
        unsafe { self.writes[0].slice_mut(0, self.result.len()) }
    }
}

/// Runs `work` on `len` floats of this thread's own that hold anything.
fn with_scratch<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    thread_local! {
        static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
    }
    // Taken out for the time of use: a call inside `work` gets another.
    let mut scratch = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if scratch.len() < len {
        scratch = vec![0.0; len];
    }
    let result = work(&mut scratch[..len]);
    FREE.with_borrow_mut(|free| free.push(scratch));
    result
}

fn run_special(op: &dyn Operation, call: &Call<'_>) -> Result<()> {
    let any: &dyn Any = op;
    macro_rules! kernels {
        ($($stem:ident: $kind:ident),* $(,)?) => {
            $(if let Some(op) = any.downcast_ref::<ops::$stem::$kind>() {
                return { $stem::run(op, call); Ok(()) };
            })*
        };
    }
    kernels!(
        matmul: MatMul, reduce: Reduce, softmax: Softmax, norm: Norm, gather: Gather, segment_sum: SegmentSum,
        concat: Concat, pad: Pad, encode: Encode, fft: Fft, slice: Slice, random: Random,
        attention: Attention, graph_attention: GraphAttention, conv: Conv, ipa: Ipa, long_conv: LongConv, mlp: Mlp, scan: Scan,
        sort: Sort, splat: Splat, sum_squares: SumSquares, topk: TopK,
    );
    Err(problem(format!("has no kernel for {}", op.stem())))
}

impl Loaded {
    fn raw(&self, buffer: usize) -> Result<Raw> {
        let buffer = &self.program.buffers[buffer];
        let (pointer, is_state) = match &buffer.place {
            Place::Arena(offset) => (self.arena.pointer(*offset), false),
            Place::Input(at) => (self.inputs[*at].pointer(0), false),
            Place::State(at) => (block(&self.states[*at])?.pointer(0), true),
            Place::Constant(tensor) => (tensor.bytes().as_ptr().cast_mut(), false),
        };
        Ok(Raw { pointer, len: buffer.meta.len(), dtype: buffer.meta.dtype, is_state })
    }
}

impl Executable for Loaded {
    fn feed(&mut self, input: usize, bytes: &[u8]) -> Result<()> {
        self.inputs[input].write(0, bytes)
    }

    fn replay(&mut self) -> Result<()> {
        // Once into the pool, not once a launch.
        rayon::scope(|_| (0..self.program.launches.len()).try_for_each(|at| self.launch(at)))
    }

    fn launch(&mut self, at: usize) -> Result<()> {
        let launch = &self.program.launches[at];
        let reads = launch.reads.iter().map(|&b| self.raw(b)).collect::<Result<Vec<_>>>()?;
        let writes = launch.writes.iter().map(|&b| self.raw(b)).collect::<Result<Vec<_>>>()?;
        match &launch.kernel {
            Kernel::Chain(chain) => chain::run(chain, &[chain.len()], &reads, &writes),
            Kernel::Chains { chain, lengths } => chain::run(chain, lengths, &reads, &writes),
            Kernel::Special { op, inputs, result, prologue, epilogue } => {
                let call = Call {
                    inputs,
                    result,
                    reads: &reads,
                    writes: &writes,
                    prologue: prologue.as_ref(),
                    epilogue: epilogue.as_ref(),
                };
                run_special(op.as_ref(), &call)?;
            }
        }
        Ok(())
    }

    fn fetch(&mut self, buffer: usize, bytes: &mut [u8]) -> Result<()> {
        let raw = self.raw(buffer)?;
        bytes.copy_from_slice(unsafe { std::slice::from_raw_parts(raw.pointer, raw.len * raw.dtype.size()) });
        Ok(())
    }
}
