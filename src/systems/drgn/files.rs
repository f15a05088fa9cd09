//! The pickles that cryoDRGN's commands hand to one another: poses, CTF parameters, indices, latents, labels,
//! embeddings and weights. Where it reads an array, an `.npy` file will do as well.

use crate::error::{Error, Result};
use crate::io::npy::{self, Array, ArrayData};
use crate::io::pickle::{self, Value};
use crate::io::torch;
use std::path::Path;

/// Poses of N images.
#[derive(Clone, Debug, PartialEq)]
pub struct Poses {
    /// Rotation matrices: a lattice point of the image, as a row vector times R, is where it lies in the volume.
    pub rotations: Vec<[[f64; 3]; 3]>,
    /// In-plane shifts (x, y) as fractions of the box; `None` when the file has rotations only.
    pub translations: Option<Vec<[f64; 2]>>,
}

impl Poses {
    pub fn len(&self) -> usize {
        self.rotations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rotations.is_empty()
    }

    /// An error when there are not `n` poses; `what` says what has `n` entries, as in `the stack particles.mrcs`.
    pub fn check_len(&self, n: usize, what: &str) -> Result<()> {
        check_len(self.len(), "poses", n, what)
    }

    /// Reads `pose.pkl`: a tuple (rotations [N, 3, 3], translations [N, 2]), or the rotations alone.
    pub fn read(path: &Path) -> Result<Poses> {
        let value = if is_npy(path) { Value::Array(npy::read(path)?) } else { pickle::read(path)? };
        let parts = match &value {
            Value::Array(_) => std::slice::from_ref(&value),
            Value::Tuple(v) | Value::List(v) if (1..=2).contains(&v.len()) => v.as_slice(),
            other => return Err(not(path, "", "(rotations [N, 3, 3], translations [N, 2])", other)),
        };
        let rotations = floats(path, "rotations", parts.first(), &[3, 3])?;
        let rotations: Vec<[[f64; 3]; 3]> = rotations
            .chunks_exact(9)
            .map(|r| [[r[0], r[1], r[2]], [r[3], r[4], r[5]], [r[6], r[7], r[8]]])
            .collect();
        for (i, r) in rotations.iter().enumerate() {
            // Rows of length one to 1e-3: float32 tables and hand-made ones pass, Euler angles or garbage do not.
            if r.iter().any(|row| (row.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() > 2e-3) {
                return Err(Error::malformed(path, format!("pose {i}"), "this is no rotation matrix"));
            }
        }
        let translations = match parts.get(1) {
            None | Some(Value::None) => None,
            Some(part) => {
                let t = floats(path, "translations", Some(part), &[2])?;
                if t.len() / 2 != rotations.len() {
                    let why = format!("{} translations for {} rotations", t.len() / 2, rotations.len());
                    return Err(Error::malformed(path, "", why));
                }
                let t: Vec<[f64; 2]> = t.chunks_exact(2).map(|t| [t[0], t[1]]).collect();
                check_fractions(path, &t)?;
                Some(t)
            }
        };
        Ok(Poses { rotations, translations })
    }

    /// Writes `pose.pkl` (float64, as cryoDRGN's own parsers do).
    pub fn write(&self, path: &Path) -> Result<()> {
        let n = self.len();
        let flat = self.rotations.iter().flatten().flatten().copied().collect();
        let mut parts = vec![Value::Array(Array::f64(&[n, 3, 3], flat)?)];
        if let Some(t) = &self.translations {
            check_fractions(path, t)?;
            parts.push(Value::Array(Array::f64(&[n, 2], t.iter().flatten().copied().collect())?));
        }
        pickle::write(path, &Value::Tuple(parts))
    }
}

fn check_fractions(path: &Path, translations: &[[f64; 2]]) -> Result<()> {
    match translations.iter().position(|t| t.iter().any(|x| x.abs() > 1.0)) {
        None => Ok(()),
        Some(i) => Err(Error::malformed(
            path,
            format!("translation {i}"),
            format!(
                "({}, {}) is more than the whole box; translations are fractions of the box, and these look like \
                 pixels (`abinit` writes pixels): divide them by the box size",
                translations[i][0], translations[i][1]
            ),
        )),
    }
}

fn check_len(have: usize, of: &str, n: usize, what: &str) -> Result<()> {
    if have == n {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{have} {of}, but {what} has {n} images; if the {of} belong to a selection of it, give its indices (--ind)"
    )))
}

