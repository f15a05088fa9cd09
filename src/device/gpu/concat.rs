//! One pass a part.

use super::{Call, Pass};
use crate::ops::around_axis;
use crate::ops::concat::Concat;

pub fn lower(op: &Concat, call: &mut Call<'_>) {
    let (before, total, after) = around_axis(&call.result.shape, op.axis);
    let mut start = 0;
    for (meta, &part) in call.inputs.iter().zip(&call.reads.clone()) {
        let width = meta.shape[op.axis] * after;
        if width > 0 {
            let pass = Pass::elements("concat", "concat", before * width)
                .size("START", start)
                .size("WIDTH", width)
                .size("TOTAL", total * after)
                .reads("x", part)
                .writes("y", call.out());
            call.push(pass);
        }
        start += width;
    }
}
