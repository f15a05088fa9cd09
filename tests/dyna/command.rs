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
pub const SMALL: [&str; 12] = [
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

pub fn residue(stack: &Stack, out: &str, more: &[&str]) -> Output {
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

/// Latents that are drawn are drawn alike after a resume; means and variances are written.
#[test]
fn the_variational_form_goes_on_to_the_same_bits() {
    let stack = Stack::new(40, 32, 4.0, 1.0, 0.5);
    let more = ["--variational", "--cfg-options", "loss.free_bits=0.1", "loss.warmup_step=3"];
    let whole = succeeds(residue(&stack, "whole", &[&["-n", "2"], &more[..]].concat()));
    let log = std::fs::read_to_string(stack.path("whole/run.log")).expect("a log");
    assert!(log.contains("kl 0."), "{log}");
    let plain = succeeds(residue(&stack, "plain", &["-n", "2"]));
    succeeds(residue(&stack, "parts", &[&["-n", "1"], &more[..]].concat()));
    let on = ["dyna", "residue", "--config", "parts/config.toml", "-o", "parts", "--resume", "-n", "2"];
    let parts = succeeds(kinesome(stack.folder.path(), &[&on[..], &["--device", "cpu"]].concat()));
    let read = |run: &str, name: &str| std::fs::read(stack.path(run).join(name)).expect(name);
    for name in ["z.npy", "z_logvar.npy", "pred.pdb"] {
        assert!(read(&whole, name) == read(&parts, name), "{name} differs");
    }
    assert!(read(&whole, "z.npy") != read(&plain, "z.npy"));
    let logs = npy::read(&stack.path(&whole).join("z_logvar.npy")).expect("variances");
    assert_eq!(logs.shape, [40, 4]);
    assert!(!stack.path(&plain).join("z_logvar.npy").exists());
    let sample = ["dyna", "sample", "whole", "--n-clusters", "2", "-o", "two.pdb", "--device", "cpu"];
    succeeds(kinesome(stack.folder.path(), &sample));
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
    says(&["--train-ratio", "0"], &["train_ratio"]);
    says(&["--train-ratio", "0.1", "--cfg-options", "data_loader.half=1"], &["1 of 20 particles"]);
    says(&["--perturb-prior", "30"], &["perturb"]);
    says(&["--dist-keep-ratio", "2"], &["dist_keep_ratio"]);
    says(&["--cfg-options", "loss.free_bits=-1"], &["free_bits"]);
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

#[test]
fn beads_are_learned_and_written_as_residues_are() {
    let stack = Stack::new(40, 32, 4.0, 1.0, 0.5);
    let beads = |model: &str, out: &str, more: &[&str]| {
        let all = [&["dyna", "beads", "particles.star", model, "-o", out], more, &SMALL[..]].concat();
        kinesome(stack.folder.path(), &all)
    };
    let last = succeeds(beads("model.pdb", "run", &["-n", "1"]));
    let structure = Structure::read(&stack.path(&last).join("pred.pdb")).expect("structures");
    assert_eq!((structure.atoms.len(), structure.models.len()), (450, 3));
    assert_eq!(structure.atoms[1].name, "SC1");
    let log = std::fs::read_to_string(stack.path("run/run.log")).expect("a log");
    assert!(log.contains("450 beads") && log.contains("dihedrals"), "{log}");
    let parts = ["dyna", "beads", "--config", "run/config.toml", "-o", "run", "--resume", "-n", "2"];
    succeeds(kinesome(stack.folder.path(), &[&parts[..], &["--device", "cpu"]].concat()));

    // The same beads from another file, turned over: laid on the model they are the model's.
    succeeds(kinesome(stack.folder.path(), &["dyna", "martinize", "model.pdb", "-o", "cg"]));
    let mut turned = Structure::read(&stack.path("cg/model_cg.pdb")).expect("beads");
    turned.models[0].iter_mut().for_each(|p| *p = [-p[0] + 20.0, -p[1], p[2]]);
    turned.write(&stack.path("cg/turned.pdb")).expect("a file");
    let laid = succeeds(beads("model.pdb", "laid", &["-n", "1", "--ref-cg-pdb-path", "cg/turned.pdb"]));
    let found = Structure::read(&stack.path(&laid).join("pred.pdb")).expect("structures");
    let rmsd = kinesome::protein::superpose::rmsd(&found.models[0], &structure.models[0]);
    assert!(rmsd < 2.0, "{rmsd}");

    let says = |output: Output, words: &[&str]| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.lines().count() == 1, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    says(beads("model.pdb", "x", &["--ref-cg-pdb-path", "model.pdb"]), &["1656", "450", "martinize"]);
    says(residue(&stack, "x", &["--config", "run/config.toml"]), &["another stage", "beads"]);
    let key = "dataset_attr.ref_cg_pdb_path=cg/turned.pdb";
    says(residue(&stack, "x", &["--cfg-options", key]), &["ref_cg_pdb_path", "beads"]);
    let mut unknown = Structure::read(&stack.path("model.pdb")).expect("a model");
    unknown.atoms.iter_mut().for_each(|a| a.residue_name = "DA".into());
    unknown.write(&stack.path("unknown.pdb")).expect("a file");
    says(beads("unknown.pdb", "x", &[]), &["C1'", "unknown.pdb"]);
}

#[test]
fn martinize_writes_a_topology_for_each_chain() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model = Structure::read(&crate::secondary::data("adk_open.pdb")).expect("a model");
    model.atoms.iter_mut().filter(|a| a.residue_number > 100).for_each(|a| a.chain = "b".into());
    model.write(&folder.path().join("two.pdb")).expect("a file");
    let text = succeeds(kinesome(folder.path(), &["dyna", "martinize", "two.pdb", "-o", "out"]));
    let names: Vec<&str> = text.lines().filter_map(|line| line.rsplit('/').next()).collect();
    assert_eq!(names, ["two.top", "two_A.itp", "two_b2.itp", "two_cg.pdb"]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join("out").join(name)).expect(name);
    let top = read("two.top");
    assert!(top.contains("#include \"two_A.itp\"") && top.contains("two_b2 1"), "{top}");
    let beads = |name: &str| {
        let text = read(name);
        let atoms = text.split("[ atoms ]").nth(1).and_then(|rest| rest.split('[').next().map(String::from));
        atoms.expect("atoms").lines().filter(|line| !line.is_empty()).map(String::from).collect::<Vec<_>>()
    };
    let (first, second) = (beads("two_A.itp"), beads("two_b2.itp"));
    assert_eq!(first.len() + second.len(), 450);
    let fields: Vec<&str> = second[0].split_whitespace().collect();
    assert_eq!(fields[..7], ["1", "Qd", "101", "ILE", "BB", "1", "1.0000"], "{second:?}");
    // No term of a chain names a bead beyond it.
    let itp = read("two_b2.itp");
    let bonds =
        itp.split("[ bonds ]").nth(1).and_then(|rest| rest.split("[ angles ]").next()).expect("bonds");
    let most = bonds
        .lines()
        .filter(|line| !line.starts_with('['))
        .flat_map(|line| {
            line.split_whitespace().take(2).map(|n| n.parse::<usize>().expect("a number")).collect::<Vec<_>>()
        })
        .max();
    assert!(most <= Some(second.len()), "{most:?}");
    let refused = kinesome(folder.path(), &["dyna", "martinize", "none.pdb", "-o", "out"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("none.pdb"));
    std::fs::write(
        folder.path().join("water.pdb"),
        "HETATM    1  O   HOH A   1       0.000   0.000   0.000\n",
    )
    .expect("a file");
    let refused = kinesome(folder.path(), &["dyna", "martinize", "water.pdb", "-o", "out"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("amino acids"), "{refused:?}");
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

/// What guards against bias is written where it is looked for.
#[test]
fn halves_agree_or_not_and_held_out_particles_are_scored() {
    let stack = Stack::new(60, 32, 4.0, 1.0, 0.5);
    let told = succeeds(residue(&stack, "halves", &["-n", "1", "--half-sets", "--train-ratio", "0.8"]));
    assert!(told.contains("agreement of displacements"), "{told}");
    for name in ["half1/0001_0000001/z.npy", "half2/0001_0000001/report.html", "compare.json", "compare.html"]
    {
        assert!(stack.path("halves").join(name).is_file(), "{name}");
    }
    let log = std::fs::read_to_string(stack.path("halves/half2/run.log")).expect("a log");
    assert!(log.contains("6 held-out particles"), "{log}");

    succeeds(residue(&stack, "bent", &["-n", "1", "--perturb-prior", "1.5"]));
    let compare = ["dyna", "compare", "halves/half1", "bent", "-o", "agreement", "--device", "cpu"];
    succeeds(kinesome(stack.folder.path(), &compare));
    let text = std::fs::read_to_string(stack.path("agreement/compare.json")).expect("numbers");
    let numbers: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    // Hardly anything is learned yet: the mean structures are as far apart as the model was bent.
    let apart = numbers["means_apart"].as_f64().expect("a number");
    assert!((apart - 1.5).abs() < 0.4, "{apart}");

    let sampled = ["dyna", "sample", "bent", "--indices", "0,59", "-o", "two.pdb", "--device", "cpu"];
    succeeds(kinesome(stack.folder.path(), &sampled));
    assert_eq!(Structure::read(&stack.path("two.pdb")).expect("structures").models.len(), 2);
    let z = "bent/0001_0000003/z.npy";
    let cluster = ["dyna", "cluster", z, "-k", "3", "--star", "particles.star", "-o", "clusters"];
    succeeds(kinesome(stack.folder.path(), &cluster));
    let members = |k: usize| {
        let star = stack.path(&format!("clusters/cluster_{k}.star"));
        kinesome::io::star::ParticleTable::open(star).expect("particles").len()
    };
    assert_eq!((1..=3).map(members).sum::<usize>(), 60);
    succeeds(kinesome(
        stack.folder.path(),
        &["dyna", "analyze", "bent", "-k", "3", "--skip-umap", "--device", "cpu"],
    ));

    for (arguments, words) in [
        (&["dyna", "sample", "bent", "--indices", "60", "-o", "x.pdb"][..], "60"),
        (
            &["dyna", "sample", "bent", "--n-clusters", "2", "--step-num", "7", "-o", "x.pdb"][..],
            "there are 3",
        ),
        (&["dyna", "sample", "nowhere", "--n-clusters", "2", "-o", "x.pdb"][..], "folder of a run"),
        (&["dyna", "cluster", z, "-k", "99", "-o", "x"][..], "99"),
        (&["dyna", "cluster", "model.pdb", "-o", "x"][..], "model.pdb"),
    ] {
        let output = kinesome(stack.folder.path(), arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(words), "{arguments:?}: {text}");
    }
}
