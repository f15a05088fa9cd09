//! A window of one input a group, then the sums of the windows in their order.

use super::{Call, Pass, reduce};
use crate::ops::reduce::Reduction;
use crate::ops::sum_squares::SumSquares;
use crate::tensor::DType;

pub fn lower(_: &SumSquares, call: &mut Call<'_>) {
    let windows = call.reads.iter().map(|x| Pass::windows(x.len)).sum();
    let sums = call.scratch(DType::F32, windows);
    if windows > 0 {
        let sets = call.reads.iter().map(|x| (vec![x.content, sums.content], x.len));
        let pass = Pass::new("sum_squares", "windows", 256, 0);
        call.push(pass.reads("x", call.reads[0]).writes("sums", sums).over_sets(sets));
    }
    let axes = reduce::Axes { before: 1, along: windows, after: 1 };
    reduce::last(call, Reduction::Sum, Some(sums), axes);
}
