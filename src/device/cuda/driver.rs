//! The CUDA driver's objects as values that clean up after themselves. Errors name what was being done.
//!
//! cudarc panics when the driver's library or one of its functions is missing, so nothing here is called
//! before [`Context::open`] has made sure of both.

use std::ffi::{CString, c_void};
use std::sync::Arc;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{
    self, CUcontext, CUdevice, CUdevice_attribute, CUdeviceptr, CUevent, CUevent_flags, CUevent_wait_flags,
    CUfunction, CUgraphExec, CUgraphInstantiate_flags, CUmodule, CUresult, CUstream, CUstreamCaptureMode,
};

use crate::{Error, Result};

/// The oldest driver that has every function used here (graphs by flags).
const OLDEST_DRIVER: i32 = 11_040;

/// One GPU: its primary context, a stream for kernels and one for copies ahead of them.
pub struct Context {
    device: CUdevice,
    raw: CUcontext,
    pub name: String,
    /// Compute capability, as (9, 0).
    pub capability: (i32, i32),
    pub processors: i32,
    /// As the driver counts: 12020 is 12.2.
    pub driver: i32,
    pub compute: CUstream,
    pub copies: CUstream,
}

// Driver objects may be used from any thread that has made their context current.
unsafe impl Send for Context {}
unsafe impl Sync for Context {}

pub fn problem(text: impl Into<String>) -> Error {
    Error::Device { device: "cuda".into(), problem: text.into() }
}

/// Says what was being done, and for the usual failures what to do.
pub fn check<T>(outcome: Result<T, DriverError>, doing: &str) -> Result<T> {
    outcome.map_err(|e| {
        let advice = match e.0 {
            CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
            | CUresult::CUDA_ERROR_LAUNCH_FAILED
            | CUresult::CUDA_ERROR_MISALIGNED_ADDRESS
            | CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION => {
                "; this is a fault of kinesome, please report it with the output of `kinesome doctor`"
            }
            CUresult::CUDA_ERROR_ECC_UNCORRECTABLE | CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED => {
                "; the GPU is lost to this process: look into `nvidia-smi`, then resume the run"
            }
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => "; a smaller batch needs less memory",
            _ => "",
        };
        problem(format!("{doing}: {}{advice}", describe(e)))
    })
}

fn describe(e: DriverError) -> String {
    let name = e.error_name().map(|n| n.to_string_lossy().into_owned());
    let text = e.error_string().map(|t| t.to_string_lossy().into_owned());
    match (name, text) {
        (Ok(name), Ok(text)) => format!("{text} ({name})"),
        _ => format!("error {}", e.0 as u32),
    }
}

/// How many GPUs the driver offers, or why there is none.
pub fn count() -> Result<usize> {
    // Loads the library if it can and says whether it could.
    if !unsafe { sys::is_culib_present() } {
        return Err(problem(
            "there is no NVIDIA driver on this machine (libcuda.so.1 was not found); use --device wgpu or cpu, or in \
             a container mount the driver (--gpus all, --nv)",
        ));
    }
    check(result::init(), "the NVIDIA driver does not start")?;
    let count = check(result::device::get_count(), "counting GPUs")?;
    match usize::try_from(count) {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(problem("the NVIDIA driver offers no GPU; look at CUDA_VISIBLE_DEVICES and `nvidia-smi`")),
    }
}

