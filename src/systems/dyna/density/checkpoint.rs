//! Checkpoints: the network under CryoDyna's names, and beside it what a run needs to go on and a map to have its size.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::decoder::{Decoder, FIXED};
use super::evaluate::Scale;
use crate::io::pickle::Value;
use crate::io::torch;
use crate::plan::Store;
use crate::systems::dyna::checkpoint::{latest, steps};
use crate::tape::{State, Tape};
use crate::train::checkpoint;
use crate::{Error, Result};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Epochs done.
    pub epoch: usize,
    /// Optimiser steps done.
    pub step: u64,
    pub images: usize,
    pub history: Vec<EpochLoss>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLoss {
    pub epoch: usize,
    /// Mean over the images.
    pub loss: f64,
    pub images_per_second: f64,
}

pub struct Checkpoint {
    path: PathBuf,
    tree: Value,
    pub decoder: Decoder,
    /// None in what the reference wrote.
    pub scale: Option<Scale>,
}

fn parameters(decoder: &Decoder) -> Vec<State> {
    let tape = Tape::new();
    decoder.declare(&tape);
    tape.states()
}

pub fn save(
    path: &Path,
    config: &Config,
    decoder: &Decoder,
    store: &Store,
    scale: &Scale,
    position: &Position,
) -> Result<()> {
    let more = vec![
        ("kinesome_scale", checkpoint::text(scale)?),
        ("kinesome_config", checkpoint::text(config)?),
        ("kinesome_position", checkpoint::text(position)?),
    ];
    checkpoint::save(path, &parameters(decoder), store, more)
}

/// The checkpoint that a path means: a file, the folder of an evaluation, or a run's folder, there the newest or that
/// of a step.
pub fn find(path: &Path, step: Option<u64>) -> Result<PathBuf> {
    let direct = path.join("ckpt.pt");
    let found = match step {
        _ if path.is_file() => Some(path.into()),
        Some(step) => steps(path).into_iter().find(|(at, _)| *at == step).map(|(_, path)| path),
        None if direct.is_file() => Some(direct),
        None => latest(path),
    };
    found.ok_or_else(|| {
        let what = step.map_or("no ckpt.pt".into(), |step| format!("no checkpoint of step {step}"));
        Error::usage(format!("there is {what} in {}: is it the folder of a run?", path.display()))
    })
}

impl Checkpoint {
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let tree = torch::read(path)?;
        let shape = |name: &str| match checkpoint::weights(&tree).get(name) {
            Some(Value::Array(array)) if array.shape.len() == 2 => Ok([array.shape[0], array.shape[1]]),
            _ => Err(Error::malformed(path, name, "is missing: this is no checkpoint of a density stage")),
        };
        let [waves, _] = shape(FIXED)?;
        let [hidden, inputs] = shape("net.net.0.weight")?;
        let side = waves / 3;
        let z = inputs.saturating_sub(6 * side + 3);
        if side < 2 || !side.is_multiple_of(2) || hidden == 0 || z == 0 {
            let why =
                format!("{waves} directions and a first layer of {hidden} x {inputs} fit no density network");
            return Err(Error::malformed(path, "", why));
        }
        let scale = match tree.get("kinesome_scale") {
            Some(_) => Some(checkpoint::parse(path, &tree, "kinesome_scale")?),
            None => None,
        };
        Ok(Checkpoint { decoder: Decoder { side, hidden, z }, scale, path: path.into(), tree })
    }

    pub fn config(&self) -> Result<Config> {
        checkpoint::parse(&self.path, &self.tree, "kinesome_config")
    }

    pub fn position(&self) -> Result<Position> {
        checkpoint::parse(&self.path, &self.tree, "kinesome_position")
    }

    /// Puts weights and the optimiser's state into a store.
    pub fn load(&self, store: &Store) -> Result<()> {
        checkpoint::load(&self.path, &self.tree, &parameters(&self.decoder), store)
    }
}
