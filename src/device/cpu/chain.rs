//! Elementwise chains: blocks of a few hundred elements go through all steps while they are in cache.

use std::ops::Range;

use half::{bf16, f16};
use rayon::prelude::*;

use super::{Raw, with_scratch};
use crate::ops::row::Row;
use crate::plan::{Chain, Load, Source};
use crate::tensor::DType;

/// Least elements evaluated together: all slots of a long chain fit a first-level cache.
const BLOCK: usize = 512;
/// Elements of all slots of a short chain, whose blocks are the longer for it.
const SLOTS: usize = 8 * BLOCK;
/// Longest row that is asked for before it is read, and how many rows before.
const SHORT: usize = 64;
const AHEAD: isize = 8;
/// Elements of one task.
const TASK: usize = 32 * BLOCK;

/// The chain over sets of buffers of these lengths, those of the first set first.
pub fn run(chain: &Chain, lengths: &[usize], reads: &[Raw], writes: &[Raw]) {
    let (r, w) = (reads.len() / lengths.len(), writes.len() / lengths.len());
    let cut = |(set, &len): (usize, &usize)| {
        (0..len.div_ceil(TASK)).map(move |task| (set, task * TASK..len.min((task + 1) * TASK)))
    };
    let tasks: Vec<(usize, Range<usize>)> = lengths.iter().enumerate().flat_map(cut).collect();
    let work = |(set, range): (usize, Range<usize>)| {
        run_range(chain, range, &reads[set * r..][..r], &writes[set * w..][..w], None);
    };
    if tasks.len() == 1 {
        return tasks.into_iter().for_each(work);
    }
    tasks.into_par_iter().for_each(work);
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
    let block = (SLOTS / slots.max(1)).clamp(BLOCK, 2 * BLOCK);
    with_scratch(slots * block, |scratch| run_blocks(chain, range, reads, writes, result, scratch, block));
}

/// How a load goes through memory: neighbouring axes that it steps through as through one are one.
struct Walk {
    offset: isize,
    /// (elements, step) of each axis, the last one fastest; at least one.
    axes: Vec<(usize, isize)>,
}

impl Walk {
    fn new(shape: &[usize], load: &Load) -> Walk {
        let mut axes: Vec<(usize, isize)> = vec![];
        for (&n, &step) in shape.iter().zip(&load.strides).filter(|(n, _)| **n != 1) {
            match axes.last_mut() {
                Some((count, before)) if *before == step * n as isize => {
                    (*count, *before) = (*count * n, step)
                }
                _ => axes.push((n, step)),
            }
        }
        if axes.is_empty() {
            axes.push((1, 0));
        }
        Walk { offset: load.offset, axes }
    }

    /// Elements of the fastest axis, and what it steps by.
    fn inner(&self) -> (usize, isize) {
        self.axes[self.axes.len() - 1]
    }

    /// Whether all rows of the fastest axis are the same one.
    fn repeats(&self) -> bool {
        self.axes[..self.axes.len() - 1].iter().all(|(_, step)| *step == 0)
    }

    /// Where the row of element `start` begins, and how far along it the element is.
    fn locate(&self, start: usize) -> (isize, usize) {
        let (inner, _) = self.inner();
        let (mut row, column) = (start / inner, start % inner);
        let mut first = self.offset;
        for &(n, step) in self.axes[..self.axes.len() - 1].iter().rev() {
            first += (row % n) as isize * step;
            row /= n;
        }
        (first, column)
    }
}

/// What a load's block holds already.
#[derive(Clone, Copy, PartialEq)]
enum Held {
    Nothing,
    /// The element at this place, everywhere.
    Element(isize),
    /// Rows that repeat, from this column.
    Repeating(usize),
}

