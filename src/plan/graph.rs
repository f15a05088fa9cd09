//! The live part of a tape with equal nodes made one.

use std::collections::HashMap;

use super::precision;
use crate::tape::{Node, NodeId, Op, State, Tape, Var};
use crate::tensor::DType;

pub struct Graph {
    pub nodes: Vec<Node>,
    pub live: Vec<bool>,
    /// Live nodes that read a node, once a reading.
    pub consumers: Vec<Vec<NodeId>>,
    pub outputs: Vec<(String, NodeId)>,
    /// With `next` mapped to the node that stands for it.
    pub states: Vec<State>,
}

impl Graph {
    pub fn new(tape: &Tape, outputs: &[(&str, Var<'_>)], precision: DType) -> Graph {
        let (mut nodes, place) = match precision {
            DType::F16 | DType::BF16 => precision::narrow(tape.nodes(), precision),
            _ => (tape.nodes(), (0..tape.len()).collect()),
        };
        let merged = merge_equal(&mut nodes);
        let stands_for: Vec<NodeId> = place.iter().map(|&id| merged[id]).collect();
        let outputs: Vec<(String, NodeId)> =
            outputs.iter().map(|(name, var)| (name.to_string(), stands_for[var.id()])).collect();
        let mut states = tape.states();
        for state in &mut states {
            state.node = stands_for[state.node];
            state.next = state.next.map(|n| stands_for[n]);
        }
        let mut live = vec![false; nodes.len()];
        let mut open: Vec<NodeId> =
            outputs.iter().map(|o| o.1).chain(states.iter().filter_map(|s| s.next)).collect();
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut live[id], true) {
                open.extend(&nodes[id].inputs);
            }
        }
        states.retain(|s| live[s.node] || s.next.is_some());
        let mut consumers = vec![vec![]; nodes.len()];
        for id in (0..nodes.len()).filter(|&id| live[id]) {
            for &input in &nodes[id].inputs {
                consumers[input].push(id);
            }
        }
        Graph { nodes, live, consumers, outputs, states }
    }

    /// Read from outside the step: an output, or the next value of a state.
    pub fn is_kept(&self, id: NodeId) -> bool {
        self.outputs.iter().any(|o| o.1 == id) || self.states.iter().any(|s| s.next == Some(id))
    }

    /// The node whose buffer holds this node's value: reshapes have none of their own.
    pub fn storage(&self, mut id: NodeId) -> NodeId {
        while let Op::Reshape = self.nodes[id].op {
            id = self.nodes[id].inputs[0];
        }
        id
    }
}

/// Maps every node to the first one that computes the same, and inputs with it.
fn merge_equal(nodes: &mut [Node]) -> Vec<NodeId> {
    let mut first: HashMap<(String, Vec<NodeId>), NodeId> = HashMap::new();
    let mut stands_for: Vec<NodeId> = (0..nodes.len()).collect();
    for id in 0..nodes.len() {
        let inputs: Vec<NodeId> = nodes[id].inputs.iter().map(|&i| stands_for[i]).collect();
        nodes[id].inputs = inputs.clone();
        let key = match &nodes[id].op {
            Op::State(_) => continue,
            // The derivative of a sum, for one: its value is its argument's.
            Op::Row(row) if row.arguments == [row.text] && nodes[id].meta == nodes[inputs[0]].meta => {
                stands_for[id] = inputs[0];
                continue;
            }
            // Only small constants are worth comparing.
            Op::Constant(t) if t.len() > 16 => continue,
            op => format!("{op:?} {} {}", nodes[id].meta, nodes[id].again),
        };
        stands_for[id] = *first.entry((key, inputs)).or_insert(id);
    }
    stands_for
}
