//! A tape evaluated in f64, node by node, with plain loops: the truth for every device and every plan.

use std::collections::HashMap;

use crate::ops::Array;
use crate::tape::view::broadcast_strides;
use crate::tape::{Init, NodeId, Op, Tape, Var};
use crate::tensor::{DType, Meta, strides};

/// Values of `wanted`, given those of inputs and states by name.
pub fn evaluate(tape: &Tape, feeds: &HashMap<String, Array>, wanted: &[Var<'_>]) -> Vec<Array> {
    let nodes = tape.nodes();
    let last = wanted.iter().map(|v| v.id()).max().unwrap_or(0);
    let mut needed = vec![false; last + 1];
    wanted.iter().for_each(|v| needed[v.id()] = true);
    for id in (0..=last).rev().filter(|&id| needed[id]).collect::<Vec<_>>() {
        mark(&nodes, id, &mut needed);
    }
    let mut values: HashMap<NodeId, Array> = HashMap::new();
    for id in (0..=last).filter(|&id| needed[id]) {
        let node = &nodes[id];
        let input = |i: usize| &values[&node.inputs[i]];
        let data = match &node.op {
            Op::Input(name) | Op::State(name) => match feeds.get(name) {
                Some(array) => array.data.clone(),
                None => initial(tape, id, node.meta.len()),
            },
            Op::Constant(tensor) => tensor.to_f64(),
            Op::Row(row) => {
                let patterns: Vec<Vec<isize>> = (0..node.inputs.len())
                    .map(|i| broadcast_strides(&input(i).shape, &node.meta.shape))
                    .collect();
                (0..node.meta.len())
                    .map(|e| {
                        let arguments: Vec<f64> = patterns
                            .iter()
                            .enumerate()
                            .map(|(i, p)| input(i).data[position(e, &node.meta, 0, p)])
                            .collect();
                        (row.point)(&arguments)
                    })
                    .collect()
            }
            Op::View(view) => {
                let (offset, pattern) = view.pattern(&Meta::f32(&input(0).shape));
                (0..node.meta.len())
                    .map(|e| input(0).data[position(e, &node.meta, offset, &pattern)])
                    .collect()
            }
            Op::Reshape => input(0).data.clone(),
            Op::Cast if node.meta.dtype == DType::I32 => input(0).data.iter().map(|v| v.trunc()).collect(),
            Op::Cast => input(0).data.clone(),
            Op::Special(op) => {
                let inputs: Vec<Array> = node.inputs.iter().map(|i| values[i].clone()).collect();
                op.oracle(&inputs, &node.meta)
            }
        };
        values.insert(id, Array { shape: node.meta.shape.clone(), data });
    }
    wanted.iter().map(|v| values[&v.id()].clone()).collect()
}

/// A state's first value where a number decides it, else zeros.
fn initial(tape: &Tape, id: NodeId, len: usize) -> Vec<f64> {
    let init = tape.states().into_iter().find(|s| s.node == id).map(|s| s.init);
    let of = |at: usize| match &init {
        Some(Init::Constant(value)) => *value as f64,
        Some(Init::Given(values)) => values.get(at).map_or(0.0, |&v| v as f64),
        _ => 0.0,
    };
    (0..len).map(of).collect()
}

fn mark(nodes: &[crate::tape::Node], id: NodeId, needed: &mut [bool]) {
    let mut open = nodes[id].inputs.clone();
    while let Some(id) = open.pop() {
        if !std::mem::replace(&mut needed[id], true) {
            open.extend(&nodes[id].inputs);
        }
    }
}

fn position(element: usize, meta: &Meta, offset: isize, pattern: &[isize]) -> usize {
    let own = strides(&meta.shape);
    let mut at = offset;
    for (axis, &length) in meta.shape.iter().enumerate() {
        at += (element / own[axis] as usize % length) as isize * pattern[axis];
    }
    at as usize
}
