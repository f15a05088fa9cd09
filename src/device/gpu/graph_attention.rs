//! One group a row of the result and all its heads; shares and derivatives by scores are in its shared memory.

use super::{Call, Number, Pass};
use crate::ops::graph_attention::{GraphAttention, Part};

const THREADS: u32 = 128;

pub fn lower(op: &GraphAttention, call: &mut Call<'_>) {
    let e = op.extent(call.inputs);
    let (entry, nodes) = match op.part {
        Part::Forward => ("forward", e.targets),
        Part::Targets => ("by_targets", e.targets),
        Part::Sources => ("by_sources", e.sources),
    };
    let mut pass = Pass::new("graph_attention", entry, THREADS, nodes * e.batch)
        .size("BATCH", e.batch)
        .size("HEADS", e.heads)
        .size("WIDTH", e.width)
        .size("INCOMING", e.incoming)
        .number("SLOPE", Number::F32(op.slope))
        .reads("from", call.reads[0])
        .reads("to", call.reads[1])
        .reads("weights", call.reads[4])
        .reads("of_edge", call.reads[5])
        .reads("att", call.reads[6]);
    pass = match op.part {
        Part::Sources => pass
            .size("EDGES", e.targets * e.incoming)
            .size("OUTGOING", e.outgoing)
            .reads("outgoing", call.reads[3])
            .reads("by_target", call.reads[9]),
        _ => pass.size("SOURCES", e.sources).reads("incoming", call.reads[2]),
    };
    if op.part != Part::Forward {
        pass = pass.reads("result", call.reads[7]).reads("g", call.reads[8]);
    }
    call.finish(pass);
}
