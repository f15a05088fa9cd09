//! Training, evaluation and resume.

use crate::*;
use kinesome::systems::drgn::files::Latents;
use std::process::Stdio;
use std::time::{Duration, Instant};

const SMALL: [&str; 14] = [
    "--zdim",
    "2",
    "--enc-dim",
    "32",
    "--enc-layers",
    "1",
    "--dec-dim",
    "32",
    "--dec-layers",
    "2",
    "-b",
    "8",
    "--seed",
    "3",
];

pub fn train_vae<'a>(out: &'a str, epochs: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec![
        "drgn",
        "train_vae",
        "particles.mrcs",
        "--poses",
        "pose.pkl",
        "--ctf",
        "ctf.pkl",
        "--no-analysis",
    ];
    args.extend(SMALL);
    args.extend(["-n", epochs, "-o", out]);
    args.extend(more);
    args
}

/// A folder with the run that the reference program left.
fn reference_run() -> tempfile::TempDir {
    let at = workplace();
    for name in ["weights.pkl", "z.pkl", "config.yaml"] {
        std::fs::copy(golden(&format!("cli/{name}")), at.path().join(name)).unwrap();
    }
    at
}

#[test]
fn a_volume_of_the_reference_programs_network() {
    let at = reference_run();
    let args =
        ["drgn", "eval_vol", "weights.pkl", "-c", "config.yaml", "-z", "0.5", "-0.5", "-o", "mine.mrc"];
    succeeds(at.path(), &args);
    let wanted = pixels(&golden("cli/vol.mrc"));
    assert_close(&pixels(&at.path().join("mine.mrc")), &wanted, 1e-5, "volume");
    let refused = fails(
        at.path(),
        &["drgn", "eval_vol", "weights.pkl", "-c", "config.yaml", "-z", "0.5", "-o", "x.mrc"],
    );
    assert!(refused.contains("2 latent variables"), "{refused}");
}

#[test]
fn latents_of_the_reference_programs_network() {
    let at = reference_run();
    let args = [
        "drgn",
        "eval_images",
        "particles.mrcs",
        "weights.pkl",
        "-c",
        "config.yaml",
        "--poses",
        "pose.pkl",
        "--ctf",
        "ctf.pkl",
        "-o",
        "losses.pkl",
        "--out-z",
        "mine.pkl",
    ];
    let said = succeeds(at.path(), &args);
    assert!(said.contains("48 images"), "{said}");
    let (mine, wanted) =
        (Latents::read(&at.path().join("mine.pkl")).unwrap(), Latents::read(&golden("cli/z.pkl")).unwrap());
    // The latents are small numbers made of 796 pixels each: their rounding is that of the pixels.
    assert_close(&mine.mu, &wanted.mu, 1e-4, "mu");
    assert_close(&mine.logvar.unwrap(), &wanted.logvar.unwrap(), 1e-4, "logvar");
}

/// Kills the run as soon as `begun` holds.
fn killed(at: &Path, args: &[&str], begun: impl Fn() -> bool) {
    let mut child = kinesome(at, args).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !begun() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        assert!(start.elapsed() < Duration::from_secs(60), "it did not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_run_ends_with_the_same_bits() {
    let at = workplace();
    let file = |name: &str| at.path().join(name);
    succeeds(at.path(), &train_vae("whole", "60", &[]));
    // Before the first checkpoint: it starts over.
    killed(at.path(), &train_vae("broken", "60", &["--load", "latest"]), || file("broken").exists());
    killed(at.path(), &train_vae("broken", "60", &["--load", "latest"]), || {
        file("broken/weights.3.pkl").exists()
    });
    killed(at.path(), &train_vae("broken", "60", &["--load", "latest"]), || {
        file("broken/weights.20.resume.json").exists()
    });
    succeeds(at.path(), &train_vae("broken", "60", &["--load", "latest"]));
    for name in ["weights.60.pkl", "weights.pkl", "z.pkl"] {
        let read = |run: &str| std::fs::read(file(&format!("{run}/{name}"))).unwrap();
        assert_eq!(read("whole"), read("broken"), "{name}");
    }
    let refused = fails(at.path(), &train_vae("broken", "61", &["--load", "latest", "--shuffle-seed", "9"]));
    assert!(refused.contains("shuffle seed 3"), "{refused}");
}

#[test]
fn the_short_way_trains_from_a_star_file() {
    let at = workplace();
    let mut args = vec!["drgn", "train", "particles.star", "-o", "out", "-n", "2", "--no-analysis"];
    args.extend(SMALL);
    succeeds(at.path(), &args);
    succeeds(at.path(), &train_vae("long", "2", &[]));
    // The pixel size, 4 Å, stands in the star file as in ctf.pkl: both ways are the same run.
    let read = |run: &str| std::fs::read(at.path().join(run).join("z.pkl")).unwrap();
    assert_eq!(read("out"), read("long"));
}

#[test]
fn a_homogeneous_map() {
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
        "2",
        "--dim",
        "64",
        "-n",
        "6",
        "-b",
        "8",
        "--lr",
        "1e-3",
        "-o",
        "out",
    ];
    let said = succeeds(at.path(), &args);
    let losses: Vec<f64> =
        said.lines().filter_map(|l| l.split("loss ").nth(1)?.split(' ').next()?.parse().ok()).collect();
    assert_eq!(losses.len(), 6, "{said}");
    assert!(losses[5] < 0.98 * losses[0], "the loss does not fall: {losses:?}");
    assert_eq!(pixels(&at.path().join("out/reconstruct.mrc")).len(), 32 * 32 * 32);
    succeeds(at.path(), &["drgn", "eval_vol", "out/weights.pkl", "-c", "out/config.yaml", "-o", "again.mrc"]);
    assert_eq!(pixels(&at.path().join("again.mrc")), pixels(&at.path().join("out/reconstruct.mrc")));
}

#[test]
fn a_dry_run_writes_nothing() {
    let at = workplace();
    let before = listing(at.path());
    let said = succeeds(at.path(), &train_vae("out", "1", &["--dry-run", "--dump-plan"]));
    assert!(said.contains("parameters") && said.contains("matmul"), "{said}");
    assert_eq!(listing(at.path()), before);
}

#[test]
fn what_training_refuses() {
    let at = workplace();
    let refused = |more: &[&str], wanted: &str| {
        let line = fails(at.path(), &train_vae("out", "1", more));
        assert!(line.contains(wanted), "{more:?}: {line}");
    };
    refused(&["--beta", "a"], "--beta-control");
    refused(&["--beta", "lots"], "schedules a, b, c, d");
    refused(&["--domain", "sine"], "fourier or hartley");
    refused(&["--pe-type", "magic"], "gaussian");
    refused(&["--encode-mode", "conv"], "resid or mlp");
    refused(&["--do-pose-sgd"], "not supported yet");
    refused(&["--device", "tpu"], "no device called");
    refused(&["--lr", "0"], "positive");
    refused(&["--load", "nowhere.pkl"], "nowhere.pkl");
    refused(&["--ind", "pose.pkl"], "pose.pkl");
}

/// A number that overflows is found by the line that made it.
#[test]
fn eager_names_the_first_bad_value() {
    let at = workplace();
    let output = kinesome(at.path(), &train_vae("out", "3", &["--eager", "--lr", "1e30"])).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(".rs:") && (text.contains("inf") || text.contains("NaN")), "{text}");
}
