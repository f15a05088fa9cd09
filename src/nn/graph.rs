//! Attention along the edges of a graph that is fixed when it is recorded.

use super::mlp::linear_from;
use crate::ops::gather::Gather;
use crate::ops::graph_attention::{GraphAttention, Part};
use crate::tape::{Init, Tape, Var};
use crate::tensor::Tensor;

/// An edge that is not there.
const ABSENT: i32 = -1;

/// The edges that end in each node, as many for every node: what is missing is filled up.
#[derive(Clone, Debug)]
pub struct Edges {
    /// Edges a node.
    degree: usize,
    /// Where each edge comes from, [`ABSENT`] for one that fills up.
    sources: Vec<i32>,
    /// A number that each edge knows.
    weights: Vec<f32>,
}

impl Edges {
    /// Sources and weights of the edges that end in each node.
    pub fn new(incoming: &[Vec<(usize, f64)>]) -> Edges {
        let degree = incoming.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut edges = Edges { degree, sources: vec![], weights: vec![] };
        for list in incoming {
            for at in 0..degree {
                let edge = list.get(at);
                edges.sources.push(edge.map_or(ABSENT, |e| e.0 as i32));
                edges.weights.push(edge.map_or(0.0, |e| e.1 as f32));
            }
        }
        edges
    }

    fn nodes(&self) -> usize {
        self.sources.len() / self.degree
    }

    /// The edges that leave each node, as many for every node.
    fn outgoing(&self) -> Tensor {
        let mut lists = vec![vec![]; self.nodes()];
        for (edge, &source) in self.sources.iter().enumerate() {
            if let Some(list) = lists.get_mut(source as usize) {
                list.push(edge as i32);
            }
        }
        let most = lists.iter().map(Vec::len).max().unwrap_or(0).max(1);
        lists.iter_mut().for_each(|list| list.resize(most, ABSENT));
        Tensor::i32(&[self.nodes(), most], lists.concat())
    }
}

/// Glorot and Bengio (2010).
pub fn glorot(fan_in: usize, fan_out: usize) -> Init {
    Init::Uniform((6.0 / (fan_in + fan_out).max(1) as f32).sqrt())
}

/// GATv2 (Brody et al. 2022) over nodes `[N, B, C]`, heads averaged, to `[N, B, width]`. Parameters `lin_l` (of where
/// an edge comes from), `lin_r` (of where it ends), `lin_edge`, `att` and `bias`, as PyTorch Geometric calls them.
#[track_caller]
pub fn attend<'t>(name: &str, x: Var<'t>, edges: &Edges, heads: usize, width: usize) -> Var<'t> {
    const SLOPE: f32 = 0.2;
    let tape = x.tape();
    let (nodes, channels) = (x.dim(0), x.dim(2));
    let all = heads * width;
    tape.scope(name, || {
        let start = || [glorot(channels, all), Init::Zeros];
        let from = linear_from("lin_l", x, all, start());
        let to = linear_from("lin_r", x, all, start());
        let of_edge = tape.scope("lin_edge", || tape.state("weight", &[all, 1], glorot(1, all)));
        let att = tape.state("att", &[1, heads, width], glorot(heads, width));
        let bias = tape.state("bias", &[width], Init::Zeros);
        if edges.nodes() != nodes {
            tape.mistake(format!("a graph of {} nodes does not fit {nodes}", edges.nodes()));
            return x;
        }
        let shape = [nodes, edges.degree];
        let incoming = tape.constant(Tensor::i32(&shape, edges.sources.clone()));
        let weights = tape.constant(Tensor::f32(&shape, edges.weights.clone()));
        let per_head = |v: Var<'t>| v.reshape(&[heads, width]);
        let inputs =
            [from, to, incoming, tape.constant(edges.outgoing()), weights, per_head(of_edge), per_head(att)];
        let op = GraphAttention { part: Part::Forward, slope: SLOPE };
        tape.special(op, &inputs).slice(2, 0, width) + bias
    })
}

/// The row of each index: `[I, ..]` of `[N, ..]`.
#[track_caller]
pub fn pick<'t>(x: Var<'t>, index: &[usize]) -> Var<'t> {
    x.tape().special(Gather, &[x, indices(x.tape(), index)])
}

/// Means `[count, ..]` of the rows `[I, ..]` that share an index; 0 for an index that is not there.
#[track_caller]
pub fn mean_by<'t>(x: Var<'t>, index: &[usize], count: usize) -> Var<'t> {
    use crate::ops::segment_sum::SegmentSum;
    let tape = x.tape();
    let mut sizes = vec![0.0f32; count];
    index.iter().for_each(|&i| sizes[i] += 1.0);
    let mut shape = vec![1; x.rank()];
    shape[0] = count;
    let share = sizes.into_iter().map(|size| 1.0 / size.max(1.0)).collect();
    let sum = tape.special(SegmentSum { segments: count }, &[x, indices(tape, index)]);
    sum * tape.constant(Tensor::f32(&shape, share))
}

fn indices<'t>(tape: &'t Tape, index: &[usize]) -> Var<'t> {
    tape.constant(Tensor::i32(&[index.len()], index.iter().map(|&i| i as i32).collect()))
}
