//! Files that are broken or do not belong together: one clear line, a non-zero exit, nothing half-written.

use crate::*;
use std::fs;

/// Every command that reads a stack, over this stack in place of particles.mrcs.
fn all_refuse(at: &Path, input: &str, expected: &[&str]) {
    let reads: [&[&str]; 5] = [
        &["downsample", input, "-D", "16", "-o", "out.mrcs"],
        &["downsample", input, "-D", "16", "-o", "new/out.mrcs", "--chunk", "5"],
        &["backproject_voxel", input, "--poses", "pose.pkl", "--ctf", "ctf.pkl", "-o", "out/deep"],
        &["phase_flip", input, "ctf.pkl", "-o", "out.mrcs"],
        &["translate_mrcs", input, "pose.pkl", "-o", "out.mrcs"],
    ];
    for args in reads {
        let said = fails(at, &[&["drgn"], args].concat());
        for part in expected {
            assert!(said.contains(part), "{args:?}: `{part}` is not in: {said}");
        }
    }
}

/// Changes word `i` of a header.
fn set_word(path: &Path, i: usize, value: i32) {
    let mut bytes = fs::read(path).unwrap();
    bytes[4 * i..4 * i + 4].copy_from_slice(&value.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_truncated_stack() {
    let at = workplace();
    let path = at.path().join("particles.mrcs");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1000]).unwrap();
    all_refuse(at.path(), "particles.mrcs", &["particles.mrcs", "cut short"]);
    all_refuse(at.path(), "particles.star", &["particles.mrcs", "cut short"]);
    fs::write(&path, &bytes[..500]).unwrap();
    all_refuse(at.path(), "particles.mrcs", &["particles.mrcs"]);
    fs::write(&path, b"").unwrap();
    all_refuse(at.path(), "particles.mrcs", &["particles.mrcs", "empty"]);
}

#[test]
fn a_header_that_lies() {
    let at = workplace();
    let path = at.path().join("particles.mrcs");
    set_word(&path, 2, 100_000);
    all_refuse(at.path(), "particles.mrcs", &["the header promises"]);
    set_word(&path, 2, 7);
    all_refuse(at.path(), "particles.mrcs", &["more sections than it says"]);
    set_word(&path, 2, -7);
    all_refuse(at.path(), "particles.mrcs", &["particles.mrcs"]);
    set_word(&path, 2, 48);
    set_word(&path, 3, 99);
    all_refuse(at.path(), "particles.mrcs", &["99"]);
}

