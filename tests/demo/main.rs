//! The demo finds the motion: minutes of training, so only with `KINESOME_SLOW` set, as CI does.

use std::path::Path;
use std::process::Command;

fn demo(at: &Path, args: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_kinesome"))
        .current_dir(at)
        .args(["--quiet", "demo", "-o", "out"])
        .args(args)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.lines().count(), 5, "{said}");
    let metrics = std::fs::read(at.join("out/metrics.json")).expect("metrics.json");
    serde_json::from_slice(&metrics).expect("JSON")
}

fn slow() -> bool {
    let slow = std::env::var_os("KINESOME_SLOW").is_some();
    if !slow {
        println!("skipped: set KINESOME_SLOW=1 to run the demo (minutes)");
    }
    slow
}

fn number(metrics: &serde_json::Value, name: &str) -> f64 {
    metrics[name].as_f64().unwrap_or_else(|| panic!("{name} is no number"))
}

#[test]
fn a_small_demo_leaves_everything() {
    let at = tempfile::tempdir().expect("a folder");
    let metrics = demo(at.path(), &["--images", "200", "-n", "1", "--box", "32"]);
    assert_eq!(metrics["losses"].as_array().map(Vec::len), Some(1));
    let out = at.path().join("out");
    for name in [
        "report.html",
        "simulated/particles.mrcs",
        "simulated/particles.star",
        "run/weights.pkl",
        "run/z.pkl",
        "volumes/vol_001.mrc",
        "volumes/vol_010.mrc",
        "volumes/consensus.mrc",
        "volumes/motion.cxc",
    ] {
        assert!(out.join(name).metadata().is_ok_and(|m| m.len() > 0), "{name}");
    }
    let page = std::fs::read_to_string(out.join("report.html")).expect("a page");
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "the page needs the network");
    assert!(page.contains("too weak"), "one epoch cannot have found the motion, and the page should say so");
}

#[test]
fn the_motion_is_found() {
    if slow() {
        let at = tempfile::tempdir().expect("a folder");
        let metrics = demo(at.path(), &[]);
        assert!(number(&metrics, "spearman") >= 0.9, "{metrics:#}");
        assert!(number(&metrics, "mean_correlation") > number(&metrics, "mean_consensus"), "{metrics:#}");
    }
}

#[test]
fn half_the_images_still_show_it() {
    if slow() {
        let at = tempfile::tempdir().expect("a folder");
        assert!(number(&demo(at.path(), &["--images", "1750"]), "spearman") >= 0.7);
    }
}

#[test]
fn poses_two_degrees_off_still_show_it() {
    if slow() {
        let at = tempfile::tempdir().expect("a folder");
        assert!(number(&demo(at.path(), &["--pose-error", "2"]), "spearman") >= 0.7);
    }
}

#[test]
fn ten_times_the_noise_is_called_weak() {
    if slow() {
        let at = tempfile::tempdir().expect("a folder");
        let metrics = demo(at.path(), &["--snr", "0.01", "-n", "3"]);
        assert!(number(&metrics, "spearman").is_finite());
        let page = std::fs::read_to_string(at.path().join("out/report.html")).expect("a page");
        assert!(number(&metrics, "spearman") >= 0.6 || page.contains("too weak"));
    }
}
