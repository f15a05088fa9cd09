//! Slices of a volume by trilinear interpolation, the transpose, and the derivative by the coordinates.
//!
//! Coordinates `[.., 3]` are (x, y, z) in voxels from the centre voxel `D / 2`; the volume is `[D, D, D]`
//! (z, y, x) or `[D, D, D, C]`. Voxels outside count as zero. With coordinates `k R` of a Fourier lattice
//! this is the central slice of the Fourier slice theorem, and its transpose is the sum of backprojection.

use super::{Array, Operation, all_f32};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// volume, coordinates -> values `[..]` or `[.., C]`
    Gather,
    /// values, coordinates -> volume: every value added to its eight voxels
    Scatter,
    /// volume, coordinates, upstream of the values -> derivative by the coordinates
    Coordinates,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Slice {
    pub direction: Direction,
    /// D
    pub side: usize,
    /// C where the volume has a channel axis.
    pub channels: Option<usize>,
}

/// The eight voxels around a point: linear index (or none outside), weight, derivative of the weight.
pub fn corners(side: usize, point: [f64; 3]) -> [(Option<usize>, f64, [f64; 3]); 8] {
    let centre = (side / 2) as f64;
    let base = point.map(|c| (c + centre).floor());
    let rest: [f64; 3] = std::array::from_fn(|i| point[i] + centre - base[i]);
    std::array::from_fn(|corner| {
        let bit: [f64; 3] = std::array::from_fn(|axis| (corner >> axis & 1) as f64);
        let w: [f64; 3] = std::array::from_fn(|i| if bit[i] > 0.0 { rest[i] } else { 1.0 - rest[i] });
        let at: [f64; 3] = std::array::from_fn(|i| base[i] + bit[i]);
        let inside = at.iter().all(|&c| c >= 0.0 && c < side as f64);
        let index = inside.then(|| (at[2] as usize * side + at[1] as usize) * side + at[0] as usize);
        let sign = bit.map(|b| 2.0 * b - 1.0);
        let slope = [sign[0] * w[1] * w[2], w[0] * sign[1] * w[2], w[0] * w[1] * sign[2]];
        (index, w[0] * w[1] * w[2], slope)
    })
}

impl Slice {
    fn channel_count(&self) -> usize {
        self.channels.unwrap_or(1)
    }

    fn volume_shape(&self) -> Vec<usize> {
        [self.side; 3].into_iter().chain(self.channels).collect()
    }
}

impl Operation for Slice {
    fn stem(&self) -> &'static str {
        "slice"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        all_f32(inputs, if self.direction == Direction::Coordinates { 3 } else { 2 })?;
        let coordinates = &inputs[1].shape;
        if coordinates.last() != Some(&3) {
            return Err("takes coordinates [.., 3]".into());
        }
        let values: Vec<usize> =
            coordinates[..coordinates.len() - 1].iter().copied().chain(self.channels).collect();
        let volume = self.volume_shape();
        let (first, result) = match self.direction {
            Direction::Gather => (&volume, &values),
            Direction::Scatter => (&values, &volume),
            Direction::Coordinates => (&volume, coordinates),
        };
        if &inputs[0].shape != first {
            return Err(format!("the first input should have shape {first:?}"));
        }
        if self.direction == Direction::Coordinates && inputs[2].shape != values {
            return Err(format!("the upstream derivative should have shape {values:?}"));
        }
        Ok(Meta::f32(result))
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let (tape, x, coordinates) = (g.tape(), inputs[0], inputs[1]);
        let with = |direction| Slice { direction, ..*self };
        match self.direction {
            Direction::Gather => vec![
                Some(tape.special(with(Direction::Scatter), &[g, coordinates])),
                Some(tape.special(with(Direction::Coordinates), &[x, coordinates, g])),
            ],
            Direction::Scatter => vec![
                Some(tape.special(with(Direction::Gather), &[g, coordinates])),
                Some(tape.special(with(Direction::Coordinates), &[g, coordinates, x])),
            ],
            Direction::Coordinates => {
                tape.mistake("slice: the second derivative by the coordinates is not available".into());
                vec![None, None, None]
            }
        }
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        (inputs[1].len() / 3 * (30 + 16 * self.channel_count())) as u64
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let c = self.channel_count();
        let mut y = vec![0.0; output.len()];
        for (p, point) in inputs[1].data.chunks(3).enumerate() {
            for (index, weight, slope) in corners(self.side, [point[0], point[1], point[2]]) {
                let Some(index) = index else { continue };
                for channel in 0..c {
                    let (voxel, value) = (index * c + channel, p * c + channel);
                    match self.direction {
                        Direction::Gather => y[value] += weight * inputs[0].data[voxel],
                        Direction::Scatter => y[voxel] += weight * inputs[0].data[value],
                        Direction::Coordinates => {
                            for axis in 0..3 {
                                y[3 * p + axis] +=
                                    slope[axis] * inputs[0].data[voxel] * inputs[2].data[value];
                            }
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
    for (side, channels, points) in
        [(5, None, 11), (4, Some(2), 3), (1, None, 4), (6, Some(1), 0), (9, None, 700)]
    {
        let volume: Vec<usize> = [side; 3].into_iter().chain(channels).collect();
        let values: Vec<usize> = [points].into_iter().chain(channels).collect();
        let half = side as f64 / 2.0 + 0.7;
        for direction in [Direction::Gather, Direction::Scatter] {
            let op = Slice { direction, side, channels };
            let first = if direction == Direction::Gather { &volume } else { &values };
            samples.push(
                Sample::new(format!("{op:?}, {points} points"), move |t, v| t.special(op, v))
                    .normal(first)
                    .uniform(&[points, 3], -half, half),
            );
        }
        let op = Slice { direction: Direction::Coordinates, side, channels };
        samples.push(
            Sample::new(format!("{op:?}, {points} points"), move |t, v| t.special(op, v))
                .normal(&volume)
                .uniform(&[points, 3], -half, half)
                .normal(&values)
                .first_order(),
        );
    }
    samples
}
