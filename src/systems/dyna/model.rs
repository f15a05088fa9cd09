//! The network and its losses on the tape: particle image to latent, latent to structure, structure to image.

use super::config::Config;
use super::decoder::{Beads, Decoder, Motion};
use super::encoder::{Encoder, Kind, Posterior};
use super::graph::{Graph, blocks};
use super::image::{Projector, disagreement, filter};
use super::losses::{Part, Structural, divergence};
use super::modes::{self, Modes};
use super::reference::Reference;
use crate::Result;
use crate::nn::graph::pick;
use crate::tape::{Tape, Var};
use crate::tensor::{DType, Tensor};
use crate::train::Adam;

/// States that hold a whole stack and not the network.
pub const RESIDENT: &str = "resident.";
/// The input that says what the latents' divergence weighs in a step of the variational form.
pub const BETA: &str = "beta";

pub struct Network {
    pub encoder: Encoder,
    pub motion: Motion,
    pub projector: Projector,
    structural: Box<dyn Structural>,
    image_weight: f32,
    /// A latent's number costs no less.
    free_bits: f64,
    /// The reference's points, then what they carry, Å.
    places: Vec<[f64; 3]>,
    carriers: Vec<usize>,
    mask: Vec<f32>,
    /// What the reference forgot to train stays as it started.
    frozen_attention: bool,
}

/// What one batch brings.
#[derive(Clone, Copy)]
pub struct Inputs<'t> {
    /// `[B, D D]`
    pub images: Var<'t>,
    /// `[B, D, D]`
    pub targets: Var<'t>,
    /// `[B, D, D]`
    pub filters: Var<'t>,
    /// `[B, 3, 3]`
    pub rotations: Var<'t>,
}

/// The loss of a batch, and what it is the weighted sum of.
pub struct Losses<'t> {
    pub total: Var<'t>,
    pub parts: Vec<Part<'t>>,
}

impl<'t> Losses<'t> {
    /// The total, then its parts.
    pub fn named(&self) -> Vec<(&'static str, Var<'t>)> {
        let parts = self.parts.iter().map(|part| (part.name, part.value));
        std::iter::once(("total", self.total)).chain(parts).collect()
    }
}

impl Network {
    /// For images of `side` pixels of `apix` Å that are compared inside `mask`. Normal modes are put into its store.
    pub fn new(
        config: &Config,
        reference: &Reference,
        side: usize,
        apix: f64,
        mask: &[f32],
    ) -> Result<Network> {
        let encoder = config.encoder();
        encoder.check()?;
        let networks = &config.model.model_cfg;
        let motion = match config.extra_input_data_attr.nma_modes {
            0 => Motion::Free(free(reference, config.knn_num, networks.latent_dim)),
            count => Motion::Modes(Modes {
                hidden: networks.d_hidden_dim.clone(),
                count,
                places: reference.places.clone(),
            }),
        };
        let sigma = config.data_process.sigma;
        Ok(Network {
            frozen_attention: config.parity && encoder.kind == Kind::Attention,
            encoder,
            motion,
            projector: Projector {
                side,
                apix,
                tail: config.data_process.tail as f32,
                electrons: reference.scatterers().map(|s| s.electrons as f32).collect(),
                widths: reference.scatterers().map(|s| sigma.unwrap_or(s.width) as f32).collect(),
            },
            structural: config.structural(reference),
            image_weight: config.loss.gmm_cryoem_weight,
            free_bits: config.loss.free_bits,
            places: reference.scatterers().map(|s| s.place).collect(),
            carriers: reference.carried.iter().map(|c| c.by).collect(),
            mask: mask.to_vec(),
        })
    }

    /// Points that move.
    fn points(&self) -> usize {
        self.places.len() - self.carriers.len()
    }

    fn pixels(&self) -> usize {
        self.projector.side * self.projector.side
    }

