//! Voxel backprojection: the transforms of images with known poses are added up in three dimensions, weighted by
//! their CTF, and divided by the accumulated squared CTF.
//!
//! A pixel spreads to the eight voxels around it with the weight max(0, 1 − distance), the Euclidean distance of
//! cryoDRGN, not the trilinear product; where a coordinate is integral the same voxel is met more than once.
//!
//! k and −k fall on p and −p with equal weights, so only pixels with z ≥ 0 are spread, carrying both values: a
//! voxel holds (sum of H(k), sum of H(−k), weights) and half a volume suffices. Images are prepared in parallel;
//! each thread then owns a slab of planes and adds the images in their order, so the result does not depend on
//! the number of threads.

use rayon::prelude::*;

use super::ctf::{CtfGrid, CtfParams};
use super::fft::{Hartley3, desymmetrise3};
use super::image::{PhaseShift, PreprocessScratch, Preprocessor, sign};
use super::{Rotation, expect_even, expect_len};
use crate::error::{Error, Result};

/// Images prepared together before they are spread.
const BATCH: usize = 64;
/// Planes of a slab: few enough to stay in a core's cache, many enough that little is done twice at its edges.
const SLAB: usize = 4;

/// How the CTF enters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CtfWeighting {
    /// Multiply by the CTF, weigh by its square.
    #[default]
    Multiply,
    /// Multiply by its sign, weigh by one.
    FlipPhase,
}

/// What is done to images before they are spread.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub ctf: CtfWeighting,
    /// Radius of the soft disc, fraction of half the box.
    pub window: Option<f32>,
    /// The data are dark on light.
    pub invert: bool,
    /// Keep even and odd images apart.
    pub half_maps: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { ctf: CtfWeighting::Multiply, window: Some(0.85), invert: true, half_maps: true }
    }
}

/// Pose and imaging conditions of one image.
#[derive(Clone, Debug)]
pub struct View {
    /// Orientation of the particle.
    pub rotation: Rotation,
    /// Shift that centres the image (x, y), pixels.
    pub shift: [f64; 2],
    /// Imaging conditions; none means CTF 1.
    pub ctf: Option<CtfParams>,
    /// A further factor on the CTF (dose weights of a tilt series) at each frequency: [D, D].
    pub envelope: Option<std::sync::Arc<[f32]>>,
}

/// Which images a map is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All images.
    Full,
    /// Images 0, 2, 4, …
    HalfA,
    /// Images 1, 3, 5, …
    HalfB,
}

/// H(k)·c, H(−k)·c, c², unused.
type Quad = [f32; 4];

/// One row of the lower half of the disc: ky and the kx it spans.
struct Row {
    ky: i32,
    first: i32,
    last: i32,
    start: usize,
}

/// Sums of backprojected images.
pub struct Backprojector {
    n: usize,
    options: Options,
    preprocess: Preprocessor,
    shift: PhaseShift,
    rows: Vec<Row>,
    pairs: usize,
    grid: CtfGrid,
    /// Planes z = 0..=n/2 of [D, D] for all images, or for even and odd ones.
    sums: [Vec<Quad>; 2],
    images: usize,
    prepared: Vec<Quad>,
}

impl Backprojector {
    /// For images of `box_side` pixels.
    pub fn new(box_side: usize, options: Options) -> Result<Self> {
        expect_even("backprojection", box_side)?;
        let (r, d) = ((box_side / 2) as i32, box_side + 1);
        let mut rows = Vec::new();
        let mut pairs = 0;
        for ky in -r..=0 {
            let reach = (r * r - ky * ky).isqrt();
            // DC is left out, and row 0 is counted once.
            let last = if ky == 0 { -1 } else { reach };
            rows.push(Row { ky, first: -reach, last, start: pairs });
            pairs += (last + reach + 1) as usize;
        }
        let side = box_side as f64;
        let freqs = rows.iter().flat_map(|row| {
            (row.first..=row.last).map(|kx| [f64::from(kx) / side, f64::from(row.ky) / side])
        });
        let grid = CtfGrid::new(freqs);
        let voxels = (box_side / 2 + 1) * d * d;
        let zeros = |wanted: bool| vec![[0.0; 4]; if wanted { voxels } else { 0 }];
        Ok(Backprojector {
            n: box_side,
            options,
            preprocess: Preprocessor::new(box_side, options.window, options.invert, (0.0, 1.0))?,
            shift: PhaseShift::new(box_side)?,
            pairs,
            grid,
            sums: [zeros(true), zeros(options.half_maps)],
            images: 0,
            prepared: Vec::new(),
            rows,
        })
    }

