//! The forward model and its losses on the tape: slices of a latent's density through the microscope, beside the
//! particle.

use super::config::{Config, LossFn};
use super::decoder::{Decoder, FIXED};
use super::images::Images;
use crate::ops::fft::{Fft, Transform};
use crate::ops::gather::Gather;
use crate::tape::{Tape, Var};
use crate::tensor::{DType, Tensor};
use crate::train::Adam;

pub struct Network {
    pub decoder: Decoder,
    loss: LossFn,
    /// Which of the D D frequencies or pixels are compared.
    compared: Vec<usize>,
}

impl Network {
    pub fn new(config: &Config, images: &Images) -> Network {
        Network {
            decoder: Decoder {
                side: images.particles.side(),
                hidden: config.model.hidden,
                z: images.latents.dim,
            },
            loss: config.loss.loss_fn,
            compared: images.compared().to_vec(),
        }
    }

    /// Mean squared difference of a batch of particles from what their latents predict.
    ///
    /// Inputs: `targets`, `filters`, `rotations`, `z` and `weights` as [`super::images::Batch`] has them.
    pub fn loss<'t>(&self, tape: &'t Tape, batch: usize) -> Var<'t> {
        let (side, points) = (self.decoder.side, self.compared.len());
        let input = |name: &str, shape: &[usize]| tape.input(name, shape, DType::F32);
        let targets = input("targets", &[batch, points]);
        let rotations = input("rotations", &[batch, 3, 3]);
        let z = input("z", &[batch, self.decoder.z]);
        let each = match self.loss {
            LossFn::Fmsf => {
                let filters = input("filters", &[batch, points]);
                let predicted = slices(&self.decoder, &self.compared, rotations, z);
                let ([re, im], [to_re, to_im]) = (fourier(predicted), fourier(targets));
                let squares = (re * filters - to_re).square() + (im * filters - to_im).square();
                squares.sum(&[1]).scale(1.0 / points as f32)
            }
            LossFn::Rmsf => {
                let pixels = side * side;
                let filters = input("filters", &[batch, pixels]);
                let all: Vec<usize> = (0..pixels).collect();
                let filtered = slices(&self.decoder, &all, rotations, z) * filters;
                let hartley = Fft { transform: Transform::Hartley, axes: 2, centred: true };
                let image = tape.special(hartley, &[filtered.reshape(&[batch, side, side])]);
                let index =
                    tape.constant(Tensor::i32(&[points], self.compared.iter().map(|&i| i as i32).collect()));
                let seen = tape
                    .special(Gather, &[image.reshape(&[batch, pixels]).transpose(0, 1), index])
                    .transpose(0, 1)
                    .scale(1.0 / pixels as f32);
                // Mean squares of pixels are those of coefficients divided by the number of pixels; as coefficients'
                // they have the size that Adam's epsilon is meant for.
                (seen - targets).square().sum(&[1]).scale(pixels as f32 / points as f32)
            }
        };
        (each * input("weights", &[batch])).sum_all()
    }

    /// Records a step of training and returns its loss.
    pub fn training_step<'t>(&self, tape: &'t Tape, batch: usize, adam: &Adam) -> Var<'t> {
        let loss = self.loss(tape, batch);
        let states = tape.states().into_iter().filter(|state| state.name != FIXED);
        let parameters: Vec<(String, Var<'t>)> = states.map(|s| (s.name, tape.var(s.node))).collect();
        let values: Vec<Var<'t>> = parameters.iter().map(|p| p.1).collect();
        let gradients = tape.grad(loss, &values);
        adam.record(tape, &parameters, &gradients);
        loss
    }
}

/// Central slices of the densities of latents `[B, z]` under rotations `[B, 3, 3]`: Hartley values `[B, P]` at
/// `frequencies` of the D D.
#[track_caller]
pub fn slices<'t>(decoder: &Decoder, frequencies: &[usize], rotations: Var<'t>, z: Var<'t>) -> Var<'t> {
    let (batch, points) = (rotations.dim(0), frequencies.len());
    let axis = decoder.axis();
    let plane = frequencies.iter().flat_map(|&i| [axis[i % decoder.side], axis[i / decoder.side], 0.0]);
    let plane = rotations.tape().constant(Tensor::f32(&[points, 3], plane.collect()));
    decoder.record(plane.expand(&[batch, points, 3]).matmul(rotations), z)
}

/// Real and imaginary part of Hartley values `[B, P]`, which read backwards are those of the negative frequencies.
#[track_caller]
pub fn fourier<'t>(hartley: Var<'t>) -> [Var<'t>; 2] {
    let mirrored = hartley.flip(1);
    [(hartley + mirrored).scale(0.5), (mirrored - hartley).scale(0.5)]
}
