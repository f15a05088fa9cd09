//! Training and simulation of trajectories as a user meets them, on a made chain.

use crate::evaluate::jiggling;
use crate::*;

const TRAIN: [&str; 20] = [
    "mdgen",
    "train",
    "--sim-condition",
    "--data-dir",
    ".",
    "--train-split",
    "split.csv",
    "--num-frames",
    "6",
    "--embed-dim",
    "16",
    "--num-layers",
    "1",
    "--mha-heads",
    "2",
    "--repeat",
    "12",
    "--batch-size",
    "4",
    "--ema",
];
const SIMULATE: [&str; 10] = [
    "mdgen",
    "simulate",
    "--data-dir",
    ".",
    "--split",
    "split.csv",
    "--num-rollouts",
    "2",
    "--sim-ckpt",
    "run/last.ckpt",
];

fn chain() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    jiggling(&folder.path().join("GGG.npy"), 60, 1);
    std::fs::write(folder.path().join("split.csv"), "name,seqres\nGGG,GGG\n").unwrap();
    folder
}

#[test]
fn a_stopped_run_goes_on_to_the_same_trajectory() {
    let folder = chain();
    let at = folder.path();
    let train = |more: &[&str]| succeeds(at, &[&TRAIN[..], more].concat());
    let simulated = |out: &str| {
        succeeds(at, &[&SIMULATE[..], &["-o", out, "--sampler", "heun", "--steps", "4"]].concat());
        assert!(at.join(out).join("GGG.pdb").is_file());
        std::fs::read(at.join(out).join("GGG.xtc")).unwrap()
    };
    let said = train(&["-o", "run", "--epochs", "3"]);
    assert_eq!(said.lines().filter(|l| l.starts_with("epoch ")).count(), 3, "{said}");
    let whole = simulated("whole");
    // Less training is another network.
    train(&["-o", "run", "--epochs", "2"]);
    assert_ne!(simulated("part"), whole);
    train(&["-o", "run", "--epochs", "3", "--resume"]);
    assert_eq!(simulated("resumed"), whole);
}

#[test]
fn mdgen_refuses_in_one_line() {
    let folder = chain();
    let at = folder.path();
    let refused = |more: &[&str], part: &str| {
        let said = fails(at, &[&TRAIN[..], &["-o", "run"], more].concat());
        assert!(said.contains(part), "`{part}` is not in: {said}");
    };
    refused(&["--tps-condition"], "choose one of --sim-condition");
    refused(&["--frame-interval", "20"], "60 frames and a window takes 101");
    refused(&["--crop", "2"], "raise --crop");
    refused(&["--path-type", "straight"], "choose GVP, Linear or VP");
    refused(&["--ckpt", "split.csv"], "split.csv");
    refused(&["--lr", "0"], "--lr");
    assert!(succeeds(at, &[&TRAIN[..], &["-o", "dry", "--dry-run"]].concat()).contains("parameters"));
    assert!(!at.join("dry").exists() && !at.join("run").exists());
    let said = fails(at, &[&SIMULATE[..], &["-o", "out"]].concat());
    assert!(said.contains("last.ckpt"), "{said}");
    succeeds(at, &[&TRAIN[..], &["-o", "run", "--epochs", "1"]].concat());
    let said = fails(at, &[&SIMULATE[..], &["-o", "out", "--pdb-id", "AAA"]].concat());
    assert!(said.contains("lists no AAA"), "{said}");
    // Another network does not go on with this one's weights.
    let said = fails(at, &[&TRAIN[..], &["-o", "run", "--epochs", "2", "--resume", "--hyena"]].concat());
    assert!(said.contains("resume with the same flags"), "{said}");
}