    /// Images added so far.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Adds raw images [B, n·n] with their poses. With half maps, images alternate between the halves, also from
    /// one call to the next.
    pub fn add(&mut self, images: &[f32], views: &[View]) -> Result<()> {
        let pixels = self.n * self.n;
        expect_len("images to backproject", images.len(), views.len() * pixels)?;
        for (images, views) in images.chunks(BATCH * pixels).zip(views.chunks(BATCH)) {
            let mut prepared = std::mem::take(&mut self.prepared);
            prepared.resize(views.len() * self.pairs, [0.0; 4]);
            let work = || Work::new(self);
            let outcome = prepared
                .par_chunks_mut(self.pairs)
                .zip(images.par_chunks(pixels))
                .zip(views)
                .try_for_each_init(work, |work, ((quads, image), view)| {
                    self.prepare(image, view, quads, work)
                });
            if outcome.is_ok() {
                self.spread(&prepared, views);
                self.images += views.len();
            }
            self.prepared = prepared;
            outcome?;
        }
        Ok(())
    }

    /// Transform, centre and weigh one image.
    fn prepare(&self, image: &[f32], view: &View, quads: &mut [Quad], work: &mut Work) -> Result<()> {
        let d = self.n + 1;
        let finite = view.rotation.iter().flatten().chain(&view.shift).all(|v| v.is_finite());
        if !finite {
            return Err(Error::NotFinite("a pose holds NaN or infinity; check the pose file".into()));
        }
        self.preprocess.run(image, &mut work.transform, &mut work.preprocess)?;
        match &view.ctf {
            Some(params) => self.grid.eval(params, &mut work.ctf)?,
            None => work.ctf.fill(1.0),
        }
        if let Some(envelope) = &view.envelope {
            expect_len("dose weights", envelope.len(), d * d)?;
        }
        let (px, py) = (self.shift.phases(view.shift[0]), self.shift.phases(view.shift[1]));
        let r = (self.n / 2) as i32;
        for row in &self.rows {
            let y = (row.ky + r) as usize;
            let [cy, sy] = py[y];
            let first = (row.first + r) as usize;
            let count = (row.last - row.first + 1).max(0) as usize;
            let plus = &work.transform[y * d + first..][..count];
            let minus = &work.transform[(d - 1 - y) * d..][..d - first];
            let envelope = view.envelope.as_ref().map(|e| &e[y * d + first..][..count]);
            let quads = &mut quads[row.start..row.start + count];
            let ctfs = &work.ctf[row.start..row.start + count];
            for (i, (quad, ctf)) in quads.iter_mut().zip(ctfs).enumerate() {
                let [cx, sx] = px[first + i];
                let (h, m) = (plus[i], minus[minus.len() - 1 - i]);
                let (cos, sin) = (cx * cy - sx * sy, sx * cy + cx * sy);
                let ctf = ctf * envelope.map_or(1.0, |e| e[i]);
                let (factor, weight) = match self.options.ctf {
                    CtfWeighting::Multiply => (ctf, ctf * ctf),
                    CtfWeighting::FlipPhase => (sign(ctf), 1.0),
                };
                *quad = [factor * (cos * h + sin * m), factor * (cos * m - sin * h), weight, 0.0];
            }
        }
        Ok(())
    }

    /// Adds prepared images slab by slab.
    fn spread(&mut self, prepared: &[Quad], views: &[View]) {
        let plane = (self.n + 1).pow(2);
        let (rows, pairs, n) = (&self.rows, self.pairs, self.n);
        let (halves, first) = (if self.options.half_maps { 2 } else { 1 }, self.images);
        let tasks: Vec<(usize, usize, &mut [Quad])> = self
            .sums
            .iter_mut()
            .enumerate()
            .flat_map(|(half, sums)| {
                sums.chunks_mut(SLAB * plane).enumerate().map(move |(slab, planes)| (half, slab, planes))
            })
            .collect();
        tasks.into_par_iter().with_max_len(1).for_each(|(half, slab, planes)| {
            for (i, view) in views.iter().enumerate() {
                if (first + i) % halves == half {
                    spread_image(
                        n,
                        rows,
                        &prepared[i * pairs..][..pairs],
                        &view.rotation,
                        slab * SLAB,
                        planes,
                    );
                }
            }
        });
    }

