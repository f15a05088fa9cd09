//! UMAP: uniform manifold approximation and projection (McInnes, Healy and Melville 2018, arXiv:1802.03426), to two
//! dimensions or more, from exact neighbours and a PCA start. Steps are taken one after another, so a seed gives the
//! same picture on any number of threads.

use super::matrix::Matrix;
use super::neighbours::{Neighbours, nearest_neighbours};
use super::pca::Pca;
use super::random::Philox;
use crate::error::Result;

/// Settings; the defaults are those of the reference program.
#[derive(Debug, Clone)]
pub struct Umap {
    /// Neighbours a point, itself included.
    pub neighbours: usize,
    /// How close points may lie in the picture, in units of `spread`.
    pub min_dist: f64,
    pub spread: f64,
    /// Dimensions of the picture.
    pub dimensions: usize,
    /// `None`: 500 up to 10,000 points, else 200.
    pub epochs: Option<usize>,
    pub negative_samples: usize,
    pub seed: u64,
}

impl Default for Umap {
    fn default() -> Self {
        Umap {
            neighbours: 15,
            min_dist: 0.1,
            spread: 1.0,
            dimensions: 2,
            epochs: None,
            negative_samples: 5,
            seed: 0,
        }
    }
}

struct Edge {
    from: u32,
    to: u32,
    weight: f32,
}

impl Umap {
    /// Coordinates [n, dimensions] of the rows of `x` [n, d]. `progress` is called with (epochs done, epochs) and may
    /// stop the work by an error.
    pub fn fit(&self, x: Matrix, progress: &mut dyn FnMut(usize, usize) -> Result<()>) -> Result<Vec<f32>> {
        let (n, out) = (x.rows(), self.dimensions.max(1));
        if n < 2 {
            x.check_finite("UMAP")?;
            return Ok(vec![0.0; n * out]);
        }
        let epochs = self.epochs.unwrap_or(if n <= 10_000 { 500 } else { 200 });
        let edges = fuzzy_set(&nearest_neighbours(x, self.neighbours.max(2))?);
        let mut place = self.start(x, out)?;
        let (a, b) = fit_curve(self.min_dist, self.spread);
        // The first number is drawn for the start.
        let mut rng = Philox::new(self.seed, 1);
        let strongest = edges.iter().fold(0.0f32, |m, e| m.max(e.weight));
        // An edge of weight w is due every strongest / w epochs; weaker than once in the whole run are left out.
        let mut due: Vec<(Edge, Schedule)> = edges
            .into_iter()
            .filter(|e| e.weight > 0.0 && e.weight * epochs as f32 >= strongest)
            .map(|e| {
                let period = strongest / e.weight;
                let negative_period = period / self.negative_samples as f32;
                (e, Schedule { period, next: period, negative_period, next_negative: negative_period })
            })
            .collect();
        for epoch in 0..epochs {
            let rate = 1.0 - epoch as f32 / epochs as f32;
            let step = Step { a: a as f32, b: b as f32, rate, dimensions: out };
            for (edge, schedule) in &mut due {
                let now = epoch as f32;
                if schedule.next > now {
                    continue;
                }
                schedule.next += schedule.period;
                step.attract(&mut place, edge.from as usize, edge.to as usize);
                if self.negative_samples == 0 {
                    continue;
                }
                let count = ((now - schedule.next_negative) / schedule.negative_period).max(0.0) as usize;
                for _ in 0..count {
                    // A bias of n / 2^32 does not matter here, a rejection loop would cost.
                    let other = ((u64::from(rng.u32()) * n as u64) >> 32) as usize;
                    if other != edge.from as usize {
                        step.repel(&mut place, edge.from as usize, other);
                    }
                }
                schedule.next_negative += count as f32 * schedule.negative_period;
            }
            progress(epoch + 1, epochs)?;
        }
        Ok(place)
    }