impl Context {
    pub fn open(ordinal: usize) -> Result<Arc<Context>> {
        let count = count()?;
        if ordinal >= count {
            return Err(problem(format!(
                "there is no GPU {ordinal}; the driver offers {count}, counted from 0"
            )));
        }
        let mut driver = 0;
        check(unsafe { sys::cuDriverGetVersion(&mut driver) }.result(), "asking for the driver's version")?;
        if driver < OLDEST_DRIVER {
            let (major, minor) = (driver / 1000, driver % 1000 / 10);
            return Err(problem(format!(
                "the NVIDIA driver knows CUDA {major}.{minor}; kinesome needs one for 11.4 or newer (470 or newer)"
            )));
        }
        let device = check(result::device::get(ordinal as i32), "opening the GPU")?;
        let name = check(result::device::get_name(device), "asking for the GPU's name")?;
        let attribute =
            |which| check(unsafe { result::device::get_attribute(device, which) }, "asking about the GPU");
        let capability = (
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        let processors = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let raw = check(unsafe { result::primary_ctx::retain(device) }, "taking the GPU's context")?;
        let mut context = Context {
            device,
            raw,
            name,
            capability,
            processors,
            driver,
            compute: std::ptr::null_mut(),
            copies: std::ptr::null_mut(),
        };
        context.bind()?;
        context.compute =
            check(result::stream::create(result::stream::StreamKind::NonBlocking), "making a stream")?;
        context.copies =
            check(result::stream::create(result::stream::StreamKind::NonBlocking), "making a stream")?;
        Ok(Arc::new(context))
    }

    /// Makes the context this thread's own, as every call below needs it.
    pub fn bind(&self) -> Result<()> {
        check(unsafe { result::ctx::set_current(self.raw) }, "turning to the GPU")
    }

    /// Free and total bytes of the GPU.
    pub fn memory(&self) -> Result<(usize, usize)> {
        self.bind()?;
        check(result::mem_get_info(), "asking for the GPU's memory")
    }

    /// Waits until all work given so far is done; what went wrong in it comes out here.
    pub fn wait(&self, doing: &str) -> Result<()> {
        check(unsafe { result::stream::synchronize(self.compute) }, doing)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // At the end of a process the driver may be gone already: failures mean nothing here.
        unsafe {
            if result::ctx::set_current(self.raw).is_ok() {
                for stream in [self.compute, self.copies] {
                    if !stream.is_null() {
                        let _ = result::stream::destroy(stream);
                    }
                }
            }
            let _ = result::primary_ctx::release(self.device);
        }
    }
}

/// Memory of a GPU.
pub struct Block {
    pub context: Arc<Context>,
    pub address: CUdeviceptr,
    pub len: usize,
}

impl Block {
    /// Zero-filled, in the order of the compute stream.
    pub fn new(context: &Arc<Context>, len: usize) -> Result<Block> {
        context.bind()?;
        let bytes = len.max(1);
        let address = match unsafe { result::malloc_sync(bytes) } {
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                let (free, total) = context.memory()?;
                return Err(problem(format!(
                    "out of memory: {:.1} MiB asked for, {:.1} MiB of {:.1} MiB free on {}; a smaller batch needs less",
                    mib(bytes),
                    mib(free),
                    mib(total),
                    context.name
                )));
            }
            outcome => check(outcome, "allocating memory")?,
        };
        let block = Block { context: context.clone(), address, len };
        check(unsafe { result::memset_d8_async(address, 0, bytes, context.compute) }, "clearing memory")?;
        Ok(block)
    }

    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        self.within(bytes.len())?;
        self.context.bind()?;
        let outcome = unsafe { result::memcpy_htod_async(self.address, bytes, self.context.compute) };
        check(outcome, "copying to the GPU")?;
        // The bytes are the caller's only until this returns.
        self.context.wait("copying to the GPU")
    }

    pub fn read(&self, bytes: &mut [u8]) -> Result<()> {
        self.within(bytes.len())?;
        read(&self.context, self.address, bytes)
    }

    fn within(&self, len: usize) -> Result<()> {
        if len > self.len {
            return Err(problem(format!("a copy of {len} bytes leaves a block of {}", self.len)));
        }
        Ok(())
    }
}

/// Copies from the GPU after all work given so far.
pub fn read(context: &Context, from: CUdeviceptr, bytes: &mut [u8]) -> Result<()> {
    context.bind()?;
    // Nothing else touches the bytes before the stream has been waited for.
    let outcome = unsafe { result::memcpy_dtoh_async(bytes, from, context.compute) };
    check(outcome, "copying from the GPU")?;
    context.wait("computing on the GPU")
}