    fn part(&self, part: Part) -> Result<Vec<Quad>> {
        let [a, b] = &self.sums;
        match (part, self.options.half_maps) {
            (Part::Full, false) | (Part::HalfA, true) => Ok(a.clone()),
            (Part::HalfB, true) => Ok(b.clone()),
            (Part::Full, true) => {
                Ok(a.par_iter().zip(b).map(|(a, b)| std::array::from_fn(|i| a[i] + b[i])).collect())
            }
            _ => Err(Error::usage("half maps were not accumulated; run the backprojection with half maps")),
        }
    }

    /// The accumulated transform and weights, each [D, D, D], neither divided nor regularised.
    pub fn sums_and_counts(&self, part: Part) -> Result<(Vec<f32>, Vec<f32>)> {
        let half = self.part(part)?;
        let (d, r) = (self.n + 1, self.n / 2);
        let plane = d * d;
        let mut sums = vec![0.0; d * plane];
        let mut counts = vec![0.0; d * plane];
        sums.par_chunks_mut(plane).zip(counts.par_chunks_mut(plane)).enumerate().for_each(
            |(z, (sums, counts))| {
                for (i, (sum, count)) in sums.iter_mut().zip(counts.iter_mut()).enumerate() {
                    if z >= r {
                        let quad = half[(z - r) * plane + i];
                        *sum += quad[0];
                        *count += quad[2];
                    }
                    if z <= r {
                        let quad = half[(r - z) * plane + plane - 1 - i];
                        *sum += quad[1];
                        *count += quad[2];
                    }
                }
            },
        );
        Ok((sums, counts))
    }

    /// The map [n, n, n]: sums over regularised counts, transformed back.
    pub fn finish(&self, part: Part, regularisation: f64) -> Result<Vec<f32>> {
        let (sums, counts) = self.sums_and_counts(part)?;
        let mut map = divide(sums, counts, regularisation, self.n)?;
        Hartley3::new(self.n).inverse(&mut map)?;
        Ok(map)
    }
}

/// Sums over counts [D, D, D], where counts c become c' = c + w·mean(c), rescaled to their old mean, and empty
/// voxels count as one; the last plane of each axis is dropped: [n, n, n].
fn divide(mut sums: Vec<f32>, mut counts: Vec<f32>, regularisation: f64, n: usize) -> Result<Vec<f32>> {
    if !(regularisation >= 0.0 && regularisation.is_finite()) {
        return Err(Error::usage(format!(
            "the regularisation weight must not be negative, not {regularisation}"
        )));
    }
    counts.par_iter_mut().filter(|c| **c == 0.0).for_each(|c| *c = 1.0);
    // Summed row by row in a fixed order.
    let rows: Vec<f64> =
        counts.par_chunks(n + 1).map(|row| row.iter().map(|c| f64::from(*c)).sum()).collect();
    let mean = rows.iter().sum::<f64>() / counts.len().max(1) as f64;
    let scale = 1.0 / (1.0 + regularisation);
    let added = regularisation * mean;
    sums.par_iter_mut()
        .zip(&counts)
        .for_each(|(sum, count)| *sum = (f64::from(*sum) / ((f64::from(*count) + added) * scale)) as f32);
    desymmetrise3(&sums, n + 1)
}

/// Per-thread memory of [`Backprojector::prepare`].
struct Work {
    preprocess: PreprocessScratch,
    transform: Vec<f32>,
    ctf: Vec<f32>,
}

impl Work {
    fn new(parent: &Backprojector) -> Self {
        Work {
            preprocess: parent.preprocess.scratch(),
            transform: vec![0.0; (parent.n + 1).pow(2)],
            ctf: vec![0.0; parent.pairs],
        }
    }
}

