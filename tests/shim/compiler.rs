//! Kernels to shared objects: many texts a call of g++, objects kept by the hash of what went into them.

use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use libloading::Library;

/// Part of every source: a header beside it could be read while another test writes it.
const HEADERS: &str = concat!(include_str!("cuda_host.h"), include_str!("ptx_host.h"));
/// Texts of one call: enough to spread the header's cost, few enough to share among processors.
const TOGETHER: usize = 40;

/// Arguments as the driver takes them, groups, threads of a group. Gives what went wrong, or null.
pub type Run = unsafe extern "C" fn(*mut *mut c_void, u32, u32) -> *const c_char;

pub struct Compiler {
    folder: PathBuf,
    kernels: HashMap<String, Run>,
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn options() -> Vec<&'static str> {
    let mut options =
        vec!["-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-fvisibility=hidden", "-fno-strict-aliasing"];
    // Products and sums contract into one rounding on a GPU: so they do here.
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("fma") {
        options.push("-mfma");
    }
    options.push("-ffp-contract=fast");
    options
}

impl Compiler {
    pub fn find() -> Option<Compiler> {
        let works = Command::new("g++").arg("--version").output().is_ok_and(|o| o.status.success());
        let folder = std::env::temp_dir().join("kinesome-cuda-shim");
        let folder =
            option_env!("CARGO_TARGET_TMPDIR").map(|f| Path::new(f).join("cuda-shim")).unwrap_or(folder);
        works.then_some(Compiler { folder, kernels: HashMap::new() })
    }

    /// The kernel of a text that has been compiled.
    pub fn kernel(&self, text: &str) -> Run {
        self.kernels[text]
    }

    pub fn compile(&mut self, texts: &[String]) -> Result<(), String> {
        let mut fresh: Vec<&String> = texts.iter().filter(|t| !self.kernels.contains_key(*t)).collect();
        fresh.sort();
        fresh.dedup();
        if fresh.is_empty() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder).map_err(|e| format!("{}: {e}", self.folder.display()))?;
        // A text falls to a parcel by its hash, so that a change of one leaves the others' objects valid.
        let count = fresh.len().div_ceil(TOGETHER);
        let mut parcels: Vec<Vec<&String>> = vec![vec![]; count];
        for text in fresh {
            parcels[(hash(text) % count as u64) as usize].push(text);
        }
        let next = AtomicUsize::new(0);
        let work = || -> Result<(), String> {
            while let Some(parcel) = parcels.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.object(parcel)?;
            }
            Ok(())
        };
        let workers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(count);
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            handles.into_iter().try_for_each(|h| h.join().expect("a compiling thread"))
        })?;
        let mut found = vec![];
        for parcel in &parcels {
            let object = self.object(parcel)?;
            // Our own object, which stays loaded.
            let library = unsafe { Library::new(&object) }.map_err(|e| e.to_string())?;
            for &text in parcel {
                let run: Run = *unsafe { library.get(format!("run_{:016x}", hash(text)).as_bytes()) }
                    .map_err(|e| e.to_string())?;
                found.push((text.clone(), run));
            }
            std::mem::forget(library);
        }
        self.kernels.extend(found);
        Ok(())
    }

    /// The shared object of a parcel, made if it is not there.
    fn object(&self, parcel: &[&String]) -> Result<PathBuf, String> {
        let file = self.folder.join(format!("{:016x}.so", hash((parcel, HEADERS, options()))));
        if file.is_file() {
            return Ok(file);
        }
        static ATTEMPTS: AtomicUsize = AtomicUsize::new(0);
        let attempt = format!("{}-{}", std::process::id(), ATTEMPTS.fetch_add(1, Ordering::Relaxed));
        let source = file.with_extension(format!("{attempt}.cc"));
        let beside = file.with_extension(format!("{attempt}.so"));
        let text = parcel.iter().map(|text| host_text(text)).collect::<String>();
        let text = format!("{HEADERS}\n{text}");
        std::fs::write(&source, text).map_err(|e| e.to_string())?;
        let output = Command::new("g++").args(options()).arg(&source).arg("-o").arg(&beside).output();
        let output = output.map_err(|e| e.to_string())?;
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr);
            let log: Vec<&str> = log.lines().take(40).collect();
            return Err(format!("{}:\n{}", source.display(), log.join("\n")));
        }
        let _ = std::fs::remove_file(&source);
        std::fs::rename(&beside, &file).map_err(|e| e.to_string())?;
        Ok(file)
    }
}

/// A kernel's text in a namespace of its own, with a function that runs it by the host's hands.
fn host_text(text: &str) -> String {
    let key = format!("{:016x}", hash(text));
    let entry = text
        .rsplit_once("extern \"C\" __global__ void ")
        .and_then(|(_, rest)| rest.split('(').nth(1).map(|_| rest))
        .expect("a kernel");
    let entry =
        entry.strip_prefix("__launch_bounds__").map_or(entry, |r| r.split_once(')').expect("bounds").1);
    let entry = entry.split('(').next().expect("a name").trim();
    let body = text
        .replacen("namespace kinesome {", &format!("namespace k_{key} {{"), 1)
        .replace("extern \"C\" __global__", "static __global__");
    format!(
        "#define SHARED_SECTION \"shared_{key}\"\n\
         extern \"C\" char __start_shared_{key}[] __attribute__((weak, visibility(\"hidden\")));\n\
         extern \"C\" char __stop_shared_{key}[] __attribute__((weak, visibility(\"hidden\")));\n\
         namespace {{\n{body}\n}}\n#undef SHARED_SECTION\n\
         extern \"C\" __attribute__((visibility(\"default\"))) const char* run_{key}(void** arguments, unsigned groups, \
         unsigned threads) {{\n    \
             return shim::launch(&shim::Thread<&k_{key}::{entry}>::run, arguments, groups, threads, __start_shared_{key},\n        \
             size_t(__stop_shared_{key} - __start_shared_{key}));\n}}\n"
    )
}
