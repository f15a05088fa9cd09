//! Tests of `kinesome::stats`, one module a file.

mod clustering;
mod divergence;
mod markov;
mod neighbours;
mod pca;
mod random;
mod rank;
mod tica;
mod umap;

use kinesome::stats::random::Philox;

/// Multiples of 1/64 in [-8, 8), exact in f32, from a generator that a reference script repeats in two lines:
/// s = (s * 1103515245 + 12345) mod 2^31, value = ((s >> 16) mod 1024 - 512) / 64.
fn sample(n: usize, seed: u64) -> Vec<f32> {
    let mut s = seed;
    let mut next = || {
        s = (s * 1_103_515_245 + 12_345) % (1 << 31);
        (((s >> 16) % 1024) as f32 - 512.0) / 64.0
    };
    (0..n).map(|_| next()).collect()
}

/// `n` points around `clusters` centres in `d` dimensions, point i in cluster i % clusters; centres are normal with
/// standard deviation `apart`, points with 1.
fn blobs(n: usize, d: usize, clusters: usize, apart: f64, seed: u64) -> Vec<f32> {
    let mut rng = Philox::new(seed, 0);
    let centers: Vec<f64> = (0..clusters * d).map(|_| apart * rng.normal()).collect();
    (0..n)
        .flat_map(|i| (0..d).map(move |c| (i % clusters) * d + c))
        .map(|c| (centers[c] + rng.normal()) as f32)
        .collect()
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected} within {tolerance}");
}
