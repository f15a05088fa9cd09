//! A trained model at work: latents of images, losses of images, volumes of latents.

use std::path::Path;

use super::config::Config;
use super::data::{Images, resolve};
use super::files::{Checkpoint, CtfTable, Latents};
use super::model::{Domain, Network};
use super::run;
use crate::cryo::fft::Hartley3;
use crate::cryo::fft::desymmetrise3;
use crate::cryo::lattice::Lattice;
use crate::plan::{Options, Step, Store};
use crate::tape::{Tape, Var};
use crate::tensor::{DType, Tensor};
use crate::train::{prefetch, random_key};
use crate::{Error, Result, device, interrupt};

/// Images of one replay when only the encoder runs.
const BATCH: usize = 64;
/// Points of one replay of the decoder.
const POINTS: usize = 8192;

/// A trained network: `config.yaml` and one checkpoint.
pub struct Model {
    pub config: Config,
    pub network: Network,
    pub store: Store,
    /// The checkpoint; its parameters are in the store.
    pub checkpoint: Checkpoint,
}

impl Model {
    pub fn load(config: &Path, weights: &Path, device: &str) -> Result<Model> {
        let mut config = Config::read(config)?;
        let network = Network::new(&config)?;
        let store = Store::new(device::open(device)?, 0);
        let checkpoint = run::load(weights, &network, &store, false)?;
        // A decoder's own norm stands in its checkpoint.
        if let Some(norm) = checkpoint.norm {
            config.dataset_args.norm = norm;
        }
        Ok(Model { config, network, store, checkpoint })
    }

    pub fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(&self.network, &self.store)
    }

    pub fn norm(&self) -> (f32, f32) {
        let [mean, std] = self.config.dataset_args.norm;
        (mean as f32, std as f32)
    }

    /// Å/px of the model's own box, from the run's ctf.pkl.
    pub fn apix(&self, folder: &Path) -> Option<f64> {
        let path = resolve(self.config.dataset_args.ctf.as_ref()?, folder);
        let table = CtfTable::read(&path).ok()?;
        let row = table.rows.first()?;
        Some(row[0] as f64 * row[1] as f64 / (self.network.side - 1) as f64)
    }
}

pub struct Evaluator<'a> {
    network: &'a Network,
    store: &'a Store,
}

/// Losses of a set of images, means over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageLosses {
    pub total: f64,
    pub reconstruction: f64,
    pub divergence: f64,
}

impl<'a> Evaluator<'a> {
    pub fn new(network: &'a Network, store: &'a Store) -> Self {
        Evaluator { network, store }
    }

    /// Mean and log-variance of every image's latent. `progress` hears how many are done.
    pub fn latents(&self, images: &Images, mut progress: impl FnMut(usize)) -> Result<Latents> {
        let encoder = self
            .network
            .encoder
            .ok_or_else(|| Error::usage("this model has no encoder, so images have no latents"))?;
        let tape = Tape::new();
        let shape = [BATCH, self.network.mask_len()];
        let (input, ctf) = (tape.input("images", &shape, DType::F32), tape.input("ctf", &shape, DType::F32));
        let (mu, logvar) = self.network.encode(&encoder, input * ctf.sign());
        let mut step = Step::new(self.store, &tape, &[("mu", mu), ("logvar", logvar)], Options::default())?;
        let dim = self.network.zdim();
        let (mut all_mu, mut all_logvar) = (vec![], vec![]);
        let order: Vec<usize> = (0..images.len()).collect();
        prefetch(
            &order,
            BATCH,
            |indices| images.batch(indices, BATCH),
            |indices, batch| {
                interrupt::check()?;
                step.run(&batch.feeds())?;
                all_mu.extend_from_slice(&step.fetch("mu")?.to_f32()[..indices.len() * dim]);
                all_logvar.extend_from_slice(&step.fetch("logvar")?.to_f32()[..indices.len() * dim]);
                progress(all_mu.len() / dim);
                Ok(())
            },
        )?;
        Ok(Latents { dim, mu: all_mu, logvar: Some(all_logvar) })
    }

    /// Losses of all images, each at the mean of its latent, with the divergence weighed by `beta`.
    pub fn losses(&self, images: &Images, batch: usize, beta: f64) -> Result<ImageLosses> {
        let tape = Tape::new();
        let pixels = self.network.mask_len();
        let input = tape.input("images", &[batch, pixels], DType::F32);
        let ctf = tape.input("ctf", &[batch, pixels], DType::F32);
        let rotations = tape.input("rotations", &[batch, 3, 3], DType::F32);
        let weights = tape.input("weights", &[batch], DType::F32);
        let latent = self.network.encoder.map(|encoder| self.network.encode(&encoder, input * ctf.sign()));
        let predicted = self.network.slices(rotations, latent.map(|l| l.0)) * ctf;
        let each = (predicted - input).square().sum(&[1]).scale(1.0 / pixels as f32);
        let mut outputs = vec![("reconstruction", (each * weights).sum_all())];
        if let Some((mu, logvar)) = latent {
            let terms = (logvar.add_scalar(1.0) - mu.square() - logvar.exp()).sum(&[1]).scale(-0.5);
            outputs.push(("divergence", (terms * weights).sum_all()));
        }
        let mut step = Step::new(self.store, &tape, &outputs, Options::default())?;
        let mut sum = ImageLosses::default();
        let order: Vec<usize> = (0..images.len()).collect();
        prefetch(
            &order,
            batch,
            |indices| images.batch(indices, batch),
            |indices, prepared| {
                interrupt::check()?;
                let mut feeds = prepared.feeds().to_vec();
                let key = random_key(0, 0);
                feeds.push(("key", &key));
                step.run(&feeds)?;
                sum.reconstruction += step.number("reconstruction")? as f64 * indices.len() as f64;
                if latent.is_some() {
                    sum.divergence += step.number("divergence")? as f64 * indices.len() as f64;
                }
                Ok(())
            },
        )?;
        let n = images.len().max(1) as f64;
        let (reconstruction, divergence) = (sum.reconstruction / n, sum.divergence / n);
        Ok(ImageLosses {
            reconstruction,
            divergence,
            total: reconstruction + beta * divergence / pixels as f64,
        })
    }

