//! Every kernel of the sample cases compiled by NVRTC, and what the largest of each entry asks of four
//! architectures, beside a committed table: nothing may spill or take more registers unnoticed.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use kinesome::device::cuda::nvrtc::{self, Nvrtc};
use kinesome::device::cuda::{PTX, options};
use kinesome::device::gpu::Number;
use rayon::prelude::*;

use crate::shim::sample_kernels;

const ARCHITECTURES: [&str; 4] = ["sm_75", "sm_80", "sm_90a", "sm_120"];

/// The compiler, or nothing and a line that says so; a failure where it has to be there.
pub fn compiler() -> Option<&'static Nvrtc> {
    match nvrtc::load(12) {
        Ok(compiler) => Some(compiler),
        Err(problem) => {
            let required = std::env::var("KINESOME_REQUIRE_NVRTC").is_ok_and(|v| v == "1");
            assert!(!required, "KINESOME_REQUIRE_NVRTC is set: {problem}");
            eprintln!("nvrtc: skipped: {problem}");
            None
        }
    }
}

#[test]
fn every_kernel_compiles() {
    let Some(compiler) = compiler() else { return };
    let texts: HashSet<String> = sample_kernels().into_iter().map(|(_, text)| text).collect();
    let texts: Vec<String> = texts.into_iter().collect();
    let faults: Vec<String> = texts
        .par_iter()
        .filter_map(|text| compiler.compile(&format!("{PTX}\n{text}"), &options("sm_75")).err())
        .collect();
    assert!(texts.len() > 100);
    assert!(
        faults.is_empty(),
        "{} of {}\n{}",
        faults.len(),
        texts.len(),
        faults[..faults.len().min(5)].join("\n")
    );
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Use {
    registers: u32,
    /// Bytes written to and read from local memory because there were not enough registers.
    spilled: u32,
    stack: u32,
    shared: u32,
}

type Table = BTreeMap<String, Use>;

/// The number in front of, or for shared memory behind, a phrase of the assembler's log.
fn number(log: &str, phrase: &str) -> u32 {
    let before = |at: usize| log[..at].split_whitespace().next_back()?.parse::<u32>().ok();
    log.match_indices(phrase).filter_map(|(at, _)| before(at)).sum()
}

fn measure(compiler: &Nvrtc) -> Table {
    let mut largest: BTreeMap<String, String> = BTreeMap::new();
    for (pass, text) in sample_kernels() {
        // Of tensor cores: what is multiplied, in tiles of which side.
        let variants = pass.constants.iter().filter(|_| pass.entry == "tensor").filter_map(|c| match *c {
            (name @ ("KIND" | "SIDE"), Number::U32(v)) => Some(format!(" {}={v}", name.to_lowercase())),
            _ => None,
        });
        let name = format!("{} {}{}", pass.stem, pass.entry, variants.collect::<String>());
        let held = largest.entry(name).or_default();
        if (text.len(), &text) > (held.len(), held) {
            *held = text;
        }
    }
    let jobs: Vec<(&String, &String, &str)> =
        largest.iter().flat_map(|(name, text)| ARCHITECTURES.map(|a| (name, text, a))).collect();
    jobs.into_par_iter()
        .map(|(name, text, architecture)| {
            let mut options = options(architecture);
            options.push("--ptxas-options=-v".into());
            let compiled = compiler
                .compile(&format!("{PTX}\n{text}"), &options)
                .unwrap_or_else(|log| panic!("{name} for {architecture}: {log}"));
            let log = compiled.log;
            let used = Use {
                registers: number(&log, " registers"),
                spilled: number(&log, " bytes spill stores") + number(&log, " bytes spill loads"),
                stack: number(&log, " bytes stack frame"),
                shared: number(&log, " bytes smem"),
            };
            assert!(used.registers > 0, "no register count in {log:?}");
            (format!("{name} {architecture}"), used)
        })
        .collect()
}

fn file() -> PathBuf {
    let root = std::env::var_os("KINESOME_ROOT").map_or(env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    root.join("kernels/registers.txt")
}

fn print(version: &str, table: &Table) -> String {
    let mut text = format!(
        "# What each kernel takes, by {version}: registers a thread, bytes spilled, bytes of stack, bytes of shared memory.\n\
         # Made by `KINESOME_UPDATE_REGISTERS=1 cargo test --release --test cuda`.\n"
    );
    for (name, used) in table {
        text += &format!(
            "{name:40} {:4} {:4} {:4} {:6}\n",
            used.registers, used.spilled, used.stack, used.shared
        );
    }
    text
}

fn parse(text: &str) -> Table {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, numbers) = words.split_at_checked(words.len().checked_sub(4)?)?;
        let numbers: Vec<u32> = numbers.iter().map(|n| n.parse().ok()).collect::<Option<_>>()?;
        let used = Use { registers: numbers[0], spilled: numbers[1], stack: numbers[2], shared: numbers[3] };
        Some((name.join(" "), used))
    };
    text.lines().filter(|l| !l.starts_with('#')).filter_map(line).collect()
}

#[test]
fn no_kernel_gets_worse_unnoticed() {
    let Some(compiler) = compiler() else { return };
    let found = measure(compiler);
    let version = format!("NVRTC {}.{}", compiler.version().0, compiler.version().1);
    let path = file();
    if std::env::var_os("KINESOME_UPDATE_REGISTERS").is_some() {
        std::fs::write(&path, print(&version, &found)).expect("the table is written");
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let known = parse(&text);
    // Another compiler counts registers otherwise; spills it should not have either.
    let alike = text.contains(&format!("by {version}:"));
    let mut faults = vec![];
    for (name, used) in &found {
        match known.get(name) {
            None => faults.push(format!("{name} is not in the table: {used:?}")),
            Some(old) if used.spilled > old.spilled || used.stack > old.stack => {
                faults.push(format!("{name} spills: {used:?}, was {old:?}"));
            }
            Some(old) if alike && used.registers > old.registers => {
                faults.push(format!("{name} takes more registers: {used:?}, was {old:?}"));
            }
            Some(_) => {}
        }
    }
    faults
        .extend(known.keys().filter(|name| !found.contains_key(*name)).map(|name| format!("{name} is gone")));
    assert!(faults.is_empty(), "{}\nif this is meant, update {}", faults.join("\n"), path.display());
}
