//! What the numbers are held against: a replicate of the reference, shorter runs, and residues without knowledge of
//! one another.

use serde::Serialize;

use super::Options;
use super::features::{Angles, Torsion};
use super::scores::{Reference, Scores};
use crate::error::Result;

/// Parts of its length to which a simulation is cut.
const PARTS: [usize; 3] = [10, 30, 100];
/// Stretches of a part that are averaged over, at most.
const STRETCHES: usize = 10;

/// One baseline; `scores` are those of each stretch, mostly one.
#[derive(Debug, Clone, Serialize)]
pub struct Baseline {
    /// `replicate`, `md_1/10`, `independent_residues`.
    pub name: String,
    /// For people.
    pub about: String,
    pub scores: Vec<Scores>,
}

/// All baselines. Shorter runs are cut from the replicate, or from the reference itself where there is none.
pub fn baselines(
    reference: &Reference,
    torsions: &[Torsion],
    replicate: Option<&Angles>,
    options: &Options,
) -> Result<Vec<Baseline>> {
    let mut found = Vec::new();
    if let Some(angles) = replicate {
        found.push(Baseline {
            name: "replicate".into(),
            about: format!("replicate MD, {}", span(angles)),
            scores: vec![reference.score(angles, options)?],
        });
    }
    let source = replicate.unwrap_or(reference.angles);
    for part in PARTS {
        let frames = reference.angles.frames / part;
        // As long as a part of the reference is, in time.
        let frames = (frames as f64 * reference.angles.step / source.step).round() as usize;
        if frames < 2 || frames > source.frames {
            continue;
        }
        let count = (source.frames / frames).clamp(1, STRETCHES);
        let starts = (0..count).map(|i| i * (source.frames - frames) / count.max(2).saturating_sub(1));
        let scores: Result<Vec<Scores>> =
            starts.map(|from| reference.score(&source.stretch(from, from + frames), options)).collect();
        let of = if replicate.is_some() { "replicate" } else { "reference" };
        let stretches =
            if count > 1 { format!("mean of {count} stretches of the {of}") } else { format!("of the {of}") };
        found.push(Baseline {
            name: format!("md_1/{part}"),
            about: format!(
                "MD of 1/{part} of the length ({}), {stretches}",
                time(frames as f64 * source.step)
            ),
            scores: scores?,
        });
    }
    let shuffled = reference.angles.independent(torsions, options.seed);
    found.push(Baseline {
        name: "independent_residues".into(),
        about: "the reference's residues, each from a frame of its own".into(),
        scores: vec![reference.score(&shuffled, options)?],
    });
    Ok(found)
}

/// `10 ns`
pub fn span(angles: &Angles) -> String {
    time(angles.frames as f64 * angles.step)
}

/// A time in ps, for people.
pub fn time(ps: f64) -> String {
    let (value, unit) = match ps {
        ps if ps >= 1e6 => (ps / 1e6, "µs"),
        ps if ps >= 1e3 => (ps / 1e3, "ns"),
        ps if ps >= 1.0 || ps == 0.0 => (ps, "ps"),
        ps => (ps * 1e3, "fs"),
    };
    let digits = if value >= 100.0 || (value - value.round()).abs() < 1e-9 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}
