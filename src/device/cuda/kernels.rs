//! Machine code of passes: embedded in the program, kept on disk, or compiled now.

use std::path::Path;

use super::cache::{self, Cache};
use super::driver::problem;
use super::nvrtc::{self, Nvrtc};
use crate::Result;
use crate::device::gpu::{Language, Pass, lower, source};
use crate::plan::Program;

/// What stands in front of every kernel's text.
pub const PTX: &str = include_str!("../../../kernels/ptx.cu");

/// Files of a kernel cache, one after the other, each behind its length: what `--features embed-kernels` puts in.
#[cfg(feature = "embed-kernels")]
const EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.pack"));
#[cfg(not(feature = "embed-kernels"))]
const EMBEDDED: &[u8] = &[];

/// What NVRTC is told for every kernel.
pub fn options(architecture: &str) -> Vec<String> {
    vec![format!("--gpu-architecture={architecture}"), "--std=c++17".into()]
}

pub struct Kernels {
    architecture: String,
    /// Or why there is none.
    compiler: Result<&'static Nvrtc, String>,
    cache: Cache,
}

impl Kernels {
    /// For one architecture; `driver` is the generation of CUDA that the driver knows. Without a compiler there
    /// have to be embedded kernels.
    pub fn open(architecture: String, driver: i32) -> Result<Kernels> {
        let compiler = nvrtc::load(driver);
        let kernels = Kernels { architecture, compiler, cache: Cache::open() };
        match &kernels.compiler {
            Err(why) if EMBEDDED.is_empty() => Err(problem(why.as_str())),
            _ => Ok(kernels),
        }
    }

    pub fn describe(&self) -> String {
        match &self.compiler {
            Ok(compiler) => compiler.describe(),
            Err(_) => "no compiler, embedded kernels".into(),
        }
    }

    pub fn folder(&self) -> Option<&Path> {
        self.cache.folder()
    }

    /// Nothing but this decides the machine code. (A compiler changes it too; its older work stays right.)
    fn key(&self, text: &str) -> String {
        format!("{:?}\n{PTX}\n{text}", options(&self.architecture))
    }

    pub fn embedded(&self, text: &str) -> Option<Vec<u8>> {
        find(EMBEDDED, &self.key(text))
    }

    pub fn kept(&self, text: &str) -> Option<Vec<u8>> {
        self.cache.get(&self.key(text))
    }

    /// `label` names the launch that the pass belongs to.
    pub fn compile(&self, pass: &Pass, text: &str, label: &str) -> Result<Vec<u8>> {
        let what = format!("kernel {} ({}), of {label}", pass.entry, pass.stem);
        let compiler = *self
            .compiler
            .as_ref()
            .map_err(|why| problem(format!("{what}, is not among the embedded kernels. {why}")))?;
        let source = format!("{PTX}\n{text}");
        let compiled = compiler.compile(&source, &options(&self.architecture)).map_err(|log| {
            let compiler = compiler.describe();
            problem(format!("{what}, does not compile for {} with {compiler}: {log}", self.architecture))
        })?;
        self.cache.put(&self.key(text), &compiled.cubin);
        Ok(compiled.cubin)
    }
}

/// Every pass of a program with its text and the label of its launch.
pub fn texts<'a>(
    program: &'a Program,
    lowered: &'a [crate::device::gpu::Lowered],
) -> Result<Vec<(&'a Pass, String, &'a str)>> {
    let mut found = vec![];
    for (launch, lowered) in program.launches.iter().zip(lowered) {
        for pass in &lowered.passes {
            let text = source::cuda(pass)
                .ok_or_else(|| problem(format!("there is no kernel for {}", launch.label)))?;
            found.push((pass, text, launch.label.as_str()));
        }
    }
    Ok(found)
}

pub fn lower_all(program: &Program) -> Result<Vec<crate::device::gpu::Lowered>> {
    program.launches.iter().map(|launch| lower(program, launch, Language::Cuda)).collect()
}

fn find(mut pack: &[u8], key: &str) -> Option<Vec<u8>> {
    while let Some((length, rest)) = pack.split_at_checked(8) {
        let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (file, rest) = rest.split_at_checked(length)?;
        if let Some(code) = cache::code(file, key) {
            return Some(code.to_vec());
        }
        pack = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_searched_by_key() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(Some(folder.path().into()));
        cache.put("one", b"first");
        cache.put("two", b"second");
        let mut pack = vec![];
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let file = std::fs::read(entry.unwrap().path()).unwrap();
            pack.extend((file.len() as u64).to_le_bytes());
            pack.extend(file);
        }
        assert_eq!(find(&pack, "one"), Some(b"first".to_vec()));
        assert_eq!(find(&pack, "two"), Some(b"second".to_vec()));
        assert_eq!(find(&pack, "three"), None);
        assert_eq!(find(&pack[..pack.len() - 1], "three"), None);
        assert_eq!(find(&[], "one"), None);
    }
}
