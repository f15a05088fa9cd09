//! Some rows of the result a task; of a row and head, one edge after the other.

use rayon::prelude::*;

use super::Call;
use super::chain::has_avx2;
use crate::ops::graph_attention::{Extent, GraphAttention, Part};
use crate::ops::vocabulary::single::{exp, max};

/// Rows of a task.
const ROWS: usize = 16;
/// Terms of a sum that are added side by side.
const LANES: usize = 16;

pub fn run(op: &GraphAttention, call: &Call<'_>) {
    if call.result.is_empty() {
        return;
    }
    let e = op.extent(call.inputs);
    let derivative = op.part != Part::Forward;
    let rows = Rows {
        e,
        slope: op.slope,
        edges: edges(&e, op.part, call.i32(2), call.i32(3), call.f32(4)),
        from: call.f32(0),
        to: call.f32(1),
        of_edge: call.f32(5),
        att: call.f32(6),
        y: if derivative { call.f32(7) } else { &[] },
        g: if derivative { call.f32(8) } else { &[] },
        by_target: if op.part == Part::Sources { call.f32(9) } else { &[] },
    };
    let width = call.result.shape[2];
    call.out().par_chunks_mut(ROWS * width).enumerate().for_each(|(task, out)| {
        rows.run(op.part, task * ROWS, width, out);
    });
}

/// An edge as one of its nodes sees it.
struct Edge {
    /// The other node.
    node: usize,
    /// Its place among those that end in one node.
    k: usize,
    weight: f32,
}

/// The edges of each node that has rows in the result.
fn edges(e: &Extent, part: Part, incoming: &[i32], outgoing: &[i32], weights: &[f32]) -> Vec<Vec<Edge>> {
    let inside = |i: i32, bound: usize| usize::try_from(i).ok().filter(|&i| i < bound);
    if part == Part::Sources {
        let all = e.targets * e.incoming;
        let edge = |at: usize| Edge { node: at / e.incoming, k: at % e.incoming, weight: weights[at] };
        let of = |n: usize| &outgoing[n * e.outgoing..(n + 1) * e.outgoing];
        let list = |n: usize| of(n).iter().filter_map(|&at| inside(at, all)).map(edge).collect();
        return (0..e.sources).map(list).collect();
    }
    let edge = |at: usize| {
        let node = inside(incoming[at], e.sources)?;
        Some(Edge { node, k: at % e.incoming, weight: weights[at] })
    };
    let list = |m: usize| (m * e.incoming..(m + 1) * e.incoming).filter_map(edge).collect();
    (0..e.targets).map(list).collect()
}

struct Rows<'a> {
    e: Extent,
    slope: f32,
    edges: Vec<Vec<Edge>>,
    from: &'a [f32],
    to: &'a [f32],
    of_edge: &'a [f32],
    att: &'a [f32],
    y: &'a [f32],
    g: &'a [f32],
    by_target: &'a [f32],
}

/// What an edge's features are felt by: their part of from and of to, and the edge's own.
#[derive(Clone, Copy)]
struct Felt<'a> {
    from: &'a [f32],
    to: &'a [f32],
    of_edge: &'a [f32],
    weight: f32,
}

