use std::cmp::Ordering;

use rayon::prelude::*;

use super::Call;
use crate::ops::sort::Sort;
use crate::tensor::DType;

pub fn run(op: &Sort, call: &Call<'_>) {
    let n = call.result.shape.last().copied().unwrap_or(1);
    for_rows(call, op.descending, op.flat, n, |row, compare, order| {
        // Positions of equal keys compare, so every method gives the one stable order.
        let mut all: Vec<i32> = (0..n as i32).collect();
        all.par_sort_unstable_by(|&a, &b| compare(row, a, b));
        order.copy_from_slice(&all);
    });
}

/// Compares positions `a` and `b` of a row by key, then by position.
type Compare<'a> = dyn Fn(usize, i32, i32) -> Ordering + Sync + 'a;

/// Has `work` fill each row of the result with positions in its row of `n` keys.
pub(super) fn for_rows(
    call: &Call<'_>,
    descending: bool,
    flat: bool,
    n: usize,
    work: impl Fn(usize, &Compare<'_>, &mut [i32]) + Sync,
) {
    if call.result.is_empty() {
        return;
    }
    fn by<'k, T: Sync>(
        keys: &'k [T],
        n: usize,
        descending: bool,
        order: impl Fn(&T, &T) -> Ordering + Sync + 'k,
    ) -> Box<Compare<'k>> {
        Box::new(move |row, a, b| {
            let key = |i: i32| &keys[row * n + i as usize];
            let rising = order(key(a), key(b));
            (if descending { rising.reverse() } else { rising }).then(a.cmp(&b))
        })
    }
    let compare = match call.inputs[0].dtype {
        DType::I32 => by(call.i32(0), n, descending, i32::cmp),
        _ => by(call.f32(0), n, descending, f32::total_cmp),
    };
    let count = call.result.shape.last().copied().unwrap_or(1);
    call.out_i32().par_chunks_mut(count).enumerate().for_each(|(row, order)| {
        work(row, &*compare, order);
        if flat {
            order.iter_mut().for_each(|i| *i += (row * n) as i32);
        }
    });
}
