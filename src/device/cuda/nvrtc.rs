//! NVIDIA's run-time compiler, bound by hand: nine functions, and a search that finds it where it really is.
//! (The `cudarc` crate asks for names that a machine with only the run-time libraries of CUDA 13 lacks, and
//! panics where there is none.)

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::Library;

/// Where the user says the library is: a file, or a folder with it.
const VARIABLE: &str = "KINESOME_NVRTC";
/// What an NVRTC newer than the driver makes may be refused by it: those of the driver's own generation first.
fn names(driver: i32) -> [&'static str; 4] {
    match driver {
        13.. => ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "libnvrtc.so.11.2"],
        12 => ["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so", "libnvrtc.so.11.2"],
        _ => ["libnvrtc.so.11.2", "libnvrtc.so.12", "libnvrtc.so", "libnvrtc.so.13"],
    }
}

type Handle = *mut c_void;
type Code = c_int;

/// The functions of one loaded library, which stays loaded.
pub struct Nvrtc {
    path: String,
    version: (i32, i32),
    error_string: unsafe extern "C" fn(Code) -> *const c_char,
    create: unsafe extern "C" fn(
        *mut Handle,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> Code,
    destroy: unsafe extern "C" fn(*mut Handle) -> Code,
    compile: unsafe extern "C" fn(Handle, c_int, *const *const c_char) -> Code,
    log_size: unsafe extern "C" fn(Handle, *mut usize) -> Code,
    log: unsafe extern "C" fn(Handle, *mut c_char) -> Code,
    cubin_size: unsafe extern "C" fn(Handle, *mut usize) -> Code,
    cubin: unsafe extern "C" fn(Handle, *mut c_char) -> Code,
}

/// What compiling gave: machine code and what the compiler said.
pub struct Compiled {
    pub cubin: Vec<u8>,
    pub log: String,
}

/// The library of this process, or why there is none. `driver` is the generation of CUDA that the driver knows.
pub fn load(driver: i32) -> Result<&'static Nvrtc, String> {
    static FOUND: OnceLock<Result<Nvrtc, String>> = OnceLock::new();
    FOUND
        .get_or_init(|| find(driver, std::env::var_os(VARIABLE).map(PathBuf::from).as_deref(), true))
        .as_ref()
        .map_err(String::clone)
}

/// Places to look, best first: what the user says, the loader's own search, the usual folders of CUDA.
fn candidates(driver: i32, given: Option<&Path>, elsewhere: bool) -> Vec<PathBuf> {
    let names = names(driver);
    let mut found = vec![];
    if let Some(given) = given {
        if given.is_file() {
            found.push(given.to_path_buf());
        } else {
            let inner = given.join("nvidia/cuda_nvrtc/lib");
            found.extend(
                [given.to_path_buf(), inner]
                    .iter()
                    .flat_map(|f| names.map(|n| f.join(n)))
                    .filter(|p| p.is_file()),
            );
        }
    }
    if !elsewhere {
        return found;
    }
    found.extend(names.map(PathBuf::from));
    let mut folders: Vec<PathBuf> = vec![];
    for variable in ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"] {
        folders.extend(std::env::var_os(variable).map(PathBuf::from));
    }
    folders.extend(["/usr/local/cuda", "/opt/cuda"].map(PathBuf::from));
    if let Ok(entries) = std::fs::read_dir("/usr/local") {
        let mut versions: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        versions.retain(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("cuda-")));
        versions.sort();
        folders.extend(versions.into_iter().rev());
    }
    let inside = ["lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib"];
    let files = folders.iter().flat_map(|f| inside.map(|i| f.join(i))).flat_map(|f| names.map(|n| f.join(n)));
    found.extend(files.filter(|p| p.is_file()));
    found
}

