//! Agglomerative clustering with average linkage (UPGMA) by the nearest-neighbour chain (Müllner 2011,
//! arXiv:1109.2378), and the order of its leaves. Numbering and order are SciPy's (`linkage`, `leaves_list`).

use super::matrix::Matrix;
use crate::error::Result;

/// One merge. Clusters 0..n are the points; merge `i` makes cluster n + i.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Merge {
    /// The two clusters joined, the smaller number first.
    pub clusters: [usize; 2],
    /// Mean Euclidean distance between their points.
    pub distance: f64,
    /// Points in the new cluster.
    pub size: usize,
}

/// The n - 1 merges of the rows of `x` [n, d], by growing distance. Memory is n² numbers: meant for cluster centres.
pub fn average_linkage(x: Matrix) -> Result<Vec<Merge>> {
    x.check_finite("hierarchical clustering")?;
    let n = x.rows();
    let mut distance = vec![0.0f64; n * n];
    for i in 0..n {
        for j in 0..n {
            let squares = x.row(i).iter().zip(x.row(j)).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
            distance[i * n + j] = squares.sum::<f64>().sqrt();
        }
    }
    Ok(number_merges(n, chain_merges(n, &mut distance)))
}

/// Merges as pairs of points that stand for their clusters, in the order in which the chain finds them.
fn chain_merges(n: usize, distance: &mut [f64]) -> Vec<(usize, usize, f64)> {
    let mut size = vec![1usize; n];
    let mut chain: Vec<usize> = Vec::new();
    let mut merges = Vec::with_capacity(n.saturating_sub(1));
    while merges.len() + 1 < n {
        if chain.is_empty() {
            chain.extend(size.iter().position(|&s| s > 0));
        }
        let (x, y, closest) = loop {
            let x = chain[chain.len() - 1];
            // The previous link wins ties, else the chain could walk in a circle.
            let previous = chain.len().checked_sub(2).map(|at| chain[at]);
            let mut y = previous.unwrap_or(usize::MAX);
            let mut closest = previous.map_or(f64::INFINITY, |p| distance[x * n + p]);
            for i in (0..n).filter(|&i| i != x && size[i] > 0) {
                if distance[x * n + i] < closest || y == usize::MAX {
                    (y, closest) = (i, distance[x * n + i]);
                }
            }
            if previous == Some(y) {
                break (x.min(y), x.max(y), closest);
            }
            chain.push(y);
        };
        chain.truncate(chain.len() - 2);
        let (nx, ny) = (size[x] as f64, size[y] as f64);
        merges.push((x, y, closest));
        size[y] += size[x];
        size[x] = 0;
        for i in (0..n).filter(|&i| i != y && size[i] > 0) {
            let mean = (nx * distance[x * n + i] + ny * distance[y * n + i]) / (nx + ny);
            distance[y * n + i] = mean;
            distance[i * n + y] = mean;
        }
    }
    merges
}

fn number_merges(n: usize, mut found: Vec<(usize, usize, f64)>) -> Vec<Merge> {
    found.sort_by(|a, b| a.2.total_cmp(&b.2));
    let mut parent: Vec<usize> = (0..2 * n).collect();
    let mut size = vec![1usize; 2 * n];
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    let mut merges = Vec::with_capacity(found.len());
    for (step, (x, y, distance)) in found.into_iter().enumerate() {
        let (a, b) = (root(&mut parent, x), root(&mut parent, y));
        let new = n + step;
        size[new] = size[a] + size[b];
        (parent[a], parent[b]) = (new, new);
        merges.push(Merge { clusters: [a.min(b), a.max(b)], distance, size: size[new] });
    }
    merges
}

/// The points in the order in which the tree of `n` points shows them, left branch first.
pub fn leaf_order(n: usize, merges: &[Merge]) -> Vec<usize> {
    let mut order = Vec::with_capacity(n);
    let mut stack: Vec<usize> = if n == 0 { vec![] } else { vec![n + merges.len() - 1] };
    if merges.is_empty() {
        return (0..n).collect();
    }
    while let Some(cluster) = stack.pop() {
        match cluster.checked_sub(n).and_then(|i| merges.get(i)) {
            Some(merge) => stack.extend([merge.clusters[1], merge.clusters[0]]),
            None => order.push(cluster),
        }
    }
    order
}