/// Adds one image to the planes `bottom..` of the half volume.
fn spread_image(
    n: usize,
    rows: &[Row],
    quads: &[Quad],
    rotation: &Rotation,
    bottom: usize,
    planes: &mut [Quad],
) {
    let d = n + 1;
    let r = (n / 2) as f32;
    let top = bottom + planes.len() / (d * d);
    // In f32, as the reference program: a coordinate that rounds to a whole number there meets the same voxel
    // twice, and a weight that rounds to nothing leaves its voxel empty.
    let m = rotation.map(|row| row.map(|v| v as f32));
    // A pixel at height z meets planes floor(z) and ceil(z); heights strictly between these bounds reach the slab.
    let (low, high) = (bottom as f32 - 1.0, top as f32);
    for row in rows {
        let y = row.ky as f32;
        let base = m[1].map(|v| y * v);
        for side in [1.0, -1.0] {
            let Some((first, last)) = interval(row, side * base[2], side * m[0][2], low.max(-0.5), high)
            else {
                continue;
            };
            let values = &quads[row.start + (first - row.first) as usize..];
            for (kx, quad) in (first..=last).zip(values) {
                let x = kx as f32;
                let point: [f32; 3] = std::array::from_fn(|i| side * (x * m[0][i] + base[i]));
                let z = point[2];
                let upper_half = if side > 0.0 { z >= 0.0 } else { z > 0.0 };
                if upper_half && z > low && z < high {
                    let quad = if side > 0.0 { *quad } else { [quad[1], quad[0], quad[2], 0.0] };
                    spread_pixel(d, r, point, quad, bottom, top, planes);
                }
            }
        }
    }
}

/// The kx of a row at which `start + kx·slope` may lie in (low, high), with a margin for rounding.
fn interval(row: &Row, start: f32, slope: f32, low: f32, high: f32) -> Option<(i32, i32)> {
    let (low, high) = (low - 0.01, high + 0.01);
    if slope.abs() < 1e-6 {
        // The row is level: it is in or out as a whole, up to n·1e-6.
        return (start > low && start < high && row.last >= row.first).then_some((row.first, row.last));
    }
    let (a, b) = ((low - start) / slope, (high - start) / slope);
    let (from, to) = if a < b { (a, b) } else { (b, a) };
    let first = row.first.max(from.floor() as i32);
    let last = row.last.min(to.ceil() as i32);
    (first <= last).then_some((first, last))
}

#[inline(always)]
fn spread_pixel(
    d: usize,
    r: f32,
    point: [f32; 3],
    quad: Quad,
    bottom: usize,
    top: usize,
    planes: &mut [Quad],
) {
    let point = point.map(|p| p.clamp(-r, r));
    // floor without a library call: truncate, and step down where that went up.
    let floor = point.map(|p| {
        let whole = p as i32;
        whole - i32::from(whole as f32 > p)
    });
    let below: [f32; 3] = std::array::from_fn(|i| point[i] - floor[i] as f32);
    let integral = below.map(|b| b == 0.0);
    // Distance to the upper neighbour; an integral coordinate is its own.
    let above: [f32; 3] =
        std::array::from_fn(|i| if integral[i] { 0.0 } else { (floor[i] + 1) as f32 - point[i] });
    // Distances of one within half a rounding of f32 weigh nothing, as in the reference.
    let square = |v: f32| f64::from(v) * f64::from(v);
    let (b, a) = (below.map(square), above.map(square));
    let squares = [
        b[0] + b[1] + b[2],
        a[0] + b[1] + b[2],
        b[0] + a[1] + b[2],
        a[0] + a[1] + b[2],
        b[0] + b[1] + a[2],
        a[0] + b[1] + a[2],
        b[0] + a[1] + a[2],
        a[0] + a[1] + a[2],
    ];
    let weights = squares.map(|s| (1.0 - s.sqrt() as f32).max(0.0));
    let x = (floor[0] + r as i32) as usize;
    let y = (floor[1] + r as i32) as usize;
    let z = floor[2] as usize;
    let step = |axis: usize| usize::from(!integral[axis]);
    for (k, pair) in weights.chunks_exact(2).enumerate() {
        let (iy, iz) = (y + (k & 1) * step(1), z + (k >> 1) * step(2));
        if iz < bottom || iz >= top {
            continue;
        }
        let at = ((iz - bottom) * d + iy) * d + x;
        if let Some([first, second]) =
            planes.get_mut(at..at + 2).and_then(|s| <&mut [Quad; 2]>::try_from(s).ok())
            && !integral[0]
        {
            for i in 0..4 {
                first[i] += pair[0] * quad[i];
                second[i] += pair[1] * quad[i];
            }
        } else if let Some(voxel) = planes.get_mut(at) {
            for i in 0..4 {
                voxel[i] += pair[0] * quad[i];
                voxel[i] += pair[1] * quad[i];
            }
        }
    }
}
