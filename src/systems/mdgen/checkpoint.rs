//! Checkpoints: one file that `torch.load` opens, with the weights under the reference's names and, beside them, what
//! a run needs to go on to the same bits. The reference's own (PyTorch Lightning) are read as well.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::{Config, Task};
use super::model::Network;
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
    /// Windows of an epoch.
    pub windows: usize,
    pub history: Vec<EpochLoss>,
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

pub fn save(path: &Path, network: &Network, store: &Store, position: &Position) -> Result<()> {
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
    let tree = vec![
        (Value::str("epoch"), Value::Int(position.epoch as i64)),
        (Value::str("global_step"), Value::Int(position.step as i64)),
        (Value::str("state_dict"), Value::Dict(weights)),
        (Value::str("ema"), Value::Dict(average)),
        (Value::str("adam"), Value::Dict(moments)),
        (Value::str("kinesome_config"), text(serde_json::to_string(&network.config))?),
        (Value::str("kinesome_position"), text(serde_json::to_string(position))?),
    ];
    torch::write(path, &Value::Dict(tree))
}

impl Checkpoint {
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let tree = torch::read(path)?;
        let json = |key: &str| tree.get(key).and_then(Value::as_str);
        let config = match json("kinesome_config") {
            Some(text) => serde_json::from_str(text)
                .map_err(|e| Error::malformed(path, "kinesome_config", e.to_string()))?,
            None => reference_config(path, &tree)?,
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

/// The flags of a checkpoint that the reference wrote.
fn reference_config(path: &Path, tree: &Value) -> Result<Config> {
    let bad = |why: &str| Error::malformed(path, "hyper_parameters", why);
    let args =
        tree.get("hyper_parameters").ok_or_else(|| bad("no MDGen checkpoint: it has no hyper_parameters"))?;
    let args = args.get("args").unwrap_or(args);
    let flag = |name: &str| args.get(name).and_then(Value::as_bool).unwrap_or(false);
    let number = |name: &str, otherwise: usize| -> Result<usize> {
        match args.get(name) {
            None | Some(Value::None) => Ok(otherwise),
            Some(value) => value
                .as_i64()
                .and_then(|v| usize::try_from(v).ok())
                .ok_or_else(|| bad(&format!("`{name}` is no count"))),
        }
    };
    if !flag("prepend_ipa") || flag("no_rope") || flag("abs_time_emb") || flag("interleave_ipa") {
        return Err(bad(
            "only networks with prepend_ipa, rotary positions and no other embedding are supported",
        ));
    }
    let interval = number("cond_interval", 0)?;
    let task = match (flag("inpainting") || flag("design"), flag("tps_condition"), flag("sim_condition")) {
        (true, ..) => Task::Inpaint,
        (_, true, _) => Task::Interpolate,
        (_, _, true) if interval > 0 => Task::Upsample,
        (_, _, true) => Task::Simulate,
        _ => return Err(bad("none of sim_condition, tps_condition and inpainting is set")),
    };
    let usual = Config::default();
    let float = |name: &str, otherwise: f64| args.get(name).and_then(Value::as_f64).unwrap_or(otherwise);
    Ok(Config {
        task,
        num_frames: number("num_frames", usual.num_frames)?,
        crop: number("crop", 256)?,
        cond_interval: interval.max(1),
        frame_interval: number("frame_interval", 1)?.max(1),
        embed_dim: number("embed_dim", usual.embed_dim)?,
        num_layers: number("num_layers", usual.num_layers)?,
        mha_heads: number("mha_heads", usual.mha_heads)?,
        ipa_heads: number("ipa_heads", usual.ipa_heads)?,
        ipa_head_dim: number("ipa_head_dim", usual.ipa_head_dim)?,
        ipa_qk: number("ipa_qk", usual.ipa_qk)?,
        ipa_v: number("ipa_v", usual.ipa_v)?,
        time_multiplier: float("time_multiplier", usual.time_multiplier),
        hyena: flag("hyena"),
        abs_pos_emb: flag("abs_pos_emb"),
        no_aa_emb: flag("no_aa_emb"),
        no_torsion: flag("no_torsion"),
        path_type: args.get("path_type").and_then(Value::as_str).unwrap_or("GVP").into(),
        alpha_max: float("alpha_max", usual.alpha_max),
        discrete_loss_weight: float("discrete_loss_weight", usual.discrete_loss_weight),
        parity: true,
    })
}
