//! Devices: allocate, copy, load a program, replay it. A device knows launches and buffers; it knows no
//! network and no tape.

pub mod cpu;
pub mod cuda;
pub mod gpu;
pub mod wgpu;

use std::any::Any;
use std::sync::Arc;

use crate::plan::Program;
use crate::{Error, Result};

/// Memory on a device that outlives programs: parameters, moments. Shared by every program that names it.
pub trait Memory: Any + Send + Sync {
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub trait Device: Send + Sync {
    /// As the user names it: `cpu`.
    fn name(&self) -> &str;

    /// One line about the hardware.
    fn describe(&self) -> String;

    /// Zero-filled.
    fn allocate(&self, bytes: usize) -> Result<Arc<dyn Memory>>;

    fn write(&self, memory: &Arc<dyn Memory>, bytes: &[u8]) -> Result<()>;

    fn read(&self, memory: &Arc<dyn Memory>, bytes: &mut [u8]) -> Result<()>;

    /// Makes a program ready to replay; `states` has one memory for each of [`Program::states`].
    fn load(&self, program: Arc<Program>, states: Vec<Arc<dyn Memory>>) -> Result<Box<dyn Executable>>;
}

/// A loaded program. Replays do not overlap.
pub trait Executable: Send {
    /// Copies a value into an input buffer for the next replay.
    fn feed(&mut self, input: usize, bytes: &[u8]) -> Result<()>;

    /// All launches in order.
    fn replay(&mut self) -> Result<()>;

    /// One launch, for runs that look at every value.
    fn launch(&mut self, at: usize) -> Result<()>;

    /// Copies a buffer of the last replay out.
    fn fetch(&mut self, buffer: usize, bytes: &mut [u8]) -> Result<()>;
}

/// The device called `name`. `auto` is the first GPU that answers (CUDA, then a real wgpu adapter), else the
/// CPU; a software adapter has to be named. `cuda:sm_90a` compiles kernels for such GPUs and computes on the CPU.
pub fn open(name: &str) -> Result<Arc<dyn Device>> {
    if let Some(architecture) = name.strip_prefix("cuda:").filter(|n| n.starts_with("sm_")) {
        return Ok(Arc::new(cuda::Ahead::open(architecture)?));
    }
    if let Some(ordinal) = name.strip_prefix("cuda") {
        let digits = ordinal.strip_prefix(':').unwrap_or(if ordinal.is_empty() { "0" } else { "" });
        if let Ok(ordinal) = digits.parse() {
            return Ok(Arc::new(cuda::open(ordinal)?));
        }
    }
    match name {
        "cpu" => Ok(Arc::new(cpu::Cpu::new())),
        "auto" => Ok(match cuda::open(0) {
            Ok(device) => Arc::new(device),
            Err(_) => match wgpu::hardware() {
                Some(device) => Arc::new(device),
                None => Arc::new(cpu::Cpu::new()),
            },
        }),
        _ if name == "wgpu" || name.starts_with("wgpu:") => Ok(Arc::new(wgpu::Wgpu::open(name)?)),
        other => {
            Err(Error::usage(format!("there is no device called {other:?}; `kinesome devices` lists them")))
        }
    }
}

/// Every device of this machine that answers, software ones too.
pub fn all() -> Vec<Arc<dyn Device>> {
    let mut devices: Vec<Arc<dyn Device>> = vec![Arc::new(cpu::Cpu::new())];
    let gpus = (0..cuda::count()).filter_map(|ordinal| cuda::open(ordinal).ok());
    devices.extend(gpus.map(|device| Arc::new(device) as Arc<dyn Device>));
    devices.extend(wgpu::all().into_iter().map(|device| Arc::new(device) as Arc<dyn Device>));
    devices
}
