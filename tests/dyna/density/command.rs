//! `kinesome dyna density` and `volumes`: their files, resuming to the same bits, and one line for what is wrong.

use std::path::Path;
use std::process::{Command, Output};

use kinesome::io::mrc::Volume;
use kinesome::io::npy::{self, Array};
use kinesome::systems::dyna::density::checkpoint::EpochLoss;
use kinesome::systems::dyna::density::train::Watch;

use super::learning::true_latents;
use crate::stack::Stack;

/// Says nothing.
pub struct Quiet;

impl Watch for Quiet {
    fn begin_epoch(&mut self, _: usize, _: usize, _: usize) -> kinesome::Result<()> {
        Ok(())
    }

    fn images(&mut self, _: usize) -> kinesome::Result<()> {
        Ok(())
    }

    fn end_epoch(&mut self, _: &EpochLoss) -> kinesome::Result<()> {
        Ok(())
    }

    fn maps(&mut self, _: usize, _: usize) -> kinesome::Result<()> {
        Ok(())
    }

    fn evaluated(&mut self, _: &Path) -> kinesome::Result<()> {
        Ok(())
    }
}

pub fn kinesome(at: &Path, arguments: &[&str]) -> Output {
    let binary = std::env::var_os("KINESOME_BINARY").unwrap_or(env!("CARGO_BIN_EXE_kinesome").into());
    Command::new(binary).current_dir(at).arg("--quiet").args(arguments).output().expect("the program starts")
}

#[track_caller]
pub fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// What it said in one line.
#[track_caller]
pub fn fails(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.lines().count() == 1, "{text}");
    text
}

const SMALL: [&str; 6] = ["--device", "cpu", "--hidden", "16", "--cfg-options", "analyze.cluster_k=3"];

fn density(stack: &Stack, more: &[&str]) -> Output {
    let all = [&["dyna", "density", "particles.star", "z.npy"], more, &SMALL[..]].concat();
    kinesome(stack.folder.path(), &all)
}

