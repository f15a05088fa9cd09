//! How a structure becomes an image: turned, projected as Gaussians, filtered as the microscope filters; and how
//! well that agrees with a particle.

use crate::ops::fft::{Fft, Transform};
use crate::ops::splat::Splat;
use crate::tape::Var;
use crate::tensor::Tensor;

/// Images of points as Gaussians.
#[derive(Clone, Debug)]
pub struct Projector {
    pub side: usize,
    /// Å.
    pub apix: f64,
    /// What a pixel may lack of a point's peak.
    pub tail: f32,
    /// Of each point.
    pub electrons: Vec<f32>,
    /// Of each point, Å.
    pub widths: Vec<f32>,
}

impl Projector {
    /// Places `[N, 3, B]` (Å from the middle) seen under rotations `[B, 3, 3]`: images `[B, D, D]`.
    #[track_caller]
    pub fn project<'t>(&self, places: Var<'t>, rotations: Var<'t>) -> Var<'t> {
        let tape = places.tape();
        let (count, batch) = (places.dim(0), places.dim(2));
        let turned = rotations.permute(&[2, 1, 0]);
        let along = |axis: usize| {
            let column = turned.slice(0, axis, 1).slice(1, 0, 2).expand(&[1, 2, batch]);
            places.slice(1, axis, 1) * column
        };
        let seen = (along(0) + along(1) + along(2)).scale(1.0 / self.apix as f32);
        let widths = self.widths.iter().map(|width| width / self.apix as f32).collect();
        let numbers = |values: Vec<f32>| tape.constant(Tensor::f32(&[count], values));
        let inputs = [seen.permute(&[2, 0, 1]), numbers(self.electrons.clone()), numbers(widths)];
        tape.special(Splat::image(self.side, self.tail), &inputs)
    }
}

/// Images `[B, D, D]` times `filters` `[B, D, D]` of their transforms, frequency 0 in the middle. A filter is the
/// same at k and -k.
#[track_caller]
pub fn filter<'t>(images: Var<'t>, filters: Var<'t>) -> Var<'t> {
    let pixels = images.dim(1) * images.dim(2);
    // A filter that is even multiplies the Hartley transform as it does the Fourier transform.
    let hartley = Fft { transform: Transform::Hartley, axes: 2, centred: true };
    let tape = images.tape();
    let filtered = tape.special(hartley, &[images]) * filters;
    tape.special(hartley, &[filtered]).scale(1.0 / pixels as f32)
}

/// Minus the correlation of each image `[B, D, D]` with its target, within a mask `[D, D]`, not centred: `[B]`.
/// Targets come masked and divided by their deviation and by the pixels of the mask ([`normalise`]).
#[track_caller]
pub fn disagreement<'t>(images: Var<'t>, targets: Var<'t>, mask: Var<'t>) -> Var<'t> {
    let pixels = images.dim(1) * images.dim(2);
    let images = images * mask;
    let product = (images * targets).sum(&[1, 2]);
    let mean = images.sum(&[1, 2]).scale(1.0 / pixels as f32);
    let squares = images.square().sum(&[1, 2]).scale(1.0 / pixels as f32);
    let variance = (squares - mean.square()).scale(pixels as f32 / (pixels - 1) as f32);
    -product / variance.maximum(images.tape().scalar(0.0)).add_scalar(1e-24).sqrt().add_scalar(1e-5)
}

/// A target as [`disagreement`] takes it. The deviation is over all pixels, those outside the mask as zeros.
pub fn normalise(target: &mut [f32], mask: &[f32]) {
    let count = target.len() as f64;
    target.iter_mut().zip(mask).for_each(|(t, m)| *t *= m);
    let mean = target.iter().map(|&t| f64::from(t)).sum::<f64>() / count;
    let squares: f64 = target.iter().map(|&t| (f64::from(t) - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0).max(1.0)).sqrt();
    let inside = mask.iter().map(|&m| f64::from(m)).sum::<f64>().max(1.0);
    let factor = (1.0 / (deviation + 1e-5) / inside) as f32;
    target.iter_mut().for_each(|t| *t *= factor);
}

/// 1 inside a disc of `radius` (1: half the box) around the middle between pixels, else 0.
pub fn disc(side: usize, radius: f64) -> Vec<f32> {
    let at = |i: usize| -1.0 + 2.0 * i as f64 / (side.max(2) - 1) as f64;
    let inside = |x: usize, y: usize| at(x).powi(2) + at(y).powi(2) < radius * radius;
    (0..side * side).map(|i| f32::from(u8::from(inside(i % side, i / side)))).collect()
}
