//! cryoDRGN's `config.yaml`: how a run was set up, read from its runs and written so that it can open ours.

use crate::error::{Error, Result};
use crate::io::atomic;
use serde::{Deserialize, Serialize};
use serde_yaml_ng::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Keys of other versions: kept as they are and written back.
pub type OtherKeys = BTreeMap<String, Value>;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The command line that started the run.
    #[serde(default)]
    pub cmd: Vec<String>,
    pub dataset_args: DatasetArgs,
    pub lattice_args: LatticeArgs,
    pub model_args: ModelArgs,
    #[serde(default)]
    pub seed: Option<i64>,
    /// When the run started, as `2026-11-21 10:13:15.876985`.
    #[serde(default)]
    pub time: Option<String>,
    /// The version of the program that wrote it.
    #[serde(default)]
    pub version: Option<String>,
    #[serde(flatten)]
    pub other: OtherKeys,
}

/// Which images, and how they are prepared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetArgs {
    pub particles: String,
    #[serde(default)]
    pub datadir: Option<String>,
    #[serde(default)]
    pub ctf: Option<String>,
    #[serde(default)]
    pub poses: Option<String>,
    /// Pickle with the indices of the images used; all when absent.
    #[serde(default)]
    pub ind: Option<String>,
    /// Mean and standard deviation by which the transforms are shifted and divided.
    pub norm: [f64; 2],
    #[serde(default = "yes")]
    pub invert_data: bool,
    #[serde(default)]
    pub keepreal: bool,
    #[serde(default = "yes")]
    pub window: bool,
    /// Radius where the soft real-space window starts to fall, as a fraction of half the box.
    #[serde(default = "window_radius")]
    pub window_r: f64,
    #[serde(default)]
    pub do_pose_sgd: bool,
    /// Tilts used of each particle (tilt series only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ntilts: Option<usize>,
    #[serde(flatten)]
    pub other: OtherKeys,
}

/// The Fourier lattice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatticeArgs {
    /// Side of the symmetrised lattice: box + 1, odd.
    #[serde(rename = "D")]
    pub d: usize,
    /// Largest coordinate (0.5).
    pub extent: f64,
    #[serde(rename = "ignore_DC", default = "yes")]
    pub ignore_dc: bool,
    #[serde(flatten)]
    pub other: OtherKeys,
}

/// The networks. Those of a VAE, or of a decoder alone; which one is seen by the keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ModelArgs {
    Vae(VaeArgs),
    Decoder(DecoderArgs),
}

/// `train_vae`: encoder and decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VaeArgs {
    /// Hidden layers and width of the encoder.
    pub qlayers: usize,
    pub qdim: usize,
    /// Hidden layers and width of the decoder.
    pub players: usize,
    pub pdim: usize,
    /// Number of latent variables.
    pub zdim: usize,
    /// `resid`, `mlp`, `conv` or `tilt`.
    pub encode_mode: String,
    /// Radius in pixels of the circular mask the encoder sees; absent: no mask.
    #[serde(default)]
    pub enc_mask: Option<i64>,
    #[serde(flatten)]
    pub shared: SharedArgs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tilt_params: Option<BTreeMap<String, Value>>,
    #[serde(flatten)]
    pub other: OtherKeys,
}

/// `train_nn` (no `zdim`) and `train_dec`: a decoder alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecoderArgs {
    pub layers: usize,
    pub dim: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zdim: Option<usize>,
    #[serde(flatten)]
    pub shared: SharedArgs,
    #[serde(flatten)]
    pub other: OtherKeys,
}

/// What every decoder has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedArgs {
    /// Positional encoding: `gaussian`, `geom_lowf`, `none`, ...
    #[serde(default = "gaussian")]
    pub pe_type: String,
    /// Standard deviation of the random frequencies of `gaussian`.
    #[serde(default)]
    pub feat_sigma: Option<f64>,
    /// Frequencies an axis; half the box when absent.
    #[serde(default)]
    pub pe_dim: Option<usize>,
    /// `fourier` or `hartley`.
    #[serde(default = "fourier")]
    pub domain: String,
    /// `relu` or `leaky_relu`.
    #[serde(default = "relu")]
    pub activation: String,
}

fn yes() -> bool {
    true
}
fn window_radius() -> f64 {
    0.85
}
fn gaussian() -> String {
    "gaussian".into()
}
fn fourier() -> String {
    "fourier".into()
}
fn relu() -> String {
    "relu".into()
}