#[test]
fn a_run_writes_its_files_and_goes_on_to_the_same_bits() {
    let stack = Stack::new(20, 16, 8.0, 1.0, 0.5);
    let z = true_latents(&stack);
    let last = succeeds(density(&stack, &["-o", "whole", "-n", "3", "--check-val-every-n-epoch", "2"]));
    assert_eq!(Path::new(&last).file_name().and_then(|n| n.to_str()), Some("0003_0000006"));
    assert!(stack.path("whole/0002_0000004/ckpt.pt").is_file());
    let folder = stack.path(&last);
    assert_eq!(npy::read(&folder.join("z.npy")).expect("latents").to_f32(), z);
    let lines = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).expect(name);
        text.lines().map(|line| line.parse::<f32>().expect("a number")).collect::<Vec<_>>()
    };
    for (name, values, numbers, count) in
        [("kmeans", "z_kmeans.txt", "z_kmeans_ind.txt", 3), ("pca_1", "z_pca_1.txt", "z_pca_ind_1.txt", 10)]
    {
        let (values, numbers) = (lines(values), lines(numbers));
        assert_eq!((values.len(), numbers.len()), (count, count));
        assert!(values.iter().zip(&numbers).all(|(&value, &i)| z[i as usize] == value));
        for i in 0..count {
            let map = Volume::read(folder.join(format!("vol_{name}_{i:03}.mrc"))).expect("a map");
            assert_eq!((map.dims, map.apix, map.origin), ([16; 3], Some(8.0), [-64.0; 3]));
        }
    }
    assert!(!folder.join("vol_pca_2_000.mrc").exists(), "a latent of one number has one axis");
    let report = std::fs::read_to_string(folder.join("report.html")).expect("a report");
    assert!(report.contains("Along the latents") && report.contains("20</"), "{report:.2000}");
    let log = std::fs::read_to_string(stack.path("whole/run.log")).expect("a log");
    assert!(log.contains("20 particles of 16 pixels") && log.contains("epoch 3: loss"), "{log}");

    succeeds(density(&stack, &["-o", "parts", "-n", "1"]));
    assert!(fails(density(&stack, &["-o", "parts", "-n", "3"])).contains("--resume"));
    assert!(
        fails(density(&stack, &["-o", "parts", "-n", "3", "--resume", "--lr", "1"])).contains("settings")
    );
    // Settings of the first part, from where it wrote them.
    let more = ["dyna", "density", "--config", "parts/config.toml", "-o", "parts", "--resume", "-n", "3"];
    let parts = succeeds(kinesome(stack.folder.path(), &[&more[..], &["--device", "cpu"]].concat()));
    for name in ["vol_kmeans_001.mrc", "vol_pca_1_009.mrc"] {
        let read = |run: &str| std::fs::read(stack.path(run).join(name)).expect(name);
        assert!(read(&last) == read(&parts), "{name} differs");
    }

    // Maps of chosen particles are those of the evaluation.
    let first = lines("z_pca_ind_1.txt")[0] as usize;
    std::fs::write(stack.path("chosen.txt"), format!("3\n{first}\n")).expect("a file");
    let volumes = |more: &[&str]| kinesome(stack.folder.path(), &[&["dyna", "volumes"], more].concat());
    succeeds(volumes(&["whole", "-o", "picked", "--indices", "chosen.txt"]));
    let map = |name: &str| Volume::read(stack.path(name)).expect("a map");
    assert_eq!(
        map("picked/01.mrc").data,
        Volume::read(folder.join("vol_pca_1_000.mrc")).expect("a map").data
    );
    let sampled = std::fs::read_to_string(stack.path("picked/sampled_indices.txt")).expect("numbers");
    assert_eq!(sampled, format!("3\n{first}\n"));
    let row = Array::f32(&[1, 1], vec![z[first]]).expect("a latent");
    npy::write_npy(&stack.path("row.npy"), &row).expect("a file");
    succeeds(volumes(&["--work_dir", "whole", "--step_num", "6", "--output_dir", "given", "--z", "row.npy"]));
    assert_eq!(map("given/00.mrc"), map("picked/01.mrc"));
    succeeds(volumes(&[&last, "-o", "centres", "--n_clusters", "2", "--pixel_size", "3"]));
    assert_eq!((map("centres/01.mrc").apix, map("centres/01.mrc").origin), (Some(3.0), [-24.0; 3]));
    for (arguments, word) in [
        (&["whole", "-o", "x", "--indices", "3,20"][..], "there are 20"),
        (&["whole", "-o", "x", "--indices", "three"], "three"),
        (&["whole", "-o", "x", "--step-num", "5", "--indices", "1"], "step 5"),
        (&["nothing", "-o", "x", "--indices", "1"], "nothing"),
        (&["particles.mrcs", "-o", "x", "--indices", "1"], "PyTorch"),
    ] {
        let said = fails(volumes(arguments));
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    let stack = Stack::new(12, 16, 8.0, 1.0, 0.5);
    let mut z = true_latents(&stack);
    let says = |arguments: &[&str], words: &[&str]| {
        let text = fails(density(&stack, &[arguments, &["-n", "1", "-o", "run"]].concat()));
        assert!(words.iter().all(|word| text.contains(word)), "{arguments:?}: {text}");
    };
    says(&["--contrast", "grey"], &["light", "dark"]);
    says(&["--loss-fn", "cor"], &["fmsf", "rmsf"]);
    says(&["--batch-size", "0"], &["train_batch"]);
    says(&["--f-std", "0"], &["f_std"]);
    says(&["--down-side-shape", "11"], &["even", "11"]);
    says(&["--apix", "2"], &["8 Å", "--apix 2"]);
    let wrong = |values: Vec<f32>, name: &str| {
        let array = Array::f32(&[values.len(), 1], values).expect("latents");
        npy::write_npy(&stack.path(name), &array).expect("a file");
        fails(kinesome(stack.folder.path(), &["dyna", "density", "particles.star", name, "-o", "run"]))
    };
    let short = wrong(z[1..].to_vec(), "short.npy");
    assert!(short.contains("11 latents") && short.contains("12 particles"), "{short}");
    z[7] = f32::NAN;
    let holes = wrong(z, "holes.npy");
    assert!(holes.contains("row 7") && holes.contains("not finite"), "{holes}");
    let missing = fails(kinesome(stack.folder.path(), &["dyna", "density", "particles.star", "-o", "run"]));
    assert!(missing.contains("latents are missing"), "{missing}");
    assert!(!stack.path("run").exists());
}

/// Without a CTF images are plain projections, and that is said; an odd box is refused.
#[test]
fn a_missing_ctf_is_said_and_an_odd_box_refused() {
    let stack = Stack::new(12, 16, 8.0, 1.0, 0.5);
    true_latents(&stack);
    let star = std::fs::read_to_string(stack.path("particles.star")).expect("a star file");
    std::fs::write(stack.path("particles.star"), star.replace("_rlnDefocus", "_rlnSomething"))
        .expect("a file");
    succeeds(density(&stack, &["-o", "plain", "-n", "1"]));
    let log = std::fs::read_to_string(stack.path("plain/run.log")).expect("a log");
    assert!(log.contains("no defocus"), "{log}");

    let mode = kinesome::io::mrc::Mode::Float32;
    let mut writer = kinesome::io::mrc::StackWriter::create(&stack.path("particles.mrcs"), 15, 15, mode, 8.0)
        .expect("a stack");
    (0..12).for_each(|i| writer.push(&[i as f32; 225]).expect("an image"));
    writer.finish().expect("a stack");
    std::fs::write(stack.path("particles.star"), star.replace(" 16 ", " 15 ")).expect("a file");
    let odd = fails(density(&stack, &["-o", "odd", "-n", "1"]));
    assert!(odd.contains("15 pixels") && odd.contains("even"), "{odd}");
}
