//! A tile of rows a group: the widest that leaves room for a step of a layer's weights. CUDA multiplies what is
//! 16 bits wide, or may be rounded to tf32, by tensor cores.

use super::{Call, Language, Number, Pass, Whole};
use crate::ops::mlp::{self, Mlp, Part};
use crate::tensor::DType;

/// Columns that the threads of a group can share out.
const COLUMNS: usize = 128;
/// Elements of a tile: with a step of weights, 16 KiB of shared memory in WGSL and 48 KiB in CUDA.
const TILE_WGSL: usize = 2048;
const TILE_CUDA: usize = 8192;

pub fn lower(op: &Mlp, call: &mut Call<'_>) {
    let e = op.extent(call.inputs);
    let narrow = call.inputs[op.narrow_inputs()[0]].dtype;
    let wide = e.width.next_multiple_of(COLUMNS);
    let tensor = call.language == Language::Cuda && (narrow != DType::F32 || call.tf32);
    let tile = match call.language {
        Language::Wgsl => TILE_WGSL / wide,
        Language::Cuda if tensor => TILE_CUDA / 64 / narrow.size(),
        Language::Cuda => TILE_CUDA / wide,
    };
    let entry = match (op.is_derivative(), tensor) {
        (false, false) => "forward",
        (false, true) => "tensor_forward",
        (true, false) => "backward",
        (true, true) => "tensor_backward",
    };
    let kind = match narrow {
        DType::F16 => 0,
        DType::BF16 => 1,
        _ => 2,
    };
    let mut pass = Pass::new("mlp", entry, 256, e.rows.div_ceil(tile))
        .size("TILE", tile)
        .size("WIDE", wide)
        .number("KIND", Number::U32(kind))
        .size("ROWS", e.rows)
        .size("WIDTH", e.width)
        .size("LAYERS", e.layers)
        .size("OUTPUTS", e.outputs)
        .flag("RESIDUAL", op.residual)
        .number("SLOPE", Number::F32(op.slope));
    let parts: &[(Part, &str, &'static str)] = if op.is_derivative() {
        pass = pass
            .reads("dy", call.reads[mlp::BY_Y])
            .reads("wl", call.reads[mlp::BY_LAST_WEIGHT])
            .reads("w", call.reads[mlp::BY_WEIGHTS])
            .reads("hidden", call.reads[mlp::BY_HIDDEN])
            .reads("last", call.reads[mlp::BY_LAST]);
        &[(Part::ByHidden, "by_hidden", "KEEP_BY_HIDDEN"), (Part::ByFirst, "by_first", "KEEP_BY_FIRST")]
    } else {
        pass = pass
            .size("MEMBERS", e.members)
            .size("FEATURES", e.features)
            .flag("ENCODE", op.encode.is_some())
            .size("GROUP", op.encode.unwrap_or(1))
            .reads("x", call.reads[0])
            // Without an encoding never read, but its name must be known.
            .reads("f", call.reads[op.encode.is_some() as usize]);
        for (name, at) in ["offset", "w0", "w", "b", "wl", "bl"].into_iter().zip(op.offset_input()..) {
            pass = pass.reads(name, call.reads[at]);
        }
        &[
            (Part::Output, "output", "KEEP_OUTPUT"),
            (Part::Features, "features", "KEEP_FEATURES"),
            (Part::Hidden, "hidden", "KEEP_HIDDEN"),
            (Part::Last, "last", "KEEP_LAST"),
        ]
    };
    for &(part, name, flag) in parts {
        let kept: Option<Whole> = op.parts.iter().position(|&p| p == part).map(|at| call.writes[at]);
        let whole = kept.unwrap_or_else(|| call.scratch(DType::F32, 1));
        pass = pass.flag(flag, kept.is_some()).writes(name, whole);
    }
    call.push(pass);
}
