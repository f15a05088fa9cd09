//! Some rows of the result a task. Of a row and head a few features at a time stay in registers while all edges pass.

use rayon::prelude::*;

use super::Call;
use super::chain::has_avx2;
use crate::ops::graph_attention::{Extent, GraphAttention, Part};
use crate::ops::vocabulary::single::{exp, max};

/// Rows of a task.
const ROWS: usize = 16;
/// Features that go together; what is left goes one by one.
const LANES: usize = 8;

pub fn run(op: &GraphAttention, call: &Call<'_>) {
    if call.result.is_empty() {
        return;
    }
    let e = op.extent(call.inputs);
    let derivative = op.part != Part::Forward;
    let (list, degree, bound) = match op.part {
        Part::Sources => (call.i32(3), e.outgoing, e.targets * e.incoming),
        _ => (call.i32(2), e.incoming, e.sources),
    };
    // Where each edge of a list leads to, and its place in the list.
    let edges = |list: &[i32]| -> Vec<(usize, usize)> {
        let places = list.iter().enumerate().map(|(place, &at)| (at as usize, place));
        places.filter(|(at, _)| *at < bound).collect()
    };
    let rows = Rows {
        e,
        slope: op.slope,
        edges: match degree {
            0 => vec![vec![]; call.result.shape[0]],
            _ => list.chunks(degree).map(edges).collect(),
        },
        from: call.f32(0),
        to: call.f32(1),
        weights: call.f32(4),
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

struct Rows<'a> {
    e: Extent,
    slope: f32,
    edges: Vec<Vec<(usize, usize)>>,
    from: &'a [f32],
    to: &'a [f32],
    weights: &'a [f32],
    of_edge: &'a [f32],
    att: &'a [f32],
    y: &'a [f32],
    g: &'a [f32],
    by_target: &'a [f32],
}

/// `W` features from `at`.
#[inline(always)]
fn lanes<const W: usize>(data: &[f32], at: usize) -> [f32; W] {
    let mut lanes = [0.0; W];
    lanes.copy_from_slice(&data[at..at + W]);
    lanes
}

/// `work` on the features of one head, some at a time.
macro_rules! by_lanes {
    ($width:expr, |$c:ident, $lanes:ident| $work:block) => {{
        let whole = $width - $width % LANES;
        for $c in (0..whole).step_by(LANES) {
            const $lanes: usize = LANES;
            $work
        }
        for $c in whole..$width {
            const $lanes: usize = 1;
            $work
        }
    }};
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

    /// First feature of a head of a node and image.
    #[inline(always)]
    fn features(&self, node: usize, b: usize, h: usize) -> usize {
        (node * self.e.batch + b) * self.e.features() + h * self.e.width
    }

    /// First of the shares of a head among those of a row.
    #[inline(always)]
    fn shares(&self, h: usize) -> usize {
        h * self.e.incoming
    }

    #[inline(always)]
    fn leaky(&self, felt: f32) -> f32 {
        if felt > 0.0 { felt } else { self.slope * felt }
    }

    #[inline(always)]
    fn by_leaky(&self, felt: f32) -> f32 {
        if felt > 0.0 { 1.0 } else { self.slope }
    }

    #[inline(always)]
    fn score(&self, [from, to, own]: [usize; 3], weight: f32) -> f32 {
        let mut sums = [0.0; LANES];
        by_lanes!(self.e.width, |c, W| {
            let (from, to) = (lanes::<W>(self.from, from + c), lanes::<W>(self.to, to + c));
            let (of_edge, att) = (lanes::<W>(self.of_edge, own + c), lanes::<W>(self.att, own + c));
            for i in 0..W {
                sums[i] += att[i] * self.leaky(from[i] + (to[i] + weight * of_edge[i]));
            }
        });
        sums.iter().sum()
    }

    #[inline(always)]
    fn forward(&self, node: usize, b: usize, h: usize, out: &mut [f32]) {
        let e = &self.e;
        let edges = &self.edges[node];
        let (y, shares) = out.split_at_mut(e.width);
        if h == 0 {
            y.fill(0.0);
        }
        let shares = &mut shares[self.shares(h)..][..e.incoming];
        shares.fill(f32::NEG_INFINITY);
        let (to, own) = (self.features(node, b, h), h * e.width);
        let mut top = f32::NEG_INFINITY;
        for &(source, k) in edges {
            let weight = self.weights[node * e.incoming + k];
            shares[k] = self.score([self.features(source, b, h), to, own], weight);
            top = max(top, shares[k]);
        }
        if edges.is_empty() {
            return shares.fill(0.0);
        }
        shares.iter_mut().for_each(|s| *s = exp(*s - top));
        let scale = 1.0 / shares.iter().sum::<f32>();
        shares.iter_mut().for_each(|s| *s *= scale);
        let average = 1.0 / e.heads as f32;
        by_lanes!(e.width, |c, W| {
            let mut sums = lanes::<W>(y, c);
            for &(source, k) in edges {
                let from = lanes::<W>(self.from, self.features(source, b, h) + c);
                let share = shares[k] * average;
                for i in 0..W {
                    sums[i] += share * from[i];
                }
            }
            y[c..c + W].copy_from_slice(&sums);
        });
    }

    #[inline(always)]
    fn targets(&self, node: usize, b: usize, h: usize, out: &mut [f32]) {
        let e = &self.e;
        let edges = &self.edges[node];
        let row = (node * e.batch + b) * e.result();
        let shares = row + e.width + self.shares(h);
        let (shares, by_shares) = (&self.y[shares..][..e.incoming], &self.g[shares..][..e.incoming]);
        let (sums, by_scores) = out.split_at_mut(3 * e.features());
        let by_scores = &mut by_scores[self.shares(h)..][..e.incoming];
        by_scores.fill(0.0);
        let average = 1.0 / e.heads as f32;
        let mut mean = 0.0;
        for &(source, k) in edges {
            let from = self.features(source, b, h);
            let mut products = [0.0; LANES];
            by_lanes!(e.width, |c, W| {
                let (from, g) = (lanes::<W>(self.from, from + c), lanes::<W>(self.g, row + c));
                for i in 0..W {
                    products[i] += g[i] * from[i];
                }
            });
            by_scores[k] = products.iter().sum::<f32>() * average + by_shares[k];
            mean += shares[k] * by_scores[k];
        }
        for &(_, k) in edges {
            by_scores[k] = shares[k] * (by_scores[k] - mean);
        }
        let (to, own) = (self.features(node, b, h), h * e.width);
        let (by_to, rest) = sums.split_at_mut(e.features());
        let (by_att, by_edge) = rest.split_at_mut(e.features());
        by_lanes!(e.width, |c, W| {
            let to = lanes::<W>(self.to, to + c);
            let (of_edge, att) = (lanes::<W>(self.of_edge, own + c), lanes::<W>(self.att, own + c));
            let mut sums = [[0.0; W]; 3];
            for &(source, k) in edges {
                let from = lanes::<W>(self.from, self.features(source, b, h) + c);
                let (weight, by_score) = (self.weights[node * e.incoming + k], by_scores[k]);
                for i in 0..W {
                    let felt = from[i] + (to[i] + weight * of_edge[i]);
                    let by_leaky = by_score * self.by_leaky(felt);
                    sums[0][i] += by_leaky;
                    sums[1][i] += by_leaky * felt;
                    sums[2][i] += by_leaky * weight;
                }
            }
            for i in 0..W {
                by_to[own + c + i] = sums[0][i] * att[i];
                by_att[own + c + i] = sums[1][i];
                by_edge[own + c + i] = sums[2][i] * att[i];
            }
        });
    }

    #[inline(always)]
    fn sources(&self, node: usize, b: usize, h: usize, out: &mut [f32]) {
        let e = &self.e;
        let (from, own) = (self.features(node, b, h), h * e.width);
        let average = 1.0 / e.heads as f32;
        by_lanes!(e.width, |c, W| {
            let from = lanes::<W>(self.from, from + c);
            let (of_edge, att) = (lanes::<W>(self.of_edge, own + c), lanes::<W>(self.att, own + c));
            let mut by_felt = [0.0; W];
            let mut by_message = [0.0; W];
            for &(edge, _) in &self.edges[node] {
                let (target, k) = (edge / e.incoming, edge % e.incoming);
                let row = target * e.batch + b;
                let to = lanes::<W>(self.to, self.features(target, b, h) + c);
                let g = lanes::<W>(self.g, row * e.result() + c);
                let weight = self.weights[edge];
                let by_score = self.by_target[row * e.by_target() + 3 * e.features() + self.shares(h) + k];
                let share = self.y[row * e.result() + e.width + self.shares(h) + k];
                for i in 0..W {
                    by_felt[i] += by_score * self.by_leaky(from[i] + (to[i] + weight * of_edge[i]));
                    by_message[i] += share * g[i];
                }
            }
            for i in 0..W {
                out[own + c + i] = by_felt[i] * att[i] + by_message[i] * average;
            }
        });
    }
}
