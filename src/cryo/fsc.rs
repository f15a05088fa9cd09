//! Fourier shell correlation of two half maps, with masks and the correction for mask correlations.
//!
//! Over a shell that contains k and −k, Re Σ F₁ F₂* = Σ H₁ H₂, so Hartley transforms suffice.

use rayon::prelude::*;

use super::fft::Hartley3;
use super::mask::{MaskOptions, cosine_mask, spherical_mask};
use super::volume::squared_distance;
use super::{expect_even, expect_len};
use crate::error::{Error, Result};

/// One FSC curve: entry i belongs to the shell i − 1 ≤ |k| < i (voxels), entry 0 is 1 by definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Fsc {
    /// Box side, voxels; entry i lies at i / box cycles per pixel.
    pub box_side: usize,
    /// FSC values, [box/2].
    pub values: Vec<f64>,
}

impl Fsc {
    /// Spatial frequency of entry i, cycles per pixel.
    pub fn pixres(&self, i: usize) -> f64 {
        i as f64 / self.box_side as f64
    }

    /// The largest frequency (cycles per pixel) at which the curve is at or above the threshold; not the first
    /// crossing. None when that is never the case beyond entry 0.
    pub fn last_above(&self, threshold: f64) -> Option<f64> {
        (1..self.values.len()).rev().find(|i| self.values[*i] >= threshold).map(|i| self.pixres(i))
    }

    /// Resolution at a threshold, Å: the voxel size over [`Self::last_above`].
    pub fn resolution(&self, threshold: f64, apix: f64) -> Option<f64> {
        self.last_above(threshold).map(|pixres| apix / pixres)
    }
}

/// FSC of two maps [n, n, n] after an optional real-space mask.
pub fn fsc(a: &[f32], b: &[f32], mask: Option<&[f32]>, n: usize) -> Result<Fsc> {
    expect_even("FSC", n)?;
    let hartley = Hartley3::new(n);
    let transform = |map: &[f32]| -> Result<Vec<f32>> {
        expect_len("half map", map.len(), n * n * n)?;
        let mut map = masked(map, mask)?;
        hartley.forward(&mut map)?;
        Ok(map)
    };
    Ok(fsc_of_transforms(&transform(a)?, &transform(b)?, n))
}

fn masked(map: &[f32], mask: Option<&[f32]>) -> Result<Vec<f32>> {
    match mask {
        None => Ok(map.to_vec()),
        Some(mask) => {
            expect_len("mask", mask.len(), map.len())?;
            Ok(map.par_iter().zip(mask).map(|(v, m)| v * m).collect())
        }
    }
}

/// The shell of voxel (z, y, x): smallest i with |k| < i.
fn shell(z: usize, y: usize, x: usize, n: usize) -> usize {
    squared_distance(z, y, x, n).isqrt() + 1
}

fn fsc_of_transforms(a: &[f32], b: &[f32], n: usize) -> Fsc {
    let shells = n / 2;
    // Planes in parallel, then summed in their order: the same result on any number of threads.
    let planes: Vec<Vec<[f64; 3]>> = (0..n)
        .into_par_iter()
        .map(|z| {
            let mut sums = vec![[0.0; 3]; shells];
            for y in 0..n {
                for x in 0..n {
                    if let Some(sum) = sums.get_mut(shell(z, y, x, n)) {
                        let i = (z * n + y) * n + x;
                        let (a, b) = (f64::from(a[i]), f64::from(b[i]));
                        sum[0] += a * b;
                        sum[1] += a * a;
                        sum[2] += b * b;
                    }
                }
            }
            sums
        })
        .collect();
    let values = (0..shells)
        .map(|i| {
            let total = planes.iter().fold([0.0; 3], |t, p| [t[0] + p[i][0], t[1] + p[i][1], t[2] + p[i][2]]);
            let scale = (total[1] * total[2]).sqrt();
            match i {
                0 => 1.0,
                _ if scale > 0.0 => total[0] / scale,
                _ => 0.0,
            }
        })
        .collect();
    Fsc { box_side: n, values }
}

/// Replaces the phases of a map [n, n, n] at |k| ≥ `cutoff` voxels by random ones, keeping amplitudes and the
/// symmetry of a real map. The phase depends only on the seed and the place.
pub fn randomise_phases(map: &[f32], n: usize, cutoff: usize, seed: u64) -> Result<Vec<f32>> {
    expect_even("phase randomisation", n)?;
    let hartley = Hartley3::new(n);
    let mut transform = map.to_vec();
    hartley.forward(&mut transform)?;
    let mut out = vec![0.0; transform.len()];
    let limit = cutoff * cutoff;
    let minus = |i: usize| (n - i) % n;
    out.par_chunks_mut(n * n).enumerate().for_each(|(z, plane)| {
        for (at, value) in plane.iter_mut().enumerate() {
            let (y, x) = (at / n, at % n);
            let here = (z * n + y) * n + x;
            let mirror = (minus(z) * n + minus(y)) * n + minus(x);
            *value = if squared_distance(z, y, x, n) < limit || mirror == here {
                transform[here]
            } else {
                // Re = (H(k) + H(−k))/2, Im = (H(−k) − H(k))/2; the same angle serves both, with opposite sign.
                let (h, m) = (f64::from(transform[here]), f64::from(transform[mirror]));
                let amplitude = ((h * h + m * m) / 2.0).sqrt();
                let angle = std::f64::consts::TAU * uniform(seed, here.min(mirror) as u64);
                let (sin, cos) = angle.sin_cos();
                (amplitude * if here < mirror { cos - sin } else { cos + sin }) as f32
            };
        }
    });
    hartley.inverse(&mut out)?;
    Ok(out)
}

