//! The program as a user runs it: the real binary, its files, exit codes and messages.

mod bad_input;
mod evaluate;
mod help;
mod interrupt;
mod mdgen;
mod reference;
mod tools;
mod training;
mod wgpu;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The binary with arguments, in the folder `at`.
fn kinesome(at: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinesome"));
    command.current_dir(at).args(args);
    command
}

/// Runs a command that must succeed; its standard output.
fn succeeds(at: &Path, args: &[&str]) -> String {
    let output = kinesome(at, args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with exit code 1 and one clear line, and leave the folder as it was; the line.
fn fails(at: &Path, args: &[&str]) -> String {
    refused(at, kinesome(at, args), 1)
}

/// As [`fails`], for any command and exit code.
fn refused(at: &Path, mut command: Command, code: i32) -> String {
    let before = listing(at);
    let output = command.output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1, "{command:?} said more or less than one line: {text}");
    assert!(lines[0].starts_with("kinesome: "), "{text}");
    assert_eq!(listing(at), before, "{command:?} left something behind");
    lines[0].to_string()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Everything below a folder, with sizes.
fn listing(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        if meta.is_dir() {
            found.extend(listing(&path));
        }
        found.push((path, if meta.is_dir() { 0 } else { meta.len() }));
    }
    found.sort();
    found
}

/// A file that the reference program wrote.
fn golden(name: &str) -> PathBuf {
    let root = std::env::var("KINESOME_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    Path::new(&root).join("tests/golden/cryodrgn").join(name)
}

/// A folder with the stack, star, poses and CTF of the reference.
fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["particles.mrcs", "particles.star", "pose.pkl", "ctf.pkl"] {
        std::fs::copy(golden(&format!("cli/{name}")), folder.path().join(name)).unwrap();
    }
    folder
}

/// Pixels of a float32 MRC file, after its 1024 bytes of header.
fn pixels(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes[1024..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Number `i` of an MRC header.
fn header_number(path: &Path, i: usize) -> i32 {
    let bytes = std::fs::read(path).unwrap();
    i32::from_le_bytes(bytes[4 * i..4 * i + 4].try_into().unwrap())
}

/// max |a − b| / max |b| is within the tolerance.
fn assert_close(found: &[f32], wanted: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let worst = found.iter().zip(wanted).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(worst <= tolerance * scale, "{what}: off by {} of the largest value", worst / scale);
}
