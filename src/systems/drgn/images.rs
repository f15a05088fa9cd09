//! Work on whole stacks, image by image and in constant memory: the loop itself, and contrast, hand, phases, shifts.

use super::Tick;
use super::files::CtfTable;
use crate::cryo::ctf::{CtfGrid, dataset_params};
use crate::cryo::fft::{Hartley2, desymmetrise};
use crate::cryo::image::{PhaseShift, phase_flip};
use crate::error::{Error, Result};
use crate::io::mrc::{self, Mode, MrcFile, StackWriter};
use crate::io::particles::ParticleStack;
use rayon::prelude::*;
use std::path::Path;

/// Memory for the images of one batch.
const BATCH_BYTES: usize = 32 << 20;
/// Images a batch at most, so that progress is seen and Ctrl-C is heard.
const BATCH: usize = 512;

/// Sends particles through `work` (particle number, raw image, result [side, side], scratch) on all threads and writes
/// the results in order.
pub fn stream<S>(
    stack: &ParticleStack,
    particles: &[usize],
    side: usize,
    writer: &mut StackWriter,
    scratch: impl Fn() -> S + Sync + Send,
    work: impl Fn(usize, &mut [f32], &mut [f32], &mut S) -> Result<()> + Sync + Send,
    tick: Tick,
) -> Result<()> {
    let (from, to) = (stack.box_size().pow(2), side * side);
    let batch = (BATCH_BYTES / (4 * to.max(1))).clamp(1, BATCH);
    let mut results = vec![0.0; batch.min(particles.len()) * to];
    let mut done = 0;
    for batch in particles.chunks(batch) {
        let results = &mut results[..batch.len() * to];
        results.par_chunks_mut(to).zip(batch).try_for_each_init(
            || (vec![0.0; from], scratch()),
            |(image, scratch), (result, particle)| {
                stack.read(*particle, image)?;
                work(*particle, image, result, scratch)
            },
        )?;
        results.chunks_exact(to).try_for_each(|image| writer.push(image))?;
        done += batch.len();
        tick(done, particles.len())?;
    }
    Ok(())
}

/// Refuses to write over one of the files that are being read.
pub fn not_onto_input<'a>(out: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let Ok(target) = out.canonicalize() else { return Ok(()) };
    let same = |input: &Path| input.canonicalize().is_ok_and(|input| input == target);
    if inputs.into_iter().any(same) {
        return Err(Error::usage(format!("{} is also the input; choose another output", out.display())));
    }
    Ok(())
}

/// The type in which floats made of pixels of this type are stored: half floats stay half, all else is float32.
pub fn float_mode(mode: Mode) -> Mode {
    match mode {
        Mode::Float16 => Mode::Float16,
        _ => Mode::Float32,
    }
}

/// Multiplies the transform of every image by the sign of its CTF.
pub fn flip_phases(stack: &ParticleStack, ctf: &CtfTable, out: &Path, tick: Tick) -> Result<usize> {
    let n = stack.box_size();
    ctf.check_len(stack.len(), "the stack")?;
    let flat: Vec<f32> = ctf.rows.iter().flatten().copied().collect();
    let params = dataset_params(&flat, 9, n)?;
    let (hartley, grid) = (Hartley2::<f32>::new(n), CtfGrid::lattice(n)?);
    whole_stack(
        stack,
        out,
        tick,
        || hartley.scratch(),
        |i, image, result, scratch| {
            phase_flip(&hartley, &grid, &params[i], image, scratch)?;
            result.copy_from_slice(image);
            Ok(())
        },
    )
}

