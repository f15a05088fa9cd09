//! Exact nearest neighbours: a k-d tree (Friedman, Bentley and Finkel 1977) for up to 16 dimensions, all pairs beyond.

use rayon::prelude::*;

use super::matrix::{Matrix, squared_distance};
use crate::error::{Error, Result};

const LEAF: usize = 24;
/// A k-d tree prunes little in many dimensions.
const TREE_DIMENSIONS: usize = 16;

/// The nearest points of each point, itself included (first, at distance 0, unless duplicates come before it).
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Neighbours a point.
    pub k: usize,
    /// [n, k], nearest first; equal distances by index.
    pub indices: Vec<u32>,
    /// [n, k], Euclidean.
    pub distances: Vec<f32>,
}

impl Neighbours {
    pub fn points(&self) -> usize {
        self.indices.len().checked_div(self.k).unwrap_or(0)
    }

    /// Neighbours of point `i` with their distances.
    pub fn of(&self, i: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        let range = i * self.k..(i + 1) * self.k;
        self.indices[range.clone()].iter().map(|&j| j as usize).zip(self.distances[range].iter().copied())
    }
}

/// The `k` nearest rows (at most n) of every row of `x` [n, d], itself included.
pub fn nearest_neighbours(x: Matrix, k: usize) -> Result<Neighbours> {
    let n = x.rows();
    if u32::try_from(n).is_err() {
        return Err(Error::usage(format!("neighbour search takes up to {} points, there are {n}", u32::MAX)));
    }
    x.check_finite("neighbour search")?;
    let k = k.min(n);
    let (mut indices, mut distances) = (vec![0u32; n * k], vec![0.0f32; n * k]);
    if k > 0 {
        let tree = (x.cols() <= TREE_DIMENSIONS).then(|| Tree::new(x));
        let rows = indices.par_chunks_mut(k).zip(distances.par_chunks_mut(k)).enumerate();
        rows.for_each(|(i, (indices, distances))| {
            let mut nearest = Nearest::new(k);
            match &tree {
                Some(tree) => tree.search(x.row(i), &mut nearest),
                None => (0..n).for_each(|j| nearest.offer(squared_distance(x.row(i), x.row(j)), j as u32)),
            }
            for ((index, distance), (d2, j)) in indices.iter_mut().zip(distances).zip(nearest.found) {
                (*index, *distance) = (j, d2.sqrt());
            }
        });
    }
    Ok(Neighbours { k, indices, distances })
}

/// The best `k` candidates so far, sorted by (squared distance, index): k is small, insertion is quick.
struct Nearest {
    k: usize,
    found: Vec<(f32, u32)>,
}

impl Nearest {
    fn new(k: usize) -> Self {
        Nearest { k, found: Vec::with_capacity(k + 1) }
    }

    fn worst(&self) -> f32 {
        if self.found.len() < self.k { f32::INFINITY } else { self.found[self.k - 1].0 }
    }

    fn offer(&mut self, d2: f32, index: u32) {
        if d2 > self.worst() {
            return;
        }
        let at = self.found.partition_point(|&(d, i)| d < d2 || (d == d2 && i < index));
        if at < self.k {
            self.found.truncate(self.k - 1);
            self.found.insert(at, (d2, index));
        }
    }
}

enum Node {
    /// Points `order[start..end]`.
    Leaf { start: usize, end: usize },
    /// Left holds coordinates up to `at` on `axis`, right from `at` on; right is the node's index.
    Split { axis: usize, at: f32, right: usize },
}

/// Nodes in depth-first order: a split's left child follows it.
struct Tree<'a> {
    x: Matrix<'a>,
    order: Vec<u32>,
    /// Rows of `x` in `order`, so that a leaf is one piece of memory.
    points: Vec<f32>,
    nodes: Vec<Node>,
}

impl<'a> Tree<'a> {
    fn new(x: Matrix<'a>) -> Self {
        let order = (0..x.rows() as u32).collect();
        let mut tree = Tree { x, order, points: Vec::new(), nodes: Vec::new() };
        tree.build(0, x.rows());
        tree.points = tree.order.iter().flat_map(|&i| x.row(i as usize)).copied().collect();
        tree
    }

    fn build(&mut self, start: usize, end: usize) {
        let (x, d) = (self.x, self.x.cols());
        let (mut low, mut high) = (vec![f32::INFINITY; d], vec![f32::NEG_INFINITY; d]);
        for &i in &self.order[start..end] {
            for (c, &v) in x.row(i as usize).iter().enumerate() {
                (low[c], high[c]) = (low[c].min(v), high[c].max(v));
            }
        }
        let spread = |c: &usize| high[*c] - low[*c];
        let axis = (0..d).max_by(|a, b| spread(a).total_cmp(&spread(b))).unwrap_or(0);
        if end - start <= LEAF || low[axis] == high[axis] {
            self.nodes.push(Node::Leaf { start, end });
            return;
        }
        let middle = (end - start) / 2;
        let value = |i: u32| x.row(i as usize)[axis];
        let by_axis = |a: &u32, b: &u32| value(*a).total_cmp(&value(*b)).then(a.cmp(b));
        let (_, &mut median, _) = self.order[start..end].select_nth_unstable_by(middle, by_axis);
        let node = self.nodes.len();
        self.nodes.push(Node::Leaf { start, end });
        self.build(start, start + middle);
        let right = self.nodes.len();
        self.build(start + middle, end);
        self.nodes[node] = Node::Split { axis, at: value(median), right };
    }

    fn search(&self, query: &[f32], nearest: &mut Nearest) {
        // The box of a node is nearer than its split planes tell one by one: offsets per axis add up (Arya and Mount).
        let mut offsets = [0.0f32; TREE_DIMENSIONS];
        self.visit(0, query, 0.0, &mut offsets, nearest);
    }

    fn visit(
        &self,
        node: usize,
        query: &[f32],
        box_d2: f32,
        offsets: &mut [f32; TREE_DIMENSIONS],
        nearest: &mut Nearest,
    ) {
        match self.nodes[node] {
            Node::Leaf { start, end } => {
                let d = query.len();
                let rows = self.points[start * d..end * d].chunks_exact(d);
                for (row, &i) in rows.zip(&self.order[start..end]) {
                    nearest.offer(squared_distance(query, row), i);
                }
            }
            Node::Split { axis, at, right } => {
                let offset = query[axis] - at;
                let (near, far) = if offset < 0.0 { (node + 1, right) } else { (right, node + 1) };
                self.visit(near, query, box_d2, offsets, nearest);
                let before = offsets[axis];
                let far_d2 = box_d2 - before * before + offset * offset;
                // Rounding in the running sum must not prune a point that ties with the worst.
                if far_d2 * (1.0 - 1e-4) <= nearest.worst() {
                    offsets[axis] = offset;
                    self.visit(far, query, far_d2, offsets, nearest);
                    offsets[axis] = before;
                }
            }
        }
    }
}