    /// The leading principal components, scaled to 0..10 on each axis, with a little noise that parts duplicates.
    fn start(&self, x: Matrix, out: usize) -> Result<Vec<f32>> {
        let pca = Pca::fit(x, out)?;
        let scores = pca.transform(x)?;
        let k = pca.len();
        let mut rng = Philox::new(self.seed, 0);
        let largest = scores.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let scale = if largest > 0.0 { 10.0 / largest } else { 0.0 };
        let mut place: Vec<f32> = (0..x.rows())
            .flat_map(|i| (0..out).map(move |c| (i, c)))
            .map(|(i, c)| if c < k { scores[i * k + c] * scale } else { 0.0 })
            .collect();
        place.iter_mut().for_each(|v| *v += 1e-4 * rng.normal_f32());
        for c in 0..out {
            let column = || place.iter().skip(c).step_by(out);
            let (low, high) = column().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            place
                .iter_mut()
                .skip(c)
                .step_by(out)
                .for_each(|v| *v = 10.0 * (*v - low) / (high - low).max(1e-12));
        }
        Ok(place)
    }
}

/// When an edge pulls next and when it is to be balanced by negative samples, in epochs.
struct Schedule {
    period: f32,
    next: f32,
    negative_period: f32,
    next_negative: f32,
}

/// One gradient step of the cross entropy with 1 / (1 + a d^2b) as the similarity in the picture.
struct Step {
    a: f32,
    b: f32,
    rate: f32,
    dimensions: usize,
}

impl Step {
    fn squared(&self, place: &[f32], i: usize, j: usize) -> f32 {
        let d = self.dimensions;
        (0..d).map(|c| (place[i * d + c] - place[j * d + c]).powi(2)).sum()
    }

    fn attract(&self, place: &mut [f32], i: usize, j: usize) {
        let d2 = self.squared(place, i, j);
        if d2 <= 0.0 {
            return;
        }
        let power = d2.powf(self.b);
        let pull = -2.0 * self.a * self.b * power / (d2 * (self.a * power + 1.0));
        let d = self.dimensions;
        for c in 0..d {
            let (at, other) = (i * d + c, j * d + c);
            let change = self.rate * (pull * (place[at] - place[other])).clamp(-4.0, 4.0);
            place[at] += change;
            place[other] -= change;
        }
    }

    fn repel(&self, place: &mut [f32], i: usize, j: usize) {
        let d2 = self.squared(place, i, j);
        if d2 <= 0.0 {
            return;
        }
        let push = 2.0 * self.b / ((0.001 + d2) * (self.a * d2.powf(self.b) + 1.0));
        let d = self.dimensions;
        for c in 0..d {
            place[i * d + c] += self.rate * (push * (place[i * d + c] - place[j * d + c])).clamp(-4.0, 4.0);
        }
    }
}

/// The fuzzy simplicial set (sections 3.1 and 4.1): local memberships exp(-(d - rho) / sigma), joined by the
/// probabilistic t-conorm a + b - ab. Both directions of each edge are listed.
fn fuzzy_set(neighbours: &Neighbours) -> Vec<Edge> {
    let n = neighbours.points();
    let distances = &neighbours.distances;
    let overall = distances.iter().map(|&d| f64::from(d)).sum::<f64>() / distances.len().max(1) as f64;
    let mut edges: Vec<Edge> = Vec::with_capacity(2 * distances.len());
    for i in 0..n {
        let (rho, sigma) = local_scale(&distances[i * neighbours.k..(i + 1) * neighbours.k], overall);
        for (j, d) in neighbours.of(i).filter(|&(j, _)| j != i) {
            let beyond = f64::from(d) - rho;
            let weight = if beyond <= 0.0 || sigma == 0.0 { 1.0 } else { (-beyond / sigma).exp() as f32 };
            // Each directed membership stands under both directions, to meet its partner after sorting.
            edges.push(Edge { from: i as u32, to: j as u32, weight });
            edges.push(Edge { from: j as u32, to: i as u32, weight });
        }
    }
    edges.sort_by_key(|e| (e.from, e.to));
    edges.dedup_by(|next, kept| {
        let same = (next.from, next.to) == (kept.from, kept.to);
        if same {
            kept.weight = kept.weight + next.weight - kept.weight * next.weight;
        }
        same
    });
    edges
}

