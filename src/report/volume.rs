//! Pictures of density maps: shaded surfaces by ray marching, central slices, projections.

use rayon::prelude::*;

use super::colour::{Rgb, mix};
use super::raster::png_file;
use crate::error::{Error, Result};

/// Where the surface lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Contour {
    Level(f32),
    /// Encloses this fraction of the box's volume, the densest voxels first.
    VolumeFraction(f64),
    /// Half of the 99.9th percentile: a fair guess for a map of one molecule in solvent.
    Auto,
}

/// Direction from which the map is seen; axes are x (fast), y, z (slow) of the map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum View {
    /// Along z, x to the right, y up.
    Front,
    /// Along y, x to the right, z up.
    Top,
    /// Along x, y to the right, z up.
    Side,
    /// Turned by azimuth about y, then tilted by elevation about x, radians.
    Turned { azimuth: f64, elevation: f64 },
}

#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Side of the picture in pixels.
    pub pixels: usize,
    pub contour: Contour,
    pub view: View,
    pub colour: Rgb,
    /// `None`: transparent.
    pub background: Option<Rgb>,
}

impl Default for Style {
    fn default() -> Self {
        Style {
            pixels: 256,
            contour: Contour::Auto,
            view: View::Turned { azimuth: 0.5, elevation: 0.35 },
            colour: [0x8f, 0xb8, 0xd6],
            background: Some([255; 3]),
        }
    }
}

fn check(map: &[f32], n: usize) -> Result<()> {
    if n < 2 || n.checked_pow(3) != Some(map.len()) {
        return Err(Error::Shape(format!(
            "picture of a map: {} voxels are not a cube of side {n}",
            map.len()
        )));
    }
    Ok(())
}

/// The density at which `contour` puts the surface of `map`.
pub fn contour_level(map: &[f32], contour: Contour) -> f32 {
    let quantile = |fraction_above: f64| -> f32 {
        let mut finite: Vec<f32> = map.iter().copied().filter(|v| v.is_finite()).collect();
        if finite.is_empty() {
            return 0.0;
        }
        let rank = ((1.0 - fraction_above.clamp(0.0, 1.0)) * (finite.len() - 1) as f64) as usize;
        *finite.select_nth_unstable_by(rank, f32::total_cmp).1
    };
    match contour {
        Contour::Level(level) => level,
        Contour::VolumeFraction(fraction) => quantile(fraction),
        Contour::Auto => quantile(0.001) / 2.0,
    }
}

type V3 = [f32; 3];

fn dot(a: V3, b: V3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn along(a: V3, d: V3, t: f32) -> V3 {
    [a[0] + d[0] * t, a[1] + d[1] * t, a[2] + d[2] * t]
}

fn unit(a: V3) -> V3 {
    let length = dot(a, a).sqrt();
    if length > 0.0 { a.map(|v| v / length) } else { [0.0, 0.0, 1.0] }
}

struct Map<'a> {
    data: &'a [f32],
    n: usize,
}

impl Map<'_> {
    /// Trilinear; the edge voxel goes on outside. Coordinates (x, y, z) in voxels.
    fn at(&self, p: V3) -> f32 {
        let last = (self.n - 1) as f32;
        let clamped = p.map(|v| v.clamp(0.0, last));
        let base = clamped.map(|v| (v as usize).min(self.n - 2));
        let [fx, fy, fz] = [0, 1, 2].map(|a| clamped[a] - base[a] as f32);
        let start = (base[2] * self.n + base[1]) * self.n + base[0];
        let row = |offset: usize| {
            let (a, b) = (self.data[start + offset], self.data[start + offset + 1]);
            a + (b - a) * fx
        };
        let plane = |offset: usize| {
            let (a, b) = (row(offset), row(offset + self.n));
            a + (b - a) * fy
        };
        let (a, b) = (plane(0), plane(self.n * self.n));
        a + (b - a) * fz
    }

    fn gradient(&self, p: V3) -> V3 {
        std::array::from_fn(|axis| {
            let mut step = [0.0; 3];
            step[axis] = 0.8;
            self.at(along(p, step, 1.0)) - self.at(along(p, step, -1.0))
        })
    }
}

/// Right, up and towards-the-viewer directions in map axes.
fn frame(view: View) -> [V3; 3] {
    match view {
        View::Front => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        View::Top => [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]],
        View::Side => [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]],
        View::Turned { azimuth, elevation } => {
            let (sa, ca) = (azimuth.sin() as f32, azimuth.cos() as f32);
            let (se, ce) = (elevation.sin() as f32, elevation.cos() as f32);
            [[ca, 0.0, -sa], [-sa * se, ce, -ca * se], [sa * ce, se, ca * ce]]
        }
    }
}

