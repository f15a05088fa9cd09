//! Mixed radix, one pass a factor of each axis, in an order that needs no permutation: after factors of product
//! L, entry (p, q) at p L + q is frequency q of the L elements p, p + n/L, p + 2n/L, .. of the line. One thread
//! an entry sums the few that it is made of, so a length with a large prime factor is slower, never refused.

use super::{Call, Number, Pass, Whole};
use crate::ops::fft::{Fft, Transform};
use crate::tensor::DType;

pub fn lower(op: &Fft, call: &mut Call<'_>) {
    let lengths = op.lengths(&call.result.shape).to_vec();
    let hartley = op.transform == Transform::Hartley;
    let count = if hartley { call.result.len() } else { call.result.len() / 2 };
    let mut steps = vec![];
    for (axis, &n) in lengths.iter().enumerate() {
        let radices = radices(n);
        let mut done = 1;
        for (at, &radix) in radices.iter().enumerate() {
            steps.push((axis, radix, done, at == 0, at + 1 == radices.len()));
            done *= radix;
        }
    }
    let mut from = call.reads[0];
    let mut spare = vec![];
    for (at, &(axis, radix, done, first, last)) in steps.iter().enumerate() {
        let n = lengths[axis];
        let shift = |here: bool| if op.centred && here { n / 2 } else { 0 };
        let ends = at + 1 == steps.len();
        let pass = factor(count, n, [radix, done])
            .size("STRIDE", lengths[axis + 1..].iter().product())
            .size("SHIFT_IN", shift(first))
            .size("SHIFT_OUT", shift(last))
            .flag("REAL_IN", hartley && at == 0)
            .flag("REAL_OUT", hartley && ends)
            .number("SIGN", sign(op.transform))
            .reads("x", from);
        if ends {
            return call.finish(pass);
        }
        // Two scratches take turns.
        let to = if spare.len() < 2 { call.scratch(DType::F32, 2 * count) } else { spare[at % 2] };
        if spare.len() < 2 {
            spare.push(to);
        }
        call.push(pass.writes("y", to));
        from = to;
    }
}

/// Transforms of complex lines of length n, `count` elements in all, by turns between two places; gives the one that
/// holds the result, then the other.
pub fn lines(
    call: &mut Call<'_>,
    [mut from, mut to]: [Whole; 2],
    [count, n]: [usize; 2],
    transform: Transform,
) -> [Whole; 2] {
    let mut done = 1;
    for radix in radices(n) {
        let pass = factor(count, n, [radix, done])
            .size("STRIDE", 1)
            .size("SHIFT_IN", 0)
            .size("SHIFT_OUT", 0)
            .flag("REAL_IN", false)
            .flag("REAL_OUT", false)
            .number("SIGN", sign(transform));
        call.push(pass.reads("x", from).writes("y", to));
        (from, to) = (to, from);
        done *= radix;
    }
    [from, to]
}

fn sign(transform: Transform) -> Number {
    Number::F32(if transform == Transform::Inverse { 1.0 } else { -1.0 })
}

fn factor(count: usize, n: usize, [radix, done]: [usize; 2]) -> Pass {
    Pass::elements("fft", "fft", count).size("LENGTH", n).size("DONE", done).size("RADIX", radix)
}

/// Factors of a length, eights first; a length of 1 has the factor 1, so that its axis is passed once.
fn radices(n: usize) -> Vec<usize> {
    let mut rest = n;
    let mut found = vec![];
    for radix in [8, 4, 2, 3, 5, 7] {
        while rest.is_multiple_of(radix) {
            found.push(radix);
            rest /= radix;
        }
    }
    let mut radix = 11;
    while radix * radix <= rest {
        while rest.is_multiple_of(radix) {
            found.push(radix);
            rest /= radix;
        }
        radix += 2;
    }
    if rest > 1 || found.is_empty() {
        found.push(rest);
    }
    found
}
