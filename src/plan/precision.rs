//! Mixed precision: matrix products read 16-bit factors and add up in f32; all else stays f32, parameters and
//! results of products too.
//!
//! A factor is cast once, where it is made, however many products read it. A product with a side shorter than
//! [`LEAST`] stays as it is: such are rotations of coordinates and last layers, which want the precision, and
//! nothing would be gained.

use std::any::Any;

use crate::ops::matmul::MatMul;
use crate::tape::{Node, NodeId, Op};
use crate::tensor::{DType, Meta};

const LEAST: usize = 8;

/// The nodes with their casts, and where each node is now.
pub fn narrow(nodes: Vec<Node>, dtype: DType) -> (Vec<Node>, Vec<NodeId>) {
    let mut wanted = vec![false; nodes.len()];
    let products: Vec<bool> = nodes.iter().map(|node| is_large_product(node, &nodes)).collect();
    for (node, _) in nodes.iter().zip(&products).filter(|(_, is_product)| **is_product) {
        node.inputs.iter().for_each(|&input| wanted[input] = true);
    }
    let mut narrowed = Vec::with_capacity(nodes.len());
    let mut place: Vec<NodeId> = vec![];
    let mut cast: Vec<NodeId> = vec![];
    for (id, mut node) in nodes.into_iter().enumerate() {
        let from = if products[id] { &cast } else { &place };
        node.inputs.iter_mut().for_each(|input| *input = from[*input]);
        narrowed.push(node.clone());
        place.push(narrowed.len() - 1);
        if wanted[id] {
            let meta = Meta::new(&node.meta.shape, dtype);
            narrowed.push(Node { op: Op::Cast, inputs: vec![place[id]], meta, ..node });
        }
        cast.push(narrowed.len() - 1);
    }
    (narrowed, place)
}

fn is_large_product(node: &Node, nodes: &[Node]) -> bool {
    let Op::Special(op) = &node.op else { return false };
    let any: &dyn Any = op.as_ref();
    let Some(product) = any.downcast_ref::<MatMul>() else { return false };
    let [a, b] = [0, 1].map(|i| &nodes[node.inputs[i]].meta);
    let e = product.extent(a, b);
    a.dtype == DType::F32 && [e.m, e.n, e.k].into_iter().all(|side| side >= LEAST)
}