#[test]
fn a_pixel_that_is_no_number() {
    let at = workplace();
    let path = at.path().join("particles.mrcs");
    let mut bytes = fs::read(&path).unwrap();
    let place = 1024 + 4 * (30 * 1024 + 3 * 32 + 9);
    bytes[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    all_refuse(at.path(), "particles.mrcs", &["particle 30", "x 9, y 3", "NaN"]);
}

#[test]
fn a_row_past_the_end_of_its_stack() {
    let at = workplace();
    let path = at.path().join("particles.star");
    let star = fs::read_to_string(&path).unwrap();
    let line = star.lines().position(|l| l.contains("000031@")).unwrap() + 1;
    fs::write(&path, star.replace("000031@", "000049@")).unwrap();
    all_refuse(at.path(), "particles.star", &[&format!("line {line}"), "image 49", "only 48"]);
}

#[test]
fn a_missing_file_in_the_middle_of_a_list() {
    let at = workplace();
    fs::write(at.path().join("list.txt"), "particles.mrcs\nlost.mrcs\nparticles.mrcs\n").unwrap();
    all_refuse(at.path(), "list.txt", &["list.txt", "line 2", "lost.mrcs"]);
    all_refuse(at.path(), "nowhere.star", &["nowhere.star"]);
}

#[test]
fn an_odd_box() {
    let at = workplace();
    let path = at.path().join("particles.mrcs");
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(1024 + 4 * 48 * 31 * 31);
    fs::write(&path, bytes).unwrap();
    for word in [0, 1, 7, 8] {
        set_word(&path, word, 31);
    }
    all_refuse(at.path(), "particles.mrcs", &["31 pixels", "even"]);
    let at = workplace();
    for side in ["15", "0", "34"] {
        let said =
            fails(at.path(), &["drgn", "downsample", "particles.mrcs", "-D", side, "-o", "new/out.mrcs"]);
        assert!(
            said.contains(side) && (said.contains("even") || said.contains("must not be larger")),
            "{said}"
        );
    }
    let said = fails(at.path(), &["drgn", "parse_pose_star", "particles.star", "-D", "31", "-o", "out.pkl"]);
    assert!(said.contains("-D 31") && said.contains("even"), "{said}");
}

#[test]
fn no_particles() {
    let at = workplace();
    let star = fs::read_to_string(at.path().join("particles.star")).unwrap();
    let without: String =
        star.lines().filter(|l| !l.contains("@particles")).map(|l| format!("{l}\n")).collect();
    fs::write(at.path().join("none.star"), without).unwrap();
    fs::write(at.path().join("none.txt"), "\n# nothing\n").unwrap();
    all_refuse(at.path(), "none.star", &["no particles"]);
    all_refuse(at.path(), "none.txt", &["no particles"]);
    for command in ["parse_pose_star", "parse_ctf_star"] {
        assert!(fails(at.path(), &["drgn", command, "none.star", "-o", "out.pkl"]).contains("no particles"));
    }
    set_word(&at.path().join("particles.mrcs"), 2, 0);
    all_refuse(at.path(), "particles.mrcs", &["particles.mrcs"]);
    kinesome::systems::drgn::files::write_indices(&at.path().join("empty.pkl"), &[]).unwrap();
    let said =
        fails(at.path(), &["drgn", "filter_star", "particles.star", "--ind", "empty.pkl", "-o", "out.star"]);
    assert!(said.contains("empty"), "{said}");
}

#[test]
fn tables_of_another_number_of_images() {
    let at = workplace();
    succeeds(at.path(), &["drgn", "filter_pkl", "pose.pkl", "--first", "40", "-o", "p40.pkl"]);
    succeeds(at.path(), &["drgn", "filter_pkl", "ctf.pkl", "--first", "40", "-o", "c40.pkl"]);
    let run = |poses: &str, ctf: &str, more: &[&str]| {
        let args =
            ["drgn", "backproject_voxel", "particles.mrcs", "--poses", poses, "--ctf", ctf, "-o", "out"];
        fails(at.path(), &[&args[..], more].concat())
    };
    let said = run("p40.pkl", "ctf.pkl", &[]);
    assert!(said.contains("p40.pkl") && said.contains("40") && said.contains("48 images"), "{said}");
    let said = run("pose.pkl", "c40.pkl", &[]);
    assert!(said.contains("c40.pkl") && said.contains("40") && said.contains("48 images"), "{said}");
    kinesome::systems::drgn::files::write_indices(&at.path().join("far.pkl"), &[3, 48]).unwrap();
    let said = run("pose.pkl", "ctf.pkl", &["--ind", "far.pkl"]);
    assert!(said.contains("48"), "{said}");
    let said = run("ctf.pkl", "ctf.pkl", &[]);
    assert!(said.contains("ctf.pkl") && said.contains("rotations"), "{said}");
}

#[test]
fn a_pickle_that_tries_to_run_code() {
    let at = workplace();
    fs::write(at.path().join("evil.pkl"), b"cos\nsystem\n(S'touch pwned'\ntR.").unwrap();
    let as_poses = ["backproject_voxel", "particles.mrcs", "--poses", "evil.pkl", "-o", "out"];
    let as_ctf =
        ["backproject_voxel", "particles.mrcs", "--poses", "pose.pkl", "--ctf", "evil.pkl", "-o", "out"];
    let as_indices = ["downsample", "particles.mrcs", "-D", "16", "--ind", "evil.pkl", "-o", "out.mrcs"];
    let as_table = ["filter_pkl", "evil.pkl", "--first", "3", "-o", "out.pkl"];
    let as_latents = ["pc_traversal", "evil.pkl", "-o", "out"];
    for args in [&as_poses[..], &as_ctf, &as_indices, &as_table, &as_latents] {
        let said = fails(at.path(), &[&["drgn"], args].concat());
        assert!(said.contains("evil.pkl") && said.contains("system"), "{said}");
    }
    assert!(!at.path().join("pwned").exists());
}

#[test]
fn an_output_that_cannot_be_written() {
    let at = workplace();
    // Below a regular file, where not even the system's administrator can write.
    let outputs: [&[&str]; 6] = [
        &["downsample", "particles.mrcs", "-D", "16", "-o", "ctf.pkl/out.mrcs"],
        &["downsample", "particles.star", "-D", "16", "-o", "ctf.pkl/out.star"],
        &[
            "backproject_voxel",
            "particles.mrcs",
            "--poses",
            "pose.pkl",
            "--ctf",
            "ctf.pkl",
            "-o",
            "ctf.pkl/deep/out",
        ],
        &["parse_pose_star", "particles.star", "-o", "ctf.pkl/pose.pkl"],
        &["parse_ctf_star", "particles.star", "-o", "ctf.pkl/ctf.pkl"],
        &["write_star", "particles.mrcs", "--ctf", "ctf.pkl", "-o", "ctf.pkl/out.star"],
    ];
    for args in outputs {
        let said = fails(at.path(), &[&["drgn"], args].concat());
        assert!(said.contains("cannot") && said.contains("ctf.pkl"), "{said}");
    }
    let said = fails(at.path(), &["drgn", "parse_pose_star", "particles.star", "-o", "nowhere/pose.pkl"]);
    assert!(said.contains("no folder `nowhere`"), "{said}");
}

#[test]
fn the_input_as_output() {
    let at = workplace();
    let onto: [&[&str]; 6] = [
        &["downsample", "particles.mrcs", "-D", "16", "-o", "particles.mrcs"],
        &["downsample", "particles.star", "-D", "16", "-o", "./particles.mrcs"],
        &["downsample", "particles.star", "-D", "16", "-o", "particles.star"],
        &["phase_flip", "particles.mrcs", "ctf.pkl", "-o", "particles.mrcs"],
        &["invert_contrast", "particles.mrcs", "-o", "particles.mrcs"],
        &["add_psize", "particles.mrcs", "--Apix", "2", "-o", "particles.mrcs"],
    ];
    for args in onto {
        let said = fails(at.path(), &[&["drgn"], args].concat());
        assert!(said.contains("also the input"), "{args:?}: {said}");
    }
}

#[test]
#[cfg(unix)]
fn a_full_disk() {
    let at = workplace();
    // Kilobytes that a file may have: the first of several files fits, the next does not.
    let runs: [(u32, &[&str]); 4] = [
        (16, &["downsample", "particles.mrcs", "-D", "16", "-o", "out.mrcs"]),
        (16, &["downsample", "particles.star", "-D", "16", "-o", "out/out.star"]),
        (
            64,
            &["backproject_voxel", "particles.mrcs", "--poses", "pose.pkl", "--ctf", "ctf.pkl", "-o", "out"],
        ),
        (2, &["parse_star", "particles.star", "--ctf", "a.pkl", "--poses", "b.pkl"]),
    ];
    for (limit, args) in runs {
        let line =
            format!("ulimit -f {limit}; exec {} drgn {}", env!("CARGO_BIN_EXE_kinesome"), args.join(" "));
        let mut command = Command::new("bash");
        command.args(["-c", &line]).current_dir(at.path());
        let said = refused(at.path(), command, 1);
        assert!(said.contains("cannot write"), "{said}");
    }
    // Standard output is a file too.
    let line = format!("{} devices > /dev/full", env!("CARGO_BIN_EXE_kinesome"));
    let mut command = Command::new("bash");
    command.args(["-c", &line]).current_dir(at.path());
    assert!(refused(at.path(), command, 1).contains("No space left"));
}

#[test]
fn an_old_output_survives_a_failed_run() {
    let at = workplace();
    succeeds(
        at.path(),
        &["drgn", "downsample", "particles.mrcs", "-D", "16", "--chunk", "30", "-o", "old.mrcs"],
    );
    let before = fs::read(at.path().join("old.0.mrcs")).unwrap();
    let mut bytes = fs::read(at.path().join("particles.mrcs")).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    fs::write(at.path().join("bad.mrcs"), bytes).unwrap();
    fails(at.path(), &["drgn", "downsample", "bad.mrcs", "-D", "16", "--chunk", "30", "-o", "old.mrcs"]);
    assert_eq!(fs::read(at.path().join("old.0.mrcs")).unwrap(), before);
    assert!(at.path().join("old.1.mrcs").exists() && at.path().join("old.txt").exists());
}

#[test]
fn nonsense_in_a_star_file() {
    let at = workplace();
    let star = fs::read_to_string(at.path().join("particles.star")).unwrap();
    let run = |command: &str, from: &str, to: &str| {
        let text = star.replacen(from, to, 1);
        assert_ne!(text, star, "{from} is not in the file");
        fs::write(at.path().join("bad.star"), text).unwrap();
        fails(at.path(), &["drgn", command, "bad.star", "-o", "out.pkl"])
    };
    for (command, from, to, expected) in [
        ("parse_ctf_star", " 300.000000 ", " 300000 ", "--kv"),
        ("parse_ctf_star", " 4.000000 32 ", " 0 32 ", "--Apix"),
        ("parse_ctf_star", " 0.100000 2.7", " 7 2.7", "-w"),
        ("parse_ctf_star", "14116.060 13854.687", "1.411 1.385", "looks like µm"),
        ("parse_ctf_star", "14116.060", "nan", "not a finite number"),
        ("parse_ctf_star", "_rlnVoltage", "_rlnVolts", "--kv"),
        ("parse_pose_star", "-7.499039 ", "-7499.039 ", "out of its image"),
        ("parse_pose_star", "_rlnAngleTilt", "_rlnAngleT", "_rlnAngleTilt"),
        ("parse_pose_star", "159.500198", "abc", "`abc`"),
        ("parse_pose_star", "_rlnImageSize", "_rlnSize", "-D"),
    ] {
        let said = run(command, from, to);
        assert!(said.contains("bad.star") && said.contains(expected), "`{expected}` is not in: {said}");
    }
}

#[test]
fn what_does_not_work_yet_says_so() {
    let at = workplace();
    let args = [
        "drgn",
        "backproject_voxel",
        "particles.star",
        "--poses",
        "pose.pkl",
        "-o",
        "out",
        "--tilt",
        "-d",
        "2.9",
    ];
    assert!(fails(at.path(), &args).contains("not supported yet"));
}
