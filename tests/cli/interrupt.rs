//! Ctrl-C in the middle of long work.

use crate::*;
use kinesome::systems::drgn::files::Poses;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A stack of black images that would keep a command busy for long; on disk it takes no room.
fn long_stack(path: &Path, images: usize) {
    let mut bytes = std::fs::read(golden("cli/particles.mrcs")).unwrap();
    bytes.truncate(1024);
    for (word, value) in [(0, 64), (1, 64), (2, images as i32), (7, 64), (8, 64), (9, images as i32)] {
        bytes[4 * word..4 * word + 4].copy_from_slice(&value.to_le_bytes());
    }
    std::fs::write(path, bytes).unwrap();
    let size = 1024 + images as u64 * 64 * 64 * 4;
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(size).unwrap();
}

/// Starts a command, interrupts it once `begun` holds, and checks how it ends.
fn interrupted(at: &Path, args: &[&str], begun: impl Fn() -> bool) {
    let before = listing(at);
    let child = kinesome(at, args).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !begun() {
        assert!(start.elapsed() < Duration::from_secs(60), "it did not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(200));
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let asked = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?} to stop", asked.elapsed());
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().last(), Some("kinesome: interrupted"));
    assert_eq!(listing(at), before, "it left something behind");
}

#[test]
#[cfg(unix)]
fn downsampling() {
    let at = tempfile::tempdir().unwrap();
    long_stack(&at.path().join("long.mrcs"), 1_000_000);
    let args = ["drgn", "downsample", "long.mrcs", "-D", "32", "-o", "out/small.mrcs"];
    let temporary = || at.path().join("out").read_dir().is_ok_and(|mut d| d.next().is_some());
    interrupted(at.path(), &args, temporary);
    // In pieces: those that were complete go again too.
    let args = ["drgn", "downsample", "long.mrcs", "-D", "32", "-o", "out/small.mrcs", "--chunk", "1000"];
    interrupted(at.path(), &args, || at.path().join("out/small.1.mrcs").exists());
}

#[test]
#[cfg(unix)]
fn backprojecting() {
    let at = tempfile::tempdir().unwrap();
    let n = 200_000;
    long_stack(&at.path().join("long.mrcs"), n);
    let upright = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let poses = Poses { rotations: vec![upright; n], translations: None };
    poses.write(&at.path().join("pose.pkl")).unwrap();
    let args = ["drgn", "backproject_voxel", "long.mrcs", "--poses", "pose.pkl", "-o", "out/deep"];
    interrupted(at.path(), &args, || at.path().join("out/deep").exists());
}

#[test]
#[cfg(unix)]
fn simulating() {
    let at = tempfile::tempdir().unwrap();
    let structure = concat!(env!("CARGO_MANIFEST_DIR"), "/data/adk_open.pdb");
    let args = ["simulate", structure, "-n", "200000", "--box", "64", "-o", "out"];
    interrupted(at.path(), &args, || at.path().join("out").is_dir());
}

/// What training has finished stays, and `--load latest` goes on from there; nothing is half-written.
#[test]
#[cfg(unix)]
fn training() {
    let at = workplace();
    let args = [
        "drgn",
        "train_nn",
        "particles.mrcs",
        "--poses",
        "pose.pkl",
        "--ctf",
        "ctf.pkl",
        "--layers",
        "1",
        "--dim",
        "16",
        "-n",
        "100000",
        "--checkpoint",
        "100000",
        "-o",
        "out",
    ];
    let mut child = kinesome(at.path(), &args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !at.path().join("out/run.log").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let mut left: Vec<_> = listing(&at.path().join("out")).into_iter().map(|(path, _)| path).collect();
    left.retain(|p| !["config.yaml", "run.log"].iter().any(|name| p.ends_with(name)));
    assert!(left.is_empty(), "{left:?}");
}
