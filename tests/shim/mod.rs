//! The device `cuda-shim`: the CUDA kernels, compiled by the machine's C++ compiler against `cuda_host.h` and
//! run on the host. It watches memory as closely as time allows: buffers start as NaN, stand between walls of
//! NaN, and a launch that changes what it was not given to write is an error.

// Each test program uses its part.
#![allow(dead_code)]

pub mod compiler;

use std::any::Any;
use std::collections::HashMap;
use std::ffi::{CStr, c_void};
use std::sync::{Arc, Mutex, OnceLock};

use kinesome::conformance::{self, Recorded};

use kinesome::device::gpu::{self, Content, Language, Lowered, Pass, source};
use kinesome::device::{Device, Executable, Memory};
use kinesome::plan::{Options, Place, Program};
use kinesome::tape::Tape;
use kinesome::{Error, Result};

use compiler::{Compiler, Run};

/// Words of NaN before and after every block of memory.
const WALL: usize = 64;
/// Programs up to this many bytes have all their memory compared before and after each launch.
const WATCHED: usize = 1 << 20;

pub struct Shim {
    compiler: Mutex<Compiler>,
}

fn problem(text: impl Into<String>) -> Error {
    Error::Device { device: "cuda-shim".into(), problem: text.into() }
}

/// The one of this process, with the kernels of all sample cases compiled in few calls of the compiler. Nothing
/// where there is no C++ compiler: then a line says so, and it is a failure where it has to be there.
pub fn device() -> Option<Arc<Shim>> {
    static SHIM: OnceLock<Option<Arc<Shim>>> = OnceLock::new();
    let open = || {
        let Some(mut compiler) = Compiler::find() else {
            let required = std::env::var("KINESOME_REQUIRE_SHIM").is_ok_and(|v| v == "1");
            assert!(!required, "KINESOME_REQUIRE_SHIM is set and there is no g++");
            eprintln!("cuda-shim: skipped, no g++");
            return None;
        };
        let texts: Vec<String> = sample_kernels().into_iter().map(|(_, text)| text).collect();
        compiler.compile(&texts).unwrap_or_else(|problem| panic!("{problem}"));
        Some(Arc::new(Shim { compiler: Mutex::new(compiler) }))
    };
    SHIM.get_or_init(open).clone()
}

/// The passes of all sample cases, value and derivative, in every way that they are planned.
pub fn sample_kernels() -> Vec<(Pass, String)> {
    let mut found = vec![];
    for sample in conformance::all() {
        for options in [Options::default(), Options::eager()] {
            let tape = Tape::new();
            let recorded = Recorded::new(&sample, &tape);
            let program = Program::new(&tape, &recorded.named(), options).expect("a plan");
            let passes = lowered(&program).unwrap_or_else(|e| panic!("{}: {e}", sample.name));
            found.extend(passes.into_iter().flatten());
        }
    }
    found
}

/// The passes of each launch with their texts.
fn lowered(program: &Program) -> Result<Vec<Vec<(Pass, String)>>> {
    let texts = |launch| -> Result<Vec<(Pass, String)>> {
        let lowered = gpu::lower(program, launch, Language::Cuda)?;
        let text = |pass: Pass| {
            let text = source::cuda(&pass).ok_or_else(|| problem(format!("no kernel {}", pass.stem)))?;
            Ok((pass, text))
        };
        lowered.passes.into_iter().map(text).collect()
    };
    program.launches.iter().map(texts).collect()
}

/// Memory between two walls.
pub struct Block {
    words: Mutex<Vec<u32>>,
    len: usize,
}

impl Block {
    fn new(len: usize, fill: u32) -> Block {
        let mut words = vec![u32::MAX; 2 * WALL + len.div_ceil(4)];
        let end = words.len() - WALL;
        words[WALL..end].fill(fill);
        Block { words: Mutex::new(words), len }
    }

    fn address(&self) -> *mut u8 {
        // Kernels run one launch at a time; nobody holds the lock while one does.
        unsafe { self.words.lock().unwrap().as_mut_ptr().add(WALL).cast() }
    }