/// A number in [0, 1) from a seed and a counter (the finaliser of SplitMix64, Steele et al. 2014).
fn uniform(seed: u64, counter: u64) -> f64 {
    let mix = |mut v: u64| {
        v = (v ^ (v >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        v = (v ^ (v >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        v ^ (v >> 31)
    };
    let key = mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15));
    (mix(key.wrapping_add(counter.wrapping_mul(0x9e37_79b9_7f4a_7c15))) >> 11) as f64 / (1u64 << 53) as f64
}

/// FSC under a mask, corrected beyond entry `cutoff` for the correlation that the mask itself brings
/// (Chen et al. 2013): FSC' = clip((FSC − p) / (1 − p), 0, 1), where p is the FSC of the same maps with phases
/// randomised from there on.
pub fn corrected(
    a: &[f32],
    b: &[f32],
    mask: &[f32],
    masked_fsc: &Fsc,
    cutoff: usize,
    seed: u64,
) -> Result<Fsc> {
    let n = masked_fsc.box_side;
    let random_a = randomise_phases(a, n, cutoff, seed.wrapping_mul(2))?;
    let random_b = randomise_phases(b, n, cutoff, seed.wrapping_mul(2).wrapping_add(1))?;
    let chance = fsc(&random_a, &random_b, Some(mask), n)?;
    let values = masked_fsc.values.iter().zip(&chance.values).enumerate();
    let values = values
        .map(
            |(i, (fsc, p))| {
                if i > cutoff && *p < 1.0 { ((fsc - p) / (1.0 - p)).clamp(0.0, 1.0) } else { *fsc }
            },
        )
        .collect();
    Ok(Fsc { box_side: n, values })
}

/// The five curves that are reported for a pair of half maps.
#[derive(Clone, Debug)]
pub struct FscSet {
    pub no_mask: Fsc,
    pub spherical: Fsc,
    pub loose: Fsc,
    pub tight: Fsc,
    pub corrected: Fsc,
}

/// Half maps against each other under no mask, the "spherical" one, a loose (dilated 25 Å, edge 15 Å) and a tight
/// (6 Å, 6 Å) mask made from `full`, and the tight curve corrected for the mask.
pub fn fsc_set(full: &[f32], a: &[f32], b: &[f32], n: usize, apix: f64, seed: u64) -> Result<FscSet> {
    let mask = |dilate, edge| cosine_mask(full, n, apix, &MaskOptions { threshold: None, dilate, edge });
    let no_mask = fsc(a, b, None, n)?;
    let spherical = fsc(a, b, Some(&spherical_mask(n, false)), n)?;
    let loose = fsc(a, b, Some(&mask(25.0, 15.0)?), n)?;
    let tight_mask = mask(6.0, 6.0)?;
    let tight = fsc(a, b, Some(&tight_mask), n)?;
    let corrected = corrected(a, b, &tight_mask, &tight, correction_start(&tight, &no_mask), seed)?;
    Ok(FscSet { no_mask, spherical, loose, tight, corrected })
}

/// Shell from which phases are randomised: three quarters of the frequency where the tight curve is last above
/// 0.143, or half that of the unmasked curve when the tight one never drops.
pub fn correction_start(tight: &Fsc, no_mask: &Fsc) -> usize {
    let side = tight.box_side as f64;
    let never_drops = tight.values.iter().all(|v| *v >= 0.143);
    let start = if never_drops {
        0.5 * no_mask.last_above(0.143).unwrap_or(0.0)
    } else {
        0.75 * tight.last_above(0.143).unwrap_or(0.0)
    };
    (start * side) as usize
}

impl FscSet {
    /// The text of `fsc-vals.txt`: a header and one line per shell, six decimals, space separated.
    pub fn to_text(&self) -> String {
        let mut text = String::from("pixres NoMask Spherical Loose Tight Corrected\n");
        let curves = [&self.no_mask, &self.spherical, &self.loose, &self.tight, &self.corrected];
        for i in 0..self.no_mask.values.len() {
            let mut line = vec![number(self.no_mask.pixres(i))];
            line.extend(curves.iter().map(|curve| number(curve.values.get(i).copied().unwrap_or(0.0))));
            text.push_str(&line.join(" "));
            text.push('\n');
        }
        text
    }
}

/// The text of a single curve: `pixres fsc` lines under a header.
pub fn curve_text(curve: &Fsc) -> String {
    let lines = curve.values.iter().enumerate();
    let lines = lines.map(|(i, v)| format!("{} {}\n", number(curve.pixres(i)), number(*v)));
    std::iter::once("pixres fsc\n".to_string()).chain(lines).collect()
}

/// Six decimals at most, at least one, and no negative zero.
fn number(value: f64) -> String {
    format!("{:?}", (value * 1e6).round() / 1e6 + 0.0)
}

/// Reads the text of [`FscSet::to_text`] or [`curve_text`]: column names and rows.
pub fn parse_text(text: &str) -> Result<(Vec<String>, Vec<Vec<f64>>)> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, header) = lines.next().ok_or_else(|| Error::usage("the FSC table is empty"))?;
    let names: Vec<String> = header.split_whitespace().map(str::to_string).collect();
    let rows = lines
        .map(|(i, line)| {
            let row: Vec<f64> =
                line.split_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(|_| {
                    Error::usage(format!("FSC table, line {}: `{line}` is not a row of numbers", i + 1))
                })?;
            if row.len() == names.len() {
                Ok(row)
            } else {
                Err(Error::usage(format!(
                    "FSC table, line {}: {} values under {} column names",
                    i + 1,
                    row.len(),
                    names.len()
                )))
            }
        })
        .collect::<Result<_>>()?;
    Ok((names, rows))
}
