//! Kernels compiled ahead for a GPU that is not here: a device that computes on the CPU and leaves the machine
//! code of everything it was asked to compute in the kernel cache. Shapes are part of a kernel, so a short run of
//! the very command (one epoch, a few images) is what names the kernels that a container has to hold.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::driver::problem;
use super::kernels::{Kernels, lower_all, texts};
use crate::Result;
use crate::device::{Device, Executable, Memory, cpu::Cpu};
use crate::plan::Program;

pub struct Ahead {
    name: String,
    architecture: String,
    kernels: Kernels,
    cpu: Cpu,
}

impl Ahead {
    /// `architecture` as the compiler calls it: `sm_90a`.
    pub fn open(architecture: &str) -> Result<Ahead> {
        // Any generation of the compiler will do; 12 serves the most drivers.
        let kernels = Kernels::open(architecture.into(), 12)?;
        if kernels.folder().is_none() {
            return Err(problem("there is no folder for kernels; set KINESOME_CACHE to one"));
        }
        let (name, architecture) = (format!("cuda:{architecture}"), architecture.into());
        Ok(Ahead { name, architecture, kernels, cpu: Cpu::new() })
    }
}

impl Device for Ahead {
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self) -> String {
        let folder = self.kernels.folder().map(|f| f.display().to_string()).unwrap_or_default();
        format!("the CPU; kernels for {} go to {folder}, by {}", self.architecture, self.kernels.describe())
    }

    fn allocate(&self, bytes: usize) -> Result<Arc<dyn Memory>> {
        self.cpu.allocate(bytes)
    }

    fn write(&self, memory: &Arc<dyn Memory>, bytes: &[u8]) -> Result<()> {
        self.cpu.write(memory, bytes)
    }

    fn read(&self, memory: &Arc<dyn Memory>, bytes: &mut [u8]) -> Result<()> {
        self.cpu.read(memory, bytes)
    }

    fn load(&self, program: Arc<Program>, states: Vec<Arc<dyn Memory>>) -> Result<Box<dyn Executable>> {
        let lowered = lower_all(&program)?;
        let wanted = texts(&program, &lowered)?;
        let distinct: HashMap<&str, _> =
            wanted.iter().map(|(pass, text, label)| (text.as_str(), (pass, label))).collect();
        distinct.into_par_iter().try_for_each(|(text, (pass, label))| match self.kernels.kept(text) {
            Some(_) => Ok(()),
            None => self.kernels.compile(pass, text, label).map(|_| ()),
        })?;
        self.cpu.load(program, states)
    }
}
