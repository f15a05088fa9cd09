//! Two members of the batch are the real and the imaginary part of one line: the filter is real, so they come out
//! of it apart. A line that fits the memory of a group is transformed, multiplied and transformed back there.
//! Longer ones are spread over memory, in blocks of channels that fit a cache, and transformed pass by pass.

use super::{Call, Language, Pass, fft};
use crate::ops::fft::Transform;
use crate::ops::long_conv::{Direction, Extent, LongConv};
use crate::tensor::DType;

/// Complex elements of a block.
const BLOCK: usize = 2 << 20;

pub fn lower(op: &LongConv, call: &mut Call<'_>) {
    let e = op.extent(call.inputs);
    // 16 KiB are what every adapter has; CUDA gives 48.
    let most = if call.language == Language::Cuda { 4096 } else { 2048 };
    let whole = e.period.next_power_of_two().max(4);
    if whole <= most { inside(op, Extent { period: whole, ..e }, call) } else { through_memory(op, e, call) }
}

fn pairs(e: &Extent) -> usize {
    e.batch.div_ceil(2).max(1)
}

fn sizes(pass: Pass, op: &LongConv, e: &Extent, first: usize) -> Pass {
    pass.size("BATCH", e.batch)
        .size("CHANNELS", e.channels)
        .size("LENGTH", e.length)
        .size("TAPS", e.taps)
        .size("PERIOD", e.period)
        .size("CENTRE", op.centre)
        .size("PAIRS", pairs(e))
        .size("FIRST", first)
}

fn inside(op: &LongConv, e: Extent, call: &mut Call<'_>) {
    let threads = (e.period / 4).next_multiple_of(32).min(256);
    let [u, other] = [call.reads[0], call.reads[1]];
    let pass = |entry, groups| {
        sizes(Pass::new("long_conv", entry, threads as u32, groups), op, &e, 0)
            .size("OWN", (e.period / 4).div_ceil(threads))
            .flag("ODD", e.period.ilog2() % 2 == 1)
            .reads("u", u)
            .reads("other", other)
    };
    match op.direction {
        Direction::Forward => {
            let spectrum = call.scratch(DType::F32, 2 * e.channels * e.period);
            call.push(pass("filter_spectrum", e.channels).writes("y", spectrum));
            let convolve = pass("convolve_line", e.channels * pairs(&e));
            call.finish(convolve.reads("spectrum", spectrum));
        }
        Direction::Taps(_) => call.finish(pass("correlate_lines", e.channels)),
    }
}

fn through_memory(op: &LongConv, e: Extent, call: &mut Call<'_>) {
    let forward = op.direction == Direction::Forward;
    let pairs = pairs(&e);
    let per_channel = if forward { pairs + 1 } else { 2 * pairs };
    let most = (BLOCK / (per_channel * e.period)).clamp(1, e.channels.max(1));
    let len = 2 * most * per_channel * e.period;
    let mut places = [call.scratch(DType::F32, len), call.scratch(DType::F32, len)];
    for first in (0..e.channels).step_by(most) {
        let block = most.min(e.channels - first);
        let pass = |entry, count| {
            let pass = Pass::elements("long_conv", entry, count);
            sizes(pass, op, &e, first).size("BLOCK", block).flag("FORWARD", forward)
        };
        let count = block * per_channel * e.period;
        let spread = pass("spread", count).reads("u", call.reads[0]).reads("other", call.reads[1]);
        call.push(spread.writes("y", places[0]));
        let [from, to] = fft::lines(call, places, [count, e.period], Transform::Forward);
        let (multiply, gather, lines, results) = match op.direction {
            Direction::Forward => ("multiply", "gather_result", block * pairs, e.batch * block * e.length),
            Direction::Taps(_) => ("correlate", "gather_taps", block, block * e.taps),
        };
        let count = lines * e.period;
        call.push(pass(multiply, count).reads("x", from).writes("y", to));
        let [from, to] = fft::lines(call, [to, from], [count, e.period], Transform::Inverse);
        call.finish(pass(gather, results).reads("x", from));
        places = [from, to];
    }
}
