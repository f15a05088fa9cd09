//! Where something is missing, one line says what and what to do.

use std::process::Command;

use kinesome::device::{self, cuda};

fn refusal(name: &str) -> String {
    device::open(name).err().unwrap_or_else(|| panic!("{name} opens")).to_string()
}

#[test]
fn names_that_are_no_device_are_refused() {
    for name in ["cuda:", "cuda:x", "cuda:-1", "cudax", "cuda:1x"] {
        assert!(refusal(name).contains("there is no device called"), "{}", refusal(name));
    }
}

#[test]
fn a_machine_without_gpu_says_so() {
    if cuda::count() > 0 {
        assert!(refusal("cuda:4096").contains("counted from 0"));
        return;
    }
    for name in ["cuda", "cuda:0", "cuda:1"] {
        let text = refusal(name);
        assert!(text.starts_with("cuda: ") && text.contains("driver") && !text.contains('\n'), "{text}");
    }
    // The binary starts, and lists what there is.
    let output =
        Command::new(env!("CARGO_BIN_EXE_kinesome")).arg("devices").output().expect("the binary starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.starts_with("cpu") && !text.contains("cuda"), "{text}");
}

/// The compiler is looked for where the user says; what is found there and is none is named.
#[test]
fn a_compiler_that_is_none_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("libnvrtc.so.12");
    std::fs::write(&file, "no library").expect("a file");
    let problem = cuda::nvrtc::find(12, Some(&file), false).err().expect("no compiler");
    assert!(problem.contains("not found") && problem.contains(&file.display().to_string()), "{problem}");
    let problem = cuda::nvrtc::find(12, Some(folder.path()), false).err().expect("no compiler");
    assert!(problem.contains("KINESOME_NVRTC"), "{problem}");
}

/// The compiler's own words reach the user.
#[test]
fn a_kernel_that_does_not_compile_is_explained() {
    let Some(compiler) = crate::registers::compiler() else { return };
    let log = compiler.compile("__global__ void f() { undeclared = 1; }", &cuda::options("sm_80")).err();
    assert!(log.as_ref().is_some_and(|l| l.contains("undeclared") && l.contains("kernel.cu(1)")), "{log:?}");
    let log = compiler.compile("", &cuda::options("sm_1")).err();
    assert!(log.as_ref().is_some_and(|l| l.contains("--gpu-architecture")), "{log:?}");
}

/// Kernels made ahead for a GPU that is not here: results are the CPU's, and the kernels are kept.
#[test]
fn kernels_are_compiled_ahead() {
    if crate::registers::compiler().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let bench = |cache: &std::path::Path, device: &str| {
        let arguments = ["bench", "softmax", "--profile", "--device", device];
        let output = Command::new(env!("CARGO_BIN_EXE_kinesome"))
            .args(arguments)
            .env("KINESOME_CACHE", cache)
            .output()
            .expect("the binary starts");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.success(), said.concat())
    };
    let (sound, said) = bench(folder.path(), "cuda:sm_80");
    assert!(sound && said.contains("softmax"), "{said}");
    let kept = || {
        let files = std::fs::read_dir(folder.path().join("cuda")).expect("a cache").flatten();
        files.map(|f| (f.path(), f.metadata().and_then(|m| m.modified()).ok())).collect::<Vec<_>>()
    };
    let mut first = kept();
    assert!(first.len() == 2 && first.iter().all(|(path, _)| path.extension().is_some_and(|e| e == "cubin")));
    // Nothing is compiled twice.
    bench(folder.path(), "cuda:sm_80");
    let mut second = kept();
    first.sort();
    second.sort();
    assert_eq!(first, second);
    let (sound, said) = bench(folder.path(), "cuda:sm_1");
    assert!(!sound && said.contains("does not compile for sm_1"), "{said}");
}
