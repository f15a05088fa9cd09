//! The CUDA device: NVIDIA GPUs through the driver alone. Kernels are compiled for the GPU at hand by NVRTC
//! and kept on disk; a program's launches are recorded as one graph and replayed.

mod ahead;
mod cache;
mod driver;
mod inputs;
mod kernels;
pub mod nvrtc;

use std::any::Any;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, Weak};

use cudarc::driver::result;
use cudarc::driver::sys::CUdeviceptr;
use rayon::prelude::*;

use super::gpu::{Content, Lowered, Pass, source};
use super::{Device, Executable, Memory};
use crate::Result;
use crate::plan::{Place, Program};
pub use ahead::Ahead;
use driver::{Block, Context, Graph, Module, check, mib, problem};
use inputs::Inputs;
use kernels::{Kernels, lower_all, texts};
pub use kernels::{PTX, options};

/// Groups along the first axis of a grid.
const MOST_GROUPS: u32 = i32::MAX as u32;

pub struct Cuda {
    name: String,
    context: Arc<Context>,
    kernels: Kernels,
    /// By text: programs of one run share most kernels.
    loaded: Mutex<HashMap<String, Weak<Module>>>,
}

/// The first GPU if there is a driver, a GPU and a compiler; otherwise why not.
pub fn open(ordinal: usize) -> Result<Cuda> {
    let context = Context::open(ordinal)?;
    let kernels = Kernels::open(architecture(context.capability), context.driver / 1000)?;
    let name = if ordinal == 0 { "cuda".to_string() } else { format!("cuda:{ordinal}") };
    Ok(Cuda { name, context, kernels, loaded: Mutex::default() })
}

/// How many GPUs could be opened.
pub fn count() -> usize {
    driver::count().unwrap_or(0)
}

/// The compiler's name for an architecture; `a` lets kernels use what only this one has.
pub fn architecture((major, minor): (i32, i32)) -> String {
    let exact = if (major, minor) == (9, 0) { "a" } else { "" };
    format!("sm_{major}{minor}{exact}")
}

impl Cuda {
    /// Loaded kernels for these passes, each text once, compiled in parallel.
    fn modules(&self, wanted: &[(&Pass, String, &str)]) -> Result<Vec<Arc<Module>>> {
        let mut distinct: HashMap<&str, (&Pass, &str)> = HashMap::new();
        for (pass, text, label) in wanted {
            distinct.entry(text).or_insert((pass, label));
        }
        let fresh: HashMap<&str, Arc<Module>> = distinct
            .into_par_iter()
            .map(|(text, (pass, label))| Ok((text, self.kernel(pass, text, label)?)))
            .collect::<Result<_>>()?;
        Ok(wanted.iter().map(|(_, text, _)| fresh[text.as_str()].clone()).collect())
    }

    fn kernel(&self, pass: &Pass, text: &str, label: &str) -> Result<Arc<Module>> {
        let known = |modules: &HashMap<String, Weak<Module>>| modules.get(text).and_then(Weak::upgrade);
        if let Some(module) = known(&self.lock()) {
            return Ok(module);
        }
        let name = source::cuda_name(pass);
        // A driver may refuse what a newer compiler made: then this machine's own is asked.
        for cubin in [self.kernels.embedded(text), self.kernels.kept(text)].into_iter().flatten() {
            if let Ok(module) = Module::new(&self.context, &cubin, &name) {
                return Ok(self.keep(text, module));
            }
        }
        let cubin = self.kernels.compile(pass, text, label)?;
        let module = Module::new(&self.context, &cubin, &name).map_err(|e| {
            let (compiler, driver) = (self.kernels.describe(), self.context.driver);
            problem(format!(
                "kernel {} ({}), of {label}, made by {compiler}, is refused by the driver (CUDA {}.{}): {e}; use an \
                 NVRTC not newer than the driver",
                pass.entry,
                pass.stem,
                driver / 1000,
                driver % 1000 / 10
            ))
        })?;
        Ok(self.keep(text, module))
    }

