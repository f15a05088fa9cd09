//! Attention along the edges of a graph (GATv2, Brody et al. 2022), heads averaged: of each edge only its shares are
//! stored, never its features.
//!
//! Inputs: what nodes send, from `[N, B, H C]`, and what they are asked with, to `[M, B, H C]`; incoming i32 `[M, K]`,
//! where the edges that end in each node come from, a number beyond the nodes for an edge that is not there;
//! outgoing i32 `[N, L]`, the same edges by where they come from, edge k of node m as `m K + k`; weights `[M, K]`
//! (without a derivative), of_edge `[H, C]`, att `[H, C]`.
//!
//! `s = att . leaky(from[source] + to + weight of_edge)` over C, shares = softmax of s over the edges of a node.
//! The result `[M, B, C + H K]` holds the sum of shares times from[source], averaged over heads, and behind it the
//! shares, which the derivative needs. A node without edges has zeros.

use super::{Array, Operation};
use crate::conformance::{Sample, numbers};
use crate::tape::Var;
use crate::tensor::{DType, Meta, Tensor};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Part {
    /// The result above.
    Forward,
    /// `[M, B, 3 H C + H K]`: the derivative by to; what each node and image add to the derivatives by att and by
    /// of_edge; the derivative by the scores. This and the following take two more inputs: the result and its
    /// upstream derivative.
    Targets,
    /// The derivative by from. Takes one more input, the result of [`Part::Targets`].
    Sources,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GraphAttention {
    pub part: Part,
    /// Of the leaky rectifier below zero.
    pub slope: f32,
}

/// The sizes of an attention along edges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// N
    pub sources: usize,
    /// M
    pub targets: usize,
    pub batch: usize,
    pub heads: usize,
    /// C
    pub width: usize,
    /// K
    pub incoming: usize,
    /// L
    pub outgoing: usize,
}

impl Extent {
    /// H C
    pub fn features(&self) -> usize {
        self.heads * self.width
    }

    /// Length of a row of the result.
    pub fn result(&self) -> usize {
        self.width + self.heads * self.incoming
    }

    /// Length of a row of what [`Part::Targets`] gives.
    pub fn by_target(&self) -> usize {
        3 * self.features() + self.heads * self.incoming
    }
}

/// More scores of a node do not fit a group of threads.
const MOST_SCORES: usize = 1024;

/// Inputs before the result.
const INPUTS: usize = 7;

impl GraphAttention {
    pub fn extent(&self, inputs: &[Meta]) -> Extent {
        let shape = |input: usize| &inputs[input].shape;
        Extent {
            sources: shape(0)[0],
            targets: shape(1)[0],
            batch: shape(1)[1],
            heads: shape(6)[0],
            width: shape(6)[1],
            incoming: shape(2)[1],
            outgoing: shape(3)[1],
        }
    }
}

