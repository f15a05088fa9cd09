//! A program on a device with the states it shares with other programs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{Options, Program};
use crate::device::{Device, Executable, Memory};
use crate::stats::random::Philox;
use crate::tape::{Init, State, Tape, Var};
use crate::tensor::{DType, Meta, Tensor};
use crate::{Error, Result};

/// What a store keeps of one state.
type Entry = (Meta, Arc<dyn Memory>);

/// States by name on one device: what training changes and checkpoints keep.
pub struct Store {
    device: Arc<dyn Device>,
    seed: u64,
    entries: Mutex<HashMap<String, Entry>>,
}

impl Store {
    /// `seed` decides the initial values of states, each by its name.
    pub fn new(device: Arc<dyn Device>, seed: u64) -> Store {
        Store { device, seed, entries: Mutex::default() }
    }

    pub fn device(&self) -> &Arc<dyn Device> {
        &self.device
    }

    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.lock().keys().cloned().collect();
        names.sort();
        names
    }

    pub fn get(&self, name: &str) -> Result<Tensor> {
        let (meta, memory) = self.entry(name)?;
        let mut tensor = Tensor::zeros(&meta);
        self.device.read(&memory, tensor.bytes_mut())?;
        Ok(tensor)
    }

    /// Sets a state, whether or not a tape declared it already.
    pub fn set(&self, name: &str, tensor: &Tensor) -> Result<()> {
        let meta = tensor.meta();
        let known = self.lock().get(name).cloned();
        let memory = match known {
            Some((have, _)) if have != meta => {
                return Err(Error::Shape(format!("{name} is {have}, the value given is {meta}")));
            }
            Some((_, memory)) => memory,
            None => {
                let memory = self.device.allocate(meta.bytes())?;
                self.lock().insert(name.into(), (meta, memory.clone()));
                memory
            }
        };
        self.device.write(&memory, tensor.bytes())
    }

    /// The memory of a declared state, made and initialised if it is new.
    fn memory(&self, state: &State) -> Result<Arc<dyn Memory>> {
        if let Some((meta, memory)) = self.lock().get(&state.name) {
            if *meta != state.meta {
                let (name, want) = (&state.name, &state.meta);
                return Err(Error::Shape(format!(
                    "{name} is {meta} in the checkpoint and {want} in the network"
                )));
            }
            return Ok(memory.clone());
        }
        self.set(&state.name, &self.initial(state)?)?;
        Ok(self.entry(&state.name)?.1)
    }

    fn initial(&self, state: &State) -> Result<Tensor> {
        let n = state.meta.len();
        // The stream is the name's FNV-1a hash: adding a layer does not change how others start.
        let stream = state
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ b as u64).wrapping_mul(0x0100_0000_01b3));
        let mut philox = Philox::new(self.seed, stream);
        let values: Vec<f64> = match &state.init {
            Init::Copy(other) => return self.get(other),
            Init::Zeros => vec![0.0; n],
            Init::Constant(c) => vec![*c as f64; n],
            Init::Uniform(bound) => {
                (0..n).map(|_| (2.0 * philox.uniform_f64() - 1.0) * *bound as f64).collect()
            }
            Init::Normal(sigma) => (0..n).map(|_| philox.normal() * *sigma as f64).collect(),
        };
        Ok(Tensor::from_f64(&state.meta.shape, state.meta.dtype, &values))
    }

    fn entry(&self, name: &str) -> Result<Entry> {
        self.lock().get(name).cloned().ok_or_else(|| Error::Shape(format!("there is no state called {name}")))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A planned computation ready to run.
pub struct Step {
    program: Arc<Program>,
    executable: Box<dyn Executable>,
    check: bool,
}

impl Step {
    pub fn new(store: &Store, tape: &Tape, outputs: &[(&str, Var<'_>)], options: Options) -> Result<Step> {
        let program = Arc::new(Program::new(tape, outputs, options)?);
        Self::load(store, program, false)
    }

    /// Node by node; a value that is not finite stops it with the line that recorded it.
    pub fn eager(store: &Store, tape: &Tape, outputs: &[(&str, Var<'_>)]) -> Result<Step> {
        let program = Arc::new(Program::new(tape, outputs, Options::eager())?);
        Self::load(store, program, true)
    }

    fn load(store: &Store, program: Arc<Program>, check: bool) -> Result<Step> {
        let states = program.states.iter().map(|(s, _)| store.memory(s)).collect::<Result<Vec<_>>>()?;
        let executable = store.device().load(program.clone(), states)?;
        Ok(Step { program, executable, check })
    }

    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Feeds the inputs (those not named keep their last value) and replays.
    pub fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<()> {
        for (name, tensor) in inputs {
            // An input the plan found no use for is not an error.
            let Ok((at, meta)) = self.program.input(name) else { continue };
            if tensor.meta() != *meta {
                return Err(Error::Shape(format!(
                    "input {name} is {meta}, the value given is {}",
                    tensor.meta()
                )));
            }
            self.executable.feed(at, tensor.bytes())?;
        }
        if self.check { self.run_checked() } else { self.executable.replay() }
    }

    /// One launch alone, of values as they lie there: what it takes can be measured.
    pub fn launch(&mut self, at: usize) -> Result<()> {
        self.executable.launch(at)
    }

    pub fn fetch(&mut self, name: &str) -> Result<Tensor> {
        let found = self.program.outputs.iter().find(|(n, _)| n == name).map(|o| o.1);
        let buffer = found.ok_or_else(|| Error::Shape(format!("the plan has no output called {name}")))?;
        self.look(buffer)
    }

    /// The single number of an output.
    pub fn number(&mut self, name: &str) -> Result<f32> {
        Ok(self.fetch(name)?.to_f32().first().copied().unwrap_or(f32::NAN))
    }

    fn look(&mut self, buffer: usize) -> Result<Tensor> {
        let mut tensor = Tensor::zeros(&self.program.buffers[buffer].meta);
        self.executable.fetch(buffer, tensor.bytes_mut())?;
        Ok(tensor)
    }

    fn run_checked(&mut self) -> Result<()> {
        for at in 0..self.program.launches.len() {
            self.executable.launch(at)?;
            let program = self.program.clone();
            for &buffer in &program.launches[at].writes {
                if program.buffers[buffer].meta.dtype == DType::I32 {
                    continue;
                }
                let values = self.look(buffer)?.to_f32();
                if let Some(i) = values.iter().position(|v| !v.is_finite()) {
                    let label = &program.launches[at].label;
                    return Err(Error::NotFinite(format!("element {i} is {} in {label}", values[i])));
                }
            }
        }
        Ok(())
    }
}