    fn keep(&self, text: &str, module: Module) -> Arc<Module> {
        let module = Arc::new(module);
        self.lock().insert(text.into(), Arc::downgrade(&module));
        module
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<Module>>> {
        self.loaded.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Says before anything is allocated that a plan will not fit.
    fn fits(&self, program: &Program, scratch: usize, inputs: usize) -> Result<()> {
        let constants: usize = constants(program).map(|(_, t)| t.bytes().len()).sum();
        let needed = program.arena_bytes + scratch + inputs + constants;
        let (free, total) = self.context.memory()?;
        if needed > free {
            return Err(problem(format!(
                "the plan needs {:.1} MiB (arena {:.1}, scratch {:.1}, inputs {:.1}, constants {:.1}) and {:.1} of {:.1} MiB \
                 are free on {}; a smaller batch needs less",
                mib(needed),
                mib(program.arena_bytes),
                mib(scratch),
                mib(inputs),
                mib(constants),
                mib(free),
                mib(total),
                self.context.name
            )));
        }
        Ok(())
    }
}

fn constants(program: &Program) -> impl Iterator<Item = (usize, &crate::tensor::Tensor)> {
    program.buffers.iter().enumerate().filter_map(|(at, buffer)| match &buffer.place {
        Place::Constant(tensor) => Some((at, tensor.as_ref())),
        _ => None,
    })
}

fn block(memory: &Arc<dyn Memory>) -> Result<&Block> {
    let any: &dyn Any = memory.as_ref();
    any.downcast_ref().ok_or_else(|| problem("memory of another device"))
}

impl Memory for Block {
    fn len(&self) -> usize {
        self.len
    }
}

impl Device for Cuda {
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self) -> String {
        let Context { name, driver, processors, .. } = self.context.as_ref();
        let (major, minor) = self.context.capability;
        let memory = match self.context.memory() {
            Ok((free, total)) => format!("{:.1} GiB, {:.1} free", mib(total) / 1024.0, mib(free) / 1024.0),
            Err(e) => e.to_string(),
        };
        format!(
            "{name}, {processors} processors of {major}.{minor}, {memory}, driver for CUDA {}.{}, {}",
            driver / 1000,
            driver % 1000 / 10,
            self.kernels.describe()
        )
    }

    fn allocate(&self, bytes: usize) -> Result<Arc<dyn Memory>> {
        Ok(Arc::new(Block::new(&self.context, bytes)?))
    }

    fn write(&self, memory: &Arc<dyn Memory>, bytes: &[u8]) -> Result<()> {
        block(memory)?.write(bytes)
    }

    fn read(&self, memory: &Arc<dyn Memory>, bytes: &mut [u8]) -> Result<()> {
        block(memory)?.read(bytes)
    }

    fn load(&self, program: Arc<Program>, states: Vec<Arc<dyn Memory>>) -> Result<Box<dyn Executable>> {
        let lowered = lower_all(&program)?;
        let wanted = texts(&program, &lowered)?;
        let modules = self.modules(&wanted)?;

        let lengths: Vec<usize> =
            program.inputs.iter().map(|(_, b)| program.buffers[*b].meta.bytes()).collect();
        let scratch_bytes = lowered.iter().map(|l| scratch_places(l).1).max().unwrap_or(0);
        self.fits(&program, scratch_bytes, Inputs::bytes(&lengths))?;
        let arena = Block::new(&self.context, program.arena_bytes)?;
        let scratch = Block::new(&self.context, scratch_bytes)?;
        let inputs = Inputs::new(&self.context, &lengths)?;
        let mut held = HashMap::new();
        for (at, tensor) in constants(&program) {
            let block = Block::new(&self.context, tensor.bytes().len())?;
            block.write(tensor.bytes())?;
            held.insert(at, block);
        }
        let mut loaded = Loaded {
            graph: None,
            replays: 0,
            launches: vec![],
            context: self.context.clone(),
            program: program.clone(),
            arena,
            scratch,
            inputs,
            constants: held,
            states,
            tables: vec![],
        };
        let mut next = modules.iter();
        for lowered in &lowered {
            let mut launch = vec![];
            for (pass, module) in lowered.passes.iter().zip(&mut next) {
                launch.push(loaded.kernel(pass, module, lowered)?);
            }
            loaded.launches.push(launch);
        }
        Ok(Box::new(loaded))
    }
}

/// First bytes of a launch's scratch buffers, and the end of the last.
fn scratch_places(lowered: &Lowered) -> (Vec<usize>, usize) {
    let mut end = 0;
    let places = lowered.scratch.iter().map(|&bytes| {
        let start = end;
        end += bytes.next_multiple_of(256);
        start
    });
    (places.collect(), end)
}

/// A kernel with its arguments.
struct Kernel {
    module: Arc<Module>,
    groups: u32,
    threads: u32,
    pointers: Vec<CUdeviceptr>,
}

struct Loaded {
    // Dropped in this order: the graph before what it uses.
    graph: Option<Graph>,
    replays: usize,
    launches: Vec<Vec<Kernel>>,
    context: Arc<Context>,
    program: Arc<Program>,
    arena: Block,
    scratch: Block,
    inputs: Inputs,
    constants: HashMap<usize, Block>,
    states: Vec<Arc<dyn Memory>>,
    /// Of passes over sets.
    tables: Vec<Block>,
}

impl Loaded {
    fn address(&self, buffer: usize) -> Result<CUdeviceptr> {
        Ok(match &self.program.buffers[buffer].place {
            Place::Arena(offset) => self.arena.address + *offset as CUdeviceptr,
            Place::Input(at) => self.inputs.address(*at),
            Place::State(at) => block(&self.states[*at])?.address,
            Place::Constant(_) => self.constants[&buffer].address,
        })
    }