impl Operation for GraphAttention {
    fn stem(&self) -> &'static str {
        "graph_attention"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        let count = INPUTS + [0, 2, 3][self.part as usize];
        if inputs.len() != count {
            return Err(format!("takes {count} inputs"));
        }
        let is_list = |i: usize| i == 2 || i == 3;
        let rank = |i: usize| if (2..INPUTS).contains(&i) { 2 } else { 3 };
        for (i, meta) in inputs.iter().enumerate() {
            let dtype = if is_list(i) { DType::I32 } else { DType::F32 };
            if meta.dtype != dtype || meta.rank() != rank(i) {
                return Err(format!("input {i} must be {dtype:?} of {} axes", rank(i)));
            }
        }
        let e = self.extent(inputs);
        let scores = e.heads * e.incoming;
        if e.width == 0 || !(1..=MOST_SCORES).contains(&scores) {
            return Err(format!("needs features, and 1 to {MOST_SCORES} heads times edges a node"));
        }
        let row = |nodes, last| vec![nodes, e.batch, last];
        let (result, by_target) = (row(e.targets, e.result()), row(e.targets, e.by_target()));
        let edges = [e.targets, e.incoming];
        let wanted = [
            row(e.sources, e.features()),
            row(e.targets, e.features()),
            edges.to_vec(),
            vec![e.sources, e.outgoing],
            edges.to_vec(),
            vec![e.heads, e.width],
            vec![e.heads, e.width],
            result.clone(),
            result.clone(),
            by_target.clone(),
        ];
        if let Some(i) = (0..count).find(|&i| inputs[i].shape != wanted[i]) {
            return Err(format!("input {i} must be {:?}", wanted[i]));
        }
        Ok(Meta::f32(&match self.part {
            Part::Forward => result,
            Part::Targets => by_target,
            Part::Sources => row(e.sources, e.features()),
        }))
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], y: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let tape = g.tape();
        if self.part != Part::Forward {
            tape.mistake("graph_attention: a derivative has none of its own".into());
            return vec![None; inputs.len()];
        }
        let (heads, width) = (inputs[6].dim(0), inputs[6].dim(1));
        let features = heads * width;
        let mut with: Vec<Var<'t>> = inputs.iter().copied().chain([y, g]).collect();
        let targets = tape.special(GraphAttention { part: Part::Targets, ..*self }, &with);
        with.push(targets);
        let by_from = tape.special(GraphAttention { part: Part::Sources, ..*self }, &with);
        let part = |at: usize| targets.slice(2, at * features, features);
        let all = |at: usize| part(at).sum(&[0, 1]).reshape(&[heads, width]);
        vec![Some(by_from), Some(part(0)), None, None, None, Some(all(2)), Some(all(1))]
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        let e = self.extent(inputs);
        let each = match self.part {
            Part::Forward => 10,
            Part::Targets => 13,
            Part::Sources => 9,
        };
        (e.targets * e.incoming * e.batch * e.features() * each) as u64
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let metas: Vec<Meta> = inputs.iter().map(|a| Meta::f32(&a.shape)).collect();
        let e = self.extent(&metas);
        let data = |input: usize| &inputs[input].data;
        let (features, result, by_target) = (e.features(), e.result(), e.by_target());
        let slope = self.slope as f64;
        let mut out = vec![0.0; output.len()];
        for row in 0..e.targets * e.batch {
            let (m, b) = (row / e.batch, row % e.batch);
            // Edges that are there, with the rows of from.
            let edges: Vec<(usize, usize)> = (0..e.incoming)
                .map(|k| (k, data(2)[m * e.incoming + k]))
                .filter(|(_, source)| (0.0..e.sources as f64).contains(source))
                .map(|(k, source)| (k, source as usize * e.batch + b))
                .collect();
            for h in 0..e.heads {
                let features_of =
                    |input: usize, row: usize| &data(input)[row * features + h * e.width..][..e.width];
                let (to, of_edge, att) = (features_of(1, row), features_of(5, 0), features_of(6, 0));
                let felt = |k: usize, from: usize, c: usize| {
                    features_of(0, from)[c] + to[c] + data(4)[m * e.incoming + k] * of_edge[c]
                };
                let leaky = |x: f64| if x > 0.0 { x } else { slope * x };
                let share_at = |k: usize| row * result + e.width + h * e.incoming + k;
                if self.part == Part::Forward {
                    let score = |&(k, from): &(usize, usize)| {
                        (0..e.width).map(|c| att[c] * leaky(felt(k, from, c))).sum::<f64>()
                    };
                    let scores: Vec<f64> = edges.iter().map(score).collect();
                    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
                    for (&(k, from), s) in edges.iter().zip(&scores) {
                        let share = (s - top).exp() / sum;
                        out[share_at(k)] = share;
                        for c in 0..e.width {
                            out[row * result + c] += share * features_of(0, from)[c] / e.heads as f64;
                        }
                    }
                    continue;
                }
                let g = &data(8)[row * result..][..e.width];
                let slopes = row * by_target + 3 * features + h * e.incoming;
                if self.part == Part::Targets {
                    let by_share = |&(k, from): &(usize, usize)| {
                        let dot: f64 = g.iter().zip(features_of(0, from)).map(|(g, f)| g * f).sum();
                        dot / e.heads as f64 + data(8)[share_at(k)]
                    };
                    let by_shares: Vec<f64> = edges.iter().map(by_share).collect();
                    let mean: f64 =
                        edges.iter().zip(&by_shares).map(|(&(k, _), d)| data(7)[share_at(k)] * d).sum();
                    for (&(k, from), by_share) in edges.iter().zip(&by_shares) {
                        let by_score = data(7)[share_at(k)] * (by_share - mean);
                        out[slopes + k] = by_score;
                        for (c, att) in att.iter().enumerate() {
                            let felt = felt(k, from, c);
                            let by_felt = by_score * att * if felt > 0.0 { 1.0 } else { slope };
                            let at = row * by_target + h * e.width + c;
                            out[at] += by_felt;
                            out[at + features] += by_score * leaky(felt);
                            out[at + 2 * features] += by_felt * data(4)[m * e.incoming + k];
                        }
                    }
                    continue;
                }
                for &(k, from) in &edges {
                    for c in 0..e.width {
                        let by_leaky = if felt(k, from, c) > 0.0 { 1.0 } else { slope };
                        out[from * features + h * e.width + c] += data(9)[slopes + k] * att[c] * by_leaky
                            + data(7)[share_at(k)] * g[c] / e.heads as f64;
                    }
                }
            }
        }
        out
    }
}

