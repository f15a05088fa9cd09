//! Elementwise chains: blocks of a few hundred elements go through all steps while they are in cache.

use std::ops::Range;

use half::{bf16, f16};
use rayon::prelude::*;

use super::{Raw, with_scratch};
use crate::ops::row::Row;
use crate::plan::{Chain, Load, Source};
use crate::tensor::DType;

/// Elements evaluated together: all slots of a long chain fit a first-level cache.
const BLOCK: usize = 512;
/// Elements of one task.
const TASK: usize = 32 * BLOCK;

pub fn run(chain: &Chain, reads: &[Raw], writes: &[Raw]) {
    let len = chain.len();
    let tasks = len.div_ceil(TASK);
    if tasks == 1 {
        return run_range(chain, 0..len, reads, writes, None);
    }
    (0..tasks).into_par_iter().for_each(|task| {
        run_range(chain, task * TASK..len.min((task + 1) * TASK), reads, writes, None);
    });
}

pub fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// A row over slices, with the widest instructions there are.
pub fn sweep(row: &Row, inputs: &[&[f32]], out: &mut [f32]) {
    if has_avx2() {
        // Detected just now.
        unsafe { (row.sweep_avx2)(inputs, out) }
    } else {
        (row.sweep)(inputs, out)
    }
}

/// Elements `range` of a chain with one store, into memory for just these.
pub fn values(chain: &Chain, range: Range<usize>, reads: &[Raw], into: &mut [f32]) {
    debug_assert_eq!(range.len(), into.len());
    let pointer = into.as_mut_ptr().wrapping_sub(range.start).cast();
    let window = Raw { pointer, len: range.end, dtype: DType::F32, is_state: false };
    run_range(chain, range, reads, &[window], None);
}

/// Elements `range` of the chain; `result` holds the same elements of the special before it. Every range is
/// evaluated by one thread, and different ranges touch different elements of the writes.
pub fn run_range(chain: &Chain, range: Range<usize>, reads: &[Raw], writes: &[Raw], result: Option<&[f32]>) {
    let slots = chain.loads.len() + chain.steps.len();
    with_scratch(slots * BLOCK, |scratch| run_blocks(chain, range, reads, writes, result, scratch));
}

fn run_blocks(
    chain: &Chain,
    range: Range<usize>,
    reads: &[Raw],
    writes: &[Raw],
    result: Option<&[f32]>,
    scratch: &mut [f32],
) {
    let loads = chain.loads.len();
    let slots = loads + chain.steps.len();
    let scratch = scratch.as_mut_ptr();
    let own = |slot: usize| unsafe { scratch.add(slot * BLOCK) };
    let mut pointers: Vec<*const f32> = (0..slots).map(|s| own(s).cast_const()).collect();
    let direct: Vec<bool> = chain.loads.iter().map(|l| chain.is_direct(l)).collect();
    // A step whose value goes to one f32 buffer of the step's own writes straight into it.
    let target: Vec<Option<usize>> = (loads..slots)
        .map(|slot| {
            let store = chain.stores.iter().find(|s| s.0 == slot)?;
            let raw = &writes[store.1];
            (raw.dtype == DType::F32 && !raw.is_state).then_some(store.1)
        })
        .collect();
    for (slot, load) in chain.loads.iter().enumerate() {
        if let Source::Immediate(value) = load.source {
            unsafe { std::slice::from_raw_parts_mut(own(slot), BLOCK) }.fill(value);
        }
    }
    let mut start = range.start;
    while start < range.end {
        let n = BLOCK.min(range.end - start);
        for (slot, load) in chain.loads.iter().enumerate() {
            match load.source {
                Source::Immediate(_) => {}
                Source::Result => {
                    if let Some(result) = result {
                        pointers[slot] = result[start - range.start..].as_ptr();
                    }
                }
                Source::Read(r) if direct[slot] && reads[r].dtype == DType::F32 => {
                    pointers[slot] = unsafe { reads[r].pointer.cast::<f32>().add(start) };
                }
                Source::Read(r) => {
                    let into = unsafe { std::slice::from_raw_parts_mut(own(slot), n) };
                    fill(into, &chain.shape, load, start, reads[r]);
                }
            }
        }
        for (at, step) in chain.steps.iter().enumerate() {
            let out = match target[at] {
                Some(w) => unsafe { writes[w].slice_mut(start, n) },
                None => unsafe { std::slice::from_raw_parts_mut(own(loads + at), n) },
            };
            pointers[loads + at] = out.as_ptr();
            let mut inputs: [&[f32]; 8] = [&[]; 8];
            for (input, &slot) in inputs.iter_mut().zip(&step.arguments) {
                *input = unsafe { std::slice::from_raw_parts(pointers[slot], n) };
            }
            sweep(step.row, &inputs[..step.arguments.len()], out);
        }
        for &(slot, write) in &chain.stores {
            if slot >= loads && target[slot - loads] == Some(write) {
                continue;
            }
            let values = unsafe { std::slice::from_raw_parts(pointers[slot], n) };
            store(values, writes[write], start);
        }
        start += n;
    }
}

