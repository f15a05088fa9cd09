//! A thread a line where there are many, else a group a line.

use super::{Call, Pass};
use crate::ops::around_axis;
use crate::ops::scan::Scan;

pub fn lower(op: &Scan, call: &mut Call<'_>) {
    let (before, count, after) = around_axis(&call.result.shape, op.axis);
    let lines = before * after;
    let pass = if count <= 256 || lines >= 4096 {
        Pass::new("scan", "by_thread", 64, lines.div_ceil(64))
    } else {
        Pass::new("scan", "by_group", 256, lines)
    };
    let pass = pass
        .size("LINES", lines)
        .size("COUNT", count)
        .size("AFTER", after)
        .flag("EXCLUSIVE", op.exclusive)
        .flag("BACKWARD", op.backward)
        .reads("x", call.reads[0]);
    call.finish(pass);
}
