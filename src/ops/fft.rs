//! Fourier and Hartley transforms over the last one, two or three axes, never scaled.
//!
//! Fourier: `X[k] = sum_j x[j] e^(-+ 2 pi i j k / n)` on `[.., n.., 2]` (real, imaginary). Hartley: real to
//! real, `Re X - Im X` on `[.., n..]`. Centred transforms count j and k from n/2, as images are stored;
//! for even n that is `fftshift(fft(fftshift(x)))`.

use super::{Array, Operation, all_f32};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transform {
    Forward,
    Inverse,
    Hartley,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fft {
    pub transform: Transform,
    /// 1, 2 or 3.
    pub axes: usize,
    pub centred: bool,
}

impl Fft {
    /// Lengths of the transformed axes.
    pub fn lengths<'a>(&self, shape: &'a [usize]) -> &'a [usize] {
        let end = if self.transform == Transform::Hartley { shape.len() } else { shape.len() - 1 };
        &shape[end - self.axes..end]
    }
}

impl Operation for Fft {
    fn stem(&self) -> &'static str {
        "fft"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, 1)?;
        let shape = &inputs[0].shape;
        let complex = self.transform != Transform::Hartley;
        if !(1..=3).contains(&self.axes) || shape.len() < self.axes + complex as usize {
            return Err(format!("cannot transform {} axes", self.axes));
        }
        if complex && shape.last() != Some(&2) {
            return Err("needs a last axis of (real, imaginary)".into());
        }
        Ok(inputs[0].clone())
    }

    fn derive<'t>(&self, _: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let transform = match self.transform {
            Transform::Forward => Transform::Inverse,
            Transform::Inverse => Transform::Forward,
            Transform::Hartley => Transform::Hartley,
        };
        vec![Some(g.tape().special(Fft { transform, ..*self }, &[g]))]
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        let n: usize = self.lengths(&inputs[0].shape).iter().product();
        let each = 5.0 * n as f64 * (n.max(2) as f64).log2();
        (inputs[0].len() / n.max(1)) as u64 * each as u64
    }

    fn oracle(&self, inputs: &[Array], _: &Meta) -> Vec<f64> {
        let lengths = self.lengths(&inputs[0].shape);
        let n: usize = lengths.iter().product();
        let strides = crate::tensor::strides(lengths);
        let position = |i: usize, axis: usize| (i / strides[axis] as usize % lengths[axis]) as f64;
        let complex = self.transform != Transform::Hartley;
        let width = if complex { 2 * n } else { n };
        let sign = if self.transform == Transform::Inverse { 1.0 } else { -1.0 };
        let mut y = vec![0.0; inputs[0].data.len()];
        for (x, y) in inputs[0].data.chunks(width.max(1)).zip(y.chunks_mut(width.max(1))) {
            for k in 0..n {
                for j in 0..n {
                    let mut turns = 0.0;
                    for (axis, &length) in lengths.iter().enumerate() {
                        let centre = if self.centred { (length / 2) as f64 } else { 0.0 };
                        turns += (position(j, axis) - centre) * (position(k, axis) - centre) / length as f64;
                    }
                    let (s, c) = (sign * 2.0 * std::f64::consts::PI * turns).sin_cos();
                    if complex {
                        y[2 * k] += x[2 * j] * c - x[2 * j + 1] * s;
                        y[2 * k + 1] += x[2 * j] * s + x[2 * j + 1] * c;
                    } else {
                        y[k] += x[j] * (c - s);
                    }
                }
            }
        }
        y
    }
}

pub fn samples() -> Vec<Sample> {
    let mut samples = vec![];
    let cases: [(usize, &[usize]); 6] =
        [(1, &[8]), (1, &[3, 5]), (2, &[2, 6, 4]), (2, &[3, 5]), (3, &[4, 2, 6]), (1, &[2, 1])];
    for transform in [Transform::Forward, Transform::Inverse, Transform::Hartley] {
        for centred in [false, true] {
            for (axes, shape) in cases {
                let op = Fft { transform, axes, centred };
                let mut shape = shape.to_vec();
                if transform != Transform::Hartley {
                    shape.push(2);
                }
                let sample = Sample::new(format!("{op:?} {shape:?}"), move |t, v| t.special(op, v));
                samples.push(sample.normal(&shape));
            }
        }
    }
    samples
}