impl Felt<'_> {
    #[inline(always)]
    fn at(&self, c: usize) -> f32 {
        self.from[c] + (self.to[c] + self.weight * self.of_edge[c])
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = a.len() - a.len() % LANES;
    for first in (0..whole).step_by(LANES) {
        let (a, b) = (&a[first..first + LANES], &b[first..first + LANES]);
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    for c in whole..a.len() {
        lanes[0] += a[c] * b[c];
    }
    lanes.iter().sum()
}

impl Rows<'_> {
    fn run(&self, part: Part, first: usize, width: usize, out: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn run_avx2(rows: &Rows<'_>, part: Part, first: usize, width: usize, out: &mut [f32]) {
            rows.run_any(part, first, width, out);
        }
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            // Detected just now.
            return unsafe { run_avx2(self, part, first, width, out) };
        }
        self.run_any(part, first, width, out);
    }

    #[inline(always)]
    fn run_any(&self, part: Part, first: usize, width: usize, out: &mut [f32]) {
        out.fill(0.0);
        for (at, out) in out.chunks_mut(width).enumerate() {
            let (node, b) = ((first + at) / self.e.batch, (first + at) % self.e.batch);
            for h in 0..self.e.heads {
                match part {
                    Part::Forward => self.forward(node, b, h, out),
                    Part::Targets => self.targets(node, b, h, out),
                    Part::Sources => self.sources(node, b, h, out),
                }
            }
        }
    }

    /// The features of a head of a node and image.
    #[inline(always)]
    fn of<'a>(&self, data: &'a [f32], node: usize, b: usize, h: usize, n: usize) -> &'a [f32] {
        &data[(node * self.e.batch + b) * self.e.features() + h * n..][..n]
    }

    #[inline(always)]
    fn felt(&self, source: usize, target: usize, b: usize, h: usize, n: usize, weight: f32) -> Felt<'_> {
        let of_edge = self.of(self.of_edge, 0, 0, h, n);
        Felt {
            from: self.of(self.from, source, b, h, n),
            to: self.of(self.to, target, b, h, n),
            of_edge,
            weight,
        }
    }

    #[inline(always)]
    fn by_leaky(&self, felt: f32) -> f32 {
        if felt > 0.0 { 1.0 } else { self.slope }
    }

    #[inline(always)]
    fn score(&self, felt: Felt<'_>, att: &[f32]) -> f32 {
        let mut lanes = [0.0; LANES];
        let n = att.len();
        let whole = n - n % LANES;
        for first in (0..whole).step_by(LANES) {
            let at = first..first + LANES;
            let (from, to) = (&felt.from[at.clone()], &felt.to[at.clone()]);
            let (of_edge, att) = (&felt.of_edge[at.clone()], &att[at]);
            for i in 0..LANES {
                let felt = from[i] + (to[i] + felt.weight * of_edge[i]);
                lanes[i] += att[i] * felt * self.by_leaky(felt);
            }
        }
        for (c, att) in att.iter().enumerate().skip(whole) {
            lanes[0] += att * felt.at(c) * self.by_leaky(felt.at(c));
        }
        lanes.iter().sum()
    }

    #[inline(always)]
    fn forward(&self, node: usize, b: usize, h: usize, out: &mut [f32]) {
        let e = self.e;
        let n = e.width;
        let edges = &self.edges[node];
        let att = self.of(self.att, 0, 0, h, n);
        let (y, shares) = out.split_at_mut(e.width);
        let shares = &mut shares[h * e.incoming..][..e.incoming];
        let mut top = f32::NEG_INFINITY;
        for edge in edges {
            let felt = self.felt(edge.node, node, b, h, n, edge.weight);
            let score = self.score(felt, att);
            shares[edge.k] = score;
            top = max(top, score);
        }
        let mut total = 0.0;
        for edge in edges {
            shares[edge.k] = exp(shares[edge.k] - top);
            total += shares[edge.k];
        }
        for edge in edges {
            shares[edge.k] /= total;
            let share = shares[edge.k] / e.heads as f32;
            y.iter_mut().zip(self.of(self.from, edge.node, b, h, n)).for_each(|(y, from)| *y += share * from);
        }
    }

    #[inline(always)]
    fn targets(&self, node: usize, b: usize, h: usize, out: &mut [f32]) {
        let e = self.e;
        let n = e.width;
        let edges = &self.edges[node];
        let row = (node * e.batch + b) * e.result();
        let g = &self.g[row..][..n];
        let shares = row + e.width + h * e.incoming;
        let (shares, by_shares) = (&self.y[shares..][..e.incoming], &self.g[shares..][..e.incoming]);
        let (sums, by_scores) = out.split_at_mut(3 * e.features());
        let by_scores = &mut by_scores[h * e.incoming..][..e.incoming];
        let mut mean = 0.0;
        for &Edge { node, k, .. } in edges {
            let from = self.of(self.from, node, b, h, n);
            by_scores[k] = dot(g, from) / e.heads as f32 + by_shares[k];
            mean += shares[k] * by_scores[k];
        }
        let (by_to, rest) = sums.split_at_mut(e.features());
        let (by_att, by_edge) = rest.split_at_mut(e.features());
        let [by_to, by_att, by_edge] = [by_to, by_att, by_edge].map(|s| &mut s[h * n..][..n]);
        for edge in edges {
            let by_score = shares[edge.k] * (by_scores[edge.k] - mean);
            by_scores[edge.k] = by_score;
            let felt = self.felt(edge.node, node, b, h, n, edge.weight);
            let (by_to, by_att, by_edge) = (&mut by_to[..n], &mut by_att[..n], &mut by_edge[..n]);
            for c in 0..n {
                let by_leaky = by_score * self.by_leaky(felt.at(c));
                by_to[c] += by_leaky;
                by_att[c] += by_leaky * felt.at(c);
                by_edge[c] += by_leaky * edge.weight;
            }
        }
        let att = self.of(self.att, 0, 0, h, n);
        for sums in [by_to, by_edge] {
            sums.iter_mut().zip(att).for_each(|(sum, att)| *sum *= att);
        }
    }

    #[inline(always)]
    fn sources(&self, node: usize, b: usize, h: usize, out: &mut [f32]) {
        let e = self.e;
        let n = e.width;
        let att = self.of(self.att, 0, 0, h, n);
        let out = &mut out[h * n..][..n];
        for edge in &self.edges[node] {
            let row = edge.node * e.batch + b;
            let score = h * e.incoming + edge.k;
            let by_score = self.by_target[row * e.by_target() + 3 * e.features() + score];
            let share = self.y[row * e.result() + e.width + score] / e.heads as f32;
            let g = &self.g[row * e.result()..][..n];
            let felt = self.felt(node, edge.node, b, h, n, edge.weight);
            for c in 0..n {
                out[c] += by_score * att[c] * self.by_leaky(felt.at(c)) + share * g[c];
            }
        }
    }
}