/// Moves image i by `shifts[i]` pixels (x, y); what leaves on one side comes back on the other.
pub fn translate(stack: &ParticleStack, shifts: &[[f64; 2]], out: &Path, tick: Tick) -> Result<usize> {
    let n = stack.box_size();
    if shifts.len() != stack.len() {
        let (have, want) = (shifts.len(), stack.len());
        return Err(Error::usage(format!("{have} shifts for {want} images; give one row for each image")));
    }
    let (hartley, shift) = (Hartley2::<f32>::new(n), PhaseShift::new(n)?);
    let d = n + 1;
    let scratch = || (hartley.scratch(), vec![0.0; d * d], vec![0.0; d * d]);
    whole_stack(stack, out, tick, scratch, |i, image, result, (fft, transform, moved)| {
        hartley.forward_symmetrised(image, 1.0, transform, fft)?;
        shift.run(transform, shifts[i], moved)?;
        result.copy_from_slice(&desymmetrise(moved, d)?);
        hartley.inverse(result, fft)
    })
}

/// [`stream`] of all images to a stack of the same box.
fn whole_stack<S>(
    stack: &ParticleStack,
    out: &Path,
    tick: Tick,
    scratch: impl Fn() -> S + Sync + Send,
    work: impl Fn(usize, &mut [f32], &mut [f32], &mut S) -> Result<()> + Sync + Send,
) -> Result<usize> {
    not_onto_input(out, stack.files())?;
    let n = stack.box_size();
    let mut writer = StackWriter::create(out, n, n, float_mode(stack.mode()), stack.apix().unwrap_or(1.0))?;
    let all: Vec<usize> = (0..stack.len()).collect();
    stream(stack, &all, n, &mut writer, scratch, work, tick)?;
    writer.finish()?;
    Ok(all.len())
}

/// Copies a selection of a stack, pixels unchanged.
pub fn select(stack: &ParticleStack, out: &Path, tick: Tick) -> Result<usize> {
    not_onto_input(out, stack.files())?;
    let n = stack.box_size();
    let mut writer = StackWriter::create(out, n, n, stack.mode(), stack.apix().unwrap_or(1.0))?;
    let all: Vec<usize> = (0..stack.len()).collect();
    let copy = |_: usize, image: &mut [f32], result: &mut [f32], (): &mut ()| {
        result.copy_from_slice(image);
        Ok(())
    };
    stream(stack, &all, n, &mut writer, || (), copy, tick)?;
    writer.finish()?;
    Ok(all.len())
}

/// Whether a file holds one map (rather than a stack of images), by its header and name.
pub fn is_volume(file: &MrcFile) -> bool {
    let header = file.header();
    let stack_name = file.path().extension().is_some_and(|e| e.eq_ignore_ascii_case("mrcs"));
    !stack_name && (header.ispg == 1 || header.nx == file.len())
}

/// Multiplies all pixels of a map or stack by −1.
pub fn invert(input: &Path, out: &Path, tick: Tick) -> Result<usize> {
    let file = MrcFile::open(input)?;
    not_onto_input(out, [input])?;
    if is_volume(&file) {
        let mut map = file.read_volume()?;
        map.data.iter_mut().for_each(|v| *v = -*v);
        map.write(out)?;
        return Ok(1);
    }
    let (nx, ny, n) = (file.header().nx, file.header().ny, file.len());
    let mut writer =
        StackWriter::create(out, nx, ny, float_mode(file.header().mode), file.header().apix.unwrap_or(1.0))?;
    let mut image = vec![0.0; nx * ny];
    for i in 0..n {
        file.read_image(i, &mut image)?;
        image.iter_mut().for_each(|v| *v = -*v);
        writer.push(&image)?;
        if (i + 1) % BATCH == 0 || i + 1 == n {
            tick(i + 1, n)?;
        }
    }
    writer.finish()?;
    Ok(n)
}

/// The mirror image of a map: its z axis reversed.
pub fn flip_hand(input: &Path, out: &Path) -> Result<()> {
    let mut map = mrc::Volume::read(input)?;
    not_onto_input(out, [input])?;
    let [nz, ny, nx] = map.dims;
    let plane = ny * nx;
    for z in 0..nz / 2 {
        let (low, high) = map.data.split_at_mut((nz - 1 - z) * plane);
        low[z * plane..][..plane].swap_with_slice(&mut high[..plane]);
    }
    map.write(out)
}