/// CTF parameters of N images: box (px), Å/px, defocus U, V (Å), its angle (degrees), kV, Cs (mm), amplitude
/// contrast, phase shift (degrees).
#[derive(Clone, Debug, PartialEq)]
pub struct CtfTable {
    pub rows: Vec<[f32; 9]>,
}

impl CtfTable {
    /// Reads `ctf.pkl`, [N, 9].
    pub fn read(path: &Path) -> Result<CtfTable> {
        let array = read_array(path)?;
        let flat = floats(path, "CTF parameters", Some(&Value::Array(array)), &[9])?;
        let mut rows = vec![[0.0; 9]; flat.len() / 9];
        for (row, values) in rows.iter_mut().zip(flat.chunks_exact(9)) {
            row.iter_mut().zip(values).for_each(|(to, &from)| *to = from as f32);
        }
        if let Some(i) = rows.iter().position(|r| !(r[0] > 0.0 && r[1] > 0.0 && r[5] > 0.0)) {
            let why = "box, pixel size and voltage must be above 0; write the file again with parse_ctf_star";
            return Err(Error::malformed(path, format!("row {i}"), why));
        }
        Ok(CtfTable { rows })
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let flat = self.rows.iter().flatten().copied().collect();
        pickle::write(path, &Value::Array(Array::f32(&[self.rows.len(), 9], flat)?))
    }

    /// As [`Poses::check_len`].
    pub fn check_len(&self, n: usize, what: &str) -> Result<()> {
        check_len(self.rows.len(), "rows of CTF parameters", n, what)
    }
}

/// Reads `ind.pkl`: the numbers (from 0) of selected images.
pub fn read_indices(path: &Path) -> Result<Vec<usize>> {
    let whole = integers(path)?;
    let index = |(i, &v): (usize, &i64)| {
        usize::try_from(v)
            .map_err(|_| Error::malformed(path, format!("entry {i}"), format!("{v} is no image number")))
    };
    whole.iter().enumerate().map(index).collect()
}

/// Writes `ind.pkl`.
pub fn write_indices(path: &Path, indices: &[usize]) -> Result<()> {
    write_labels(path, &indices.iter().map(|&i| i as i64).collect::<Vec<_>>())
}

/// Reads `labels.pkl`: the cluster (from 0) of each image.
pub fn read_labels(path: &Path) -> Result<Vec<i64>> {
    integers(path)
}

/// Writes `labels.pkl`.
pub fn write_labels(path: &Path, labels: &[i64]) -> Result<()> {
    write_array(path, Array::i64(&[labels.len()], labels.to_vec())?)
}

fn integers(path: &Path) -> Result<Vec<i64>> {
    let value = if is_npy(path) { Value::Array(npy::read(path)?) } else { pickle::read(path)? };
    let whole = match &value {
        Value::Array(a) if a.shape.len() <= 1 || a.len() == a.shape[0] => a.to_i64(),
        Value::List(v) | Value::Tuple(v) => v.iter().map(Value::as_i64).collect(),
        _ => None,
    };
    whole.ok_or_else(|| not(path, "", "a list of whole numbers", &value))
}

/// Latent coordinates of N images, [N, dim].
#[derive(Clone, Debug, PartialEq)]
pub struct Latents {
    pub dim: usize,
    /// Means, [N, dim] row by row.
    pub mu: Vec<f32>,
    /// Logarithms of the variances, [N, dim]; autodecoders have none.
    pub logvar: Option<Vec<f32>>,
}

