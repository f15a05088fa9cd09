//! How well designed sequences bring the reference's residues back.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::protein::residue::{LETTERS, type_of_letter};

/// Recovery of the designed residues, as shares of 1.
#[derive(Debug, Clone, Serialize)]
pub struct DesignScores {
    pub samples: usize,
    /// Residues that were designed, from 1.
    pub positions: Vec<usize>,
    /// Mean over all samples and positions.
    pub recovery: f64,
    /// Of the most frequent residue at each position.
    pub recovery_of_most_frequent: f64,
    /// Of the most frequent combination of all positions.
    pub recovery_of_most_frequent_together: f64,
    /// Whether any sample has all positions right.
    pub found_whole: bool,
    /// What drawing residues evenly from the twenty types gives on average.
    pub chance: f64,
}

/// Scores `sequences` against `truth` at `positions` (from 0).
pub fn score(truth: &[usize], sequences: &[Vec<usize>], positions: &[usize]) -> Result<DesignScores> {
    if let Some(p) = positions.iter().find(|p| **p >= truth.len()) {
        return Err(Error::usage(format!(
            "designed residue {} is beyond the chain's {} residues",
            p + 1,
            truth.len()
        )));
    }
    if positions.is_empty() || sequences.is_empty() {
        return Err(Error::usage("a design needs at least one sequence and one designed residue"));
    }
    if let Some(i) = sequences.iter().position(|s| s.len() != truth.len()) {
        return Err(Error::usage(format!(
            "designed sequence {} has {} residues, the reference {}",
            i + 1,
            sequences[i].len(),
            truth.len()
        )));
    }
    let right = |found: &[usize]| found.iter().zip(positions).filter(|(f, p)| **f == truth[**p]).count();
    let at = |s: &Vec<usize>| positions.iter().map(|&p| s[p]).collect::<Vec<usize>>();
    let chosen: Vec<Vec<usize>> = sequences.iter().map(at).collect();
    let hits: usize = chosen.iter().map(|s| right(s)).sum();
    let each: Vec<usize> = (0..positions.len())
        .map(|i| most_frequent(chosen.iter().map(|s| s[i])).unwrap_or(LETTERS.len()))
        .collect();
    let together = most_frequent(chosen.iter().cloned()).unwrap_or_default();
    let share = |hits: usize| hits as f64 / positions.len() as f64;
    Ok(DesignScores {
        samples: sequences.len(),
        positions: positions.iter().map(|p| p + 1).collect(),
        recovery: share(hits) / sequences.len() as f64,
        recovery_of_most_frequent: share(right(&each)),
        recovery_of_most_frequent_together: share(right(&together)),
        found_whole: chosen.iter().any(|s| right(s) == positions.len()),
        chance: 1.0 / LETTERS.len() as f64,
    })
}

/// The item that comes most often; of equally frequent ones the least.
fn most_frequent<T: Ord>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut counts = BTreeMap::new();
    items.for_each(|item| *counts.entry(item).or_insert(0usize) += 1);
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(item, _)| item)
}

/// Residue types of a sequence of one-letter codes.
pub fn sequence(letters: &str) -> Result<Vec<usize>> {
    let one = |c: char| {
        type_of_letter(c).ok_or_else(|| {
            Error::usage(format!("sequence `{letters}`: `{c}` is not one of the letters {LETTERS}"))
        })
    };
    letters.trim().chars().map(one).collect()
}

/// Sequences of a text: one a line, or FASTA.
pub fn sequences(text: &str) -> Result<Vec<Vec<usize>>> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with(['>', '#'])).map(sequence).collect()
}
