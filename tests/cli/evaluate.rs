//! `kinesome mdgen evaluate` as a user runs it.

use crate::*;
use kinesome::io::npy::{Array, write_npy};
use kinesome::stats::random::Philox;

/// Three glycines whose atoms jiggle about two arrangements, as an array of MDGen.
pub fn jiggling(path: &Path, frames: usize, seed: u64) {
    let mut rng = Philox::new(seed, 0);
    let mut folded = false;
    let mut numbers = Vec::new();
    for _ in 0..frames {
        folded ^= rng.uniform_f64() < 0.02;
        for place in 0..3 * 14 {
            for axis in 0..3 {
                // A glycine has four atoms; those of the chain wind, the more so when it is folded.
                let along = (place % 14 + 4 * (place / 14)) as f64;
                let turn = along * if folded { 1.9 } else { 1.1 };
                let at = [2.0 * turn.cos(), 2.0 * turn.sin(), 1.3 * along][axis] + 0.2 * rng.normal();
                numbers.push(if place % 14 < 4 { at as f32 } else { 0.0 });
            }
        }
    }
    write_npy(path, &Array::f32(&[frames, 3, 14, 3], numbers).unwrap()).unwrap();
}

const STEPS: [&str; 6] = ["--reference-step", "1", "--generated-step", "1", "--lag", "10"];

#[test]
fn evaluation_prints_a_table_and_writes_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (i, side) in ["md", "made", "again"].iter().enumerate() {
        std::fs::create_dir(at.join(side)).unwrap();
        jiggling(&at.join(side).join("GGG.npy"), 1200, i as u64);
    }
    let words =
        ["mdgen", "evaluate", "md", "made", "--replicate", "again", "--clusters", "20", "--states", "3"];
    let said = succeeds(at, &[&words[..], &STEPS].concat());
    for part in ["torsions, backbone", "replicate", "MD 1/10", "independent", "evaluation/evaluation.html"] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert!(!said.contains("NaN"), "{said}");
    assert!(
        at.join("evaluation/evaluation.json").is_file() && at.join("evaluation/evaluation.html").is_file()
    );
    // The same words give the same bytes, whatever the number of threads.
    let json = std::fs::read(at.join("evaluation/evaluation.json")).unwrap();
    succeeds(at, &[&words[..], &STEPS, &["--threads", "1"]].concat());
    assert_eq!(json, std::fs::read(at.join("evaluation/evaluation.json")).unwrap());
}

#[test]
fn evaluation_refuses_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    jiggling(&at.join("GGG.npy"), 60, 1);
    let refuses = |more: &[&str], part: &str| {
        let said = fails(at, &[&["mdgen", "evaluate", "GGG.npy", "GGG.npy"], more].concat());
        assert!(said.contains(part), "`{part}` is not in: {said}");
    };
    refuses(&[], "--reference-step in ps");
    refuses(&["--reference-step", "1", "--generated-step", "1"], "no longer than the lag of 100 ps");
    refuses(&[&STEPS[..], &["--states", "1"]].concat(), "--states");
    refuses(&[&STEPS[..], &["--replicate", "nothing"]].concat(), "nothing");
    // Long enough for states to be found.
    jiggling(&at.join("GGG.npy"), 1200, 1);
    let few = [&STEPS[..], &["--clusters", "20", "--states", "3"]].concat();
    refuses(&[&few[..], &["--designs", "none.txt"]].concat(), "none.txt");
    refuses(&[&few[..], &["--transition-paths", "--between", "0", "1"]].concat(), "counts from 1");
    let said = fails(at, &[&["mdgen", "evaluate", "missing", "GGG.npy"], &STEPS[..]].concat());
    assert!(said.contains("missing"), "{said}");
}
