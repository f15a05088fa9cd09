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

/// A network of one task trained on the chain for an epoch.
fn trained(at: &std::path::Path, task: &[&str], out: &str, frames: &str) {
    let mut words = TRAIN.to_vec();
    words.remove(2);
    if let Some(at) = words.iter().position(|w| *w == "--num-frames") {
        words[at + 1] = frames;
    }
    succeeds(at, &[&words[..], task, &["-o", out, "--epochs", "1"]].concat());
}

fn with<'a>(words: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [words, more].concat()
}

const FEW: [&str; 6] = ["--data-dir", ".", "--split", "split.csv", "--sampler", "euler"];

fn frames(at: &std::path::Path, name: &str) -> usize {
    kinesome::io::trajectory::Trajectory::open(&at.join(name)).unwrap().frames()
}

#[test]
fn paths_between_frames_and_between_states() {
    let folder = chain();
    let at = folder.path();
    jiggling(&at.join("GGG.npy"), 600, 1);
    trained(at, &["--tps-condition"], "run", "5");
    let words = [&["mdgen", "interpolate", "--sim-ckpt", "run/last.ckpt", "--steps", "3"], &FEW[..]].concat();
    succeeds(
        at,
        &with(
            &words,
            &["--frames", "3", "17", "--num-paths", "3", "--batch-size", "2", "--repair", "-o", "fixed"],
        ),
    );
    assert_eq!(frames(at, "fixed/GGG_2.xtc"), 5);
    // The ends are the frames that were asked for: the same in every path, since each is superposed on its first.
    let read = |name: &str| std::fs::read(at.join(name)).unwrap();
    assert_eq!(read("fixed/GGG_0.pdb"), read("fixed/GGG_2.pdb"));
    assert_ne!(read("fixed/GGG_0.xtc"), read("fixed/GGG_2.xtc"));
    let states = ["--timestep", "1", "--lag", "10", "--clusters", "20", "--states", "3"];
    let said = succeeds(at, &with(&words, &[&states[..], &["--num-paths", "4", "-o", "paths"]].concat()));
    assert!(said.contains("chain broken in"), "{said}");
    let json: serde_json::Value = serde_json::from_slice(&read("paths/GGG.json")).unwrap();
    assert_eq!(json["paths"].as_array().unwrap().len(), 4);
    assert!(json["states"][0].as_u64().unwrap() >= 1);
    // A stopped run goes on; what is there stays.
    std::fs::write(at.join("paths/GGG_0.xtc"), "kept").unwrap();
    succeeds(at, &with(&words, &[&states[..], &["--num-paths", "4", "-o", "paths", "--resume"]].concat()));
    assert_eq!(read("paths/GGG_0.xtc"), b"kept");
    for (more, part) in [
        (&["--frames", "3", "9999", "-o", "x"][..], "there is no frame 9999"),
        (
            &["--between", "1", "9", "--timestep", "1", "--lag", "10", "--states", "3", "-o", "x"],
            "no frame in state 9",
        ),
        (&["--between", "2", "2", "-o", "x"], "two different states"),
        (&["--num-paths", "0", "-o", "x"], "--num-paths"),
        (&["--lag", "15", "-o", "x"], "--lag"),
    ] {
        let said = fails(at, &with(&words, more));
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    let said = fails(at, &[&SIMULATE[..], &["-o", "out"]].concat());
    assert!(said.contains("was trained to Interpolate"), "{said}");
}

#[test]
fn upsampled_trajectories_pass_through_stored_frames() {
    let folder = chain();
    let at = folder.path();
    trained(at, &["--sim-condition", "--cond-interval", "3"], "run", "7");
    let words =
        [&["mdgen", "upsample", "--sim-ckpt", "run/last.ckpt", "--steps", "2", "-o", "fine"], &FEW[..]];
    let words = words.concat();
    succeeds(at, &[&words[..], &["--stored-frames", "10", "--batch-size", "2"]].concat());
    assert_eq!(frames(at, "fine/GGG.xtc"), 28);
    succeeds(at, &[&words[..], &["--stored-interval", "7"]].concat());
    assert_eq!(frames(at, "fine/GGG.xtc"), 25);
    let json = std::fs::read_to_string(at.join("fine/GGG.json")).unwrap();
    assert!(json.contains("clashing"), "{json}");
    let said = fails(at, &[&words[..], &["--stored-frames", "2"]].concat());
    assert!(said.contains("--num-frames 4 or fewer"), "{said}");
    succeeds(at, &[&words[..], &["--stored-frames", "2", "--num-frames", "4"]].concat());
    assert_eq!(frames(at, "fine/GGG.xtc"), 4);
}

#[test]
fn designs_and_their_sequences() {
    let folder = chain();
    let at = folder.path();
    trained(at, &["--inpainting", "--no-aa-emb", "--no-torsion", "--design-key-frames"], "run", "6");
    let words =
        [&["mdgen", "inpaint", "--sim-ckpt", "run/last.ckpt", "--steps", "3", "-o", "designs"], &FEW[..]];
    let words = words.concat();
    succeeds(at, &[&words[..], &["--random-start-idx", "--num-designs", "3"]].concat());
    let fasta = std::fs::read_to_string(at.join("designs/GGG.fasta")).unwrap();
    let sequences: Vec<&str> = fasta.lines().filter(|l| !l.starts_with('>')).collect();
    assert!(sequences.len() == 3 && sequences.iter().all(|s| s.len() == 3), "{fasta}");
    assert_eq!(frames(at, "designs/GGG_2.xtc"), 6);
    let said = fails(at, &[&words[..], &["--timestep", "1", "--lag", "70"]].concat());
    assert!(said.contains("longer trajectory or a shorter --lag"), "{said}");
}

#[test]
fn several_samples_of_a_hyena_network_in_shorter_windows() {
    let folder = chain();
    let at = folder.path();
    trained(at, &["--sim-condition", "--hyena", "--accumulate-grad", "2"], "run", "6");
    let words =
        [&SIMULATE[..], &["--sampler", "sde", "--steps", "3", "-o", "out", "--num-frames", "4"]].concat();
    succeeds(at, &[&words[..], &["--num-samples", "3", "--batch-size", "2", "--start-frame", "7"]].concat());
    // The second window begins with the last frame of the first.
    assert_eq!(frames(at, "out/GGG_2.xtc"), 7);
    let read = |name: &str| std::fs::read(at.join(name)).unwrap();
    assert_ne!(read("out/GGG_0.xtc"), read("out/GGG_1.xtc"));
    let said = fails(at, &[&SIMULATE[..], &["-o", "x", "--start-frame", "60"]].concat());
    assert!(said.contains("there is no frame 60"), "{said}");
}

#[test]
fn checkpoints_come_and_go() {
    let folder = chain();
    let at = folder.path();
    trained(at, &["--sim-condition", "--parity"], "run", "6");
    succeeds(at, &["mdgen", "export", "run/last.ckpt", "-o", "theirs.ckpt"]);
    let said = succeeds(at, &["mdgen", "import", "theirs.ckpt", "-o", "run/ours.ckpt"]);
    assert!(said.contains("Simulate, 6 frames, 3 residues"), "{said}");
    let simulated = |checkpoint: &str, out: &str| {
        let mut words = SIMULATE.to_vec();
        words[9] = checkpoint;
        succeeds(at, &[&words[..], &["-o", out, "--sampler", "heun", "--steps", "4"]].concat());
        std::fs::read(at.join(out).join("GGG.xtc")).unwrap()
    };
    assert_eq!(simulated("run/last.ckpt", "a"), simulated("run/ours.ckpt", "b"));
    let said = fails(at, &["mdgen", "import", "split.csv", "-o", "x.ckpt"]);
    assert!(said.contains("not a PyTorch checkpoint"), "{said}");
    let resumed = [&TRAIN[..], &["-o", "elsewhere", "--epochs", "1", "--ckpt", "run/ours.ckpt"]].concat();
    succeeds(at, &resumed);
}