impl Config {
    /// Reads a `config.yaml`.
    pub fn read(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::os("read", path, e))?;
        Config::parse(&text, path)
    }

    /// As [`Config::read`], from text; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Config> {
        let bad = |why: String| Error::malformed(path, "", why);
        let tree: Value = serde_yaml_ng::from_str(text).map_err(|e| bad(format!("not valid YAML: {e}")))?;
        if !tree.is_mapping() {
            return Err(bad("not a cryoDRGN config (no `key: value` lines)".into()));
        }
        let model = tree.get("model_args");
        let has = |key: &str| tree.get(key).is_some() || model.is_some_and(|m| m.get(key).is_some());
        if has("data_norm_mean") {
            return Err(bad("this is a run of `abinit`; such models are not supported yet (train_vae and \
                            train_nn are)"
                .into()));
        }
        for room in ["dataset_args", "lattice_args", "model_args"] {
            if !tree.get(room).is_some_and(Value::is_mapping) {
                return Err(bad(format!("not a cryoDRGN config: `{room}` is missing")));
            }
        }
        // Parsed room by room, so that a message names the room and, for the model, the kind it was taken for.
        let mut fields = tree.as_mapping().cloned().unwrap_or_default();
        let model = fields.remove("model_args").unwrap_or_default();
        let wrong = |e: serde_yaml_ng::Error| bad(format!("model_args: {e}"));
        let model = if has("players") {
            ModelArgs::Vae(serde_yaml_ng::from_value(model).map_err(wrong)?)
        } else if has("layers") || has("dim") {
            ModelArgs::Decoder(serde_yaml_ng::from_value(model).map_err(wrong)?)
        } else {
            let why = "model_args: neither `players` (train_vae) nor `layers` (train_nn) is there";
            return Err(bad(why.into()));
        };
        let take = |fields: &mut serde_yaml_ng::Mapping, key: &str| fields.remove(key).unwrap_or_default();
        let dataset_args: DatasetArgs = serde_yaml_ng::from_value(take(&mut fields, "dataset_args"))
            .map_err(|e| bad(format!("dataset_args: {e}")))?;
        let lattice_args: LatticeArgs = serde_yaml_ng::from_value(take(&mut fields, "lattice_args"))
            .map_err(|e| bad(format!("lattice_args: {e}")))?;
        let rest: Rest = serde_yaml_ng::from_value(Value::Mapping(fields)).map_err(|e| bad(e.to_string()))?;
        let config = Config {
            cmd: rest.cmd,
            dataset_args,
            lattice_args,
            model_args: model,
            seed: rest.seed,
            time: rest.time,
            version: rest.version,
            other: rest.other,
        };
        config.check().map_err(bad)?;
        Ok(config)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let d = self.lattice_args.d;
        if d < 3 || d.is_multiple_of(2) {
            return Err(format!("lattice_args: D is {d}; it is box + 1 and must be odd"));
        }
        let [mean, std] = self.dataset_args.norm;
        if !(mean.is_finite() && std.is_finite() && std > 0.0) {
            return Err(format!("dataset_args: norm is [{mean}, {std}]; the deviation must be above 0"));
        }
        Ok(())
    }

    /// Box of the images in pixels (D - 1).
    pub fn box_size(&self) -> usize {
        self.lattice_args.d.saturating_sub(1)
    }

    /// Writes a `config.yaml`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_yaml_ng::to_string(self)
            .map_err(|e| Error::usage(format!("the config cannot be written as YAML: {e}")))?;
        let text = for_python(&text);
        atomic::write(path, |out| out.write_all(text.as_bytes()))
    }
}

/// What stands beside the three rooms.
#[derive(Deserialize)]
struct Rest {
    #[serde(default)]
    cmd: Vec<String>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(flatten)]
    other: OtherKeys,
}

/// Python's YAML follows version 1.1 of the standard: `1e-5` is a text there (a number wants a point and a signed
/// exponent), and `yes`, `1_000`, `1:30` and `2026-11-21` are none. Our writer follows version 1.2.
fn for_python(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.lines() {
        let body = line.trim_start();
        let value = body.strip_prefix("- ").or_else(|| body.split_once(": ").map(|(_, value)| value));
        let (value, is_time) = (value.unwrap_or(""), line.starts_with("time: "));
        out.push_str(&line[..line.len() - value.len()]);
        match value.split_once('e') {
            _ if value.parse::<f64>().is_err() && surprises_python(value) && !is_time => {
                out.push_str(&format!("'{value}'"));
            }
            Some((mantissa, exponent)) if value.parse::<f64>().is_ok() => {
                let point = if mantissa.contains('.') { "" } else { ".0" };
                let sign = if exponent.starts_with(['-', '+']) { "" } else { "+" };
                out.push_str(&format!("{mantissa}{point}e{sign}{exponent}"));
            }
            _ => out.push_str(value),
        }
        out.push('\n');
    }
    out
}

/// Whether a bare text is a truth value, number, time or date in YAML 1.1.
fn surprises_python(value: &str) -> bool {
    let truth = ["y", "n", "yes", "no", "on", "off"].iter().any(|w| value.eq_ignore_ascii_case(w));
    let digits = value.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && value.contains(|c: char| c.is_ascii_digit())
        && value.chars().all(|c| c.is_ascii_digit() || "_:+-.TtZz ".contains(c));
    truth || digits
}