fn run_blocks(
    chain: &Chain,
    range: Range<usize>,
    reads: &[Raw],
    writes: &[Raw],
    result: Option<&[f32]>,
    scratch: &mut [f32],
    block: usize,
) {
    let loads = chain.loads.len();
    let slots = loads + chain.steps.len();
    let scratch = scratch.as_mut_ptr();
    let own = |slot: usize| unsafe { scratch.add(slot * block) };
    let mut pointers: Vec<*const f32> = (0..slots).map(|s| own(s).cast_const()).collect();
    // What goes to one f32 buffer of the step's own is written straight into it.
    let target: Vec<Option<usize>> = (0..slots)
        .map(|slot| {
            let store = chain.stores.iter().find(|s| s.0 == slot)?;
            let raw = &writes[store.1];
            (slot >= loads && raw.dtype == DType::F32 && !raw.is_state).then_some(store.1)
        })
        .collect();
    let mut walks: Vec<(Walk, Held)> =
        chain.loads.iter().map(|load| (Walk::new(&chain.shape, load), Held::Nothing)).collect();
    for (slot, load) in chain.loads.iter().enumerate() {
        if let Source::Immediate(value) = load.source {
            unsafe { std::slice::from_raw_parts_mut(own(slot), block) }.fill(value);
        }
    }
    let mut inputs: [&[f32]; 8] = [&[]; 8];
    let mut start = range.start;
    while start < range.end {
        let n = block.min(range.end - start);
        for (slot, load) in chain.loads.iter().enumerate() {
            match load.source {
                Source::Immediate(_) => {}
                Source::Result => {
                    if let Some(result) = result {
                        pointers[slot] = result[start - range.start..].as_ptr();
                    }
                }
                Source::Read(r) => {
                    let (walk, held) = &mut walks[slot];
                    let (inner, step) = walk.inner();
                    let (first, column) = walk.locate(start);
                    let at = first + column as isize * step;
                    let within = column + n <= inner;
                    if within && step == 1 && reads[r].dtype == DType::F32 {
                        // Used where it lies.
                        pointers[slot] = unsafe { reads[r].slice::<f32>() }[at as usize..][..n].as_ptr();
                        *held = Held::Nothing;
                        continue;
                    }
                    let holds = match within && step == 0 {
                        true => Held::Element(at),
                        false if walk.repeats() => Held::Repeating(column),
                        false => Held::Nothing,
                    };
                    pointers[slot] = own(slot);
                    // The first block of a range is its longest.
                    if holds == Held::Nothing || holds != *held {
                        let into = unsafe { std::slice::from_raw_parts_mut(own(slot), n) };
                        fill(into, walk, start, reads[r]);
                    }
                    *held = holds;
                }
            }
        }
        for (at, step) in chain.steps.iter().enumerate() {
            let out = match target[loads + at] {
                Some(w) => unsafe { writes[w].slice_mut(start, n) },
                None => unsafe { std::slice::from_raw_parts_mut(own(loads + at), n) },
            };
            pointers[loads + at] = out.as_ptr();
            for (input, &slot) in inputs.iter_mut().zip(&step.arguments) {
                *input = unsafe { std::slice::from_raw_parts(pointers[slot], n) };
            }
            sweep(step.row, &inputs[..step.arguments.len()], out);
        }
        for &(slot, write) in chain.stores.iter().filter(|(slot, write)| target[*slot] != Some(*write)) {
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

fn fill(into: &mut [f32], walk: &Walk, start: usize, raw: Raw) {
    match raw.dtype {
        DType::F32 => fill_from(into, walk, start, unsafe { raw.slice::<f32>() }, |v| v, copy),
        DType::F16 => converted(into, walk, start, unsafe { raw.slice::<f16>() }, f16::to_f32),
        DType::BF16 => converted(into, walk, start, unsafe { raw.slice::<bf16>() }, bf16::to_f32),
        DType::I32 => converted(into, walk, start, unsafe { raw.slice::<i32>() }, |v| v as f32),
    }
}

/// Asks for the cache line of what will be read soon; nothing happens where nothing is.
#[inline(always)]
fn fetch<T>(_place: *const T) {
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(_place.cast());
    }
}

/// By fours: rows are often so short that a call costs more than the copy.
fn copy(into: &mut [f32], from: &[f32]) {
    let (into, into_rest) = into.as_chunks_mut::<4>();
    let (from, from_rest) = from.as_chunks::<4>();
    into.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    into_rest.iter_mut().zip(from_rest).for_each(|(to, from)| *to = *from);
}

fn converted<T: Copy>(into: &mut [f32], walk: &Walk, start: usize, from: &[T], convert: fn(T) -> f32) {
    fill_from(into, walk, start, from, convert, |into, from| {
        into.iter_mut().zip(from).for_each(|(o, &v)| *o = convert(v));
    });
}

/// Elements `start ..` of a walk, row by row.
fn fill_from<T: Copy>(
    into: &mut [f32],
    walk: &Walk,
    start: usize,
    from: &[T],
    convert: impl Fn(T) -> f32,
    copy: impl Fn(&mut [f32], &[T]),
) {
    let (inner, step) = walk.inner();
    let (rows, row_step) = walk.axes[..walk.axes.len() - 1].last().copied().unwrap_or((1, 0));
    let mut done = 0;
    while done < into.len() {
        let (mut first, mut column) = walk.locate(start + done);
        // Rows up to the end of their axis follow each other at one distance.
        for _ in (start + done) / inner % rows..rows {
            let at = first + column as isize * step;
            let n = (inner - column).min(into.len() - done);
            let run = &mut into[done..done + n];
            match step {
                0 => run.fill(convert(from[at as usize])),
                1 => {
                    // Short rows lie where no prefetcher expects them.
                    if inner <= SHORT {
                        fetch(from.as_ptr().wrapping_offset(at + AHEAD * row_step));
                    }
                    copy(run, &from[at as usize..][..n]);
                }
                _ => {
                    for (i, o) in run.iter_mut().enumerate() {
                        *o = convert(from[(at + i as isize * step) as usize]);
                    }
                }
            }
            done += n;
            if done == into.len() {
                return;
            }
            first += row_step;
            column = 0;
        }
    }
}
