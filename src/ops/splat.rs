//! Gaussian splats: atoms to images, and images under atoms.
//!
//! `y[b, v, u] = sum over n of a[n] exp(-(dx^2 + dy^2) / 2 w[n]^2)` with `dx = u - centre - p[b, n, 0]` and
//! `dy = v - centre - p[b, n, 1]`: places and widths are in pixels, places are counted from the centre. Of an atom,
//! pixels take part with `|dx|` and `|dy|` within `reach` widths, so what is left out of a pixel is less than
//! `exp(-reach^2 / 2)` of the atom's peak. No pixel is added to by two threads: images are cut into tiles that gather
//! from atoms, and derivatives are gathered by atoms from pixels.

use super::{Array, Operation, all_f32};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Places `[B, N, 2]`, amplitudes `[N]`, widths `[N]`; result `[B, side, side]`.
    Image,
    /// Places `[B, N, 2]`, widths `[N]`, an image `[B, side, side]`; result `[B, N, 4]`: sums of image times Gaussian
    /// of amplitude 1, times 1, dx, dy and `dx^2 + dy^2`. All derivatives of an image follow from these.
    Moments,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Splat {
    pub direction: Direction,
    /// Pixels along an axis.
    pub side: usize,
    /// The pixel at which places are 0.
    pub centre: usize,
    /// In widths.
    pub reach: f32,
}

/// A reach that leaves nothing out.
const WHOLE: f32 = 1e6;

pub struct Extent {
    pub batch: usize,
    pub atoms: usize,
}

impl Splat {
    /// Images of `side` pixels around pixel `side / 2`, with less than `tail` of an atom's peak left out of a pixel;
    /// a tail of 0 leaves nothing out.
    pub fn image(side: usize, tail: f32) -> Splat {
        let reach = if tail > 0.0 { (-2.0 * tail.min(0.5).ln()).sqrt() } else { WHOLE };
        Splat { direction: Direction::Image, side, centre: side / 2, reach }
    }

    pub fn extent(&self, inputs: &[Meta]) -> Extent {
        Extent { batch: inputs[0].shape[0], atoms: inputs[0].shape[1] }
    }

    /// Which input holds the widths.
    pub fn widths(&self) -> usize {
        match self.direction {
            Direction::Image => 2,
            Direction::Moments => 1,
        }
    }
}

impl Operation for Splat {
    fn stem(&self) -> &'static str {
        "splat"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, 3)?;
        let &[batch, atoms, 2] = &inputs[0].shape[..] else { return Err("places must be [B, N, 2]".into()) };
        let numbers = Meta::f32(&[atoms]);
        if inputs[self.widths()] != numbers {
            return Err("needs one width an atom".into());
        }
        let image = Meta::f32(&[batch, self.side, self.side]);
        match self.direction {
            Direction::Image if inputs[1] != numbers => Err("needs one amplitude an atom".into()),
            Direction::Image => Ok(image),
            Direction::Moments if inputs[2] != image => Err(format!("the images must be {image}")),
            Direction::Moments => Ok(Meta::f32(&[batch, atoms, 4])),
        }
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let tape = g.tape();
        if self.direction == Direction::Moments {
            tape.mistake("splat: a derivative has none of its own".into());
            return vec![None; 3];
        }
        let (places, amplitudes, widths) = (inputs[0], inputs[1], inputs[2]);
        let atoms = places.dim(1);
        let op = Splat { direction: Direction::Moments, ..*self };
        let moments = tape.special(op, &[places, widths, g]);
        let each = |numbers: Var<'t>| numbers.reshape(&[atoms, 1]);
        let slope = amplitudes / widths.square();
        let by_places = moments.slice(2, 1, 2) * each(slope);
        let by_amplitudes = moments.slice(2, 0, 1).sum(&[0, 2]);
        let by_widths = moments.slice(2, 3, 1).sum(&[0, 2]) * slope / widths;
        vec![Some(by_places), Some(by_amplitudes), Some(by_widths)]
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        // As if all widths were a pixel.
        let along = (2.0 * self.reach.min(self.side as f32) + 1.0).min(self.side as f32) as usize;
        let each = match self.direction {
            Direction::Image => 2,
            Direction::Moments => 6,
        };
        let e = self.extent(inputs);
        (e.batch * e.atoms * along * along * each) as u64
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let (places, widths) = (&inputs[0], &inputs[self.widths()].data);
        let atoms = places.shape[1];
        let side = self.side;
        let mut y = vec![0.0; output.len()];
        for (at, place) in places.data.chunks(2).enumerate() {
            let (b, n) = (at / atoms, at % atoms);
            let reach = self.reach as f64 * widths[n];
            for pixel in 0..side * side {
                let away = |along: usize, axis: usize| along as f64 - self.centre as f64 - place[axis];
                let (dx, dy) = (away(pixel % side, 0), away(pixel / side, 1));
                if dx.abs() > reach || dy.abs() > reach {
                    continue;
                }
                let square = dx * dx + dy * dy;
                let gaussian = (-0.5 * square / (widths[n] * widths[n])).exp();
                let here = b * side * side + pixel;
                match self.direction {
                    Direction::Image => y[here] += inputs[1].data[n] * gaussian,
                    Direction::Moments => {
                        let weight = inputs[2].data[here] * gaussian;
                        for (sum, factor) in y[4 * at..].iter_mut().zip([1.0, dx, dy, square]) {
                            *sum += weight * factor;
                        }
                    }
                }
            }
        }
        y
    }
}

pub fn samples() -> Vec<Sample> {
    let mut samples = vec![];
    // Batch, atoms, side, how far the atoms are spread.
    let cases = [
        ([2, 5, 9], 2.0, 1e-4),
        ([1, 1, 1], 1.0, 1e-4),
        ([3, 7, 20], 5.0, 1e-4),
        ([2, 4, 16], 4.0, 0.0),
        // More atoms than threads, more pixels than a tile, some atoms outside.
        ([1, 300, 33], 14.0, 1e-4),
        ([2, 3, 40], 30.0, 1e-2),
        ([2, 0, 6], 1.0, 1e-4),
        ([0, 3, 6], 1.0, 1e-4),
    ];
    for ([batch, atoms, side], spread, tail) in cases {
        for direction in [Direction::Image, Direction::Moments] {
            let op = Splat { direction, ..Splat::image(side, tail) };
            let name = format!("splat {direction:?} of {atoms} into {batch} x {side}, tail {tail}");
            let sample =
                Sample::new(name, move |t, v: &[Var<'_>]| t.special(op, &[v[0].scale(spread), v[1], v[2]]));
            let sample = sample.normal(&[batch, atoms, 2]);
            samples.push(match direction {
                Direction::Image => sample.normal(&[atoms]).uniform(&[atoms], 0.7, 2.5),
                Direction::Moments => {
                    sample.uniform(&[atoms], 0.7, 2.5).normal(&[batch, side, side]).first_order()
                }
            });
        }
    }
    let off_centre = Splat { centre: 3, ..Splat::image(8, 1e-4) };
    samples.push(
        Sample::new("splat around another pixel", move |t, v| t.special(off_centre, v))
            .normal(&[2, 4, 2])
            .normal(&[4])
            .uniform(&[4], 0.7, 2.5),
    );
    samples
}
