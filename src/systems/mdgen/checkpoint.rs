//! Checkpoints: one file that `torch.load` opens, with the weights under the reference's names and, beside them, what
//! a run needs to go on to the same bits. The reference's own (PyTorch Lightning) are read as well.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::model::Network;
use super::reference;
use crate::io::npy::Array;
use crate::io::pickle::Value;
use crate::io::torch;
use crate::plan::Store;
use crate::tape::{State, Tape};
use crate::tensor::Tensor;
use crate::train::optimiser;
use crate::{Error, Result};

/// What the reference writes in front of each name.
const PREFIX: &str = "model.";

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Epochs done.
    pub epoch: usize,
    /// Optimiser steps done: the random counter.
    pub step: u64,
    pub seed: u64,
    pub batch: usize,
    /// Batches of an update.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Windows of an epoch.
    pub windows: usize,
    pub history: Vec<EpochLoss>,
}

fn one() -> usize {
    1
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLoss {
    pub epoch: usize,
    pub train: f64,
    /// On the windows held out, where there are any.
    pub held_out: Option<f64>,
    pub windows_per_second: f64,
}

pub struct Checkpoint {
    pub config: Config,
    /// None in what another program wrote.
    pub position: Option<Position>,
    tree: Value,
}

/// Parameters of a network.
fn parameters(network: &Network) -> Vec<State> {
    let tape = Tape::new();
    network.declare(&tape);
    tape.states()
}

/// With the `position` of a run that may go on, or without one.
pub fn save(path: &Path, network: &Network, store: &Store, position: Option<&Position>) -> Result<()> {
    let held = |name: &str| -> Result<Value> {
        let tensor = store.get(name)?;
        Ok(Value::Array(Array::f32(&tensor.shape, tensor.to_f32())?))
    };
    let (mut weights, mut average, mut moments) = (vec![], vec![], vec![]);
    for state in parameters(network) {
        let name = &state.name;
        weights.push((Value::str(format!("{PREFIX}{name}")), held(name)?));
        if let Ok(value) = held(&format!("ema.{name}")) {
            average.push((Value::str(name), value));
        }
        for moment in optimiser::moments(name) {
            if let Ok(value) = held(&moment) {
                moments.push((Value::str(moment), value));
            }
        }
    }
    let text =
        |value: serde_json::Result<String>| value.map(Value::str).map_err(|e| Error::usage(e.to_string()));
    let (epoch, step) = position.map_or((0, 0), |p| (p.epoch as i64, p.step as i64));
    let mut tree = vec![
        (Value::str("epoch"), Value::Int(epoch)),
        (Value::str("global_step"), Value::Int(step)),
        (Value::str("state_dict"), Value::Dict(weights)),
        (Value::str("ema"), Value::Dict(average)),
        (Value::str("adam"), Value::Dict(moments)),
        (Value::str("kinesome_config"), text(serde_json::to_string(&network.config))?),
    ];
    if let Some(position) = position {
        tree.push((Value::str("kinesome_position"), text(serde_json::to_string(position))?));
    }
    torch::write(path, &Value::Dict(tree))
}

/// Writes what MDGen's own scripts load: Lightning's form, with the arrays that stand beside the weights there.
pub fn export(path: &Path, network: &Network, store: &Store) -> Result<()> {
    reference::check(&network.config)?;
    let names: Vec<String> = parameters(network).into_iter().map(|state| state.name).collect();
    let mut weights = vec![];
    for name in &names {
        let tensor = store.get(name)?;
        weights.push((name.clone(), Array::f32(&tensor.shape, tensor.to_f32())?));
    }
    weights.extend(reference::buffers(network, &names, |name| store.get(name))?);
    let weights =
        weights.into_iter().map(|(name, array)| (Value::str(format!("{PREFIX}{name}")), Value::Array(array)));
    let tree = vec![
        ("epoch", Value::Int(0)),
        ("global_step", Value::Int(0)),
        ("pytorch-lightning_version", Value::str("2.0.4")),
        ("state_dict", Value::Dict(weights.collect())),
        ("hparams_name", Value::str("kwargs")),
        ("hyper_parameters", Value::Dict(vec![(Value::str("args"), reference::flags(&network.config))])),
    ];
    torch::write(path, &Value::Dict(tree.into_iter().map(|(key, value)| (Value::str(key), value)).collect()))
}

impl Checkpoint {
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let tree = torch::read(path)?;
        let json = |key: &str| tree.get(key).and_then(Value::as_str);
        let config = match json("kinesome_config") {
            Some(text) => serde_json::from_str(text)
                .map_err(|e| Error::malformed(path, "kinesome_config", e.to_string()))?,
            None => reference::config(path, &tree)?,
        };
        config.check()?;
        let position = match json("kinesome_position") {
            Some(text) => Some(
                serde_json::from_str(text)
                    .map_err(|e| Error::malformed(path, "kinesome_position", e.to_string()))?,
            ),
            None => None,
        };
        Ok(Checkpoint { config, position, tree })
    }

    /// Puts the weights into a store, those of the moving average where `average` asks for them and they are there;
    /// with `moments` the optimiser's state too.
    pub fn load(
        &self,
        path: &Path,
        network: &Network,
        store: &Store,
        average: bool,
        moments: bool,
    ) -> Result<()> {
        let part = |name: &str| self.tree.get(name).unwrap_or(&Value::None);
        let set = |name: &str, value: &Value, shape: &[usize]| {
            let bad = |why: String| Error::malformed(path, name.to_string(), why);
            let Value::Array(array) = value else { return Err(bad(format!("holds {}", value.kind()))) };
            if array.len() != shape.iter().product::<usize>() {
                return Err(bad(format!("has shape {:?}, the network needs {shape:?}", array.shape)));
            }
            if !array.is_float() {
                return Err(bad("holds no floating-point numbers".into()));
            }
            store.set(name, &Tensor::f32(shape, array.to_f32()))
        };
        for state in parameters(network) {
            let (name, shape) = (&state.name, &state.meta.shape);
            let plain = part("state_dict").get(&format!("{PREFIX}{name}"));
            let value = part("ema").get(name).filter(|_| average).or(plain);
            let value = value.ok_or_else(|| {
                Error::malformed(
                    path,
                    name.clone(),
                    "is not in this checkpoint: does it hold this task's network?",
                )
            })?;
            set(name, value, shape)?;
            if moments {
                if let Some(value) = part("ema").get(name) {
                    set(&format!("ema.{name}"), value, shape)?;
                }
                for moment in optimiser::moments(name) {
                    if let Some(value) = part("adam").get(&moment) {
                        set(&moment, value, shape)?;
                    }
                }
            }
        }
        Ok(())
    }
}
