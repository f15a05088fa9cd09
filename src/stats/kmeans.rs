//! k-means with greedy k-means++ seeding (Arthur and Vassilvitskii 2007) and Lloyd's iteration, as it serves the
//! analysis of latent spaces: every centre is a data point, and clusters stand in the order of a dendrogram's leaves.

use rayon::prelude::*;

use super::linkage::{average_linkage, leaf_order};
use super::matrix::{Matrix, squared_distance};
use super::random::Philox;
use crate::error::{Error, Result};

/// Rows a task: sums are made within chunks and added in their order, so the number of threads changes nothing.
const CHUNK: usize = 8192;

#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// [n], cluster of each point, 0-based.
    pub labels: Vec<u32>,
    /// [k, d], the mean of each cluster; with [`nearest`] further points find their cluster.
    pub means: Vec<f64>,
    /// [k, d], the data point nearest to each cluster's mean.
    pub centers: Vec<f32>,
    /// [k], which point that is.
    pub center_indices: Vec<usize>,
    /// [k], points in each cluster.
    pub counts: Vec<usize>,
    /// Sum of squared distances of points to their cluster's mean.
    pub inertia: f64,
}

/// Clusters the rows of `x` [n, d] into `k`. Labels belong to the means, before these are moved to data points; then
/// clusters are renumbered by the leaf order of average linkage between the centres.
pub fn kmeans(x: Matrix, k: usize, max_iter: usize, seed: u64) -> Result<KMeans> {
    let n = x.rows();
    if k == 0 || k > n || u32::try_from(k).is_err() {
        return Err(Error::usage(format!(
            "k-means: cannot make {k} clusters of {n} points; ask for 1 to {n}"
        )));
    }
    x.check_finite("k-means")?;
    let mut means = seed_means(x, k, &mut Philox::new(seed, 0));
    let tolerance = 1e-4 * mean_variance(x);
    for _ in 0..max_iter {
        let step = assign(x, &means);
        let moved = update(x, &step, &mut means);
        if moved <= tolerance {
            break;
        }
    }
    let last = assign(x, &means);
    let center_indices = nearest_points(x, &means);
    let centers: Vec<f32> = center_indices.iter().flat_map(|&i| x.row(i)).copied().collect();

    let order = leaf_order(k, &average_linkage(Matrix::new(&centers, x.cols())?)?);
    let mut place = vec![0u32; k];
    order.iter().enumerate().for_each(|(new, &old)| place[old] = new as u32);
    Ok(KMeans {
        labels: last.labels.iter().map(|&l| place[l as usize]).collect(),
        means: order.iter().flat_map(|&i| &means[i * x.cols()..(i + 1) * x.cols()]).copied().collect(),
        centers: order.iter().flat_map(|&i| x.row(center_indices[i])).copied().collect(),
        counts: order.iter().map(|&i| last.counts[i]).collect(),
        center_indices: order.iter().map(|&i| center_indices[i]).collect(),
        inertia: last.distances.par_chunks(CHUNK).map(sum).collect::<Vec<_>>().iter().sum(),
    })
}

/// The nearest of `means` [k, d] to each row of `x` [n, d].
pub fn nearest(x: Matrix, means: &[f64]) -> Result<Vec<u32>> {
    if means.is_empty() || !means.len().is_multiple_of(x.cols()) {
        return Err(Error::Shape(format!("{} numbers are not means of {} columns", means.len(), x.cols())));
    }
    Ok(assign(x, means).labels)
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum()
}

fn mean_variance(x: Matrix) -> f64 {
    let (n, d) = (x.rows() as f64, x.cols());
    let mut sums = vec![(0.0, 0.0); d];
    for i in 0..x.rows() {
        for ((s, s2), (&v, &first)) in sums.iter_mut().zip(x.row(i).iter().zip(x.row(0))) {
            // Relative to the first row: differences keep their digits when the mean is large.
            let v = f64::from(v) - f64::from(first);
            *s += v;
            *s2 += v * v;
        }
    }
    sums.iter().map(|(s, s2)| (s2 / n - (s / n).powi(2)).max(0.0)).sum::<f64>() / d as f64
}

/// Greedy k-means++: of 2 + ln k candidates drawn by their squared distance, keep the one that lowers the total most.
fn seed_means(x: Matrix, k: usize, rng: &mut Philox) -> Vec<f64> {
    let trials = 2 + (k as f64).ln() as usize;
    let first = rng.below(x.rows());
    let mut chosen = vec![first];
    let mut closest = vec![f32::INFINITY; x.rows()];
    lower_distances(x, x.row(first), &mut closest);
    while chosen.len() < k {
        let chunk_sums: Vec<f64> = closest.par_chunks(CHUNK).map(sum).collect();
        let candidates: Vec<usize> = (0..trials)
            .map(|_| {
                let chunk = rng.weighted(&chunk_sums);
                let rows = chunk * CHUNK..((chunk + 1) * CHUNK).min(x.rows());
                let weights: Vec<f64> = closest[rows.clone()].iter().map(|&v| f64::from(v)).collect();
                rows.start + rng.weighted(&weights)
            })
            .collect();
        let potential = |&candidate: &usize| -> f64 {
            let center = x.row(candidate);
            let sums: Vec<f64> = closest
                .par_chunks(CHUNK)
                .enumerate()
                .map(|(c, chunk)| {
                    let at = |(i, &v): (usize, &f32)| {
                        f64::from(v.min(squared_distance(x.row(c * CHUNK + i), center)))
                    };
                    chunk.iter().enumerate().map(at).sum()
                })
                .collect();
            sums.iter().sum()
        };
        let scored = candidates.iter().map(|c| (potential(c), *c));
        let best = scored.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(first, |(_, c)| c);
        lower_distances(x, x.row(best), &mut closest);
        chosen.push(best);
    }
    chosen.iter().flat_map(|&i| x.row(i)).map(|&v| f64::from(v)).collect()
}

