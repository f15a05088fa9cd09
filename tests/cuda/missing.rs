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
