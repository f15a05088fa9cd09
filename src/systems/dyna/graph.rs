//! What the decoder and the structure losses know of the reference: stretches of secondary structure and who is
//! near whom. Fixed for a run.

use std::collections::BTreeSet;

use super::reference::Reference;
use crate::protein::geometry::near_pairs;
use nalgebra::Vector3;

/// A run of secondary structure that is shorter joins the one before it.
const SHORTEST: usize = 3;
/// Residues of a stretch where there is no secondary structure to go by.
const STRETCH: usize = 7;
/// Blocks beside its own that a residue listens to.
const NEAREST: usize = 4;

/// Stretches of residues ("meta nodes") and the links between stretches and residues.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The block of each residue.
    pub block_of: Vec<usize>,
    /// Mean place of each block's residues, Å.
    pub centroids: Vec<[f64; 3]>,
    /// From each residue to its block's centroid.
    pub to_centroid: Vec<[f64; 3]>,
    /// The blocks that each block attends to, itself last, and their distances, Å: its own is their mean.
    pub neighbours: Vec<Vec<(usize, f64)>>,
    /// Residue and block that is not its own, by residue.
    pub links: Vec<(usize, usize)>,
    /// From the block's centroid to the residue.
    pub link_vectors: Vec<[f64; 3]>,
}

fn minus(a: &[f64; 3], b: &[f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|k| a[k] - b[k])
}

fn norm(a: &[f64; 3]) -> f64 {
    a.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// H, E or C of DSSP's eight states; of MARTINI's codes T too.
fn class(code: char, martini: bool) -> char {
    match code {
        'G' | 'H' | 'I' | '1' | '2' | '3' => 'H',
        'E' | 'B' => 'E',
        'T' if martini => 'T',
        _ => 'C',
    }
}

/// The block of each residue: runs of helix, strand and coil within a chain; a nucleic chain is one block.
pub fn blocks(reference: &Reference) -> Vec<usize> {
    let n = reference.codes.len();
    let chains = reference.residue_chains();
    let class = |code| class(code, reference.beads.is_some());
    let known = reference.codes.iter().any(|&code| class(code) != 'C');
    let kind = |i: usize| -> (usize, char) {
        let code = match (reference.nucleic[i], known) {
            (true, _) => 'N',
            (false, true) => class(reference.codes[i]),
            // Alternating letters make stretches of one length.
            (false, false) => {
                if (i / STRETCH).is_multiple_of(2) {
                    'C'
                } else {
                    'H'
                }
            }
        };
        (chains[i], code)
    };
    let mut runs: Vec<std::ops::Range<usize>> = vec![];
    for i in 0..n {
        match runs.last_mut() {
            Some(run) if kind(run.start) == kind(i) => run.end = i + 1,
            _ => runs.push(i..i + 1),
        }
    }
    let mut block_of = vec![0; n];
    let mut block = 0;
    for (at, run) in runs.iter().enumerate() {
        let joins = run.len() < SHORTEST
            && run.start > 0
            && chains[run.start - 1] == chains[run.start]
            && !reference.nucleic[run.start];
        if at > 0 && !joins {
            block += 1;
        }
        block_of[run.clone()].fill(block);
    }
    block_of
}

impl Graph {
    /// `knn`: blocks that a block attends to, itself among them.
    pub fn new(places: &[[f64; 3]], chains: &[usize], block_of: Vec<usize>, knn: usize) -> Graph {
        let count = block_of.iter().max().map_or(0, |last| last + 1);
        let mut centroids = vec![[0.0; 3]; count];
        let mut sizes = vec![0usize; count];
        for (place, &block) in places.iter().zip(&block_of) {
            sizes[block] += 1;
            (0..3).for_each(|k| centroids[block][k] += place[k]);
        }
        for (centroid, &size) in centroids.iter_mut().zip(&sizes) {
            centroid.iter_mut().for_each(|v| *v /= size.max(1) as f64);
        }
        let to_centroid =
            places.iter().zip(&block_of).map(|(place, &block)| minus(&centroids[block], place)).collect();
        let by_distance = |from: &[f64; 3]| {
            let mut order: Vec<(usize, f64)> =
                centroids.iter().enumerate().map(|(j, c)| (j, norm(&minus(c, from)))).collect();
            order.sort_by(|a, b| a.1.total_cmp(&b.1));
            order
        };
        let neighbours = (0..count)
            .map(|i| {
                let mut others = by_distance(&centroids[i]);
                others.retain(|(j, _)| *j != i);
                others.truncate(knn.saturating_sub(1));
                let mean = others.iter().map(|(_, d)| d).sum::<f64>() / others.len().max(1) as f64;
                others.push((i, mean));
                others
            })
            .collect();
        let mut chain_of = vec![0; count];
        block_of.iter().zip(chains).for_each(|(&block, &chain)| chain_of[block] = chain);
        let (mut links, mut link_vectors) = (vec![], vec![]);
        for (i, place) in places.iter().enumerate() {
            let own = block_of[i];
            let others = by_distance(place).into_iter().map(|(j, _)| j).filter(|&j| j != own);
            let mut near: BTreeSet<usize> = others.take(NEAREST).collect();
            let beside = [own.checked_sub(1), Some(own + 1).filter(|&j| j < count)];
            near.extend(beside.into_iter().flatten().filter(|&j| chain_of[j] == chain_of[own]));
            for j in near {
                links.push((i, j));
                link_vectors.push(minus(place, &centroids[j]));
            }
        }
        Graph { block_of, centroids, to_centroid, neighbours, links, link_vectors }
    }
}

/// Pairs of residues with their distance in the reference, Å.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs {
    pub members: Vec<(usize, usize)>,
    pub distances: Vec<f64>,
}

