//! Shortest paths through the data: a nearest-neighbour graph of the points, and Dijkstra's algorithm on it, so that a
//! path between two structures passes through latent space that particles occupy.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::matrix::Matrix;
use super::neighbours::{Neighbours, nearest_neighbours};
use crate::error::{Error, Result};

/// Directed edges with their lengths, grouped by where they start.
#[derive(Debug, Clone)]
pub struct Graph {
    /// [n + 1]: edges of point i are `starts[i]..starts[i + 1]`.
    starts: Vec<usize>,
    edges: Vec<(u32, f32)>,
    /// Edges are shorter than this.
    pub max_distance: f32,
}

/// A path through data points.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphPath {
    /// Indices of the points, first and last anchor included; an anchor between two legs stands once.
    pub indices: Vec<usize>,
    /// Sum of the Euclidean lengths of the edges.
    pub length: f64,
}

impl Graph {
    /// Joins each point to those of its neighbours that lie strictly nearer than the (n * `average`)-th smallest (the
    /// count rounded down, counted from 1) of all neighbour distances, self distances included.
    pub fn new(neighbours: &Neighbours, average: f64) -> Self {
        let n = neighbours.points();
        let mut sorted = neighbours.distances.clone();
        let rank = (n as f64 * average.max(0.0)) as usize;
        let rank = rank.clamp(1, sorted.len().max(1)) - 1;
        let max_distance =
            if sorted.is_empty() { 0.0 } else { *sorted.select_nth_unstable_by(rank, f32::total_cmp).1 };
        let mut starts = Vec::with_capacity(n + 1);
        let mut edges = Vec::new();
        starts.push(0);
        for i in 0..n {
            let near = neighbours.of(i).filter(|&(j, d)| j != i && d < max_distance);
            edges.extend(near.map(|(j, d)| (j as u32, d)));
            starts.push(edges.len());
        }
        Graph { starts, edges, max_distance }
    }

    pub fn points(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn edges(&self) -> usize {
        self.edges.len()
    }

    /// The shortest path (Dijkstra 1959), or `None` if there is no way or no such point.
    pub fn shortest_path(&self, from: usize, to: usize) -> Option<GraphPath> {
        let n = self.points();
        if from >= n || to >= n {
            return None;
        }
        let mut best = vec![f64::INFINITY; n];
        let mut came_from = vec![u32::MAX; n];
        let mut queue = BinaryHeap::from([Reverse((Length(0.0), from))]);
        best[from] = 0.0;
        while let Some(Reverse((Length(length), i))) = queue.pop() {
            if i == to {
                let mut indices = vec![to];
                let mut at = to;
                while at != from {
                    at = came_from[at] as usize;
                    indices.push(at);
                }
                indices.reverse();
                return Some(GraphPath { indices, length });
            }
            if length > best[i] {
                continue;
            }
            for &(j, d) in &self.edges[self.starts[i]..self.starts[i + 1]] {
                let there = length + f64::from(d);
                let j = j as usize;
                if there < best[j] {
                    best[j] = there;
                    came_from[j] = i as u32;
                    queue.push(Reverse((Length(there), j)));
                }
            }
        }
        None
    }
}

/// A length, ordered.
struct Length(f64);

impl Ord for Length {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Length {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Length {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Length {}

/// The shortest path through the rows of `x` [n, d] that visits `anchors` in order, on the graph of up to
/// `max_neighbours` neighbours a point (itself included) and `average_neighbours` on average.
pub fn graph_traversal(
    x: Matrix,
    anchors: &[usize],
    max_neighbours: usize,
    average_neighbours: f64,
) -> Result<GraphPath> {
    if anchors.len() < 2 {
        return Err(Error::usage("graph traversal: give at least two anchor points"));
    }
    if let Some(bad) = anchors.iter().find(|&&a| a >= x.rows()) {
        let n = x.rows();
        return Err(Error::usage(format!(
            "graph traversal: anchor {bad} is beyond the {n} points (0 to n - 1)"
        )));
    }
    let graph = Graph::new(&nearest_neighbours(x, max_neighbours)?, average_neighbours);
    let mut path = GraphPath { indices: vec![anchors[0]], length: 0.0 };
    for leg in anchors.windows(2) {
        let part = graph.shortest_path(leg[0], leg[1]).ok_or_else(|| {
            Error::usage(format!(
                "graph traversal: no path from point {} to point {}; raise the number of neighbours (now up to \
                 {max_neighbours}, {average_neighbours} on average)",
                leg[0], leg[1]
            ))
        })?;
        path.indices.extend(&part.indices[1..]);
        path.length += part.length;
    }
    Ok(path)
}