pub fn samples() -> Vec<Sample> {
    // Targets, edges that end in each, sources, batch, heads, width.
    let cases = [
        [5, 3, 4, 2, 2, 3],
        [1, 1, 1, 1, 1, 1],
        [3, 4, 6, 3, 1, 9],
        // More features and more scores than threads.
        [4, 40, 7, 2, 5, 33],
        [0, 2, 3, 2, 2, 2],
        [3, 2, 3, 0, 2, 2],
    ];
    let mut samples = vec![];
    for [targets, degree, sources, batch, heads, width] in cases {
        // Edges by a rule of no symmetry; each seventh is not there, nor is any of the second node.
        let source = move |at: usize| match at % 7 == 4 || at / degree == 1 {
            true => -1,
            false => (at * at + at / degree) as i32 % sources as i32,
        };
        let incoming: Vec<i32> = (0..targets * degree).map(source).collect();
        let leaving =
            |n: usize| (0..incoming.len()).filter(|&at| incoming[at] == n as i32).collect::<Vec<_>>();
        let outgoing: Vec<Vec<usize>> = (0..sources).map(leaving).collect();
        let most = outgoing.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let line = |list: &Vec<usize>| {
            (0..most).map(|i| list.get(i).map_or(-1, |&at| at as i32)).collect::<Vec<_>>()
        };
        let outgoing: Vec<i32> = outgoing.iter().flat_map(line).collect();
        for part in [Part::Forward, Part::Targets, Part::Sources] {
            let op = GraphAttention { part, slope: 0.2 };
            let (incoming, outgoing) = (incoming.clone(), outgoing.clone());
            let name = format!(
                "graph_attention {part:?} of {degree} edges to {targets} from {sources}, {batch} x {heads} x {width}"
            );
            let sample = Sample::new(name, move |t, v: &[Var<'_>]| {
                let lists = [(targets, degree, &incoming), (sources, most, &outgoing)]
                    .map(|(rows, columns, list)| t.constant(Tensor::i32(&[rows, columns], list.clone())));
                let weights = numbers("graph_attention weights", targets * degree);
                let weights = t.constant(Tensor::from_f64(&[targets, degree], DType::F32, &weights));
                let given = lists.into_iter().chain([weights]);
                let inputs: Vec<Var<'_>> =
                    v[..2].iter().copied().chain(given).chain(v[2..].iter().copied()).collect();
                t.special(op, &inputs)
            });
            let features = heads * width;
            let mut sample = sample
                .normal(&[sources, batch, features])
                .normal(&[targets, batch, features])
                .normal(&[heads, width])
                .normal(&[heads, width]);
            if part != Part::Forward {
                let result = [targets, batch, width + heads * degree];
                sample = sample.normal(&result).normal(&result).first_order();
            }
            if part == Part::Sources {
                sample = sample.normal(&[targets, batch, 3 * features + heads * degree]);
            }
            samples.push(sample);
        }
    }
    samples
}