    fn constant<'t>(tape: &'t Tape, places: &[[f64; 3]]) -> Var<'t> {
        let flat = places.iter().flatten().map(|&v| v as f32).collect();
        tape.constant(Tensor::f32(&[places.len(), 3, 1], flat))
    }

    /// Points shifted by `[N, B, 3]`: their places `[N, 3, B]`.
    fn shifted<'t>(&self, shifts: Var<'t>) -> Var<'t> {
        shifts.permute(&[0, 2, 1]) + Self::constant(shifts.tape(), &self.places[..self.points()])
    }

    /// Places of all that scatters, with what points carry.
    fn scatterers<'t>(&self, shifts: Var<'t>, places: Var<'t>) -> Var<'t> {
        if self.carriers.is_empty() {
            return places;
        }
        let carried = Self::constant(shifts.tape(), &self.places[self.points()..]);
        Var::concat(&[places, pick(shifts, &self.carriers).permute(&[0, 2, 1]) + carried], 0)
    }

    /// A batch that is fed, or picked by `index` `[B]` from the `resident` images of a stack.
    pub fn inputs<'t>(&self, tape: &'t Tape, batch: usize, resident: Option<usize>) -> Inputs<'t> {
        let (side, pixels) = (self.projector.side, self.pixels());
        let fed = |name: &str, shape: &[usize]| match resident {
            None => tape.input(name, shape, DType::F32),
            Some(count) => {
                let width = shape[1..].iter().product();
                let index = tape.input("index", &[batch], DType::I32);
                let table =
                    tape.state(&format!("{RESIDENT}{name}"), &[count, width], crate::tape::Init::Zeros);
                tape.special(crate::ops::gather::Gather, &[table, index]).reshape(shape)
            }
        };
        Inputs {
            images: fed("images", &[batch, pixels]),
            targets: fed("targets", &[batch, side, side]),
            filters: fed("filters", &[batch, side, side]),
            rotations: fed("rotations", &[batch, 3, 3]),
        }
    }

    /// Minus the correlation of each particle `[B]` with scatterers at places `[N, 3, B]`.
    pub fn disagreement<'t>(&self, inputs: &Inputs<'t>, scatterers: Var<'t>) -> Var<'t> {
        let side = self.projector.side;
        let mask = scatterers.tape().constant(Tensor::f32(&[side, side], self.mask.clone()));
        let images = filter(self.projector.project(scatterers, inputs.rotations), inputs.filters);
        disagreement(images, inputs.targets, mask)
    }

    /// Correlations `[B]` of the particles with the reference as it stands.
    pub fn correlation_with_reference<'t>(&self, inputs: &Inputs<'t>) -> Var<'t> {
        let tape = inputs.rotations.tape();
        let batch = inputs.rotations.dim(0);
        let places = Self::constant(tape, &self.places).expand(&[self.places.len(), 3, batch]);
        -self.disagreement(inputs, places)
    }

    /// Correlations `[B]` of the particles with the structures of latents `[B, z]`.
    pub fn correlation<'t>(&self, inputs: &Inputs<'t>, z: Var<'t>) -> Var<'t> {
        let shifts = self.motion.record(z);
        -self.disagreement(inputs, self.scatterers(shifts, self.shifted(shifts)))
    }

    /// What the microscope would see `[B, D, D]` of the structures of latents `[B, z]`.
    pub fn predicted<'t>(&self, inputs: &Inputs<'t>, z: Var<'t>) -> Var<'t> {
        let shifts = self.motion.record(z);
        let scatterers = self.scatterers(shifts, self.shifted(shifts));
        filter(self.projector.project(scatterers, inputs.rotations), inputs.filters)
    }

    /// The losses of latents `[B, z]`.
    pub fn losses<'t>(&self, inputs: &Inputs<'t>, z: Var<'t>) -> Losses<'t> {
        let shifts = self.motion.record(z);
        let places = self.shifted(shifts);
        let image = self.disagreement(inputs, self.scatterers(shifts, places)).mean_all();
        let mut parts = vec![Part { name: "image", weight: self.image_weight, value: image }];
        parts.extend(self.structural.parts(places));
        let total = parts.iter().map(|part| part.value.scale(part.weight)).reduce(|a, b| a + b);
        Losses { total: total.unwrap_or(image), parts }
    }

    /// A step of training on a batch; `key` draws what dropout leaves out and, as `beta` times what that costs, latents.
    pub fn training_step<'t>(
        &self,
        tape: &'t Tape,
        batch: usize,
        resident: Option<usize>,
        adam: &Adam,
    ) -> Losses<'t> {
        let inputs = self.inputs(tape, batch, resident);
        let key = tape.input("key", &[4], DType::I32);
        let posterior = self.encoder.posterior(inputs.images, None, Some(key));
        let mut losses = self.losses(&inputs, posterior.draw(key));
        if let Posterior { mean, log_variance: Some(log_variance) } = posterior {
            let value = divergence(mean, log_variance, self.free_bits);
            let weight = 1.0 / self.mask.iter().sum::<f32>().max(1.0);
            let beta = tape.input(BETA, &[], DType::F32);
            losses.total = losses.total + (value * beta).scale(weight);
            losses.parts.push(Part { name: "kl", weight, value });
        }
        self.update(tape, losses.total, adam);
        losses
    }

    /// A step that learns to predict no motion: mean squared shift.
    pub fn still_step<'t>(
        &self,
        tape: &'t Tape,
        batch: usize,
        resident: Option<usize>,
        adam: &Adam,
    ) -> Var<'t> {
        let inputs = self.inputs(tape, batch, resident);
        let key = tape.input("key", &[4], DType::I32);
        let z = self.encoder.posterior(inputs.images, None, Some(key)).draw(key);
        let loss = self.motion.record(z).square().mean_all();
        self.update(tape, loss, adam);
        loss
    }

    fn update<'t>(&self, tape: &'t Tape, loss: Var<'t>, adam: &Adam) {
        let parameters = self.trained(tape);
        let values: Vec<Var<'t>> = parameters.iter().map(|p| p.1).collect();
        let gradients = tape.grad(loss, &values);
        adam.record(tape, &parameters, &gradients);
    }

    /// Latents of the inputs `images` `[B, D D]` and `present` `[B]`.
    pub fn encoding<'t>(&self, tape: &'t Tape, batch: usize) -> Posterior<'t> {
        let images = tape.input("images", &[batch, self.pixels()], DType::F32);
        self.encoder.posterior(images, Some(tape.input("present", &[batch], DType::F32)), None)
    }

    /// The points' places `[B, N, 3]` of the input `z` `[B, z]`.
    pub fn decoding<'t>(&self, tape: &'t Tape, batch: usize) -> Var<'t> {
        let z = tape.input("z", &[batch, self.encoder.z], DType::F32);
        self.shifted(self.motion.record(z)).permute(&[2, 0, 1])
    }

    /// Declares every parameter.
    pub fn declare(&self, tape: &Tape) {
        self.encoding(tape, 1);
        self.decoding(tape, 1);
    }

    fn trained<'t>(&self, tape: &'t Tape) -> Vec<(String, Var<'t>)> {
        let forgotten = ["encoder.attn_layers.", "encoder.post_norm."];
        let stays = |name: &str| {
            name.starts_with(RESIDENT)
                || name == modes::STATE
                || self.frozen_attention && forgotten.iter().any(|part| name.starts_with(part))
        };
        let states = tape.states().into_iter().filter(|s| !stays(&s.name));
        states.map(|s| (s.name, tape.var(s.node))).collect()
    }
}

/// A decoder that shifts each point of a reference.
fn free(reference: &Reference, neighbours: usize, width: usize) -> Decoder {
    let residues = reference.backbone(&reference.places);
    let graph = Graph::new(&residues, &reference.residue_chains(), blocks(reference), neighbours);
    let beads = reference.beads.as_ref().map(|beads| Beads {
        to_residue: (0..reference.len())
            .map(|i| {
                let (here, there) = (reference.places[i], residues[beads.residue_of[i]]);
                [0, 1, 2].map(|k| there[k] - here[k])
            })
            .collect(),
        residue_of: beads.residue_of.clone(),
    });
    Decoder::new(graph, beads, width)
}
