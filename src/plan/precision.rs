//! Mixed precision: matrix products read 16-bit factors and add up in f32; all else stays f32, parameters and
//! results of products too. What a coordinate network keeps for the products of its derivative is 16 bits wide.
//!
//! A factor is cast once, where it is made, however many products read it. A product with a side shorter than
//! [`LEAST`] stays as it is: such are rotations of coordinates and last layers, which want the precision, and
//! nothing would be gained.

use std::any::Any;

use crate::ops::matmul::MatMul;
use crate::ops::mlp::Mlp;
use crate::tape::{Node, NodeId, Op};
use crate::tensor::{DType, Meta};

const LEAST: usize = 8;

/// A node's value in both types: the other one than it has stands behind it where something reads it.
#[derive(Clone, Copy, Default)]
struct Forms {
    narrow: NodeId,
    wide: NodeId,
}

/// The nodes with their casts, and where each node is now.
pub fn narrow(nodes: Vec<Node>, dtype: DType) -> (Vec<Node>, Vec<NodeId>) {
    let (mut as_narrow, mut as_wide) = (vec![false; nodes.len()], vec![false; nodes.len()]);
    let narrowed_inputs: Vec<Vec<usize>> = nodes.iter().map(|node| narrowed_inputs(node, &nodes)).collect();
    for (node, narrowed) in nodes.iter().zip(&narrowed_inputs) {
        for (i, &input) in node.inputs.iter().enumerate() {
            if narrowed.contains(&i) { as_narrow[input] = true } else { as_wide[input] = true }
        }
    }
    let mut cast = Vec::with_capacity(nodes.len());
    let mut forms: Vec<Forms> = vec![];
    for (id, mut node) in nodes.into_iter().enumerate() {
        let narrowed = &narrowed_inputs[id];
        for (i, input) in node.inputs.iter_mut().enumerate() {
            let Forms { narrow, wide } = forms[*input];
            *input = if narrowed.contains(&i) { narrow } else { wide };
        }
        if !narrowed.is_empty()
            && let Some(network) = network(&node)
        {
            node.meta.dtype = network.dtype(dtype);
        }
        let own = cast.len();
        cast.push(node.clone());
        let mut form = Forms { narrow: own, wide: own };
        let is_narrow = node.meta.dtype == dtype && !narrowed.is_empty();
        let other = if is_narrow { DType::F32 } else { dtype };
        if if is_narrow { as_wide[id] } else { as_narrow[id] } {
            let meta = Meta::new(&node.meta.shape, other);
            cast.push(Node { op: Op::Cast, inputs: vec![own], meta, ..node });
            *(if is_narrow { &mut form.wide } else { &mut form.narrow }) = own + 1;
        }
        forms.push(form);
    }
    (cast, forms.into_iter().map(|form| form.wide).collect())
}

/// Which inputs of a node are to be 16 bits wide.
fn narrowed_inputs(node: &Node, nodes: &[Node]) -> Vec<usize> {
    let Op::Special(op) = &node.op else { return vec![] };
    let meta = |i: usize| &nodes[node.inputs[i]].meta;
    let any: &dyn Any = op.as_ref();
    if let Some(product) = any.downcast_ref::<MatMul>() {
        let e = product.extent(meta(0), meta(1));
        let is_large = [e.m, e.n, e.k].into_iter().all(|side| side >= LEAST);
        return if is_large && meta(0).dtype == DType::F32 { vec![0, 1] } else { vec![] };
    }
    let Some(network) = network(node) else { return vec![] };
    let metas: Vec<Meta> = (0..node.inputs.len()).map(|i| meta(i).clone()).collect();
    let inputs = network.narrow_inputs();
    let is_large = network.extent(&metas).width >= LEAST && metas[inputs[0]].dtype == DType::F32;
    if is_large { inputs } else { vec![] }
}

fn network(node: &Node) -> Option<&Mlp> {
    let Op::Special(op) = &node.op else { return None };
    let any: &dyn Any = op.as_ref();
    any.downcast_ref()
}