fn store(values: &[f32], raw: Raw, start: usize) {
    let n = values.len();
    // In-place updates of a state copy a block onto the block it was loaded from, so plain pointers.
    match raw.dtype {
        DType::F32 => unsafe {
            std::ptr::copy(values.as_ptr(), raw.pointer.cast::<f32>().wrapping_add(start), n);
        },
        DType::F16 => {
            let out: &mut [f16] = unsafe { raw.slice_mut(start, n) };
            out.iter_mut().zip(values).for_each(|(o, &v)| *o = f16::from_f32(v));
        }
        DType::BF16 => {
            let out: &mut [bf16] = unsafe { raw.slice_mut(start, n) };
            out.iter_mut().zip(values).for_each(|(o, &v)| *o = bf16::from_f32(v));
        }
        DType::I32 => {
            let out: &mut [i32] = unsafe { raw.slice_mut(start, n) };
            out.iter_mut().zip(values).for_each(|(o, &v)| *o = v as i32);
        }
    }
}

fn fill(into: &mut [f32], shape: &[usize], load: &Load, start: usize, raw: Raw) {
    match raw.dtype {
        DType::F32 => fill_from(into, shape, load, start, unsafe { raw.slice::<f32>() }, |v| v),
        DType::F16 => fill_from(into, shape, load, start, unsafe { raw.slice::<f16>() }, f16::to_f32),
        DType::BF16 => fill_from(into, shape, load, start, unsafe { raw.slice::<bf16>() }, bf16::to_f32),
        DType::I32 => fill_from(into, shape, load, start, unsafe { raw.slice::<i32>() }, |v| v as f32),
    }
}

/// Elements `start ..` of the chain's shape, run by run along its last axis.
fn fill_from<T: Copy>(
    into: &mut [f32],
    shape: &[usize],
    load: &Load,
    start: usize,
    from: &[T],
    convert: impl Fn(T) -> f32,
) {
    let Some((&inner, outer)) = shape.split_last() else {
        into.fill(convert(from[load.offset as usize]));
        return;
    };
    let step = load.strides[outer.len()];
    let mut column = start % inner;
    // Where the run stands along the outer axes, counted on from run to run.
    let mut row = start / inner;
    let mut index = vec![0; outer.len()];
    let mut base = load.offset;
    for axis in (0..outer.len()).rev() {
        index[axis] = row % outer[axis];
        base += index[axis] as isize * load.strides[axis];
        row /= outer[axis];
    }
    let mut done = 0;
    while done < into.len() {
        let at = base + column as isize * step;
        let n = (inner - column).min(into.len() - done);
        let run = &mut into[done..done + n];
        match step {
            0 => run.fill(convert(from[at as usize])),
            1 => {
                let source = &from[at as usize..at as usize + n];
                run.iter_mut().zip(source).for_each(|(o, &v)| *o = convert(v));
            }
            _ => {
                for (i, o) in run.iter_mut().enumerate() {
                    *o = convert(from[(at + i as isize * step) as usize]);
                }
            }
        }
        done += n;
        column = 0;
        for axis in (0..outer.len()).rev() {
            index[axis] += 1;
            base += load.strides[axis];
            if index[axis] < outer[axis] {
                break;
            }
            base -= outer[axis] as isize * load.strides[axis];
            index[axis] = 0;
        }
    }
}