    fn bytes(&self) -> Vec<u8> {
        self.words.lock().unwrap().iter().flat_map(|w| w.to_ne_bytes()).collect()
    }
}

impl Memory for Block {
    fn len(&self) -> usize {
        self.len
    }
}

fn block(memory: &Arc<dyn Memory>) -> Result<&Block> {
    let any: &dyn Any = memory.as_ref();
    any.downcast_ref().ok_or_else(|| problem("memory of another device"))
}

impl Device for Shim {
    fn name(&self) -> &str {
        "cuda-shim"
    }

    fn describe(&self) -> String {
        "CUDA kernels run on the host".into()
    }

    fn allocate(&self, bytes: usize) -> Result<Arc<dyn Memory>> {
        Ok(Arc::new(Block::new(bytes, 0)))
    }

    fn write(&self, memory: &Arc<dyn Memory>, bytes: &[u8]) -> Result<()> {
        write(block(memory)?, bytes)
    }

    fn read(&self, memory: &Arc<dyn Memory>, bytes: &mut [u8]) -> Result<()> {
        let block = block(memory)?;
        assert!(bytes.len() <= block.len);
        unsafe { std::ptr::copy_nonoverlapping(block.address(), bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn load(&self, program: Arc<Program>, states: Vec<Arc<dyn Memory>>) -> Result<Box<dyn Executable>> {
        let mut compiler = self.compiler.lock().unwrap();
        let passes = lowered(&program)?;
        let texts: Vec<String> = passes.iter().flatten().map(|(_, text)| text.clone()).collect();
        compiler.compile(&texts).map_err(problem)?;
        let kernels = passes
            .iter()
            .map(|passes| passes.iter().map(|(_, text)| compiler.kernel(text)).collect())
            .collect();
        let lowered = program
            .launches
            .iter()
            .map(|launch| gpu::lower(&program, launch, Language::Cuda))
            .collect::<Result<_>>()?;
        let length = |b: usize| program.buffers[b].meta.bytes();
        let inputs = program.inputs.iter().map(|(_, b)| Block::new(length(*b), u32::MAX)).collect();
        let mut constants = HashMap::new();
        for (at, buffer) in program.buffers.iter().enumerate() {
            if let Place::Constant(tensor) = &buffer.place {
                let block = Block::new(tensor.bytes().len(), u32::MAX);
                write(&block, tensor.bytes())?;
                constants.insert(at, block);
            }
        }
        let arena = Block::new(program.arena_bytes, u32::MAX);
        Ok(Box::new(Loaded { program, lowered, kernels, arena, inputs, constants, states }))
    }
}

fn write(block: &Block, bytes: &[u8]) -> Result<()> {
    assert!(bytes.len() <= block.len);
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), block.address(), bytes.len()) };
    Ok(())
}

struct Loaded {
    program: Arc<Program>,
    lowered: Vec<Lowered>,
    kernels: Vec<Vec<Run>>,
    arena: Block,
    inputs: Vec<Block>,
    constants: HashMap<usize, Block>,
    states: Vec<Arc<dyn Memory>>,
}

impl Loaded {
    /// The block that holds a buffer, and the buffer's first byte in it.
    fn place(&self, buffer: usize) -> Result<(&Block, usize)> {
        Ok(match &self.program.buffers[buffer].place {
            Place::Arena(offset) => (&self.arena, *offset),
            Place::Input(at) => (&self.inputs[*at], 0),
            Place::State(at) => (block(&self.states[*at])?, 0),
            Place::Constant(_) => (&self.constants[&buffer], 0),
        })
    }

    fn blocks(&self) -> Result<Vec<&Block>> {
        let states = self.states.iter().map(block).collect::<Result<Vec<_>>>()?;
        Ok([&self.arena]
            .into_iter()
            .chain(&self.inputs)
            .chain(self.constants.values())
            .chain(states)
            .collect())
    }