fn lower_distances(x: Matrix, center: &[f32], closest: &mut [f32]) {
    closest.par_chunks_mut(CHUNK).enumerate().for_each(|(c, chunk)| {
        for (i, v) in chunk.iter_mut().enumerate() {
            *v = v.min(squared_distance(x.row(c * CHUNK + i), center));
        }
    });
}

struct Assignment {
    labels: Vec<u32>,
    /// Squared distance of each point to its mean.
    distances: Vec<f32>,
    /// [k, d]
    sums: Vec<f64>,
    counts: Vec<usize>,
}

fn assign(x: Matrix, means: &[f64]) -> Assignment {
    let (n, d) = (x.rows(), x.cols());
    let k = means.len() / d;
    let centers: Vec<f32> = means.iter().map(|&v| v as f32).collect();
    let (mut labels, mut distances) = (vec![0u32; n], vec![0.0f32; n]);
    let chunks = labels.par_chunks_mut(CHUNK).zip(distances.par_chunks_mut(CHUNK)).enumerate();
    let partial: Vec<(Vec<f64>, Vec<usize>)> = chunks
        .map(|(c, (labels, distances))| {
            let (mut sums, mut counts) = (vec![0.0; k * d], vec![0usize; k]);
            for (i, (label, distance)) in labels.iter_mut().zip(distances).enumerate() {
                let row = x.row(c * CHUNK + i);
                let mut best = (0, f32::INFINITY);
                for (j, center) in centers.chunks_exact(d).enumerate() {
                    let there = squared_distance(row, center);
                    if there < best.1 {
                        best = (j, there);
                    }
                }
                (*label, *distance) = (best.0 as u32, best.1);
                counts[best.0] += 1;
                let sum = &mut sums[best.0 * d..(best.0 + 1) * d];
                sum.iter_mut().zip(row).for_each(|(s, &v)| *s += f64::from(v));
            }
            (sums, counts)
        })
        .collect();
    let (mut sums, mut counts) = (vec![0.0; k * d], vec![0usize; k]);
    for (s, c) in partial {
        sums.iter_mut().zip(s).for_each(|(a, b)| *a += b);
        counts.iter_mut().zip(c).for_each(|(a, b)| *a += b);
    }
    Assignment { labels, distances, sums, counts }
}

/// Moves means to the centroids; an empty cluster takes over the point that lies farthest from its mean. Returns the
/// summed squared movement.
fn update(x: Matrix, step: &Assignment, means: &mut [f64]) -> f64 {
    let d = x.cols();
    let (mut sums, mut counts) = (step.sums.clone(), step.counts.clone());
    let empty: Vec<usize> = (0..counts.len()).filter(|&j| counts[j] == 0).collect();
    if !empty.is_empty() {
        let mut far: Vec<usize> = (0..x.rows()).collect();
        far.sort_by(|&a, &b| step.distances[b].total_cmp(&step.distances[a]).then(a.cmp(&b)));
        let mut far = far.into_iter();
        for j in empty {
            // A point alone in its cluster stays there.
            let Some(i) = far.find(|&i| counts[step.labels[i] as usize] > 1) else { break };
            let from = step.labels[i] as usize;
            for (c, &v) in x.row(i).iter().enumerate() {
                sums[from * d + c] -= f64::from(v);
                sums[j * d + c] = f64::from(v);
            }
            counts[from] -= 1;
            counts[j] = 1;
        }
    }
    let mut moved = 0.0;
    for (j, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        for c in j * d..(j + 1) * d {
            let new = sums[c] / count as f64;
            moved += (new - means[c]).powi(2);
            means[c] = new;
        }
    }
    moved
}

/// The row of `x` nearest to each of `points` [k, d]; of equally near rows the first.
fn nearest_points(x: Matrix, points: &[f64]) -> Vec<usize> {
    let d = x.cols();
    points
        .par_chunks(d)
        .map(|point| {
            let mut best = (0, f64::INFINITY);
            for i in 0..x.rows() {
                let squares = x.row(i).iter().zip(point).map(|(&v, p)| (f64::from(v) - p).powi(2));
                let there: f64 = squares.sum();
                if there < best.1 {
                    best = (i, there);
                }
            }
            best.0
        })
        .collect()
}
