//! Reductions in parts of fixed length, joined in order; sums of parts are added in f64.

use std::ops::Range;

use rayon::prelude::*;

use super::{Call, Raw, chain, with_scratch};
use crate::ops::reduce::{Reduce, Reduction};
use crate::ops::vocabulary::single;
use crate::plan::Chain;

/// Elements summed in f32 lanes before they go to f64.
const PART: usize = 4096;
const LANES: usize = 16;
/// Members up to this many elements are reduced several at a time.
const MEMBERS: usize = 4 * PART;

/// What is reduced: values that stand somewhere, or a chain that makes them.
#[derive(Clone, Copy)]
enum Values<'a> {
    Held(&'a [f32]),
    Made(&'a Chain, &'a [Raw]),
}

impl Values<'_> {
    fn part<T>(&self, range: Range<usize>, work: impl FnOnce(&[f32]) -> T) -> T {
        match *self {
            Values::Held(x) => work(&x[range]),
            Values::Made(chain, reads) => with_scratch(range.len(), |values| {
                chain::values(chain, range, reads, values);
                work(values)
            }),
        }
    }
}

pub fn run(op: &Reduce, call: &Call<'_>) {
    let x = match call.prologue {
        Some(chain) => Values::Made(chain, call.reads),
        None => Values::Held(call.f32(0)),
    };
    let groups = Groups::new(&call.inputs[0].shape, &op.axes);
    let out = call.out();
    match groups.0.as_slice() {
        [] => x.part(0..out.len(), |x| out.copy_from_slice(x)),
        [one] => one.reduce(op.kind, x, out),
        // Several separate groups of axes: from the last to the first.
        [first, rest @ ..] => {
            let mut held: Option<Vec<f32>> = None;
            for group in rest.iter().rev() {
                let mut next = vec![0.0; group.before * group.after];
                group.reduce(op.kind, held.as_deref().map_or(x, Values::Held), &mut next);
                held = Some(next);
            }
            first.reduce(op.kind, held.as_deref().map_or(x, Values::Held), out);
        }
    }
}

/// Neighbouring reduced axes as one: elements before, along, after (later groups already reduced).
struct Group {
    before: usize,
    along: usize,
    after: usize,
}

struct Groups(Vec<Group>);

impl Groups {
    fn new(shape: &[usize], axes: &[usize]) -> Self {
        let mut groups: Vec<Group> = vec![];
        let mut previous = None;
        for &axis in axes {
            let kept_after =
                (axis + 1..shape.len()).filter(|i| !axes.contains(i)).map(|i| shape[i]).product();
            let before = shape[..axis].iter().product();
            match groups.last_mut() {
                Some(group) if previous == Some(axis.wrapping_sub(1)) => group.along *= shape[axis],
                _ => groups.push(Group { before, along: shape[axis], after: kept_after }),
            }
            previous = Some(axis);
        }
        Groups(groups)
    }
}

impl Group {
    fn reduce(&self, kind: Reduction, x: Values<'_>, out: &mut [f32]) {
        let &Group { before, along, after } = self;
        let start = if kind == Reduction::Sum { 0.0 } else { f32::NEG_INFINITY };
        if along == 0 || before * after == 0 {
            out.fill(start);
        } else if after == 1 && before == 1 {
            let step = 64 * PART;
            let chunk = |c: usize| part_of_row(kind, x, c * step..along.min((c + 1) * step));
            let parts: Vec<f64> = (0..along.div_ceil(step)).into_par_iter().map(chunk).collect();
            out[0] = parts.into_iter().reduce(|a, b| join(kind, a, b)).unwrap_or(0.0) as f32;
        } else if after == 1 {
            let rows = (PART / along).max(1);
            out.par_chunks_mut(rows).enumerate().for_each(|(task, out)| {
                let first = task * rows * along;
                if rows == 1 {
                    out[0] = part_of_row(kind, x, first..first + along) as f32;
                    return;
                }
                // Short rows together.
                x.part(first..first + out.len() * along, |x| {
                    for (row, o) in out.iter_mut().enumerate() {
                        *o = part_of_row(kind, Values::Held(x), row * along..(row + 1) * along) as f32;
                    }
                });
            });
        } else if along * after <= MEMBERS {
            // Small members together.
            let members = (16 * PART / (along * after)).max(1);
            out.par_chunks_mut(members * after).enumerate().for_each(|(task, out)| {
                let first = task * members * along * after;
                x.part(first..first + out.len() * along, |x| {
                    for (out, x) in out.chunks_mut(after).zip(x.chunks(along * after)) {
                        columns(kind, x, out);
                    }
                });
            });
        } else {
            let rows = (16 * PART / after).max(1);
            for (member, out) in out.chunks_mut(after).enumerate() {
                let first = member * along * after;
                let part = |p: usize| {
                    let end = along.min((p + 1) * rows);
                    x.part(first + p * rows * after..first + end * after, |x| {
                        let mut sums = vec![0.0; after];
                        columns(kind, x, &mut sums);
                        sums
                    })
                };
                let parts: Vec<Vec<f32>> = (0..along.div_ceil(rows)).into_par_iter().map(part).collect();
                let mut sums = vec![start as f64; after];
                for part in &parts {
                    sums.iter_mut().zip(part).for_each(|(s, &p)| *s = join(kind, *s, p as f64));
                }
                out.iter_mut().zip(&sums).for_each(|(o, &s)| *o = s as f32);
            }
        }
    }
}

fn join(kind: Reduction, a: f64, b: f64) -> f64 {
    match kind {
        Reduction::Sum => a + b,
        Reduction::Max if a.is_nan() || b.is_nan() => f64::NAN,
        Reduction::Max => a.max(b),
    }
}

fn part_of_row(kind: Reduction, x: Values<'_>, row: Range<usize>) -> f64 {
    let start = if kind == Reduction::Sum { 0.0 } else { f64::NEG_INFINITY };
    let end = row.end;
    row.step_by(PART).fold(start, |total, at| {
        x.part(at..end.min(at + PART), |part| {
            let value = match kind {
                Reduction::Sum => fold(part, start as f32, |a, b| a + b),
                Reduction::Max => fold(part, start as f32, |a, b| single::max(b, a)),
            };
            join(kind, total, value as f64)
        })
    })
}

/// All of `part` into one value, in lanes side by side.
fn fold(part: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let mut add = |chunk: &[f32; LANES]| {
        for i in 0..LANES {
            lanes[i] = join(lanes[i], chunk[i]);
        }
    };
    let (chunks, rest) = part.as_chunks::<LANES>();
    chunks.iter().for_each(&mut add);
    if !rest.is_empty() {
        let mut last = [start; LANES];
        last[..rest.len()].copy_from_slice(rest);
        add(&last);
    }
    let mut count = LANES;
    while count > 1 {
        count /= 2;
        for i in 0..count {
            lanes[i] = join(lanes[i], lanes[i + count]);
        }
    }
    lanes[0]
}

fn columns(kind: Reduction, x: &[f32], into: &mut [f32]) {
    let (first, rest) = x.split_at(into.len());
    into.copy_from_slice(first);
    for row in rest.chunks(into.len()) {
        accumulate(kind, into, row);
    }
}

fn accumulate(kind: Reduction, into: &mut [f32], x: &[f32]) {
    match kind {
        Reduction::Sum => into.iter_mut().zip(x).for_each(|(s, &v)| *s += v),
        Reduction::Max => into.iter_mut().zip(x).for_each(|(s, &v)| *s = single::max(v, *s)),
    }
}
