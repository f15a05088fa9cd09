//! Reduced axes that stand together are one; several separate ones are reduced one after the other, the last
//! first. A long axis with few results is cut into parts, whose results are reduced again: always in the same
//! order, whatever the device.

use super::{Call, Pass, Whole};
use crate::ops::reduce::{Reduce, Reduction};
use crate::tensor::DType;

/// Threads that keep a device busy: below this many, long axes are cut.
const BUSY: usize = 1 << 16;
/// Least elements of a part.
const PART: usize = 256;

pub fn lower(op: &Reduce, call: &mut Call<'_>) {
    let axes = Axes::of(&call.inputs[0].shape, &op.axes);
    let mut held = None;
    for (at, &Axes { before, along, after }) in axes.iter().enumerate().rev() {
        if at == 0 {
            return last(call, op.kind, held, Axes { before, along, after });
        }
        let next = call.scratch(DType::F32, before * after);
        cut(call, op.kind, held, Axes { before, along, after }, next);
        held = Some(next);
    }
}

/// One axis of a tensor: elements before, along and after it.
#[derive(Clone, Copy)]
pub struct Axes {
    pub before: usize,
    pub along: usize,
    pub after: usize,
}

impl Axes {
    /// Of a tensor whose later reduced axes have length 1. With nothing to reduce, an axis of length 1.
    fn of(shape: &[usize], axes: &[usize]) -> Vec<Axes> {
        let mut found: Vec<Axes> = vec![];
        let mut next = usize::MAX;
        let kept = |from: usize| -> usize {
            (from..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).product()
        };
        for &axis in axes {
            match found.last_mut() {
                Some(last) if axis == next => {
                    last.along *= shape[axis];
                    last.after = kept(axis + 1);
                }
                _ => found.push(Axes {
                    before: shape[..axis].iter().product(),
                    along: shape[axis],
                    after: kept(axis + 1),
                }),
            }
            next = axis + 1;
        }
        if found.is_empty() {
            found.push(Axes { before: 1, along: 1, after: shape.iter().product() });
        }
        found
    }

    /// How many parts the axis is cut into.
    fn parts(&self) -> usize {
        let results = self.before * self.after;
        (self.along / PART).min(BUSY / results.max(1)).max(1)
    }
}

/// The reduction that ends in the launch's result, with its epilogue.
pub fn last(call: &mut Call<'_>, kind: Reduction, x: Option<Whole>, axes: Axes) {
    let Axes { before, along, after } = axes;
    let parts = axes.parts();
    let (x, along) = match parts {
        1 => (x, along),
        _ => {
            let partial = call.scratch(DType::F32, before * parts * after);
            call.push(pass(call, kind, Axes { before, along, after }, parts, x).writes("y", partial));
            (Some(partial), parts)
        }
    };
    let last = pass(call, kind, Axes { before, along, after }, 1, x);
    call.finish(last);
}

/// The same into a scratch.
fn cut(call: &mut Call<'_>, kind: Reduction, x: Option<Whole>, axes: Axes, y: Whole) {
    let Axes { before, after, .. } = axes;
    match axes.parts() {
        1 => call.push(pass(call, kind, axes, 1, x).writes("y", y)),
        parts => {
            let partial = call.scratch(DType::F32, before * parts * after);
            call.push(pass(call, kind, axes, parts, x).writes("y", partial));
            let rest = Axes { before, along: parts, after };
            call.push(pass(call, kind, rest, 1, Some(partial)).writes("y", y));
        }
    }
}

/// `[before, along, after]` to `[before, parts, after]`; without `x` of the launch's input.
fn pass(call: &Call<'_>, kind: Reduction, axes: Axes, parts: usize, x: Option<Whole>) -> Pass {
    let Axes { before, along, after } = axes;
    let chunk = along.div_ceil(parts);
    let count = before * parts * after;
    // Along rows the threads of a group go together; across columns each has its own.
    let pass = if after == 1 && chunk > 32 {
        let threads = chunk.div_ceil(4).next_power_of_two().clamp(32, 256);
        Pass::new("reduce", "rows", threads as u32, count).size("COUNT", count)
    } else {
        Pass::elements("reduce", "columns", count)
    };
    let pass = pass
        .size("ALONG", along)
        .size("AFTER", after)
        .size("PARTS", parts)
        .size("CHUNK", chunk)
        .flag("SUM", kind == Reduction::Sum);
    match x {
        Some(x) => pass.reads("x", x),
        None => call.input(pass),
    }
}