/// The surface of `map` [n, n, n] (z, y, x), lit from the upper left, as the bytes of a PNG file. Orthographic; the
/// box's inscribed sphere fills the picture.
pub fn surface(map: &[f32], n: usize, style: Style) -> Result<Vec<u8>> {
    check(map, n)?;
    let side = style.pixels.clamp(16, 4096);
    let level = contour_level(map, style.contour);
    let map = Map { data: map, n };
    let blocks = Blocks::new(&map, level);
    // Two by two rays a pixel smooth the outline.
    let fine = side * 2;
    let rows: Vec<Vec<[f32; 4]>> =
        (0..fine).into_par_iter().map(|row| trace_row(&map, &blocks, level, style, fine, row)).collect();
    let mut rgba = Vec::with_capacity(side * side * 4);
    for y in 0..side {
        for x in 0..side {
            let mut sum = [0.0f32; 4];
            for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let p = rows[2 * y + dy][2 * x + dx];
                (0..3).for_each(|c| sum[c] += p[c] * p[3]);
                sum[3] += p[3];
            }
            let cover = sum[3] / 4.0;
            let shade: [f32; 3] = std::array::from_fn(|c| if sum[3] > 0.0 { sum[c] / sum[3] } else { 0.0 });
            match style.background {
                Some(back) => {
                    rgba.extend(
                        (0..3).map(|c| (shade[c] * cover + f32::from(back[c]) * (1.0 - cover)).round() as u8),
                    );
                    rgba.push(255);
                }
                None => {
                    rgba.extend(shade.map(|v| v.round() as u8));
                    rgba.push((cover * 255.0).round() as u8);
                }
            }
        }
    }
    png_file(side, side, 4, &rgba)
}

fn trace_row(map: &Map, blocks: &Blocks, level: f32, style: Style, fine: usize, row: usize) -> Vec<[f32; 4]> {
    let axes = frame(style.view);
    let [right, up, toward] = axes;
    let half = map.n as f32 / 2.0;
    let center = [(map.n / 2) as f32; 3];
    let place = |i: usize| (i as f32 + 0.5) / fine as f32 * 2.0 - 1.0;
    let v = -place(row) * half;
    (0..fine)
        .map(|column| {
            let u = place(column) * half;
            let reach = half * 1.02;
            let depth = reach * reach - u * u - v * v;
            if depth <= 0.0 {
                return [0.0; 4];
            }
            let depth = depth.sqrt();
            let foot = along(along(center, right, u), up, v);
            match first_hit(map, blocks, level, foot, toward, depth) {
                Some(t) => {
                    let [r, g, b] = shade(map, level, along(foot, toward, t), axes, t / half, style.colour);
                    [r, g, b, 1.0]
                }
                None => [0.0; 4],
            }
        })
        .collect()
}

/// Which blocks of the map reach the level anywhere: rays leap over the others.
struct Blocks {
    reached: Vec<bool>,
    /// Blocks along a side.
    n: usize,
}

/// Voxels along a block's side.
const BLOCK: usize = 4;

impl Blocks {
    fn new(map: &Map, level: f32) -> Self {
        let n = map.n.div_ceil(BLOCK);
        let reached = (0..n * n * n).into_par_iter().map(|at| {
            let range = |i: usize| i * BLOCK..(i * BLOCK + BLOCK + 1).min(map.n);
            let (bx, by, bz) = (range(at % n), range(at / n % n), range(at / (n * n)));
            let row = |z: usize, y: usize| &map.data[(z * map.n + y) * map.n..][bx.clone()];
            bz.clone().any(|z| by.clone().any(|y| row(z, y).iter().any(|v| *v >= level)))
        });
        Blocks { reached: reached.collect(), n }
    }

    /// How far a ray from `p` along `d` stays within blocks below the level; 0 within one that reaches it.
    fn empty(&self, p: V3, d: V3) -> f32 {
        let last = (self.n - 1) as f32;
        let block = p.map(|v| (v / BLOCK as f32).floor().clamp(0.0, last));
        let [x, y, z] = block.map(|v| v as usize);
        if self.reached[(z * self.n + y) * self.n + x] {
            return 0.0;
        }
        let exit = |axis: usize| {
            // What lies outside the map belongs to the block at its edge.
            let wall = match d[axis] {
                v if v > 0.0 && block[axis] < last => (block[axis] + 1.0) * BLOCK as f32,
                v if v < 0.0 && block[axis] > 0.0 => block[axis] * BLOCK as f32,
                _ => return f32::INFINITY,
            };
            (wall - p[axis]) / d[axis]
        };
        exit(0).min(exit(1)).min(exit(2))
    }
}

