//! Help that teaches, quickly; completions; output into a closed pipe.

use crate::*;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn help_of(command: &[&str]) -> String {
    succeeds(Path::new("."), &[command, &["--help"]].concat())
}

/// Names at the beginning of indented lines between `Commands`-like headings and the options.
fn drgn_commands() -> BTreeSet<String> {
    let listed = help_of(&["drgn"]);
    let body = listed.split("\n\n").filter(|block| !block.starts_with("Options"));
    let lines = body.flat_map(str::lines).filter_map(|line| line.strip_prefix("  "));
    // Names stand in a column of their own; what a long description wraps to does not.
    let name = |line: &str| {
        let (name, _) = line.split_once("  ")?;
        name.chars().all(|c| c.is_ascii_lowercase() || c == '_').then(|| name.to_string())
    };
    lines.filter_map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn help_is_quick() {
    let at = Path::new(".");
    kinesome(at, &["--help"]).output().unwrap();
    let time = || {
        let begun = Instant::now();
        assert!(kinesome(at, &["--help"]).output().unwrap().status.success());
        begun.elapsed()
    };
    // The best of many: other tests run at the same time.
    let best = (0..20).map(|_| time()).min().unwrap();
    assert!(best < Duration::from_millis(20), "{best:?}");
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let names = drgn_commands();
    for name in ["parse_pose_star", "downsample", "backproject_voxel", "write_star", "filter", "pc_traversal"]
    {
        assert!(names.contains(name), "{name} is not in `kinesome drgn --help`");
    }
    for name in &names {
        let help = help_of(&["drgn", name]);
        assert!(
            help.contains("Example") && help.contains(&format!("kinesome drgn {name} ")),
            "{name}: {help}"
        );
        let kebab = name.replace('_', "-");
        assert_eq!(help_of(&["drgn", &kebab]).lines().next(), help.lines().next(), "{kebab}");
    }
    for name in ["simulate", "devices", "doctor", "completions"] {
        assert!(help_of(&[name]).contains(&format!("kinesome {name}")), "{name}");
    }
}

#[test]
fn examples_name_commands_that_exist() {
    let names = drgn_commands();
    let mut pages: Vec<String> = names.iter().map(|name| help_of(&["drgn", name])).collect();
    pages.extend([help_of(&[]), help_of(&["drgn"]), help_of(&["simulate"])]);
    for page in pages {
        for (i, _) in page.match_indices("  kinesome ") {
            let words: Vec<&str> = page[i..].split_whitespace().take(3).collect();
            match words[1] {
                "drgn"
                    if words.len() > 2
                        && words[2].contains(|c: char| c.is_ascii_lowercase())
                        && words[2] != "the" =>
                {
                    assert!(names.contains(words[2]), "`{}` is no command", words.join(" "));
                }
                room => {
                    assert!(help_of(&[]).contains(&format!("\n  {room} ")), "`kinesome {room}` is no command")
                }
            }
        }
    }
}

#[test]
fn words_that_cannot_be_understood() {
    for args in [&["drgn", "downsmaple"][..], &["drgn", "downsample"], &["--threads", "0", "devices"], &[]] {
        let output = kinesome(Path::new("."), args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
    let output = kinesome(Path::new("."), &["drgn", "downsmaple"]).output().unwrap();
    assert!(stderr(&output).contains("'downsample'"), "{}", stderr(&output));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = succeeds(Path::new("."), &["completions", shell]);
        assert!(script.contains("backproject_voxel") && script.contains("reg-weight"), "{shell}");
    }
}

#[test]
fn devices_and_doctor() {
    assert!(succeeds(Path::new("."), &["devices"]).starts_with("cpu "));
    let said = succeeds(Path::new("."), &["doctor", "--quiet"]);
    assert!(said.contains("threads") && said.contains("matmul") && said.contains("all is well"), "{said}");
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_away_is_no_error() {
    let at = workplace();
    std::fs::copy(golden("cli/z.pkl"), at.path().join("z.pkl")).unwrap();
    // A path of far more text than a pipe holds.
    let line = format!("{} drgn pc_traversal z.pkl -n 100000 | head -n 1", env!("CARGO_BIN_EXE_kinesome"));
    let output =
        Command::new("bash").args(["-o", "pipefail", "-c", &line]).current_dir(at.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!((output.stdout.as_slice(), stderr(&output).as_str()), (&b"# pc 1\n"[..], ""));
}