    /// Bytes that a launch changed and was not to.
    fn strayed(&self, at: usize, before: &[Vec<u8>]) -> Result<Option<String>> {
        let mut allowed = vec![];
        for &buffer in &self.program.launches[at].writes {
            let (block, start) = self.place(buffer)?;
            allowed
                .push((std::ptr::from_ref(block), start..start + self.program.buffers[buffer].meta.bytes()));
        }
        for (block, before) in self.blocks()?.into_iter().zip(before) {
            for (byte, _) in before.iter().zip(block.bytes()).enumerate().filter(|(_, (a, b))| **a != *b) {
                let place = byte as isize - 4 * WALL as isize;
                let fine = |(owner, range): &(*const Block, std::ops::Range<usize>)| {
                    std::ptr::eq(*owner, block) && usize::try_from(place).is_ok_and(|p| range.contains(&p))
                };
                if !allowed.iter().any(fine) {
                    let kind = if std::ptr::eq(block, &self.arena) { "the arena" } else { "a block" };
                    return Ok(Some(format!("writes byte {place} of {kind} of {} bytes", block.len)));
                }
            }
        }
        Ok(None)
    }
}

/// Statics stand for shared memory: one launch at a time in the whole process.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    static RUNNING: Mutex<()> = Mutex::new(());
    let _alone = RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    work()
}

impl Executable for Loaded {
    fn feed(&mut self, input: usize, bytes: &[u8]) -> Result<()> {
        write(&self.inputs[input], bytes)
    }

    fn replay(&mut self) -> Result<()> {
        (0..self.program.launches.len()).try_for_each(|at| self.launch(at))
    }

    fn launch(&mut self, at: usize) -> Result<()> {
        let blocks = self.blocks()?;
        let watched = blocks.iter().map(|b| b.len).sum::<usize>() <= WATCHED;
        let before: Vec<Vec<u8>> = if watched { blocks.iter().map(|b| b.bytes()).collect() } else { vec![] };
        let lowered = &self.lowered[at];
        let scratch: Vec<Block> = lowered.scratch.iter().map(|&bytes| Block::new(bytes, u32::MAX)).collect();
        let label = &self.program.launches[at].label;
        for (pass, run) in lowered.passes.iter().zip(&self.kernels[at]) {
            let pointer = |content| -> Result<*mut u8> {
                Ok(match content {
                    Content::Buffer(buffer) => {
                        let (block, start) = self.place(buffer)?;
                        unsafe { block.address().add(start) }
                    }
                    Content::Scratch(at) => scratch[at].address(),
                })
            };
            let table: Vec<u64> = pass.table(|_, content| pointer(content).map(|p| p as u64))?;
            let pointers = match pass.sets.is_empty() {
                true => pass.bindings.iter().map(|b| pointer(b.content)).collect::<Result<Vec<_>>>()?,
                false => vec![table.as_ptr().cast_mut().cast()],
            };
            let mut arguments: Vec<*mut c_void> =
                pointers.iter().map(|p| std::ptr::from_ref(p).cast_mut().cast()).collect();
            let groups = u32::try_from(pass.groups).expect("a grid's axis");
            let wrong = alone(|| unsafe { run(arguments.as_mut_ptr(), groups, pass.threads) });
            if !wrong.is_null() {
                let text = unsafe { CStr::from_ptr(wrong) }.to_string_lossy();
                return Err(problem(format!("{label}: kernel {} ({}): {text}", pass.entry, pass.stem)));
            }
        }
        let walls = scratch.iter().all(|b| {
            let words = b.words.lock().unwrap();
            words[..WALL].iter().chain(&words[words.len() - WALL..]).all(|&w| w == u32::MAX)
        });
        if !walls {
            return Err(problem(format!("{label} writes beside its scratch")));
        }
        match if watched { self.strayed(at, &before)? } else { None } {
            Some(what) => Err(problem(format!("{label} {what}"))),
            None => Ok(()),
        }
    }

    fn fetch(&mut self, buffer: usize, bytes: &mut [u8]) -> Result<()> {
        let (block, start) = self.place(buffer)?;
        unsafe { std::ptr::copy_nonoverlapping(block.address().add(start), bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }
}
