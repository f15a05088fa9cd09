//! A run's folder: checkpoints that cryoDRGN opens, and beside each what it cannot hold.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{AdamState, Checkpoint, Moments, Tensor as Stored};
use super::model::Network;
use crate::io::atomic;
use crate::plan::Store;
use crate::tape::Tape;
use crate::tensor::{Data, Tensor};
use crate::train::{Adam, optimiser};
use crate::{Error, Result};

/// What a checkpoint cannot say about where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Epochs done.
    pub epoch: usize,
    /// Optimiser steps done: the random counter.
    pub step: u64,
    pub seed: u64,
    pub shuffle_seed: u64,
    pub batch: usize,
    pub images: usize,
    /// Losses of the epochs done.
    pub history: Vec<EpochLosses>,
    /// Factor and good steps of a loss scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<[f32; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLosses {
    pub epoch: usize,
    pub reconstruction: f64,
    pub divergence: f64,
    pub total: f64,
    pub images_per_second: f64,
}

/// `weights.N.pkl`, or `weights.pkl` for the last.
pub fn weights_path(folder: &Path, epoch: Option<usize>) -> PathBuf {
    numbered(folder, "weights", epoch, "pkl")
}

pub fn latents_path(folder: &Path, epoch: Option<usize>) -> PathBuf {
    numbered(folder, "z", epoch, "pkl")
}

pub fn numbered(folder: &Path, stem: &str, epoch: Option<usize>, ending: &str) -> PathBuf {
    match epoch {
        Some(n) => folder.join(format!("{stem}.{n}.{ending}")),
        None => folder.join(format!("{stem}.{ending}")),
    }
}

/// Beside `weights.N.pkl`.
pub fn position_path(weights: &Path) -> PathBuf {
    weights.with_extension("resume.json")
}

/// The newest checkpoint of a folder that has its position beside it.
pub fn latest(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).ok()?.flatten().filter_map(|e| e.file_name().into_string().ok());
    let epochs =
        names.filter_map(|n| n.strip_prefix("weights.")?.strip_suffix(".pkl")?.parse::<usize>().ok());
    let mut epochs: Vec<usize> = epochs.collect();
    epochs.sort_unstable();
    let paths = epochs.into_iter().rev().map(|n| weights_path(folder, Some(n)));
    paths.into_iter().find(|p| position_path(p).is_file())
}

/// Parameters of a network in the order of cryoDRGN's model.
fn parameters(network: &Network) -> Vec<(String, Vec<usize>)> {
    let tape = Tape::new();
    network.declare(&tape);
    tape.states().into_iter().map(|s| (s.name, s.meta.shape)).collect()
}

/// Writes a checkpoint: the position first, so that weights without it never count.
pub fn save(
    path: &Path,
    network: &Network,
    store: &Store,
    adam: &Adam,
    norm: Option<[f64; 2]>,
    position: &Position,
) -> Result<()> {
    let held = |name: &str| -> Result<Stored> {
        let tensor = store.get(name)?;
        Ok(Stored { shape: tensor.shape.clone(), data: tensor.to_f32() })
    };
    let mut model = vec![];
    let mut all_moments = vec![];
    for (name, _) in parameters(network) {
        let [first, second] = optimiser::moments(&name);
        all_moments.push(match (held(&first), held(&second)) {
            (Ok(exp_avg), Ok(exp_avg_sq)) => {
                Some(Moments { step: position.step as i64, exp_avg, exp_avg_sq })
            }
            _ => None,
        });
        model.push((name.clone(), held(&name)?));
    }
    let state = AdamState {
        lr: adam.lr,
        betas: adam.betas,
        eps: adam.epsilon,
        weight_decay: adam.weight_decay,
        amsgrad: false,
        moments: all_moments,
    };
    let text = serde_json::to_vec_pretty(position).map_err(|e| Error::usage(e.to_string()))?;
    atomic::write(&position_path(path), |to| to.write_all(&text))?;
    Checkpoint { epoch: position.epoch as i64, model, adam: Some(state), norm }.write(path)
}

/// Puts a checkpoint's parameters, and with `moments` its optimiser, into the store.
pub fn load(path: &Path, network: &Network, store: &Store, moments: bool) -> Result<Checkpoint> {
    let checkpoint = Checkpoint::read(path)?;
    let put = |name: &str, stored: &Stored| {
        store.set(name, &Tensor { shape: stored.shape.clone(), data: Data::F32(stored.data.clone()) })
    };
    for (name, shape) in parameters(network) {
        let found = checkpoint.get(&name).ok_or_else(|| {
            Error::malformed(path, name.clone(), "is not in this checkpoint: does config.yaml belong to it?")
        })?;
        if found.shape != shape {
            let problem = format!("has shape {:?}, the network of config.yaml needs {shape:?}", found.shape);
            return Err(Error::malformed(path, name, problem));
        }
        put(&name, found)?;
    }
    if let (true, Some(adam)) = (moments, &checkpoint.adam) {
        for ((name, _), held) in checkpoint.model.iter().zip(&adam.moments) {
            if let Some(held) = held {
                let [first, second] = optimiser::moments(name);
                put(&first, &held.exp_avg)?;
                put(&second, &held.exp_avg_sq)?;
            }
        }
    }
    Ok(checkpoint)
}

/// Where the run of a checkpoint stood; for one that cryoDRGN wrote, as far as it can be told.
pub fn read_position(weights: &Path, checkpoint: &Checkpoint) -> Result<Position> {
    let path = position_path(weights);
    if path.is_file() {
        let bytes = std::fs::read(&path).map_err(|e| Error::os("read", &path, e))?;
        return serde_json::from_slice(&bytes).map_err(|e| Error::malformed(&path, "", e.to_string()));
    }
    let step = checkpoint.adam.iter().flat_map(|a| a.moments.iter().flatten()).map(|m| m.step).max();
    Ok(Position {
        epoch: checkpoint.epoch.max(0) as usize,
        step: step.unwrap_or(0).max(0) as u64,
        seed: 0,
        shuffle_seed: 0,
        batch: 0,
        images: 0,
        history: vec![],
        loss_scale: None,
    })
}
