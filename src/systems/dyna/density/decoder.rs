//! The network from a place in Fourier space and a latent to the value of the Hartley transform there, with
//! CryoDyna's parameters under its names.

use crate::nn::mlp::linear_from;
use crate::ops::encode::Encode;
use crate::tape::{Init, Tape, Var};
use crate::tensor::DType;

/// Layers that add their input.
const RESIDUAL: usize = 3;
/// What is not trained.
pub const FIXED: &str = "pe.gaussian_weights";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decoder {
    /// Pixels along an axis, even.
    pub side: usize,
    pub hidden: usize,
    pub z: usize,
}

impl Decoder {
    /// Coordinates along an axis of the `side` frequencies of a centred transform. The reference's transform is the
    /// mirror image of ours, so frequency k has the coordinate of -k; the edge, which stands for both, has its own.
    pub fn axis(&self) -> Vec<f32> {
        let n = self.side;
        let frequency = |i: usize| ((n - i) % n) as f64 - (n / 2) as f64;
        (0..n).map(|i| (2.0 * frequency(i) / (n - 1) as f64) as f32).collect()
    }

    /// Values `[B, N]` at points `[B, N, 3]` of latents `[B, z]`.
    #[track_caller]
    pub fn record<'t>(&self, points: Var<'t>, z: Var<'t>) -> Var<'t> {
        let tape = points.tape();
        let [batch, count] = [points.dim(0), points.dim(1)];
        let waves = 3 * self.side;
        let directions = tape.state(FIXED, &[waves, 3], Init::Normal(self.side as f32 / 8.0));
        let encoded = tape.special(Encode { group: waves }, &[points, directions]);
        let start = |inputs: usize| {
            let deviation = 1.0 / (inputs as f32).sqrt();
            [Init::Normal(deviation), Init::Uniform(deviation)]
        };
        tape.scope("net.net", || {
            let width = self.z + 3 + 2 * waves;
            let [weight, bias] = start(width);
            let weight = tape.state("0.weight", &[self.hidden, width], weight);
            let bias = tape.state("0.bias", &[self.hidden], bias);
            let columns = |from: usize, count: usize| weight.slice(1, from, count);
            // Latent, place, cosines, sines.
            let (place, cosines, sines) = (self.z, self.z + 3, self.z + 3 + waves);
            let by_waves = Var::concat(&[columns(sines, waves), columns(cosines, waves)], 1);
            // The latent is the same for all points of an image.
            let of_image = z.matmul_t(columns(0, self.z)) + bias;
            let first = encoded.matmul_t(by_waves)
                + points.matmul_t(columns(place, 3))
                + of_image.reshape(&[batch, 1, self.hidden]);
            let mut h = first.gelu();
            for layer in 2..2 + RESIDUAL {
                h = h + linear_from(&format!("{layer}.layer"), h, self.hidden, start(self.hidden)).gelu();
            }
            let [_, bias] = start(self.hidden);
            linear_from(&(2 + RESIDUAL).to_string(), h, 1, [bias.clone(), bias]).reshape(&[batch, count])
        })
    }

    /// Declares every parameter.
    pub fn declare(&self, tape: &Tape) {
        let points = tape.input("points", &[1, 1, 3], DType::F32);
        self.record(points, tape.input("z", &[1, self.z], DType::F32));
    }
}
