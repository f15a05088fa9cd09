//! A run that was trained: its network and latents, without its particles.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{self, Checkpoint, Position};
use super::config::Config;
use super::evaluate::Evaluator;
use super::image::disc;
use super::model::Network;
use super::reference::{Origin, Reference};
use crate::device::Device;
use crate::io::npy::{self};
use crate::plan::Store;
use crate::{Error, Result};

pub struct Run {
    pub config: Config,
    pub reference: Reference,
    pub network: Network,
    pub store: Store,
    pub position: Position,
    /// Of the evaluation that is looked at.
    pub folder: PathBuf,
    /// `[n, z]`
    pub latents: Vec<f32>,
}

impl Run {
    /// The evaluation after `step` steps, or the last. The model is looked for as the configuration names it; `model`
    /// names another place.
    pub fn open(run: &Path, step: Option<u64>, model: Option<&Path>, device: Arc<dyn Device>) -> Result<Run> {
        let path = match step {
            None => checkpoint::latest(run),
            Some(step) => {
                checkpoint::steps(run).into_iter().find(|(at, _)| *at == step).map(|(_, path)| path)
            }
        };
        let Some(path) = path else {
            let there: Vec<String> = checkpoint::steps(run).iter().map(|(at, _)| at.to_string()).collect();
            let what = step.map_or("no checkpoint".into(), |step| format!("no checkpoint of step {step}"));
            let hint = if there.is_empty() {
                "is it the folder of a run?".into()
            } else {
                format!("there are {}", there.join(", "))
            };
            return Err(Error::usage(format!("there is {what} in {}; {hint}", run.display())));
        };
        let checkpoint = Checkpoint::read(&path)?;
        let config = checkpoint.config.clone();
        let (side, apix) = checkpoint.image;
        let origin = match config.dataset_attr.origin.as_str() {
            "" => Origin::Auto,
            name => Origin::from_name(name)?,
        };
        let model = model.unwrap_or(&config.dataset_attr.ref_pdb_path);
        let reference = Reference::read(model, origin, side as f64 * apix)?;
        let compared = disc(side, config.loss.mask_rad_for_image_loss);
        let network = Network::new(&config, &reference, side, apix, &compared)?;
        let store = Store::new(device, config.seed);
        checkpoint.load(&path, &network, &store)?;
        let folder = path.parent().unwrap_or(run).to_path_buf();
        let latents = read_latents(&folder.join("z.npy"), network.encoder.z)?;
        Ok(Run { config, reference, network, store, position: checkpoint.position, folder, latents })
    }

    pub fn evaluator(&self) -> Evaluator<'_> {
        Evaluator {
            network: &self.network,
            store: &self.store,
            batch: self.config.data_loader.val_batch_per_gpu,
        }
    }

    /// Number of latents.
    pub fn len(&self) -> usize {
        self.latents.len() / self.network.encoder.z.max(1)
    }

    pub fn is_empty(&self) -> bool {
        self.latents.is_empty()
    }
}

/// Latents `[n, width]` of a file.
pub fn read_latents(path: &Path, width: usize) -> Result<Vec<f32>> {
    let array = npy::read(path)?;
    let &[n, w] = array.shape.as_slice() else {
        return Err(Error::malformed(
            path,
            "",
            format!("has shape {:?}, not [particles, latent]", array.shape),
        ));
    };
    if w != width || n == 0 {
        let why = format!("holds {n} latents of {w} numbers; the network has {width}: is it of another run?");
        return Err(Error::malformed(path, "", why));
    }
    let values = array.to_f32();
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(Error::malformed(path, format!("row {}", at / w), "is not finite")),
        None => Ok(values),
    }
}
