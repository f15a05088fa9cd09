//! The derivative: appends the adjoint nodes of a loss to its own tape.

use std::collections::HashMap;

use super::view::View;
use super::{NodeId, Op, Tape, Var};
use crate::ops::pad::Pad;
use crate::tensor::Tensor;

impl Tape {
    /// Derivatives of the sum of `loss` by each of `by` (zeros where the loss does not depend on it).
    #[track_caller]
    pub fn grad<'t>(&'t self, loss: Var<'t>, by: &[Var<'t>]) -> Vec<Var<'t>> {
        let seed = self.constant(Tensor::f32(&[], vec![1.0])).cast(loss.meta().dtype).expand(&loss.shape());
        self.pull_back(loss, seed, by)
    }

    /// As [`Tape::grad`] for an output of any shape with the given upstream derivative.
    #[track_caller]
    pub fn pull_back<'t>(&'t self, output: Var<'t>, upstream: Var<'t>, by: &[Var<'t>]) -> Vec<Var<'t>> {
        let nodes = self.nodes();
        let mut leads_to_by = vec![false; output.id + 1];
        for id in 0..=output.id {
            leads_to_by[id] =
                by.iter().any(|v| v.id == id) || nodes[id].inputs.iter().any(|&input| leads_to_by[input]);
        }
        let mut adjoint: HashMap<NodeId, Var<'t>> = HashMap::from([(output.id, upstream)]);
        for id in (0..=output.id).rev().filter(|&id| leads_to_by[id]) {
            // Behind a mistake stand placeholders: no derivative could go by their shapes.
            if self.is_mistaken() {
                break;
            }
            let Some(&g) = adjoint.get(&id) else { continue };
            let node = &nodes[id];
            if node.inputs.is_empty() {
                continue;
            }
            let inputs: Vec<Var<'t>> = node.inputs.iter().map(|&i| self.var(i)).collect();
            let wanted: Vec<bool> = node.inputs.iter().map(|&i| leads_to_by[i]).collect();
            let contributions = self
                .scope(format!("d_{}", node.op.name()), || self.adjoints(&node.op, &inputs, &wanted, id, g));
            for ((input, part), wanted) in inputs.iter().zip(contributions).zip(wanted) {
                if let (Some(part), true) = (part, wanted) {
                    let total = match adjoint.get(&input.id) {
                        Some(&earlier) => earlier + part,
                        None => part,
                    };
                    adjoint.insert(input.id, total);
                }
            }
        }
        by.iter()
            .map(|v| match adjoint.get(&v.id) {
                Some(&g) => g,
                None => self.constant(Tensor::scalar(0.0)).cast(v.meta().dtype).expand(&v.shape()),
            })
            .collect()
    }

    fn adjoints<'t>(
        &'t self,
        op: &Op,
        inputs: &[Var<'t>],
        wanted: &[bool],
        id: NodeId,
        g: Var<'t>,
    ) -> Vec<Option<Var<'t>>> {
        let y = self.var(id);
        match op {
            Op::Input(_) | Op::State(_) | Op::Constant(_) => vec![],
            Op::Row(row) => (0..inputs.len())
                .map(|i| {
                    if !wanted[i] {
                        return None;
                    }
                    if row.derivatives.is_empty() && row.name.starts_with("d_") {
                        self.mistake(format!("{} is a derivative and has none of its own", row.name));
                        return None;
                    }
                    let derivative = row.derivative(i)?;
                    let arguments: Vec<Var<'t>> = derivative
                        .arguments
                        .iter()
                        .map(|&name| match name {
                            "g" => g,
                            "y" => y,
                            _ => inputs[row.arguments.iter().position(|&a| a == name).unwrap_or(0)],
                        })
                        .collect();
                    let part = self.row(derivative, &arguments);
                    Some(part.expand(&y.shape()).reduce_to(&inputs[i].shape()).cast(inputs[i].meta().dtype))
                })
                .collect(),
            Op::View(view) => {
                let from = inputs[0].shape();
                vec![Some(match view {
                    View::Permute(order) => {
                        let mut back = vec![0; order.len()];
                        for (i, &a) in order.iter().enumerate() {
                            back[a] = i;
                        }
                        g.permute(&back)
                    }
                    View::Expand(_) => g.reduce_to(&from),
                    // A whole axis backwards is its own adjoint.
                    &View::Slice { axis, step: -1, len, .. } if len == from[axis] => g.flip(axis),
                    &View::Slice { axis, start, step, .. } => {
                        self.special(Pad { axis, start, step, len: from[axis] }, &[g])
                    }
                })]
            }
            Op::Reshape => vec![Some(g.reshape(&inputs[0].shape()))],
            Op::Cast if inputs[0].meta().dtype.is_float() => vec![Some(g.cast(inputs[0].meta().dtype))],
            Op::Cast => vec![None],
            Op::Special(op) => op.derive(inputs, y, g),
        }
    }
}
