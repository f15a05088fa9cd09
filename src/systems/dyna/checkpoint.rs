//! Checkpoints that `torch.load` opens: weights under CryoDyna's names, the optimiser, and where the run stood.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::model::Network;
use crate::io::npy::Array;
use crate::io::pickle::Value;
use crate::io::torch;
use crate::plan::Store;
use crate::tape::{State, Tape};
use crate::tensor::Tensor;
use crate::train::optimiser;
use crate::{Error, Result};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Epochs done.
    pub epoch: usize,
    /// Optimiser steps done: the random counter.
    pub step: u64,
    pub images: usize,
    pub history: Vec<EpochLosses>,
}

/// Means over the steps of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLosses {
    pub epoch: usize,
    pub total: f64,
    /// What the total is the weighted sum of, by name.
    pub parts: Vec<(String, f64)>,
    pub images_per_second: f64,
}

pub struct Checkpoint {
    pub config: Config,
    pub position: Position,
    /// Pixels along an axis of the images, and Å a pixel.
    pub image: (usize, f64),
    tree: Value,
}

fn parameters(network: &Network) -> Vec<State> {
    let tape = Tape::new();
    network.declare(&tape);
    tape.states()
}

pub fn save(
    path: &Path,
    config: &Config,
    network: &Network,
    store: &Store,
    position: &Position,
) -> Result<()> {
    let held = |name: &str| -> Result<Value> {
        let tensor = store.get(name)?;
        Ok(Value::Array(Array::f32(&tensor.shape, tensor.to_f32())?))
    };
    let (mut weights, mut moments) = (vec![], vec![]);
    for state in parameters(network) {
        weights.push((Value::str(&state.name), held(&state.name)?));
        for moment in optimiser::moments(&state.name) {
            if let Ok(value) = held(&moment) {
                moments.push((Value::str(moment), value));
            }
        }
    }
    let image = (network.projector.side, network.projector.apix);
    let numbers =
        |values: &[f32]| Ok::<_, Error>(Value::Array(Array::f32(&[values.len()], values.to_vec())?));
    let text =
        |value: serde_json::Result<String>| value.map(Value::str).map_err(|e| Error::usage(e.to_string()));
    let tree = vec![
        (Value::str("model"), Value::Dict(weights)),
        (Value::str("gmm_sigmas"), numbers(&network.projector.widths)?),
        (Value::str("gmm_amps"), numbers(&network.projector.electrons)?),
        (Value::str("adam"), Value::Dict(moments)),
        (Value::str("kinesome_config"), text(serde_json::to_string(config))?),
        (Value::str("kinesome_position"), text(serde_json::to_string(position))?),
        (Value::str("kinesome_image"), text(serde_json::to_string(&image))?),
    ];
    torch::write(path, &Value::Dict(tree))
}

impl Checkpoint {
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let tree = torch::read(path)?;
        let config = json(path, &tree, "kinesome_config")?;
        let position = json(path, &tree, "kinesome_position")?;
        let image = json(path, &tree, "kinesome_image")?;
        Ok(Checkpoint { config, position, image, tree })
    }

    /// Puts weights and the optimiser's state into a store.
    pub fn load(&self, path: &Path, network: &Network, store: &Store) -> Result<()> {
        let part = |name: &str| self.tree.get(name).unwrap_or(&Value::None);
        let set = |name: &str, value: &Value, shape: &[usize]| {
            let bad = |why: String| Error::malformed(path, name.to_string(), why);
            let Value::Array(array) = value else { return Err(bad(format!("holds {}", value.kind()))) };
            if array.shape != shape {
                return Err(bad(format!("has shape {:?}, the network needs {shape:?}", array.shape)));
            }
            store.set(name, &Tensor::f32(shape, array.to_f32()))
        };
        for state in parameters(network) {
            let (name, shape) = (&state.name, &state.meta.shape);
            let value = part("model").get(name).ok_or_else(|| {
                Error::malformed(path, name.clone(), "is not in this checkpoint: is it of another network?")
            })?;
            set(name, value, shape)?;
            for moment in optimiser::moments(name) {
                if let Some(value) = part("adam").get(&moment) {
                    set(&moment, value, shape)?;
                }
            }
        }
        Ok(())
    }
}

fn json<T: serde::de::DeserializeOwned>(path: &Path, tree: &Value, key: &str) -> Result<T> {
    let text = tree
        .get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| Error::malformed(path, key, "is missing: kinesome did not write this checkpoint"))?;
    serde_json::from_str(text).map_err(|e| Error::malformed(path, key, e.to_string()))
}

/// The folder of an evaluation: `0005_0000230`, epoch and step.
pub fn folder_name(position: &Position) -> String {
    format!("{:04}_{:07}", position.epoch, position.step)
}

/// The checkpoints of a run's folder by the number of steps.
pub fn steps(run: &Path) -> Vec<(u64, PathBuf)> {
    let steps = |name: &str| -> Option<u64> {
        let (epoch, step) = name.split_once('_')?;
        epoch.parse::<u64>().ok()?;
        step.parse().ok()
    };
    let entries = std::fs::read_dir(run).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let step = steps(entry.file_name().to_str()?)?;
        let path = entry.path().join("ckpt.pt");
        path.is_file().then_some((step, path))
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    found
}

/// The checkpoint of the most steps in a run's folder.
pub fn latest(run: &Path) -> Option<PathBuf> {
    steps(run).pop().map(|(_, path)| path)
}
