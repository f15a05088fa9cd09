//! An image is one task: atoms one after the other, each a product of two factors along the axes over the few pixels
//! that it reaches.

use rayon::prelude::*;

use super::chain::{has_avx2, sweep};
use super::{Call, with_scratch};
use crate::ops::rows;
use crate::ops::splat::{Direction, Splat};

pub fn run(op: &Splat, call: &Call<'_>) {
    if call.result.is_empty() {
        return;
    }
    let (atoms, pixels) = (op.extent(call.inputs).atoms, op.side * op.side);
    let (places, widths) = (call.f32(0), call.f32(op.widths()));
    match op.direction {
        Direction::Image => call.out().par_chunks_mut(pixels).enumerate().for_each(|(b, out)| {
            out.fill(0.0);
            let places = &places[2 * b * atoms..][..2 * atoms];
            factors(op, places, widths, |f| spread(&f, call.f32(1), out));
        }),
        Direction::Moments => call.out().par_chunks_mut(4 * atoms).enumerate().for_each(|(b, out)| {
            let places = &places[2 * b * atoms..][..2 * atoms];
            let image = &call.f32(2)[b * pixels..][..pixels];
            factors(op, places, widths, |f| gather(&f, image, out));
        }),
    }
}

/// What the atoms of one image are along both axes.
struct Factors<'a> {
    side: usize,
    /// First pixel and count of pixels that each atom reaches, x and y in turn.
    windows: Vec<[usize; 2]>,
    /// Room for a window.
    step: usize,
    /// Distances of a window's pixels from the atom, and the Gaussian there.
    away: &'a [f32],
    gaussian: &'a [f32],
}

impl Factors<'_> {
    /// First pixel, distances and factors of an atom along an axis.
    fn axis(&self, atom: usize, axis: usize) -> (usize, &[f32], &[f32]) {
        let at = 2 * atom + axis;
        let [first, count] = self.windows[at];
        (first, &self.away[at * self.step..][..count], &self.gaussian[at * self.step..][..count])
    }
}

fn factors(op: &Splat, places: &[f32], widths: &[f32], work: impl FnOnce(Factors<'_>)) {
    let (side, centre) = (op.side as f32, op.centre as f32);
    let windows: Vec<[usize; 2]> = places
        .iter()
        .enumerate()
        .map(|(at, place)| {
            let reach = op.reach * widths[at / 2];
            let first = (place + centre - reach).ceil().max(0.0);
            let last = (place + centre + reach).floor().min(side - 1.0);
            // A place that is no number has an empty window.
            if last >= first { [first as usize, (last - first) as usize + 1] } else { [0, 0] }
        })
        .collect();
    let step = windows.iter().map(|w| w[1]).max().unwrap_or(0);
    let len = step * windows.len();
    with_scratch(3 * len, |scratch| {
        let (away, rest) = scratch.split_at_mut(len);
        let (exponents, gaussian) = rest.split_at_mut(len);
        if step > 0 {
            let lines = away.chunks_mut(step).zip(exponents.chunks_mut(step));
            for (at, (away, exponents)) in lines.enumerate() {
                let falls = -0.5 / (widths[at / 2] * widths[at / 2]);
                for (i, (away, exponent)) in away.iter_mut().zip(exponents).enumerate() {
                    *away = (windows[at][0] + i) as f32 - centre - places[at];
                    *exponent = *away * *away * falls;
                }
            }
            sweep(&rows::exponential, &[exponents], gaussian);
        }
        work(Factors { side: op.side, windows, step, away, gaussian });
    });
}

#[inline(always)]
fn spread_any(f: &Factors<'_>, amplitudes: &[f32], out: &mut [f32]) {
    for (atom, amplitude) in amplitudes.iter().enumerate() {
        let ((left, _, across), (top, _, down)) = (f.axis(atom, 0), f.axis(atom, 1));
        for (row, down) in (top..).zip(down) {
            let factor = amplitude * down;
            let line = &mut out[row * f.side + left..][..across.len()];
            line.iter_mut().zip(across).for_each(|(pixel, across)| *pixel += factor * across);
        }
    }
}

#[inline(always)]
fn gather_any(f: &Factors<'_>, image: &[f32], out: &mut [f32]) {
    with_scratch(3 * f.step, |columns| {
        for (atom, out) in out.chunks_mut(4).enumerate() {
            let ((left, dx, across), (top, dy, down)) = (f.axis(atom, 0), f.axis(atom, 1));
            // Along y first, all columns side by side.
            let columns = &mut columns[..3 * across.len()];
            columns.fill(0.0);
            let (plain, rest) = columns.split_at_mut(across.len());
            let (once, twice) = rest.split_at_mut(across.len());
            for ((row, &dy), &down) in (top..).zip(dy).zip(down) {
                let line = &image[row * f.side + left..][..across.len()];
                let (first, second) = (down * dy, down * dy * dy);
                for (((pixel, plain), once), twice) in
                    line.iter().zip(&mut *plain).zip(&mut *once).zip(&mut *twice)
                {
                    *plain += pixel * down;
                    *once += pixel * first;
                    *twice += pixel * second;
                }
            }
            let mut sums = [0.0; 4];
            for (i, (&dx, &across)) in dx.iter().zip(across).enumerate() {
                sums[0] += across * plain[i];
                sums[1] += across * dx * plain[i];
                sums[2] += across * once[i];
                sums[3] += across * (dx * dx * plain[i] + twice[i]);
            }
            out.copy_from_slice(&sums);
        }
    });
}

/// Adds all atoms to an image.
fn spread(f: &Factors<'_>, amplitudes: &[f32], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn spread_avx2(f: &Factors<'_>, amplitudes: &[f32], out: &mut [f32]) {
        spread_any(f, amplitudes, out);
    }
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // Detected just now.
        return unsafe { spread_avx2(f, amplitudes, out) };
    }
    spread_any(f, amplitudes, out);
}

/// The moments of an image under all atoms.
fn gather(f: &Factors<'_>, image: &[f32], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn gather_avx2(f: &Factors<'_>, image: &[f32], out: &mut [f32]) {
        gather_any(f, image, out);
    }
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // Detected just now.
        return unsafe { gather_avx2(f, image, out) };
    }
    gather_any(f, image, out);
}
