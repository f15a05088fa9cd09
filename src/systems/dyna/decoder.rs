//! From a latent to the shift of every residue: features of residues and of stretches of secondary structure
//! take turns. Tensors are `[nodes, B, C]`, so that a graph's edges pick whole rows.

use super::graph::Graph;
use crate::nn::graph::{Edges, attend, mean_by, pick};
use crate::nn::linear;
use crate::tape::{Init, Tape, Var};
use crate::tensor::Tensor;

const HEADS: usize = 4;
const ROUNDS: usize = 2;

#[derive(Clone, Debug)]
pub struct Decoder {
    pub graph: Graph,
    edges: Edges,
    /// C: features of a residue and of a stretch.
    pub width: usize,
}

impl Decoder {
    pub fn new(graph: Graph, width: usize) -> Decoder {
        Decoder { edges: Edges::new(&graph.neighbours), graph, width }
    }

    /// Points that move.
    pub fn points(&self) -> usize {
        self.graph.block_of.len()
    }

    /// `[B, z]` to shifts `[N, B, 3]`, Å.
    #[track_caller]
    pub fn record<'t>(&self, z: Var<'t>) -> Var<'t> {
        let tape = z.tape();
        let (n, batch, c) = (self.points(), z.dim(0), self.width);
        tape.scope("decoder", || {
            let all = linear("mapping_mlp", z, n * c);
            let mut h = all.reshape(&[batch, n, c]).permute(&[1, 0, 2]);
            for round in 1..=ROUNDS {
                h = self.round(round, h);
            }
            tape.scope("coord_head", || {
                let h = (0..3).fold(h, |h, i| linear(&(2 * i).to_string(), h, c).elu());
                linear("6", h, 3)
            })
        })
    }

    fn round<'t>(&self, round: usize, h: Var<'t>) -> Var<'t> {
        let tape = h.tape();
        let graph = &self.graph;
        let c = self.width;
        let vectors = |list: &[[f64; 3]], sign: f32| {
            let flat: Vec<f32> = list.iter().flatten().map(|&v| sign * v as f32).collect();
            tape.constant(Tensor::f32(&[list.len(), 3], flat))
        };
        let blocks = graph.centroids.len();
        let h = tape.scope(format!("mlp{round}"), || {
            let own = vectors(&graph.to_centroid, 1.0);
            let first = Weight::new(tape, "0", c + 3, c);
            let y = first.columns(h, 0) + first.shared(own, c);
            linear("2", (y + first.bias).elu(), c)
        });
        let m = mean_by(h, &graph.block_of, blocks);
        let m = attend(&format!("meta_gnn{round}"), m, &self.edges, HEADS, c);
        tape.scope(format!("fusion{round}"), || {
            // What a layer makes of a stretch is made once a stretch, and picked by residues and links.
            let own = tape.scope("gate1", || {
                let first = Weight::new(tape, "0", 2 * c + 3, c);
                let y = first.columns(h, 0)
                    + pick(first.columns(m, c), &graph.block_of)
                    + first.shared(vectors(&graph.to_centroid, -1.0), 2 * c);
                linear("2", (y + first.bias).elu(), c)
            });
            let (to, from): (Vec<usize>, Vec<usize>) = graph.links.iter().copied().unzip();
            let mut sum = h + own * pick(m, &graph.block_of);
            if !to.is_empty() {
                let others = tape.scope("gate2", || {
                    let first = Weight::new(tape, "0", 2 * c + 3, c);
                    let y = pick(first.columns(h, 0), &to)
                        + pick(first.columns(m, c), &from)
                        + first.shared(vectors(&graph.link_vectors, 1.0), 2 * c);
                    linear("2", (y + first.bias).elu(), c)
                });
                sum = sum + mean_by(others * pick(m, &from), &to, self.points());
            }
            tape.scope("fuse", || linear("2", linear("0", sum, c).elu(), c))
        })
    }
}

/// A linear layer over several inputs side by side, each of which goes through its own columns.
struct Weight<'t> {
    weight: Var<'t>,
    bias: Var<'t>,
}

impl<'t> Weight<'t> {
    fn new(tape: &'t Tape, name: &str, input: usize, output: usize) -> Weight<'t> {
        let bound = Init::Uniform(1.0 / (input as f32).sqrt());
        tape.scope(name, || Weight {
            weight: tape.state("weight", &[output, input], bound.clone()),
            bias: tape.state("bias", &[output], bound),
        })
    }

    /// `[nodes, B, width]` through the columns from `first`.
    fn columns(&self, x: Var<'t>, first: usize) -> Var<'t> {
        x.matmul_t(self.weight.slice(1, first, x.dim(2)))
    }

    /// Rows `[nodes, width]` that all images share.
    fn shared(&self, rows: Var<'t>, first: usize) -> Var<'t> {
        let y = rows.matmul_t(self.weight.slice(1, first, rows.dim(1)));
        y.reshape(&[y.dim(0), 1, y.dim(1)])
    }
}