impl Latents {
    pub fn len(&self) -> usize {
        self.mu.len().checked_div(self.dim).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads `z.pkl`: the means and, as a second pickle, the log-variances; or an `.npy` of the means.
    pub fn read(path: &Path) -> Result<Latents> {
        let parts = match is_npy(path) {
            true => vec![Value::Array(npy::read(path)?)],
            false => pickle::read_all(path)?,
        };
        let part = |i: usize| match parts.get(i) {
            None => Ok(None),
            Some(Value::Array(a)) if a.is_float() && matches!(a.shape.len(), 1 | 2) => {
                Ok(Some((a.shape.get(1).copied().unwrap_or(1), a.shape[0], a.to_f32())))
            }
            Some(other) => Err(not(path, ["means", "log-variances"][i.min(1)], "an array [N, zdim]", other)),
        };
        let (dim, n, mu) = part(0)?.ok_or_else(|| Error::malformed(path, "", "the file is empty"))?;
        let logvar = match part(1)? {
            Some((d, m, logvar)) if (d, m) == (dim, n) => Some(logvar),
            Some((d, m, _)) => {
                let why = format!("means are [{n}, {dim}] but log-variances [{m}, {d}]");
                return Err(Error::malformed(path, "", why));
            }
            None => None,
        };
        Ok(Latents { dim, mu, logvar })
    }

    /// Writes `z.pkl` (float32).
    pub fn write(&self, path: &Path) -> Result<()> {
        let array = |v: &Vec<f32>| Ok(Value::Array(Array::f32(&[self.len(), self.dim], v.clone())?));
        let mut parts = vec![array(&self.mu)?];
        if let Some(logvar) = &self.logvar {
            parts.push(array(logvar)?);
        }
        pickle::write_all(path, &parts)
    }
}

/// Reads `umap.pkl`: the two-dimensional embedding of each image.
pub fn read_umap(path: &Path) -> Result<Vec<[f32; 2]>> {
    let flat = floats(path, "embedding", Some(&Value::Array(read_array(path)?)), &[2])?;
    Ok(flat.chunks_exact(2).map(|p| [p[0] as f32, p[1] as f32]).collect())
}

/// Writes `umap.pkl` (float32).
pub fn write_umap(path: &Path, points: &[[f32; 2]]) -> Result<()> {
    write_array(path, Array::f32(&[points.len(), 2], points.iter().flatten().copied().collect())?)
}

/// Reads the one array of a `.pkl` or `.npy` file.
pub fn read_array(path: &Path) -> Result<Array> {
    if is_npy(path) {
        return npy::read(path);
    }
    match pickle::read(path)? {
        Value::Array(a) => Ok(a),
        other => Err(not(path, "", "an array", &other)),
    }
}

/// Writes one array as `.npy` or, under any other name, as a pickle.
pub fn write_array(path: &Path, array: Array) -> Result<()> {
    if is_npy(path) { npy::write_npy(path, &array) } else { pickle::write(path, &Value::Array(array)) }
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

fn not(path: &Path, place: &str, wanted: &str, found: &Value) -> Error {
    Error::malformed(path, place, format!("{wanted} is expected, but the file holds {}", found.kind()))
}

/// Finite floats of an array [N, ..row].
fn floats(path: &Path, what: &str, part: Option<&Value>, row: &[usize]) -> Result<Vec<f64>> {
    let part = part.unwrap_or(&Value::None);
    match part {
        Value::Array(a) if a.is_float() && a.shape.get(1..) == Some(row) => {
            let v = a.to_f64();
            match v.iter().position(|x| !x.is_finite()) {
                None => Ok(v),
                Some(i) => {
                    let place = format!("{what}, row {}", i / row.iter().product::<usize>().max(1));
                    Err(Error::malformed(path, place, format!("{} is no finite number", v[i])))
                }
            }
        }
        other => Err(not(path, what, &format!("a float array [N, {}]", join(row)), other)),
    }
}

fn join(row: &[usize]) -> String {
    row.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// A `float32` tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// What Adam keeps of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    pub step: i64,
    pub exp_avg: Tensor,
    pub exp_avg_sq: Tensor,
}

/// The state of `torch.optim.Adam` with one group of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamState {
    pub lr: f64,
    pub betas: [f64; 2],
    pub eps: f64,
    pub weight_decay: f64,
    pub amsgrad: bool,
    /// One entry a parameter, in the order of the model; `None` for those that are not trained.
    pub moments: Vec<Option<Moments>>,
}

/// `weights.N.pkl`.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub epoch: i64,
    /// Parameters by name, in the order of the model.
    pub model: Vec<(String, Tensor)>,
    pub adam: Option<AdamState>,
    /// Mean and standard deviation of the transforms (`train_nn` and `train_dec` keep them here).
    pub norm: Option<[f64; 2]>,
}

