//! `kinesome dyna residue`: its files, resuming to the same bits, and one line for what is wrong.

use std::path::Path;
use std::process::{Command, Output};

use kinesome::io::npy;
use kinesome::io::structure::Structure;

use crate::stack::Stack;

pub fn kinesome(at: &Path, arguments: &[&str]) -> Output {
    let binary = std::env::var_os("KINESOME_BINARY").unwrap_or(env!("CARGO_BIN_EXE_kinesome").into());
    Command::new(binary).current_dir(at).arg("--quiet").args(arguments).output().expect("the program starts")
}

/// A small network.
const SMALL: [&str; 12] = [
    "--device",
    "cpu",
    "-b",
    "16",
    "--z-dim",
    "4",
    "--latent-dim",
    "8",
    "--cfg-options",
    "model.model_cfg.e_hidden_dim=[32, 16, 16, 16]",
    "analyze.cluster_k=3",
    "data_loader.val_batch_per_gpu=20",
];

fn residue(stack: &Stack, out: &str, more: &[&str]) -> Output {
    let all = [&["dyna", "residue", "particles.star", "model.pdb", "-o", out], more, &SMALL[..]].concat();
    kinesome(stack.folder.path(), &all)
}

#[track_caller]
pub fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

#[test]
fn a_run_writes_its_files_and_goes_on_to_the_same_bits() {
    let stack = Stack::new(50, 32, 4.0, 1.0, 0.5);
    let last = succeeds(residue(&stack, "whole", &["-n", "3", "--check-val-every-n-epoch", "2"]));
    assert_eq!(Path::new(&last).file_name().and_then(|n| n.to_str()), Some("0003_0000009"));
    let z = npy::read(&stack.path(&last).join("z.npy")).expect("latents");
    assert_eq!(z.shape, [50, 4]);
    for (name, models) in [("pred.pdb", 3), ("pca-1.pdb", 10), ("pca-3.pdb", 10)] {
        let structure = Structure::read(&stack.path(&last).join(name)).expect(name);
        assert_eq!((structure.atoms.len(), structure.models.len()), (214, models), "{name}");
        assert!(structure.atoms.iter().all(|a| a.name == "CA"), "{name}");
    }
    assert!(stack.path("whole/0002_0000006/ckpt.pt").is_file());
    let log = std::fs::read_to_string(stack.path("whole/run.log")).expect("a log");
    assert!(log.contains("214 residues") && log.contains("epoch 3: loss"), "{log}");

    succeeds(residue(&stack, "parts", &["-n", "1"]));
    let refused = residue(&stack, "parts", &["-n", "3"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--resume"));
    // Settings of the first part, from where it wrote them.
    let more = ["dyna", "residue", "--config", "parts/config.toml", "-o", "parts", "--resume", "-n", "3"];
    let parts = succeeds(kinesome(stack.folder.path(), &[&more[..], &["--device", "cpu"]].concat()));
    for name in ["z.npy", "pred.pdb", "pca-2.pdb"] {
        let read = |run: &str| std::fs::read(stack.path(run).join(name)).expect(name);
        assert!(read(&last) == read(&parts), "{name} differs");
    }
}

#[test]
fn parity_learns_to_hold_still_and_leaves_attention_as_it_was() {
    let stack = Stack::new(32, 32, 4.0, 1.0, 0.5);
    succeeds(residue(&stack, "run", &["-n", "1", "--parity"]));
    let log = std::fs::read_to_string(stack.path("run/run.log")).expect("a log");
    assert!(log.contains("hold still"), "{log}");
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    let stack = Stack::new(20, 32, 4.0, 1.0, 0.5);
    let says = |arguments: &[&str], words: &[&str]| {
        let output = residue(&stack, "run", &[arguments, &["-n", "1"]].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.lines().count() == 1, "{arguments:?}: {text}");
        assert!(words.iter().all(|word| text.contains(word)), "{arguments:?}: {text}");
    };
    says(&["--apix", "2"], &["4 Å", "--apix 2"]);
    says(&["--origin", "corner"], &["middle of the box", "--origin centroid"]);
    says(&["--origin", "left"], &["auto", "centroid"]);
    says(&["--lr", "0"], &["lr"]);
    says(&["--dist-keep-ratio", "2"], &["dist_keep_ratio"]);
    says(&["--encoder-cls", "GAT"], &["MS-GAT"]);
    says(&["--contrast", "grey"], &["light"]);
    says(&["--down-side-shape", "31"], &["31"]);
    says(&["--config", "nothing.toml"], &["nothing.toml"]);
    std::fs::write(stack.path("wrong.toml"), "[loss]\ndist_wieght = 1\n").expect("a file");
    says(&["--config", "wrong.toml"], &["dist_wieght"]);
    std::fs::write(stack.path("ligand.pdb"), "HETATM    1  C1  LIG A   1       0.000   0.000   0.000\n")
        .expect("a file");
    let star = ["dyna", "residue", "particles.star"];
    let output = kinesome(stack.folder.path(), &[&star[..], &["ligand.pdb", "-o", "x"]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("CA"), "{output:?}");
    let output = kinesome(stack.folder.path(), &[&star[..], &["-o", "x"]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("docked model"), "{output:?}");
}

/// Black particles and a model in a map's frame are seen for what they are.
#[test]
fn contrast_and_frame_are_found_out() {
    let stack = Stack::new(40, 32, 4.0, 1.0, 0.5);
    let mut model = Structure::read(&stack.path("model.pdb")).expect("a model");
    model.models[0].iter_mut().flatten().for_each(|v| *v += 64.0);
    model.write(&stack.path("model.pdb")).expect("a model");
    let images = kinesome::io::mrc::MrcFile::open(stack.path("particles.mrcs")).expect("a stack");
    let mut dark = vec![0.0; images.len() * 32 * 32];
    for (i, image) in dark.chunks_mut(32 * 32).enumerate() {
        images.read_image(i, image).expect("an image");
        image.iter_mut().for_each(|v| *v = -*v);
    }
    drop(images);
    let mode = kinesome::io::mrc::Mode::Float32;
    let path = stack.path("particles.mrcs");
    let mut writer = kinesome::io::mrc::StackWriter::create(&path, 32, 32, mode, 4.0).expect("a stack");
    dark.chunks(32 * 32).for_each(|image| writer.push(image).expect("an image"));
    writer.finish().expect("a stack");
    let last = succeeds(residue(&stack, "run", &["-n", "1"]));
    let log = std::fs::read_to_string(stack.path("run/run.log")).expect("a log");
    assert!(log.contains("dark on light") && log.contains("half a box"), "{log}");
    // What is written stands where the model stood.
    let found = Structure::read(&stack.path(&last).join("pred.pdb")).expect("structures");
    let mean = found.models[0].iter().map(|p| p[0]).sum::<f64>() / 214.0;
    assert!((mean - 64.0).abs() < 10.0, "{mean}");
}