    /// A decoder ready to make volumes of side `side` (at most the model's box, even): a smaller one is a
    /// Fourier crop, coarser pixels over the same field of view.
    pub fn volumes(&self, side: Option<usize>) -> Result<VolumeDecoder> {
        let n = self.network.side - 1;
        let side = side.unwrap_or(n);
        if side > n || side < 2 || side % 2 == 1 {
            return Err(Error::usage(format!(
                "volumes of {side} voxels a side: give an even number up to the box, {n}"
            )));
        }
        let lattice = Lattice::new(side + 1, 0.5 * side as f64 / n as f64)?;
        let domain = self.network.decoder.domain;
        let (points, voxels) = wanted(domain, &lattice);
        let sampler = Sampler::new(self.store, self.network.zdim(), points, |points, z| {
            self.network.evaluate(points, z)
        })?;
        Ok(VolumeDecoder { sampler, domain, side: lattice.side(), voxels })
    }
}

/// A coordinate network that is asked for its values at the same points again and again.
pub struct Sampler {
    step: Step,
    zdim: usize,
    points: Vec<[f32; 3]>,
}

impl Sampler {
    /// `record` makes values `[1, N, ..]` of points `[1, N, 3]` and a latent `[1, zdim]`.
    pub fn new(
        store: &Store,
        zdim: usize,
        points: Vec<[f32; 3]>,
        record: impl for<'t> FnOnce(Var<'t>, Option<Var<'t>>) -> Var<'t>,
    ) -> Result<Sampler> {
        let tape = Tape::new();
        let input = tape.input("points", &[1, POINTS, 3], DType::F32);
        let z = (zdim > 0).then(|| tape.input("z", &[1, zdim], DType::F32));
        let value = record(input, z);
        Ok(Sampler { step: Step::new(store, &tape, &[("value", value)], Options::default())?, zdim, points })
    }

    /// The values at all points for latent `z`.
    pub fn values(&mut self, z: &[f32]) -> Result<Vec<f32>> {
        if z.len() != self.zdim {
            return Err(Error::usage(format!(
                "this model has {} latent variables, the value given has {}",
                self.zdim,
                z.len()
            )));
        }
        let latent = Tensor::f32(&[1, self.zdim], z.to_vec());
        let mut values = vec![];
        for points in self.points.chunks(POINTS) {
            interrupt::check()?;
            let mut flat = points.as_flattened().to_vec();
            flat.resize(3 * POINTS, 0.0);
            self.step.run(&[("points", &Tensor::f32(&[1, POINTS, 3], flat)), ("z", &latent)])?;
            let found = self.step.fetch("value")?.to_f32();
            values.extend_from_slice(&found[..points.len() * (found.len() / POINTS)]);
        }
        Ok(values)
    }
}

pub struct VolumeDecoder {
    sampler: Sampler,
    domain: Domain,
    side: usize,
    voxels: Vec<Voxel>,
}

/// Where a point stands in the D^3 transform, and its mirror point.
type Voxel = (usize, Option<usize>);

/// The points that a volume's transform is made of.
fn wanted(domain: Domain, lattice: &Lattice) -> (Vec<[f32; 3]>, Vec<Voxel>) {
    let d = lattice.side();
    let axis = lattice.axis();
    let extent = lattice.extent() as f32;
    let (mut points, mut voxels) = (vec![], vec![]);
    for (iz, &z) in axis.iter().enumerate() {
        for (iy, &y) in axis.iter().enumerate() {
            for (ix, &x) in axis.iter().enumerate() {
                let voxel = (iz * d + iy) * d + ix;
                match domain {
                    Domain::Hartley => {
                        points.push([x, y, z]);
                        voxels.push((voxel, None));
                    }
                    Domain::Fourier => {
                        let inside = (x * x + y * y + z * z).sqrt() <= extent;
                        let mirror = d * d * d - 1 - voxel;
                        // One of each pair: below the middle plane, or in the first half of it.
                        if inside && voxel <= mirror {
                            points.push([x, y, z]);
                            voxels.push((voxel, Some(mirror)));
                        }
                    }
                }
            }
        }
    }
    (points, voxels)
}

impl VolumeDecoder {
    /// The volume of latent `z`, `[side, side, side]` (z, y, x), in the units of the images:
    /// `norm` is (mean, std) of the transforms.
    pub fn decode(&mut self, z: &[f32], norm: (f32, f32)) -> Result<Vec<f32>> {
        let d = self.side;
        let mut transform = vec![0.0; d * d * d];
        let values = self.sampler.values(z)?;
        for (i, &(voxel, mirror)) in self.voxels.iter().enumerate() {
            match self.domain {
                Domain::Hartley => transform[voxel] = values[i],
                Domain::Fourier => {
                    let (re, im) = (values[2 * i], values[2 * i + 1]);
                    transform[voxel] = re - im;
                    if let Some(mirror) = mirror.filter(|&m| m != voxel) {
                        transform[mirror] = re + im;
                    }
                }
            }
        }
        let (mean, std) = norm;
        transform.iter_mut().for_each(|v| *v = *v * std + mean);
        let mut volume = desymmetrise3(&transform, d)?;
        Hartley3::new(d - 1).inverse(&mut volume)?;
        Ok(volume)
    }
}