impl Checkpoint {
    /// Reads a checkpoint of `train_vae`, `train_nn` or `train_dec`.
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let tree = torch::read(path)?;
        let need = |key: &str| {
            tree.get(key)
                .ok_or_else(|| Error::malformed(path, "", format!("not a cryoDRGN checkpoint: no `{key}`")))
        };
        if tree.get("hypervolume_state_dict").is_some() {
            let why = "this is a checkpoint of `abinit`; such models are not supported yet";
            return Err(Error::malformed(path, "", why));
        }
        let Value::Dict(entries) = need("model_state_dict")? else {
            return Err(not(path, "model_state_dict", "a dict of tensors", need("model_state_dict")?));
        };
        let mut model = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            let name = name.as_str().ok_or_else(|| not(path, "model_state_dict", "a name", name))?;
            model.push((name.to_string(), tensor(path, &format!("model_state_dict, {name}"), value)?));
        }
        let norm = match tree.get("norm").and_then(Value::as_slice) {
            Some([mean, std]) => mean.as_f64().zip(std.as_f64()).map(|(mean, std)| [mean, std]),
            _ => None,
        };
        let epoch = need("epoch")?;
        Ok(Checkpoint {
            epoch: epoch.as_i64().ok_or_else(|| not(path, "epoch", "a whole number", epoch))?,
            adam: tree.get("optimizer_state_dict").map(|t| adam(path, t, &model)).transpose()?,
            model,
            norm,
        })
    }

    /// A parameter by name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.model.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    /// Writes a checkpoint that cryoDRGN and `torch.load` open.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut tree = vec![(Value::str("epoch"), Value::Int(self.epoch))];
        let model = self.model.iter().map(|(name, t)| Ok((Value::str(name), array(t)?)));
        tree.push((Value::str("model_state_dict"), Value::Dict(model.collect::<Result<_>>()?)));
        if let Some(adam) = &self.adam {
            tree.push((Value::str("optimizer_state_dict"), adam_tree(adam)?));
        }
        if let Some([mean, std]) = self.norm {
            tree.push((Value::str("norm"), Value::Tuple(vec![Value::Float(mean), Value::Float(std)])));
        }
        torch::write(path, &Value::Dict(tree))
    }
}

fn tensor(path: &Path, place: &str, value: &Value) -> Result<Tensor> {
    match value {
        Value::Array(a) if a.is_float() => Ok(Tensor { shape: a.shape.clone(), data: a.to_f32() }),
        other => Err(not(path, place, "a float tensor", other)),
    }
}

fn array(t: &Tensor) -> Result<Value> {
    Ok(Value::Array(Array::f32(&t.shape, t.data.clone())?))
}

