//! The wgpu device: Vulkan and Metal. Memory is a few large buffers seen as arrays of 32-bit words; a program
//! is one compute pass, encoded and submitted once a replay. Values fed or written go through staging memory
//! that wgpu takes and gives back with each submission, so a batch is copied while the step before it runs.

mod adapter;
mod cache;
mod program;
mod windows;

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use ::wgpu::{
    Adapter, Buffer, BufferDescriptor, BufferUsages, CommandEncoderDescriptor, ComputePipeline, ErrorFilter,
    MapMode, PollType,
};

use super::{Device, Executable, Memory};
use crate::plan::Program;
use crate::{Error, Result};
use cache::Cache;

/// States share buffers of this size, so that a kernel which reads many of them binds few.
const SLAB: u64 = 16 << 20;
/// Of a place in a buffer: what the strictest device asks of a binding's offset.
const ALIGNMENT: u64 = 256;

pub struct Wgpu {
    shared: Arc<Shared>,
}

/// What the device and its programs have in common.
struct Shared {
    name: String,
    description: String,
    device: ::wgpu::Device,
    queue: ::wgpu::Queue,
    cache: Cache,
    /// By the text of the shader and which of its memories are written.
    pipelines: Mutex<HashMap<String, ComputePipeline>>,
    slab: Mutex<Option<(Buffer, u64)>>,
    staging: Mutex<Option<Buffer>>,
    /// What went wrong where no call could return it: a lost device, an invalid submission.
    fault: Arc<Mutex<Option<String>>>,
}

/// A range of a buffer.
#[derive(Clone)]
struct Piece {
    buffer: Buffer,
    offset: u64,
    len: usize,
}

impl Memory for Piece {
    fn len(&self) -> usize {
        self.len
    }
}

fn problem(text: impl Into<String>) -> Error {
    Error::Device { device: "wgpu".into(), problem: text.into() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn piece(memory: &Arc<dyn Memory>) -> Result<&Piece> {
    let any: &dyn Any = memory.as_ref();
    any.downcast_ref().ok_or_else(|| problem("memory of another device"))
}

/// Every adapter that answers; the best is called `wgpu`, the others by their names.
pub fn all() -> Vec<Wgpu> {
    let mut found: Vec<Wgpu> = vec![];
    for adapter in adapter::all() {
        let name = match found.is_empty() {
            true => "wgpu".into(),
            false => format!("wgpu:{}", adapter.get_info().name),
        };
        match Wgpu::with(&adapter, name) {
            Ok(device) => found.push(device),
            Err(e) => eprintln!("{e}"),
        }
    }
    found
}

/// The best adapter if it is hardware.
pub fn hardware() -> Option<Wgpu> {
    let adapter = adapter::choose(None).ok()?;
    if adapter::is_software(&adapter.get_info()) {
        return None;
    }
    Wgpu::with(&adapter, "wgpu".into()).ok()
}

impl Wgpu {
    /// `wgpu` is the best adapter, `wgpu:PART` the first with PART in its name.
    pub fn open(name: &str) -> Result<Wgpu> {
        let adapter = adapter::choose(name.strip_prefix("wgpu:"))?;
        let info = adapter.get_info();
        if adapter::is_software(&info) {
            eprintln!("wgpu: {} computes in software: right, but slower than --device cpu", info.name);
        }
        Wgpu::with(&adapter, name.into())
    }

    fn with(adapter: &Adapter, name: String) -> Result<Wgpu> {
        let (device, queue) = adapter::open(adapter)?;
        let fault = Arc::new(Mutex::new(None));
        let (lost, uncaptured) = (fault.clone(), fault.clone());
        device.set_device_lost_callback(move |reason, text| {
            // Also called when the device is dropped, which is no fault.
            if reason != ::wgpu::DeviceLostReason::Destroyed {
                *lock(&lost) = Some(format!(
                    "the device was lost ({text}): the driver reset it, perhaps for want of memory; start again"
                ));
            }
        });
        device.on_uncaptured_error(Arc::new(move |error| {
            lock(&uncaptured).get_or_insert_with(|| first_line(&error));
        }));
        let cache = Cache::open(&device, &adapter.get_info());
        let description = adapter::describe(adapter);
        let shared = Shared {
            name,
            description,
            device,
            queue,
            cache,
            pipelines: Mutex::default(),
            slab: Mutex::default(),
            staging: Mutex::default(),
            fault,
        };
        Ok(Wgpu { shared: Arc::new(shared) })
    }
}

/// Errors of wgpu carry the whole shader behind the first lines.
fn first_line(error: &::wgpu::Error) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).take(6).collect();
    lines.join(" ")
}

