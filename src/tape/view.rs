//! Views: the same elements in another arrangement. A view is a pattern of loads (offset and strides), so it
//! costs nothing where an elementwise chain reads it.

use crate::tensor::{Meta, strides};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum View {
    /// Axis i of the result is axis `order[i]` of the input.
    Permute(Vec<usize>),
    /// NumPy broadcasting to a shape.
    Expand(Vec<usize>),
    /// `len` positions of an axis from `start` in steps of `step` (negative: backwards).
    Slice { axis: usize, start: usize, step: isize, len: usize },
}

impl View {
    /// Shape of the view of a tensor of shape `from`, or what is wrong.
    pub fn shape(&self, from: &[usize]) -> Result<Vec<usize>, String> {
        match self {
            View::Permute(order) => {
                let mut seen = vec![false; from.len()];
                let fits = order.len() == from.len()
                    && order.iter().all(|&a| a < from.len() && !std::mem::replace(&mut seen[a], true));
                if !fits {
                    return Err(format!("order {order:?} does not permute the axes of {from:?}"));
                }
                Ok(order.iter().map(|&a| from[a]).collect())
            }
            View::Expand(to) => {
                let fits = from.len() <= to.len()
                    && from.iter().rev().zip(to.iter().rev()).all(|(&f, &t)| f == t || f == 1);
                if !fits {
                    return Err(format!("{from:?} cannot be broadcast to {to:?}"));
                }
                Ok(to.clone())
            }
            &View::Slice { axis, start, step, len } => {
                let last = start as isize + step * (len as isize - 1);
                let fits = axis < from.len()
                    && step != 0
                    && (len == 0 || (start < from[axis] && last >= 0 && (last as usize) < from[axis]));
                if !fits {
                    return Err(format!(
                        "slice of {len} from {start} in steps of {step} leaves axis {axis} of {from:?}"
                    ));
                }
                let mut shape = from.to_vec();
                shape[axis] = len;
                Ok(shape)
            }
        }
    }

    /// Offset and strides, in elements of the contiguous input, of each axis of the view.
    pub fn pattern(&self, from: &Meta) -> (isize, Vec<isize>) {
        let own = strides(&from.shape);
        match self {
            View::Permute(order) => (0, order.iter().map(|&a| own[a]).collect()),
            View::Expand(to) => (0, broadcast_strides(&from.shape, to)),
            &View::Slice { axis, start, step, .. } => {
                let mut s = own;
                let offset = start as isize * s[axis];
                s[axis] *= step;
                (offset, s)
            }
        }
    }
}

/// Strides with which a contiguous tensor of shape `from` is read as one of shape `to`.
pub fn broadcast_strides(from: &[usize], to: &[usize]) -> Vec<isize> {
    let own = strides(from);
    let lead = to.len() - from.len();
    (0..to.len()).map(|i| if i < lead || from[i - lead] == 1 { 0 } else { own[i - lead] }).collect()
}

/// NumPy's rule for two shapes, if they agree.
pub fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| if i + s.len() < rank { 1 } else { s[i + s.len() - rank] };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}
