//! The networks of cryoDRGN recorded onto a tape: encoder, coordinate decoder, forward model and loss
//! (Zhong, Bepler, Berger and Davis, Nature Methods 2021).

use super::config::{Config, ModelArgs, SharedArgs};
use crate::cryo::lattice::Lattice;
use crate::nn::encoding::{Encoding, Entry};
use crate::nn::{Activation, Mlp};
use crate::ops::gather::Gather;
use crate::ops::random::{Distribution, Random};
use crate::tape::{Tape, Var};
use crate::tensor::{DType, Tensor};
use crate::train::{Adam, LossScale, clip_by_norm};
use crate::{Error, Result};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Domain {
    /// The decoder gives the real and imaginary part, and half the points suffice.
    Fourier,
    /// The decoder gives the Hartley transform.
    Hartley,
}

/// A coordinate network `V(k, z)`.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    pub domain: Domain,
    pub encoding: Encoding,
    pub mlp: Mlp,
    /// Latent size; 0 for a homogeneous model.
    pub zdim: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    pub mlp: Mlp,
    /// Radius of the mask the encoder sees, in pixels; `None`: every pixel.
    pub mask: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Network {
    /// D, box + 1.
    pub side: usize,
    pub encoder: Option<Encoder>,
    pub decoder: Decoder,
    /// Before the decoder's parameter names: a VAE keeps its networks under two names, a decoder alone does not.
    decoder_prefix: &'static str,
    /// Points of the loss mask (R = D/2) in row-major order: coordinates (x, y, 0), [P, 3].
    mask_points: Vec<[f32; 3]>,
    /// Positions of the encoder's mask among the loss mask's, where they differ.
    encoder_points: Option<Vec<i32>>,
}

/// How the loss weighs its parts.
#[derive(Clone, Copy, Debug)]
pub struct Objective {
    /// `--beta-control`: gamma, and beta becomes the wanted divergence.
    pub beta_control: Option<f32>,
    pub adam: Adam,
    pub clip: Option<f32>,
    /// For products in f16.
    pub loss_scale: Option<LossScale>,
}

/// Recorded values of a training step.
pub struct Losses<'t> {
    pub total: Var<'t>,
    /// Mean squared difference.
    pub reconstruction: Var<'t>,
    /// Kullback-Leibler divergence from the standard normal distribution.
    pub divergence: Option<Var<'t>>,
}

impl Network {
    pub fn new(config: &Config) -> Result<Network> {
        let side = config.lattice_args.d;
        if side < 5 || side.is_multiple_of(2) {
            return Err(Error::usage(format!("lattice_args.D is {side}; it should be an even box plus one")));
        }
        let lattice = Lattice::new(side, 0.5)?;
        let shared = shared_args(&config.model_args);
        let decoder =
            |layers, hidden, zdim| -> Result<Decoder> { Decoder::new(shared, side, layers, hidden, zdim) };
        let (encoder, decoder) = match &config.model_args {
            ModelArgs::Vae(args) => {
                let residual = match args.encode_mode.as_str() {
                    "resid" => true,
                    "mlp" => false,
                    other => {
                        return Err(Error::usage(format!(
                            "encode mode {other:?} is not supported yet: choose resid or mlp"
                        )));
                    }
                };
                let mlp = Mlp {
                    hidden: args.qdim,
                    layers: args.qlayers,
                    output: 2 * args.zdim,
                    activation: Activation::from_name(&shared.activation)?,
                    residual,
                };
                let mask = args.enc_mask.map(|r| r.max(1) as usize).filter(|&r| r < side / 2);
                if args.enc_mask.is_none() {
                    return Err(Error::usage(
                        "an encoder without a mask is not supported yet: give --enc-mask a radius",
                    ));
                }
                (Some(Encoder { mlp, mask }), decoder(args.players, args.pdim, args.zdim)?)
            }
            ModelArgs::Decoder(args) => (None, decoder(args.layers, args.dim, args.zdim.unwrap_or(0))?),
        };
        let coordinates = lattice.coords();
        let indices = lattice.masked_indices(side / 2)?;
        let mask_points = indices.iter().map(|&i| coordinates[i as usize]).collect();
        let encoder_points = match encoder.and_then(|e| e.mask) {
            Some(radius) => {
                let inner = lattice.masked_indices(radius)?;
                Some(inner.iter().filter_map(|i| indices.binary_search(i).ok()).map(|i| i as i32).collect())
            }
            None => None,
        };
        let decoder_prefix = if encoder.is_some() { "decoder" } else { "" };
        Ok(Network { side, encoder, decoder, decoder_prefix, mask_points, encoder_points })
    }