/// Distance towards the viewer at which a ray from the front meets the surface.
fn first_hit(map: &Map, blocks: &Blocks, level: f32, foot: V3, toward: V3, depth: f32) -> Option<f32> {
    let step = 0.6f32;
    let away = toward.map(|v| -v);
    let place = |i: usize| depth - i as f32 * step;
    let mut i = 0;
    while place(i) > -depth {
        let t = place(i);
        let p = along(foot, toward, t);
        let empty = blocks.empty(p, away);
        if empty > 0.0 {
            // Whole steps, so that leaping changes no pixel; one short of the wall, for rounding.
            i = i.saturating_add(((empty / step) as usize).saturating_sub(1).max(1));
            continue;
        }
        if map.at(p) >= level {
            let (mut inside, mut outside) = (t, t + step);
            for _ in 0..6 {
                let middle = (inside + outside) / 2.0;
                if map.at(along(foot, toward, middle)) >= level { inside = middle } else { outside = middle }
            }
            return Some((inside + outside) / 2.0);
        }
        i += 1;
    }
    None
}

fn shade(map: &Map, level: f32, p: V3, [right, up, toward]: [V3; 3], depth: f32, colour: Rgb) -> [f32; 3] {
    let normal = unit(map.gradient(p).map(|v| -v));
    // The lamp stands at the viewer's upper left.
    let lamp = unit(along(along(toward, right, -0.6), up, 0.8));
    // Occlusion: how far density reaches out along the normal, at three distances.
    let blocked = [1.5f32, 3.0, 5.0]
        .iter()
        .map(|&d| if map.at(along(p, normal, d)) >= level { 1.0 / d } else { 0.0 })
        .sum::<f32>();
    let open = 1.0 - 0.45 * (blocked / 1.2).min(1.0);
    let diffuse = dot(normal, lamp).max(0.0);
    let fill = 0.5 + 0.5 * dot(normal, up);
    let facing = dot(normal, toward).max(0.0);
    let gloss = dot(normal, unit(along(lamp, toward, 1.0))).max(0.0).powi(40) * 0.22;
    let light = (0.26 + 0.60 * diffuse + 0.16 * fill) * open * (0.72 + 0.28 * facing);
    // Far parts fade towards white a little.
    let haze = (0.5 - 0.5 * depth).clamp(0.0, 1.0) * 0.28;
    std::array::from_fn(|c| {
        let lit = (f32::from(colour[c]) * light * 1.08 + 255.0 * gloss).min(255.0);
        lit * (1.0 - haze) + 245.0 * haze
    })
}

/// The central slice across z as a grey PNG, black low and white high, clipped at the 0.1 and 99.9 percentiles.
pub fn central_slice(map: &[f32], n: usize) -> Result<Vec<u8>> {
    check(map, n)?;
    grey(&map[(n / 2) * n * n..(n / 2 + 1) * n * n], n)
}

/// The largest density along z, as [`central_slice`].
pub fn max_projection(map: &[f32], n: usize) -> Result<Vec<u8>> {
    check(map, n)?;
    let most: Vec<f32> = (0..n * n)
        .map(|i| map[i..].iter().step_by(n * n).copied().fold(f32::NEG_INFINITY, f32::max))
        .collect();
    grey(&most, n)
}

/// One image [n, n] as a grey PNG, first row at the top.
pub fn grey(image: &[f32], n: usize) -> Result<Vec<u8>> {
    if n == 0 || image.len() != n * n {
        return Err(Error::Shape(format!("picture: {} pixels are not a square of side {n}", image.len())));
    }
    let (low, high) = (
        contour_level(image, Contour::VolumeFraction(0.999)),
        contour_level(image, Contour::VolumeFraction(0.001)),
    );
    let width = if high > low { high - low } else { 1.0 };
    let tone = |v: &f32| ((v - low) / width * 255.0).clamp(0.0, 255.0) as u8;
    png_file(n, n, 1, &image.iter().map(tone).collect::<Vec<_>>())
}

/// Colours for a series of maps, from blue to orange.
pub fn series_colour(i: usize, n: usize) -> Rgb {
    let t = if n > 1 { i as f64 / (n - 1) as f64 } else { 0.0 };
    mix([0x8f, 0xb8, 0xd6], [0xe8, 0xb0, 0x7a], t)
}