impl Shared {
    /// Runs `work` and turns what wgpu reports meanwhile into an error.
    fn caught<T>(&self, what: &str, work: impl FnOnce() -> T) -> Result<T> {
        let memory = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(ErrorFilter::Internal);
        let validation = self.device.push_error_scope(ErrorFilter::Validation);
        let result = work();
        let found = [validation.pop(), internal.pop()].map(pollster::block_on);
        if pollster::block_on(memory.pop()).is_some() {
            return Err(problem(format!(
                "{what}: out of memory on {}; use smaller batches",
                self.description
            )));
        }
        match found.into_iter().flatten().next() {
            Some(error) => Err(problem(format!("{what}: {}", first_line(&error)))),
            None => Ok(result),
        }
    }

    /// What happened behind the calls since the last look.
    fn sound(&self) -> Result<()> {
        match &*lock(&self.fault) {
            Some(text) => Err(problem(text.clone())),
            None => Ok(()),
        }
    }

    fn buffer(&self, what: &str, bytes: u64, usage: BufferUsages) -> Result<Buffer> {
        let most = self.device.limits().max_buffer_size;
        if bytes > most {
            return Err(problem(format!(
                "{what} needs {bytes} bytes in one piece and this adapter gives {most}; use smaller batches \
                 or --device cpu"
            )));
        }
        // A word more than is used: an empty value at the end is bound as one word.
        let size = (bytes + 4).next_multiple_of(ALIGNMENT).min(most / 4 * 4);
        let description = BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        self.caught(what, || self.device.create_buffer(&description))
    }

    /// Zero-filled, to be bound, copied from and to.
    fn storage(&self, what: &str, bytes: u64) -> Result<Buffer> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        self.buffer(what, bytes, usage)
    }

    fn write(&self, piece: &Piece, bytes: &[u8]) -> Result<()> {
        let bytes = &bytes[..bytes.len().min(piece.len)];
        // Copies are of whole words.
        let (words, rest) = bytes.split_at(bytes.len() / 4 * 4);
        if !words.is_empty() {
            self.queue.write_buffer(&piece.buffer, piece.offset, words);
        }
        if !rest.is_empty() {
            let mut last = [0; 4];
            last[..rest.len()].copy_from_slice(rest);
            self.queue.write_buffer(&piece.buffer, piece.offset + words.len() as u64, &last);
        }
        self.sound()
    }

    fn read(&self, piece: &Piece, bytes: &mut [u8]) -> Result<()> {
        let len = bytes.len().min(piece.len);
        if len == 0 {
            return Ok(());
        }
        let size = (len as u64).next_multiple_of(4);
        let mut staging = lock(&self.staging);
        if staging.as_ref().is_none_or(|s| s.size() < size) {
            let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
            *staging = Some(self.buffer("a copy to the host", size.next_power_of_two(), usage)?);
        }
        let Some(staging) = &*staging else { return Ok(()) };
        let mut encoder = self.device.create_command_encoder(&CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&piece.buffer, piece.offset, staging, 0, size);
        self.queue.submit([encoder.finish()]);
        let slice = staging.slice(..size);
        slice.map_async(MapMode::Read, |_| {});
        let waited = self.device.poll(PollType::wait_indefinitely());
        self.sound()?;
        waited.map_err(|e| problem(format!("waiting for the device: {e}")))?;
        let outcome = slice.get_mapped_range().map(|view| bytes[..len].copy_from_slice(&view[..len]));
        staging.unmap();
        outcome.map_err(|e| problem(format!("a value cannot be read back: {e}")))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let compiled = !lock(&self.pipelines).is_empty();
        if compiled {
            self.cache.save();
        }
    }
}

impl Device for Wgpu {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn describe(&self) -> String {
        self.shared.description.clone()
    }

    fn allocate(&self, bytes: usize) -> Result<Arc<dyn Memory>> {
        let size = (bytes as u64).next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        if size >= SLAB {
            let buffer = self.shared.storage("a state", size)?;
            return Ok(Arc::new(Piece { buffer, offset: 0, len: bytes }));
        }
        let mut slab = lock(&self.shared.slab);
        if let Some((buffer, used)) = &mut *slab
            && *used + size <= SLAB
        {
            *used += size;
            return Ok(Arc::new(Piece { buffer: buffer.clone(), offset: *used - size, len: bytes }));
        }
        let buffer = self.shared.storage("a state", SLAB)?;
        *slab = Some((buffer.clone(), size));
        Ok(Arc::new(Piece { buffer, offset: 0, len: bytes }))
    }

    fn write(&self, memory: &Arc<dyn Memory>, bytes: &[u8]) -> Result<()> {
        self.shared.write(piece(memory)?, bytes)
    }

    fn read(&self, memory: &Arc<dyn Memory>, bytes: &mut [u8]) -> Result<()> {
        self.shared.read(piece(memory)?, bytes)
    }

    fn load(&self, program: Arc<Program>, states: Vec<Arc<dyn Memory>>) -> Result<Box<dyn Executable>> {
        let states = states.iter().map(|s| piece(s).cloned()).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(program::Loaded::new(self.shared.clone(), program, states)?))
    }
}