    /// Pixels of an image that count.
    pub fn mask_len(&self) -> usize {
        self.mask_points.len()
    }

    pub fn zdim(&self) -> usize {
        self.decoder.zdim
    }

    /// Images `[B, P]` times the sign of their CTF to the mean and log-variance of z, `[B, zdim]` each.
    pub fn encode<'t>(&self, encoder: &Encoder, images: Var<'t>) -> (Var<'t>, Var<'t>) {
        let tape = images.tape();
        let seen = match &self.encoder_points {
            Some(points) => {
                let index = tape.constant(Tensor::i32(&[points.len()], points.clone()));
                tape.special(Gather, &[images.transpose(0, 1), index]).transpose(0, 1)
            }
            None => images,
        };
        let out = tape.scope("encoder", || encoder.mlp.record(Entry::Features(seen), None));
        (out.slice(1, 0, self.zdim()), out.slice(1, self.zdim(), self.zdim()))
    }

    /// Central slices of the volume of z at the loss mask's points: rotations `[B, 3, 3]` and z `[B, zdim]`
    /// to Hartley values `[B, P]`.
    pub fn slices<'t>(&self, rotations: Var<'t>, z: Option<Var<'t>>) -> Var<'t> {
        let tape = rotations.tape();
        let batch = rotations.dim(0);
        let points = match self.decoder.domain {
            Domain::Fourier => &self.mask_points[..self.mask_points.len() / 2],
            Domain::Hartley => &self.mask_points[..],
        };
        let n = points.len();
        let flat: Vec<f32> = points.iter().flatten().copied().collect();
        let plane = tape.constant(Tensor::f32(&[n, 3], flat)).expand(&[batch, n, 3]);
        let value = self.evaluate(plane.matmul(rotations), z);
        match self.decoder.domain {
            Domain::Hartley => value.reshape(&[batch, n]),
            Domain::Fourier => {
                let (re, im) = (value.slice(2, 0, 1), value.slice(2, 1, 1));
                let near = (re - im).reshape(&[batch, n]);
                let far = (re + im).reshape(&[batch, n]);
                Var::concat(&[near, far.flip(1)], 1)
            }
        }
    }

    /// The decoder at points `[B, N, 3]`: Hartley values `[B, N, 1]`, or real and imaginary parts
    /// `[B, N, 2]` (points with z > 0 are evaluated at their mirror point and conjugated).
    pub fn evaluate<'t>(&self, points: Var<'t>, z: Option<Var<'t>>) -> Var<'t> {
        let tape = points.tape();
        let decode = |points: Var<'t>| {
            // cryoDRGN's decoder keeps its encoding beside its layers, which are called `decoder` in turn.
            let record = || {
                let entry = self.decoder.encoding.record(tape, points);
                tape.scope("decoder", || self.decoder.mlp.record(entry, z))
            };
            if self.decoder_prefix.is_empty() { record() } else { tape.scope(self.decoder_prefix, record) }
        };
        match self.decoder.domain {
            Domain::Hartley => decode(points),
            Domain::Fourier => {
                let above = points.slice(2, 2, 1).greater(tape.scalar(0.0));
                let sign = above.choose(tape.scalar(-1.0), tape.scalar(1.0));
                let value = decode(points * sign);
                let conjugate = Var::concat(&[tape.scalar(1.0).expand(&sign.shape()), sign], 2);
                value * conjugate
            }
        }
    }

    /// Declares every parameter, in the order of cryoDRGN's model.
    pub fn declare(&self, tape: &Tape) {
        if let Some(encoder) = &self.encoder {
            self.encode(encoder, tape.input("images", &[1, self.mask_len()], DType::F32));
        }
        let z = (self.zdim() > 0).then(|| tape.input("z", &[1, self.zdim()], DType::F32));
        self.evaluate(tape.input("points", &[1, 1, 3], DType::F32), z);
    }

    /// Records a training step on a batch of `batch` images and returns its losses.
    ///
    /// Inputs: `images` `[B, P]` (centred, normalised transforms), `ctf` `[B, P]`, `rotations` `[B, 3, 3]`,
    /// `weights` `[B]` (one over the number of images, zero for padding), for a VAE `beta` `[]` and the
    /// random `key`, and what the optimiser's schedule feeds.
    pub fn training_step<'t>(&self, tape: &'t Tape, batch: usize, objective: &Objective) -> Losses<'t> {
        self.training_step_with(tape, batch, objective, |mu| {
            let key = tape.input("key", &[4], DType::I32);
            let normal = Random { distribution: Distribution::Normal, shape: mu.shape(), stream: 0 };
            tape.special(normal, &[key])
        })
    }

    /// As [`Network::training_step`] with the standard normal numbers that `noise` records for the latents.
    pub fn training_step_with<'t>(
        &self,
        tape: &'t Tape,
        batch: usize,
        objective: &Objective,
        noise: impl FnOnce(Var<'t>) -> Var<'t>,
    ) -> Losses<'t> {
        let pixels = self.mask_len();
        let images = tape.input("images", &[batch, pixels], DType::F32);
        let ctf = tape.input("ctf", &[batch, pixels], DType::F32);
        let rotations = tape.input("rotations", &[batch, 3, 3], DType::F32);
        let weights = tape.input("weights", &[batch], DType::F32);
        let latent = self.encoder.map(|encoder| {
            let (mu, logvar) = self.encode(&encoder, images * ctf.sign());
            (mu, logvar, mu + noise(mu) * logvar.scale(0.5).exp())
        });
        let predicted = self.slices(rotations, latent.map(|l| l.2)) * ctf;
        let each = (predicted - images).square().sum(&[1]).scale(1.0 / pixels as f32);
        let reconstruction = (each * weights).sum_all();
        let (total, divergence) = match latent {
            None => (reconstruction, None),
            Some((mu, logvar, _)) => {
                let beta = tape.input("beta", &[], DType::F32);
                let terms = (logvar.add_scalar(1.0) - mu.square() - logvar.exp()).sum(&[1]).scale(-0.5);
                let divergence = (terms * weights).sum_all();
                let penalty = match objective.beta_control {
                    None => beta * divergence,
                    Some(gamma) => (beta - divergence).square().scale(gamma),
                };
                (reconstruction + penalty.scale(1.0 / pixels as f32), Some(divergence))
            }
        };
        let parameters = self.trained(tape);
        let values: Vec<Var<'t>> = parameters.iter().map(|p| p.1).collect();
        let mut gradients = match objective.loss_scale {
            Some(scale) => scale.gradients(tape, total, &values),
            None => tape.grad(total, &values),
        };
        if let Some(most) = objective.clip {
            gradients = clip_by_norm(tape, &gradients, most);
        }
        objective.adam.record(tape, &parameters, &gradients);
        if let Some(scale) = objective.loss_scale {
            scale.guard(tape, &gradients);
        }
        Losses { total, reconstruction, divergence }
    }

    /// Parameters on the tape that are trained: all but the random frequencies.
    pub fn trained<'t>(&self, tape: &'t Tape) -> Vec<(String, Var<'t>)> {
        let states = tape.states().into_iter().filter(|s| !s.name.ends_with("rand_freqs"));
        states.map(|s| (s.name, tape.var(s.node))).collect()
    }
}

fn shared_args(args: &ModelArgs) -> &SharedArgs {
    match args {
        ModelArgs::Vae(args) => &args.shared,
        ModelArgs::Decoder(args) => &args.shared,
    }
}

impl Decoder {
    fn new(args: &SharedArgs, side: usize, layers: usize, hidden: usize, zdim: usize) -> Result<Self> {
        let domain = match args.domain.as_str() {
            "fourier" => Domain::Fourier,
            "hartley" => Domain::Hartley,
            other => return Err(Error::usage(format!("domain {other:?}: choose fourier or hartley"))),
        };
        let count = args.pe_dim.unwrap_or(side / 2);
        let sigma = args.feat_sigma.unwrap_or(0.5) as f32;
        Ok(Decoder {
            domain,
            encoding: Encoding::from_name(&args.pe_type, count, sigma, side)?,
            mlp: Mlp {
                hidden,
                layers,
                output: if domain == Domain::Fourier { 2 } else { 1 },
                activation: Activation::from_name(&args.activation)?,
                residual: true,
            },
            zdim,
        })
    }
}