    fn kernel(&mut self, pass: &Pass, module: &Arc<Module>, lowered: &Lowered) -> Result<Kernel> {
        let (places, _) = scratch_places(lowered);
        let pointer = |content| match content {
            Content::Buffer(buffer) => self.address(buffer),
            Content::Scratch(at) => Ok(self.scratch.address + places[at] as CUdeviceptr),
        };
        let pointers = match pass.sets.is_empty() {
            true => pass.bindings.iter().map(|b| pointer(b.content)).collect::<Result<_>>()?,
            false => {
                let table: Vec<CUdeviceptr> = pass.table(|_, content| pointer(content))?;
                let table: &[u8] = bytemuck::cast_slice(&table);
                let block = Block::new(&self.context, table.len())?;
                block.write(table)?;
                let address = block.address;
                self.tables.push(block);
                vec![address]
            }
        };
        let groups = u32::try_from(pass.groups).ok().filter(|&g| g <= MOST_GROUPS);
        let groups = groups
            .ok_or_else(|| problem(format!("{} groups are too many; use smaller batches", pass.groups)))?;
        Ok(Kernel { module: module.clone(), groups, threads: pass.threads, pointers })
    }

    /// Gives the kernels of one launch to the compute stream.
    fn enqueue(&self, at: usize) -> Result<()> {
        for kernel in &self.launches[at] {
            let mut arguments: Vec<*mut c_void> =
                kernel.pointers.iter().map(|p| (&raw const *p).cast_mut().cast()).collect();
            // The driver copies the arguments before it returns; their number and types are the kernel's own.
            let outcome = unsafe {
                result::launch_kernel(
                    kernel.module.function,
                    (kernel.groups, 1, 1),
                    (kernel.threads, 1, 1),
                    0,
                    self.context.compute,
                    &mut arguments,
                )
            };
            if outcome.is_err() {
                check(outcome, &format!("launching {}", self.program.launches[at].label))?;
            }
        }
        Ok(())
    }

    fn enqueue_all(&self) -> Result<()> {
        (0..self.launches.len()).try_for_each(|at| self.enqueue(at))
    }
}

impl Executable for Loaded {
    fn feed(&mut self, input: usize, bytes: &[u8]) -> Result<()> {
        self.inputs.feed(input, bytes)
    }

    fn replay(&mut self) -> Result<()> {
        self.context.bind()?;
        self.inputs.take_over()?;
        self.replays += 1;
        // The driver may load a kernel's code at its first launch, which a recording does not allow: the first
        // replay is not recorded. Programs that run once are then never recorded at all.
        if self.replays == 1 {
            return self.enqueue_all();
        }
        if self.graph.is_none() {
            self.graph = Some(Graph::capture(&self.context, || self.enqueue_all())?);
        }
        match &self.graph {
            Some(graph) => graph.launch(),
            None => Ok(()),
        }
    }

    fn launch(&mut self, at: usize) -> Result<()> {
        self.context.bind()?;
        self.inputs.take_over()?;
        self.enqueue(at)?;
        // Runs that look at every value want to know which launch failed.
        self.context.wait(&self.program.launches[at].label)
    }

    fn fetch(&mut self, buffer: usize, bytes: &mut [u8]) -> Result<()> {
        let address = self.address(buffer)?;
        driver::read(&self.context, address, bytes)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // Nothing of a program may go while the GPU works on it.
        if self.context.bind().is_ok() {
            let _ = self.context.wait("ending a program");
        }
    }
}
