//! Paths through latent space: along principal components, straight between particles, and along their neighbours.

use super::files::Latents;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::stats::Matrix;
use crate::stats::graph::Graph;
use crate::stats::neighbours::nearest_neighbours;
use crate::stats::pca::Pca;
use std::path::Path;

/// Points of latent space, one a row.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentPath {
    pub dim: usize,
    /// [points, dim].
    pub points: Vec<f32>,
}

impl LatentPath {
    /// As text: a row a line, the numbers as `%.18e` would be read back.
    pub fn to_text(&self) -> String {
        let line = |row: &[f32]| row.iter().map(|v| format!("{v:e}")).collect::<Vec<_>>().join(" ") + "\n";
        self.points.chunks_exact(self.dim.max(1)).map(line).collect()
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let text = self.to_text();
        atomic::write(path, |out| out.write_all(text.as_bytes()))
    }
}

/// How the points of a path along a principal component are placed.
#[derive(Clone, Copy, Debug)]
pub struct PcOptions {
    /// Points on the path.
    pub points: usize,
    /// Percentiles of the particles' coordinates where the path begins and ends.
    pub limits: [f64; 2],
    /// Points at equal steps of percentile instead of equal distances.
    pub by_percentile: bool,
}

/// A path along principal component `component` (from 0) through the mean of the latents.
pub fn along_component(latents: &Latents, component: usize, options: &PcOptions) -> Result<LatentPath> {
    let dim = latents.dim;
    let [low, high] = options.limits;
    if !(0.0 <= low && low < high && high <= 100.0) {
        return Err(Error::usage(format!(
            "--lim {low} {high}: give two percentiles between 0 and 100, the lower first"
        )));
    }
    if options.points == 0 {
        return Err(Error::usage("a path needs at least one point (-n)"));
    }
    let z = Matrix::new(&latents.mu, dim)?;
    let pca = Pca::fit(z, dim.min(latents.len()))?;
    let k = pca.len();
    if component >= k {
        let number = component + 1;
        return Err(Error::usage(format!(
            "there is no principal component {number}: the latent space has {k}"
        )));
    }
    let mut scores: Vec<f64> =
        pca.transform(z)?.iter().skip(component).step_by(k).map(|v| f64::from(*v)).collect();
    scores.sort_by(f64::total_cmp);
    let place =
        |i: usize, low: f64, high: f64| low + (high - low) * i as f64 / (options.points - 1).max(1) as f64;
    let mut path = vec![0.0f32; options.points * k];
    for (i, row) in path.chunks_exact_mut(k).enumerate() {
        row[component] = if options.by_percentile {
            percentile(&scores, place(i, low, high)) as f32
        } else {
            place(i, percentile(&scores, low), percentile(&scores, high)) as f32
        };
    }
    Ok(LatentPath { dim, points: pca.inverse_transform(Matrix::new(&path, k)?)? })
}

/// Percentile of ascending numbers, linear between order statistics.
fn percentile(sorted: &[f64], p: f64) -> f64 {
    let rank = p / 100.0 * sorted.len().saturating_sub(1) as f64;
    let (low, fraction) = (rank.floor() as usize, rank.fract());
    let lower = sorted.get(low).copied().unwrap_or(f64::NAN);
    let upper = sorted.get(low + 1).copied().unwrap_or(lower);
    lower + fraction * (upper - lower)
}

fn check_anchors(anchors: &[usize], n: usize) -> Result<()> {
    if anchors.len() < 2 {
        return Err(Error::usage("--anchors needs at least two particles"));
    }
    match anchors.iter().find(|a| **a >= n) {
        Some(a) => {
            Err(Error::usage(format!("--anchors: there is no particle {a}; there are {n} (counted from 0)")))
        }
        None => Ok(()),
    }
}

/// Straight lines between particles: `points` on each leg, both ends included; an anchor between two legs stands once.
pub fn straight(
    latents: &Latents,
    anchors: &[usize],
    points: usize,
    back_to_start: bool,
) -> Result<LatentPath> {
    check_anchors(anchors, latents.len())?;
    if points < 2 {
        return Err(Error::usage("a leg needs at least its two ends (-n 2)"));
    }
    let dim = latents.dim;
    let at = |anchor: usize| &latents.mu[anchor * dim..(anchor + 1) * dim];
    let mut stations = anchors.to_vec();
    stations.extend(back_to_start.then_some(anchors[0]));
    let mut path = Vec::new();
    for (leg, pair) in stations.windows(2).enumerate() {
        for step in usize::from(leg > 0)..points {
            let t = step as f32 / (points - 1) as f32;
            path.extend(at(pair[0]).iter().zip(at(pair[1])).map(|(a, b)| a + t * (b - a)));
        }
    }
    Ok(LatentPath { dim, points: path })
}

/// A path from particle to particle.
#[derive(Clone, Debug)]
pub struct Steps {
    pub path: LatentPath,
    /// The particle of each point.
    pub indices: Vec<usize>,
    /// Sum of its edges.
    pub length: f64,
}

/// The shortest way through anchors along edges between neighbours: of each particle's `most` nearest, those nearer
/// than the (N · `average`)-th smallest neighbour distance.
pub fn through_neighbours(latents: &Latents, anchors: &[usize], most: usize, average: f64) -> Result<Steps> {
    check_anchors(anchors, latents.len())?;
    if most == 0 || !(average > 0.0 && average.is_finite()) {
        return Err(Error::usage("--max-neighbors and --avg-neighbors must be above 0"));
    }
    let z = Matrix::new(&latents.mu, latents.dim)?;
    // A particle is its own nearest neighbour and counts as one.
    let graph = Graph::new(&nearest_neighbours(z, most)?, average);
    let mut indices = vec![anchors[0]];
    let mut length = 0.0;
    for pair in anchors.windows(2) {
        let leg = graph.shortest_path(pair[0], pair[1]).ok_or_else(|| {
            Error::usage(format!(
                "no way leads from particle {} to {} along neighbours; raise --avg-neighbors and --max-neighbors",
                pair[0], pair[1]
            ))
        })?;
        indices.extend(leg.indices.into_iter().skip(1));
        length += leg.length;
    }
    let points = indices.iter().flat_map(|i| z.row(*i)).copied().collect();
    Ok(Steps { path: LatentPath { dim: latents.dim, points }, indices, length })
}
