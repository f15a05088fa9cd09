//! The derivative: appends the adjoint nodes of a loss to its own tape.

use std::collections::HashMap;
use std::ops::Range;

use super::view::View;
use super::{Node, NodeId, Op, Tape, Var};
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
        let spans = self.inner.borrow().recomputed.clone();
        let mut anew: HashMap<NodeId, NodeId> = HashMap::new();
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
            if let Some(span) = spans.iter().find(|span| span.contains(&id))
                && !anew.contains_key(&id)
            {
                self.record_again(span.clone(), &nodes, &mut anew);
            }
            let value = |id: NodeId| self.var(anew.get(&id).copied().unwrap_or(id));
            let inputs: Vec<Var<'t>> = node.inputs.iter().map(|&i| value(i)).collect();
            let wanted: Vec<bool> = node.inputs.iter().map(|&i| leads_to_by[i]).collect();
            let contributions = self.scope(format!("d_{}", node.op.name()), || {
                self.adjoints(&node.op, &inputs, &wanted, value(id), g)
            });
            for ((&input, part), wanted) in node.inputs.iter().zip(contributions).zip(wanted) {
                if let (Some(part), true) = (part, wanted) {
                    let total = match adjoint.get(&input) {
                        Some(&earlier) => earlier + part,
                        None => part,
                    };
                    adjoint.insert(input, total);
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

    /// Copies of what a span computes, behind everything recorded so far.
    fn record_again(&self, span: Range<NodeId>, nodes: &[Node], anew: &mut HashMap<NodeId, NodeId>) {
        let mut inner = self.inner.borrow_mut();
        let again = inner.nodes.len();
        for id in span {
            if let Op::Input(_) | Op::State(_) | Op::Constant(_) = nodes[id].op {
                anew.insert(id, id);
                continue;
            }
            let inputs = nodes[id].inputs.iter().map(|i| anew.get(i).copied().unwrap_or(*i)).collect();
            anew.insert(id, inner.nodes.len());
            inner.nodes.push(Node { inputs, again, ..nodes[id].clone() });
        }
    }

    fn adjoints<'t>(
        &'t self,
        op: &Op,
        inputs: &[Var<'t>],
        wanted: &[bool],
        y: Var<'t>,
        g: Var<'t>,
    ) -> Vec<Option<Var<'t>>> {
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