/// In what the user gives, and `elsewhere` too: where libraries usually are.
pub fn find(driver: i32, given: Option<&Path>, elsewhere: bool) -> Result<Nvrtc, String> {
    let mut refusals = vec![];
    for path in candidates(driver, given, elsewhere) {
        // A shared library of this name runs nothing of ours when it is loaded.
        match unsafe { Library::new(&path) } {
            Ok(library) => match unsafe { bind(library, path.display().to_string()) } {
                Ok(nvrtc) => return Ok(nvrtc),
                Err(e) => refusals.push(format!("{}: {e}", path.display())),
            },
            // Names that are only tried are not worth a word.
            Err(e) if path.is_absolute() => {
                let why = std::error::Error::source(&e).map_or(e.to_string(), ToString::to_string);
                refusals.push(format!("{}: {why}", path.display()));
            }
            Err(_) => {}
        }
    }
    let mut text = format!(
        "CUDA's run-time compiler (libnvrtc.so.12 or .so.13) was not found; install it (Debian: \
         libnvrtc12, conda: cuda-nvrtc, pip: nvidia-cuda-nvrtc-cu12), load the CUDA module of this machine, or set \
         {VARIABLE} to its folder"
    );
    if !refusals.is_empty() {
        text += &format!(" (tried: {})", refusals.join("; "));
    }
    Err(text)
}

/// # Safety
/// The library has to be NVRTC: the types of its functions are taken on trust.
unsafe fn bind(library: Library, path: String) -> Result<Nvrtc, libloading::Error> {
    macro_rules! function {
        ($name:literal) => {
            *unsafe { library.get(concat!($name, "\0").as_bytes()) }?
        };
    }
    let read_version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Code = function!("nvrtcVersion");
    let mut version = (0, 0);
    unsafe { read_version(&mut version.0, &mut version.1) };
    let nvrtc = Nvrtc {
        path,
        version,
        error_string: function!("nvrtcGetErrorString"),
        create: function!("nvrtcCreateProgram"),
        destroy: function!("nvrtcDestroyProgram"),
        compile: function!("nvrtcCompileProgram"),
        log_size: function!("nvrtcGetProgramLogSize"),
        log: function!("nvrtcGetProgramLog"),
        cubin_size: function!("nvrtcGetCUBINSize"),
        cubin: function!("nvrtcGetCUBIN"),
    };
    std::mem::forget(library);
    Ok(nvrtc)
}

/// A program that is destroyed whatever happens.
struct Program<'a> {
    nvrtc: &'a Nvrtc,
    handle: Handle,
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // Nothing is to be done about a failure here.
        unsafe { (self.nvrtc.destroy)(&mut self.handle) };
    }
}

impl Nvrtc {
    pub fn describe(&self) -> String {
        format!("NVRTC {}.{} ({})", self.version.0, self.version.1, self.path)
    }

    pub fn version(&self) -> (i32, i32) {
        self.version
    }

    /// Compiles a kernel to machine code. The error is the compiler's log.
    pub fn compile(&self, source: &str, options: &[String]) -> Result<Compiled, String> {
        let text = CString::new(source).map_err(|_| "the source holds a zero byte".to_string())?;
        let options: Vec<CString> = options
            .iter()
            .map(|o| CString::new(o.as_str()))
            .collect::<Result<_, _>>()
            .map_err(|e| e.to_string())?;
        let pointers: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        let mut program = Program { nvrtc: self, handle: std::ptr::null_mut() };
        // All pointers outlive the calls; sizes are the library's own.
        unsafe {
            let code = (self.create)(
                &mut program.handle,
                text.as_ptr(),
                c"kernel.cu".as_ptr(),
                0,
                std::ptr::null(),
                std::ptr::null(),
            );
            self.check(code)?;
            let outcome = (self.compile)(program.handle, pointers.len() as c_int, pointers.as_ptr());
            let mut size = 0;
            self.check((self.log_size)(program.handle, &mut size))?;
            let mut log = vec![0_u8; size.max(1)];
            self.check((self.log)(program.handle, log.as_mut_ptr().cast()))?;
            let log = String::from_utf8_lossy(&log).trim_end_matches('\0').trim().to_string();
            if outcome != 0 {
                return Err(format!("{}\n{log}", self.message(outcome)));
            }
            let mut size = 0;
            self.check((self.cubin_size)(program.handle, &mut size))?;
            let mut cubin = vec![0_u8; size];
            self.check((self.cubin)(program.handle, cubin.as_mut_ptr().cast()))?;
            Ok(Compiled { cubin, log })
        }
    }

    fn check(&self, code: Code) -> Result<(), String> {
        if code == 0 { Ok(()) } else { Err(self.message(code)) }
    }

    fn message(&self, code: Code) -> String {
        // The library answers with a string of its own for every number.
        let text = unsafe { CStr::from_ptr((self.error_string)(code)) };
        text.to_string_lossy().into_owned()
    }
}
