//! Parameters and the optimiser's moments in a file that `torch.load` opens.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::optimiser;
use crate::io::npy::Array;
use crate::io::pickle::Value;
use crate::io::torch;
use crate::plan::Store;
use crate::tape::State;
use crate::tensor::Tensor;
use crate::{Error, Result};

const WEIGHTS: &str = "model";
const MOMENTS: &str = "adam";

/// Writes the states of a network with their moments, and `more` beside them.
pub fn save(path: &Path, states: &[State], store: &Store, more: Vec<(&str, Value)>) -> Result<()> {
    let held = |name: &str| -> Result<Value> {
        let tensor = store.get(name)?;
        Ok(Value::Array(Array::f32(&tensor.shape, tensor.to_f32())?))
    };
    let (mut weights, mut moments) = (vec![], vec![]);
    for state in states {
        weights.push((Value::str(&state.name), held(&state.name)?));
        for moment in optimiser::moments(&state.name) {
            if let Ok(value) = held(&moment) {
                moments.push((Value::str(moment), value));
            }
        }
    }
    let parts = [(WEIGHTS, Value::Dict(weights)), (MOMENTS, Value::Dict(moments))];
    let tree = parts.into_iter().chain(more).map(|(name, value)| (Value::str(name), value)).collect();
    torch::write(path, &Value::Dict(tree))
}

/// The weights of a checkpoint by name; of one that holds nothing else the whole.
pub fn weights(tree: &Value) -> &Value {
    tree.get(WEIGHTS).unwrap_or(tree)
}

/// Puts the states of a network, and of their moments what is there, into a store.
pub fn load(path: &Path, tree: &Value, states: &[State], store: &Store) -> Result<()> {
    let set = |name: &str, value: &Value, shape: &[usize]| {
        let bad = |why: String| Error::malformed(path, name.to_string(), why);
        let Value::Array(array) = value else { return Err(bad(format!("holds {}", value.kind()))) };
        if array.shape != shape {
            return Err(bad(format!("has shape {:?}, the network needs {shape:?}", array.shape)));
        }
        if !array.is_float() {
            return Err(bad("holds no floating-point numbers".into()));
        }
        store.set(name, &Tensor::f32(shape, array.to_f32()))
    };
    for state in states {
        let (name, shape) = (&state.name, &state.meta.shape);
        let value = weights(tree).get(name).ok_or_else(|| {
            Error::malformed(path, name.clone(), "is not in this checkpoint: is it of another network?")
        })?;
        set(name, value, shape)?;
        for moment in optimiser::moments(name) {
            if let Some(value) = tree.get(MOMENTS).and_then(|moments| moments.get(&moment)) {
                set(&moment, value, shape)?;
            }
        }
    }
    Ok(())
}

/// What [`parse`] reads again.
pub fn text(value: &impl Serialize) -> Result<Value> {
    serde_json::to_string(value).map(Value::str).map_err(|e| Error::usage(e.to_string()))
}

pub fn parse<T: DeserializeOwned>(path: &Path, tree: &Value, key: &str) -> Result<T> {
    let text = tree
        .get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| Error::malformed(path, key, "is missing: kinesome did not write this checkpoint"))?;
    serde_json::from_str(text).map_err(|e| Error::malformed(path, key, e.to_string()))
}