/// Distance rho to the nearest other point and the scale sigma at which memberships sum to log2(k), by bisection
/// (algorithm 3). sigma is kept above a thousandth of the mean distance, so that dense spots do not fall apart.
fn local_scale(distances: &[f32], overall: f64) -> (f64, f64) {
    let k = distances.len();
    let target = (k as f64).log2();
    let rho = distances.iter().find(|d| **d > 0.0).map_or(0.0, |&d| f64::from(d));
    let members = |sigma: f64| -> f64 {
        // The first is the point itself.
        distances[1.min(k)..]
            .iter()
            .map(|&d| {
                let beyond = f64::from(d) - rho;
                if beyond > 0.0 { (-beyond / sigma).exp() } else { 1.0 }
            })
            .sum()
    };
    let (mut low, mut high, mut sigma) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..64 {
        let sum = members(sigma);
        if (sum - target).abs() < 1e-5 {
            break;
        }
        if sum > target {
            high = sigma;
            sigma = (low + high) / 2.0;
        } else {
            low = sigma;
            sigma = if high.is_infinite() { sigma * 2.0 } else { (low + high) / 2.0 };
        }
    }
    let mean = distances.iter().map(|&d| f64::from(d)).sum::<f64>() / k.max(1) as f64;
    let floor = 1e-3 * if rho > 0.0 { mean } else { overall };
    (rho, sigma.max(floor))
}

/// a and b of 1 / (1 + a d^2b), fitted by least squares to the curve that is 1 up to `min_dist` and then falls as
/// exp(-(d - min_dist) / spread) (definition 11), by Levenberg and Marquardt.
pub fn fit_curve(min_dist: f64, spread: f64) -> (f64, f64) {
    let points = 300;
    let samples: Vec<(f64, f64)> = (0..points)
        .map(|i| 3.0 * spread * i as f64 / (points - 1) as f64)
        .map(|d| (d, if d < min_dist { 1.0 } else { (-(d - min_dist) / spread).exp() }))
        .collect();
    let value = |a: f64, b: f64, d: f64| 1.0 / (1.0 + a * d.powf(2.0 * b));
    let error = |a: f64, b: f64| -> f64 { samples.iter().map(|&(d, y)| (value(a, b, d) - y).powi(2)).sum() };
    let (mut a, mut b, mut damping) = (1.0, 1.0, 1e-3);
    for _ in 0..200 {
        let (mut aa, mut ab, mut bb, mut ga, mut gb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(d, y) in samples.iter().filter(|(d, _)| *d > 0.0) {
            let f = value(a, b, d);
            let power = d.powf(2.0 * b);
            let da = -f * f * power;
            let db = -f * f * a * power * 2.0 * d.ln();
            (aa, ab, bb) = (aa + da * da, ab + da * db, bb + db * db);
            (ga, gb) = (ga + da * (y - f), gb + db * (y - f));
        }
        let (ma, mb) = (aa * (1.0 + damping), bb * (1.0 + damping));
        let determinant = ma * mb - ab * ab;
        if determinant == 0.0 {
            break;
        }
        let (step_a, step_b) = ((mb * ga - ab * gb) / determinant, (ma * gb - ab * ga) / determinant);
        if error(a + step_a, b + step_b) < error(a, b) {
            (a, b, damping) = (a + step_a, b + step_b, damping * 0.3);
            if step_a.abs().max(step_b.abs()) < 1e-12 {
                break;
            }
        } else {
            damping *= 10.0;
        }
    }
    (a, b)
}