pub fn mib(bytes: usize) -> f64 {
    bytes as f64 / 1048576.0
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // The driver waits for kernels that use the memory.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Host memory that the GPU copies from by itself.
pub struct Pinned {
    context: Arc<Context>,
    pointer: *mut u8,
    len: usize,
    /// The last copy out of it.
    copied: Event,
}

// Owned memory; the event says when the GPU is done with it.
unsafe impl Send for Pinned {}

impl Pinned {
    pub fn new(context: &Arc<Context>, len: usize) -> Result<Pinned> {
        context.bind()?;
        let pointer = check(unsafe { result::malloc_host(len.max(1), 0) }, "allocating pinned memory")?;
        Ok(Pinned { context: context.clone(), pointer: pointer.cast(), len, copied: Event::new(context)? })
    }

    /// Puts bytes on their way to `to` on a stream; waits only for the copy before, out of this same memory.
    pub fn send(&mut self, bytes: &[u8], to: CUdeviceptr, stream: CUstream) -> Result<()> {
        if bytes.len() > self.len {
            return Err(problem(format!(
                "a copy of {} bytes leaves a staging block of {}",
                bytes.len(),
                self.len
            )));
        }
        check(unsafe { result::event::synchronize(self.copied.raw) }, "copying to the GPU")?;
        // The GPU has let go of the memory, which is as long as was just checked.
        let staged = unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.pointer, bytes.len());
            std::slice::from_raw_parts(self.pointer, bytes.len())
        };
        check(unsafe { result::memcpy_htod_async(to, staged, stream) }, "copying to the GPU")?;
        self.copied.record(stream)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            unsafe {
                let _ = result::event::synchronize(self.copied.raw);
                let _ = result::free_host(self.pointer.cast());
            }
        }
    }
}

/// A point in a stream's work.
pub struct Event {
    context: Arc<Context>,
    raw: CUevent,
}

unsafe impl Send for Event {}

impl Event {
    pub fn new(context: &Arc<Context>) -> Result<Event> {
        let raw = check(result::event::create(CUevent_flags::CU_EVENT_DISABLE_TIMING), "making an event")?;
        Ok(Event { context: context.clone(), raw })
    }

    pub fn record(&self, stream: CUstream) -> Result<()> {
        check(unsafe { result::event::record(self.raw, stream) }, "marking a stream")
    }

    /// Work given to the stream from now on waits for the event as last recorded.
    pub fn hold(&self, stream: CUstream) -> Result<()> {
        let flags = CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        check(unsafe { result::stream::wait_event(stream, self.raw, flags) }, "joining streams")
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            let _ = unsafe { result::event::destroy(self.raw) };
        }
    }
}

/// Compiled kernels on the GPU.
pub struct Module {
    context: Arc<Context>,
    raw: CUmodule,
    pub function: CUfunction,
}

unsafe impl Send for Module {}
unsafe impl Sync for Module {}

impl Module {
    /// Of machine code with one entry.
    pub fn new(context: &Arc<Context>, cubin: &[u8], entry: &str) -> Result<Module, String> {
        context.bind().map_err(|e| e.to_string())?;
        let name = CString::new(entry).map_err(|_| "the entry's name holds a zero byte".to_string())?;
        // The driver reads an ELF image, whose header says how long it is; the compiler made it.
        let raw = unsafe { result::module::load_data(cubin.as_ptr().cast::<c_void>()) }.map_err(describe)?;
        let mut module = Module { context: context.clone(), raw, function: std::ptr::null_mut() };
        module.function = unsafe { result::module::get_function(raw, name) }.map_err(describe)?;
        Ok(module)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            let _ = unsafe { result::module::unload(self.raw) };
        }
    }
}

/// Work recorded from a stream, launched as a whole.
pub struct Graph {
    context: Arc<Context>,
    raw: CUgraphExec,
}

unsafe impl Send for Graph {}

impl Graph {
    /// Records what `work` gives to the compute stream, without running it.
    pub fn capture(context: &Arc<Context>, work: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        check(unsafe { result::stream::begin_capture(context.compute, mode) }, "recording the step")?;
        let outcome = work();
        // Ended also after a failure, or the stream would stay in capture.
        let graph = check(unsafe { result::stream::end_capture(context.compute) }, "recording the step");
        outcome?;
        let graph = graph?;
        let flags = CUgraphInstantiate_flags(0);
        let raw = unsafe { result::graph::instantiate(graph, flags) };
        // The executable graph is a copy.
        let _ = unsafe { result::graph::destroy(graph) };
        Ok(Graph { context: context.clone(), raw: check(raw, "preparing the step's graph")? })
    }

    pub fn launch(&self) -> Result<()> {
        check(unsafe { result::graph::launch(self.raw, self.context.compute) }, "launching the step")
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            let _ = unsafe { result::graph::exec_destroy(self.raw) };
        }
    }
}