impl Pairs {
    fn push(&mut self, pair: (usize, usize), distance: f64) {
        self.members.push(pair);
        self.distances.push(distance);
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// How far the structure losses look, Å.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cutoffs {
    pub intra_chain: f64,
    /// 0: chains do not hold one another.
    pub inter_chain: f64,
    /// The same two for nucleotides.
    pub nucleotides: [f64; 2],
    /// No pair of residues is to come nearer.
    pub clash: f64,
    /// Pairs further apart than this in the reference are not watched for clashes.
    pub watched: f64,
}

/// The pairs of the structure losses.
#[derive(Clone, Debug)]
pub struct Springs {
    /// Neighbours in a chain.
    pub connected: Pairs,
    /// Elastic network within each chain.
    pub chains: Vec<Pairs>,
    /// Elastic network between chains.
    pub between: Pairs,
    /// To be kept apart.
    pub clashing: Pairs,
}

impl Springs {
    pub fn new(reference: &Reference, cutoffs: &Cutoffs) -> Springs {
        let points: Vec<Vector3<f64>> = reference.places.iter().map(|p| Vector3::from(*p)).collect();
        let count = reference.chains.iter().max().map_or(0, |last| last + 1);
        let mut springs = Springs {
            connected: Pairs::default(),
            chains: vec![Pairs::default(); count],
            between: Pairs::default(),
            clashing: Pairs::default(),
        };
        // Beads have bonds of their own.
        let residues = reference.beads.is_none();
        let is_connected = |i: usize, j: usize| residues && j == i + 1 && reference.bonded(i, j);
        for i in 1..points.len() {
            if is_connected(i - 1, i) {
                springs.connected.push((i - 1, i), (points[i] - points[i - 1]).norm());
            }
        }
        let [within_nucleic, between_nucleic] = cutoffs.nucleotides;
        let all =
            [cutoffs.intra_chain, cutoffs.inter_chain, within_nucleic, between_nucleic, cutoffs.watched];
        let mut pairs = near_pairs(&points, all.into_iter().fold(0.0, f64::max) + 1e-9);
        pairs.sort_unstable();
        for (i, j) in pairs {
            let (i, j) = (i.min(j), i.max(j));
            if is_connected(i, j) {
                continue;
            }
            let distance = (points[j] - points[i]).norm();
            if residues && (cutoffs.clash..=cutoffs.watched).contains(&distance) {
                springs.clashing.push((i, j), distance);
            }
            let same = reference.chains[i] == reference.chains[j];
            let nucleic = |i: usize| reference.nucleic[reference.residue_of(i)];
            let most = match (nucleic(i), nucleic(j), same) {
                (false, false, true) => cutoffs.intra_chain,
                (false, false, false) => cutoffs.inter_chain,
                (true, true, true) => within_nucleic,
                (true, true, false) => between_nucleic,
                // Protein and nucleic acid slide along one another.
                _ => 0.0,
            };
            if distance <= most {
                let into = if same { &mut springs.chains[reference.chains[i]] } else { &mut springs.between };
                into.push((i, j), distance);
            }
        }
        springs.chains.retain(|pairs| !pairs.is_empty());
        springs
    }
}