fn adam(path: &Path, tree: &Value, model: &[(String, Tensor)]) -> Result<AdamState> {
    let place = "optimizer_state_dict";
    let bad = |why: &str| Error::malformed(path, place, why);
    let group = match tree.get("param_groups").and_then(Value::as_slice) {
        Some([group]) => group,
        _ => return Err(bad("one group of parameters is expected")),
    };
    let number =
        |key: &str| group.get(key).and_then(Value::as_f64).ok_or_else(|| bad(&format!("no number `{key}`")));
    let betas = match group.get("betas").and_then(Value::as_slice) {
        Some([a, b]) => a.as_f64().zip(b.as_f64()),
        _ => None,
    };
    let (b1, b2) = betas.ok_or_else(|| bad("no `betas`: only Adam is supported"))?;
    let params = group.get("params").and_then(Value::as_slice).ok_or_else(|| bad("no `params`"))?;
    if params.len() != model.len() {
        return Err(bad(&format!("{} parameters, but the model has {}", params.len(), model.len())));
    }
    let Some(Value::Dict(state)) = tree.get("state") else { return Err(bad("no `state`")) };
    let mut moments = Vec::with_capacity(params.len());
    for (id, (name, parameter)) in params.iter().zip(model) {
        let Some((_, entry)) = state.iter().find(|(k, _)| k.as_i64().is_some() && k.as_i64() == id.as_i64())
        else {
            moments.push(None);
            continue;
        };
        let part = |key: &str| {
            let place = format!("{place}, {key} of {name}");
            let t = tensor(path, &place, entry.get(key).unwrap_or(&Value::None))?;
            match t.shape == parameter.shape {
                true => Ok(t),
                false => Err(Error::malformed(
                    path,
                    place,
                    format!("its shape is {:?} where the parameter has {:?}", t.shape, parameter.shape),
                )),
            }
        };
        // A number before PyTorch 1.12, a tensor of one number since.
        let step =
            entry.get("step").and_then(Value::as_f64).ok_or_else(|| bad("a parameter has no `step`"))?;
        let (exp_avg, exp_avg_sq) = (part("exp_avg")?, part("exp_avg_sq")?);
        moments.push(Some(Moments { step: step as i64, exp_avg, exp_avg_sq }));
    }
    Ok(AdamState {
        lr: number("lr")?,
        betas: [b1, b2],
        eps: number("eps")?,
        weight_decay: number("weight_decay")?,
        amsgrad: group.get("amsgrad").and_then(Value::as_bool).unwrap_or(false),
        moments,
    })
}

/// The layout of PyTorch's `Adam.state_dict()`.
fn adam_tree(adam: &AdamState) -> Result<Value> {
    let mut state = Vec::new();
    for (i, moments) in adam.moments.iter().enumerate() {
        let Some(m) = moments else { continue };
        let step = Value::Array(Array { shape: Vec::new(), data: ArrayData::F32(vec![m.step as f32]) });
        let entry = vec![
            (Value::str("step"), step),
            (Value::str("exp_avg"), array(&m.exp_avg)?),
            (Value::str("exp_avg_sq"), array(&m.exp_avg_sq)?),
        ];
        state.push((Value::Int(i as i64), Value::Dict(entry)));
    }
    let [b1, b2] = adam.betas;
    let group = [
        ("lr", Value::Float(adam.lr)),
        ("betas", Value::Tuple(vec![Value::Float(b1), Value::Float(b2)])),
        ("eps", Value::Float(adam.eps)),
        ("weight_decay", Value::Float(adam.weight_decay)),
        ("amsgrad", Value::Bool(adam.amsgrad)),
        ("maximize", Value::Bool(false)),
        ("foreach", Value::None),
        ("capturable", Value::Bool(false)),
        ("differentiable", Value::Bool(false)),
        ("fused", Value::None),
        ("decoupled_weight_decay", Value::Bool(false)),
        ("params", Value::List((0..adam.moments.len() as i64).map(Value::Int).collect())),
    ];
    let group = group.into_iter().map(|(k, v)| (Value::str(k), v)).collect();
    Ok(Value::Dict(vec![
        (Value::str("state"), Value::Dict(state)),
        (Value::str("param_groups"), Value::List(vec![Value::Dict(group)])),
    ]))
}
