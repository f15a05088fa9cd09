//! From a latent to the shift of every residue or bead: features of beads, of residues and of stretches of secondary
//! structure take turns, or normal modes are added up. Tensors are `[nodes, B, C]`, so that a graph's edges pick whole rows.

use super::graph::Graph;
use super::modes::Modes;
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
    /// The level below residues, where there is one.
    beads: Option<Beads>,
    /// C: features of a bead, a residue and a stretch.
    pub width: usize,
}

/// What a latent says of the points.
#[derive(Clone, Debug)]
pub enum Motion {
    /// The shift of each.
    Free(Decoder),
    Modes(Modes),
}

impl Motion {
    /// Points that move.
    pub fn points(&self) -> usize {
        match self {
            Motion::Free(decoder) => decoder.points(),
            Motion::Modes(modes) => modes.places.len(),
        }
    }

    /// `[B, z]` to shifts `[N, B, 3]`, Å.
    #[track_caller]
    pub fn record<'t>(&self, z: Var<'t>) -> Var<'t> {
        match self {
            Motion::Free(decoder) => decoder.record(z),
            Motion::Modes(modes) => modes.record(z),
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Motion::Free(decoder) => format!("in {} blocks", decoder.graph.centroids.len()),
            Motion::Modes(modes) => format!("moved by {} normal modes", modes.count),
        }
    }
}

/// Beads and the residues they belong to.
#[derive(Clone, Debug)]
pub struct Beads {
    pub residue_of: Vec<usize>,
    /// From each bead to its residue's backbone, Å.
    pub to_residue: Vec<[f64; 3]>,
}

impl Decoder {
    pub fn new(graph: Graph, beads: Option<Beads>, width: usize) -> Decoder {
        Decoder { edges: Edges::new(&graph.neighbours), graph, beads, width }
    }

    fn residues(&self) -> usize {
        self.graph.block_of.len()
    }

    /// Points that move.
    pub fn points(&self) -> usize {
        self.beads.as_ref().map_or(self.residues(), |beads| beads.residue_of.len())
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
                h = match &self.beads {
                    Some(beads) => self.bead_round(beads, round, h),
                    None => self.round(round, h),
                };
            }
            tape.scope("coord_head", || {
                let h = (0..3).fold(h, |h, i| linear(&(2 * i).to_string(), h, c).elu());
                linear("6", h, 3)
            })
        })
    }

    /// Beads tell their residues, and hear what these have heard.
    fn bead_round<'t>(&self, beads: &Beads, round: usize, h: Var<'t>) -> Var<'t> {
        let tape = h.tape();
        let c = self.width;
        let h = self.placed(&format!("bead_mlp{round}"), h, &beads.to_residue);
        let r = self.round(round, mean_by(h, &beads.residue_of, self.residues()));
        tape.scope(format!("bead_fusion{round}"), || {
            let gate = self.gate("gate", h, r, &beads.residue_of, &beads.to_residue);
            tape.scope("fuse", || linear("2", linear("0", h + gate * pick(r, &beads.residue_of), c).elu(), c))
        })
    }

    /// Features with the vectors from where they are known.
    fn placed<'t>(&self, name: &str, h: Var<'t>, vectors: &[[f64; 3]]) -> Var<'t> {
        let (tape, c) = (h.tape(), self.width);
        tape.scope(name, || {
            let first = Weight::new(tape, "0", c + 3, c);
            let y = first.columns(h, 0) + first.shared(constant(tape, vectors, 1.0), c);
            linear("2", (y + first.bias).elu(), c)
        })
    }

    /// How much of its group's features each node takes; `vectors` lead from the nodes to the group.
    fn gate<'t>(
        &self,
        name: &str,
        h: Var<'t>,
        of: Var<'t>,
        group: &[usize],
        vectors: &[[f64; 3]],
    ) -> Var<'t> {
        let (tape, c) = (h.tape(), self.width);
        // What a layer makes of a group is made once a group, and picked by its members.
        tape.scope(name, || {
            let first = Weight::new(tape, "0", 2 * c + 3, c);
            let y = first.columns(h, 0)
                + pick(first.columns(of, c), group)
                + first.shared(constant(tape, vectors, -1.0), 2 * c);
            linear("2", (y + first.bias).elu(), c)
        })
    }

    fn round<'t>(&self, round: usize, h: Var<'t>) -> Var<'t> {
        let tape = h.tape();
        let graph = &self.graph;
        let c = self.width;
        let blocks = graph.centroids.len();
        let h = self.placed(&format!("mlp{round}"), h, &graph.to_centroid);
        let m = mean_by(h, &graph.block_of, blocks);
        let m = attend(&format!("meta_gnn{round}"), m, &self.edges, HEADS, c);
        tape.scope(format!("fusion{round}"), || {
            let own = self.gate("gate1", h, m, &graph.block_of, &graph.to_centroid);
            let (to, from): (Vec<usize>, Vec<usize>) = graph.links.iter().copied().unzip();
            let mut sum = h + own * pick(m, &graph.block_of);
            if !to.is_empty() {
                let others = tape.scope("gate2", || {
                    let first = Weight::new(tape, "0", 2 * c + 3, c);
                    let y = pick(first.columns(h, 0), &to)
                        + pick(first.columns(m, c), &from)
                        + first.shared(constant(tape, &graph.link_vectors, 1.0), 2 * c);
                    linear("2", (y + first.bias).elu(), c)
                });
                sum = sum + mean_by(others * pick(m, &from), &to, self.residues());
            }
            tape.scope("fuse", || linear("2", linear("0", sum, c).elu(), c))
        })
    }
}

fn constant<'t>(tape: &'t Tape, vectors: &[[f64; 3]], sign: f32) -> Var<'t> {
    let flat: Vec<f32> = vectors.iter().flatten().map(|&v| sign * v as f32).collect();
    tape.constant(Tensor::f32(&[vectors.len(), 3], flat))
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
