//! Settings of a run, under CryoDyna's key names; what the reference reads and does not use has no key here.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::bonded::{self, Bonded};
use super::encoder::{Encoder, Kind};
use super::graph::{Cutoffs, Springs};
use super::losses::{self, Residues, Structural};
use super::python;
use super::reference::Reference;
use crate::io::atomic;
use crate::protein::martini::Topology;
use crate::protein::modes;
use crate::{Error, Result};

/// What moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// One point a residue.
    #[default]
    Residue,
    /// MARTINI's beads.
    Beads,
}

/// What MARTINI's terms weigh beside the images where each is the mean of its list: with more, beads relax and the
/// images are not heard.
const MARTINI: f32 = 0.05;
/// What bonds and the elastic network weigh where normal modes move the points: few modes keep a structure together by
/// themselves, and stretch all bonds a little where they turn.
const MODES: f32 = 0.1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub stage: Stage,
    pub seed: u64,
    /// Blocks that a block of secondary structure attends to, itself among them.
    pub knn_num: usize,
    /// Learn to predict no motion first. The first weights predict shifts of a tenth of an ångström, alike in all images.
    pub do_ref_init: bool,
    /// As the reference does it where that is a fault.
    pub parity: bool,
    pub dataset_attr: Dataset,
    pub extra_input_data_attr: Extra,
    pub data_process: Process,
    pub data_loader: Loader,
    pub model: Model,
    pub loss: Loss,
    pub optimizer: Optimizer,
    pub analyze: Analyze,
    pub trainer: Trainer,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dataset {
    pub starfile_path: PathBuf,
    pub ref_pdb_path: PathBuf,
    /// The same beads where their energy is low, instead of where the atoms have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ref_cg_pdb_path: Option<PathBuf>,
    /// Folder that image names are relative to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset_dir: Option<PathBuf>,
    /// Å per pixel; of the star file where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apix: Option<f64>,
    /// auto, centre, corner, centroid
    pub origin: String,
    /// auto, light, dark
    pub contrast: String,
    /// Bend the model smoothly by so much before anything is learned, Å: does the motion depend on it?
    pub perturb: f64,
}

/// What moves points where it is no shift of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Extra {
    /// Normal modes, `[3N, M]`.
    #[serde(skip_serializing_if = "is_empty")]
    pub nma_path: PathBuf,
    /// That many of them, 0: all; without a file those of an elastic network.
    pub nma_modes: usize,
    /// Of that network, Å.
    pub nma_cutoff: f64,
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Process {
    /// Pixels along an axis after downsampling; boxes above 256 are brought to 128 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_side_shape: Option<usize>,
    /// What the encoder sees, 1: half the box.
    pub mask_rad: f64,
    /// Finest detail that is compared, Å.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_pass_bandwidth: Option<f64>,
    /// Width of every point, Å; where absent 2 for residues, and half of what their type measures for beads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// What a pixel may lack of a point's peak.
    pub tail: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loader {
    pub train_batch_per_gpu: usize,
    pub val_batch_per_gpu: usize,
    /// Share of the particles that is learned from; the others are held out and scored at each evaluation.
    pub train_ratio: f64,
    /// 1 or 2: learn from that half of the particles. 0: from all.
    pub half: u8,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    pub model_cfg: Networks,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Networks {
    pub encoder_cls: Kind,
    pub e_hidden_dim: Vec<usize>,
    pub attention_layer: usize,
    pub z_dim: usize,
    /// An image has a distribution of latents (cryoSTAR), not one.
    pub variational: bool,
    /// Between a latent and what there is of normal modes.
    pub d_hidden_dim: Vec<usize>,
    /// Features of a residue in the decoder.
    pub latent_dim: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loss {
    pub intra_chain_cutoff: f64,
    pub inter_chain_cutoff: f64,
    pub nt_intra_chain_cutoff: f64,
    pub nt_inter_chain_cutoff: f64,
    pub clash_min_cutoff: f64,
    /// Pairs further apart than this in the reference are not watched for clashes, Å.
    pub clash_max_cutoff: f64,
    pub mask_rad_for_image_loss: f64,
    pub gmm_cryoem_weight: f32,
    pub connect_weight: f32,
    pub dist_weight: f32,
    pub clash_weight: f32,
    pub dist_keep_ratio: f64,
    /// Of beads, as the rest: pairs further apart in the reference do not feel one another, Å.
    pub nonbonded_cutoff: f64,
    pub bonded_weight: f32,
    pub angle_weight: f32,
    pub torsion_weight: f32,
    pub improper_weight: f32,
    pub nonbonded_weight: f32,
    /// Steepness of a pair's well, 1/Å.
    #[serde(rename = "Morse_a")]
    pub morse_a: f64,
    /// Of the variational form: what the latents' divergence weighs in the end, over the pixels that are compared,
    pub kl_beta_upper: f64,
    /// from which step on,
    pub warmup_step: u64,
    /// and below what a number of a latent costs no less.
    pub free_bits: f64,
}

impl Loss {
    /// What the latents' divergence weighs in a step.
    pub fn beta(&self, step: u64) -> f32 {
        (self.kl_beta_upper * (step as f64 / self.warmup_step.max(1) as f64).min(1.0)) as f32
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    pub lr: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Analyze {
    pub cluster_k: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trainer {
    pub max_epochs: usize,
    /// Epochs between evaluations, each with a checkpoint.
    pub check_val_every_n_epoch: usize,
    /// 32 or bf16-mixed
    pub precision: String,
}

/// A TOML file, where a key that is not known is an error; or a Python file of the reference, whose keys without a
/// meaning here are left out and named.
pub fn table<C: DeserializeOwned>(path: &Path) -> Result<(toml::Table, Vec<String>)> {
    if path.extension().is_some_and(|extension| extension == "py") {
        return Ok(known::<C>(python::read(path)?));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::os("read", path, e))?;
    let table = text.parse().map_err(|e: toml::de::Error| Error::malformed(path, "", e.to_string()))?;
    Ok((table, vec![]))
}

/// What of a table a configuration knows, and the names of the rest.
fn known<C: DeserializeOwned>(table: toml::Table) -> (toml::Table, Vec<String>) {
    fn leaves(table: toml::Table, at: &[String], found: &mut Vec<(Vec<String>, toml::Value)>) {
        for (key, value) in table {
            let path = [at, &[key]].concat();
            match value {
                toml::Value::Table(inner) => leaves(inner, &path, found),
                value => found.push((path, value)),
            }
        }
    }
    let mut found = vec![];
    leaves(table, &[], &mut found);
    let (mut kept, mut left) = (toml::Table::new(), vec![]);
    for (path, mut value) in found {
        if path.ends_with(&["precision".into()]) && value.as_str().is_some_and(|text| text.starts_with("16"))
        {
            value = toml::Value::String("bf16-mixed".into());
        }
        let nested = |table: &mut toml::Table, value: toml::Value| {
            let (last, folders) = path.split_last()?;
            let mut at = table;
            for folder in folders {
                let inner = at.entry(folder).or_insert_with(|| toml::Value::Table(toml::Table::new()));
                at = inner.as_table_mut()?;
            }
            at.insert(last.clone(), value)
        };
        let mut alone = toml::Table::new();
        nested(&mut alone, value.clone());
        let read: std::result::Result<C, toml::de::Error> = alone.try_into();
        match read {
            Err(e) if e.message().contains("unknown field") => left.push(path.join(".")),
            _ => drop(nested(&mut kept, value)),
        }
    }
    (kept, left)
}

impl Default for Config {
    fn default() -> Self {
        Config {
            stage: Stage::Residue,
            seed: 1,
            knn_num: 16,
            do_ref_init: false,
            parity: false,
            dataset_attr: Dataset::default(),
            extra_input_data_attr: Extra::default(),
            data_process: Process::default(),
            data_loader: Loader::default(),
            model: Model::default(),
            loss: Loss::default(),
            optimizer: Optimizer::default(),
            analyze: Analyze::default(),
            trainer: Trainer::default(),
        }
    }
}

impl Default for Extra {
    fn default() -> Self {
        Extra { nma_path: PathBuf::new(), nma_modes: 0, nma_cutoff: modes::CUTOFF }
    }
}

impl Default for Process {
    fn default() -> Self {
        Process { down_side_shape: None, mask_rad: 1.0, low_pass_bandwidth: None, sigma: None, tail: 1e-4 }
    }
}

impl Default for Loader {
    fn default() -> Self {
        Loader { train_batch_per_gpu: 64, val_batch_per_gpu: 128, train_ratio: 1.0, half: 0 }
    }
}

impl Default for Networks {
    fn default() -> Self {
        Networks {
            encoder_cls: Kind::Attention,
            e_hidden_dim: vec![512, 256, 128, 128],
            attention_layer: 2,
            z_dim: 64,
            variational: false,
            d_hidden_dim: vec![32, 64, 128],
            latent_dim: 32,
        }
    }
}

impl Default for Loss {
    fn default() -> Self {
        Loss {
            intra_chain_cutoff: 12.0,
            inter_chain_cutoff: 0.0,
            nt_intra_chain_cutoff: 15.0,
            nt_inter_chain_cutoff: 15.0,
            clash_min_cutoff: 4.0,
            clash_max_cutoff: 10.0,
            mask_rad_for_image_loss: 0.9375,
            gmm_cryoem_weight: 1.0,
            connect_weight: 1.0,
            dist_weight: 1.0,
            clash_weight: 1.0,
            dist_keep_ratio: 0.8,
            nonbonded_cutoff: 12.0,
            bonded_weight: 1.0,
            angle_weight: 1.0,
            torsion_weight: 1.0,
            improper_weight: 1.0,
            nonbonded_weight: 1.0,
            morse_a: 1.0,
            kl_beta_upper: 0.5,
            warmup_step: 10_000,
            free_bits: 3.0,
        }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer { lr: 1e-3 }
    }
}

impl Default for Analyze {
    fn default() -> Self {
        Analyze { cluster_k: 10 }
    }
}

impl Default for Trainer {
    fn default() -> Self {
        Trainer { max_epochs: 20, check_val_every_n_epoch: 5, precision: "32".into() }
    }
}

impl Config {
    /// The settings of a table over the defaults.
    pub fn of(table: toml::Table) -> Result<Config> {
        let config: Config =
            table.try_into().map_err(|e: toml::de::Error| Error::usage(format!("configuration: {e}")))?;
        config.check()?;
        Ok(config)
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).map_err(|e| Error::usage(e.to_string()))?;
        atomic::write(path, |to| to.write_all(text.as_bytes()))
    }

    fn check(&self) -> Result<()> {
        let bad = |text: String| Err(Error::usage(text));
        let counts = [
            ("data_loader.train_batch_per_gpu", self.data_loader.train_batch_per_gpu),
            ("data_loader.val_batch_per_gpu", self.data_loader.val_batch_per_gpu),
            ("model.model_cfg.latent_dim", self.model.model_cfg.latent_dim),
            ("knn_num", self.knn_num),
            ("analyze.cluster_k", self.analyze.cluster_k),
            ("trainer.check_val_every_n_epoch", self.trainer.check_val_every_n_epoch),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, value)| *value == 0) {
            return bad(format!("{name} is 0; give it at least 1"));
        }
        if self.model.model_cfg.d_hidden_dim.contains(&0) {
            return bad("model.model_cfg.d_hidden_dim holds 0; give widths of at least 1".into());
        }
        let loss = &self.loss;
        let positive = [
            ("optimizer.lr", self.optimizer.lr),
            ("data_process.sigma", self.data_process.sigma.unwrap_or(1.0)),
            ("data_process.mask_rad", self.data_process.mask_rad),
            ("loss.mask_rad_for_image_loss", loss.mask_rad_for_image_loss),
            ("loss.Morse_a", loss.morse_a),
            ("data_process.low_pass_bandwidth", self.data_process.low_pass_bandwidth.unwrap_or(1.0)),
            ("dataset_attr.apix", self.dataset_attr.apix.unwrap_or(1.0)),
        ];
        if let Some((name, value)) = positive.iter().find(|(_, v)| !(*v > 0.0 && v.is_finite())) {
            return bad(format!("{name} is {value}; give a positive number"));
        }
        let distances = [
            ("intra_chain_cutoff", loss.intra_chain_cutoff),
            ("inter_chain_cutoff", loss.inter_chain_cutoff),
            ("nt_intra_chain_cutoff", loss.nt_intra_chain_cutoff),
            ("nt_inter_chain_cutoff", loss.nt_inter_chain_cutoff),
            ("clash_min_cutoff", loss.clash_min_cutoff),
            ("clash_max_cutoff", loss.clash_max_cutoff),
            ("nonbonded_cutoff", loss.nonbonded_cutoff),
        ];
        let cutoff = self.extra_input_data_attr.nma_cutoff;
        if !(1.0..=200.0).contains(&cutoff) {
            return bad(format!("extra_input_data_attr.nma_cutoff is {cutoff}; give 1 to 200 Å"));
        }
        if let Some((name, value)) = distances.iter().find(|(_, v)| !(0.0..=200.0).contains(v)) {
            return bad(format!("loss.{name} is {value}; give 0 to 200 Å"));
        }
        let weights = [
            ("gmm_cryoem_weight", loss.gmm_cryoem_weight),
            ("connect_weight", loss.connect_weight),
            ("dist_weight", loss.dist_weight),
            ("clash_weight", loss.clash_weight),
            ("bonded_weight", loss.bonded_weight),
            ("angle_weight", loss.angle_weight),
            ("torsion_weight", loss.torsion_weight),
            ("improper_weight", loss.improper_weight),
            ("nonbonded_weight", loss.nonbonded_weight),
        ];
        if let Some((name, value)) = weights.iter().find(|(_, v)| !(*v >= 0.0 && v.is_finite())) {
            return bad(format!("loss.{name} is {value}; give 0 or more"));
        }
        let costs = [("kl_beta_upper", loss.kl_beta_upper), ("free_bits", loss.free_bits)];
        if let Some((name, value)) = costs.iter().find(|(_, v)| !(*v >= 0.0 && v.is_finite())) {
            return bad(format!("loss.{name} is {value}; give 0 or more"));
        }
        if self.dataset_attr.ref_cg_pdb_path.is_some() && self.stage == Stage::Residue {
            return bad("dataset_attr.ref_cg_pdb_path holds beads: it is for kinesome dyna beads".into());
        }
        if !(0.0..=1.0).contains(&loss.dist_keep_ratio) {
            return bad(format!("loss.dist_keep_ratio is {}; give 0 to 1", loss.dist_keep_ratio));
        }
        if !(0.1..=1.0).contains(&self.data_loader.train_ratio) {
            return bad(format!(
                "data_loader.train_ratio is {}; give 0.1 to 1",
                self.data_loader.train_ratio
            ));
        }
        if self.data_loader.half > 2 {
            return bad(format!("data_loader.half is {}; give 1 or 2, or 0 for all", self.data_loader.half));
        }
        if !(0.0..=20.0).contains(&self.dataset_attr.perturb) {
            return bad(format!("dataset_attr.perturb is {}; give 0 to 20 Å", self.dataset_attr.perturb));
        }
        if !(0.0..0.5).contains(&self.data_process.tail) {
            return bad(format!("data_process.tail is {}; give 0 to 0.5", self.data_process.tail));
        }
        if !["32", "bf16-mixed"].contains(&self.trainer.precision.as_str()) {
            return bad(format!("trainer.precision {:?}: choose 32 or bf16-mixed", self.trainer.precision));
        }
        self.encoder().check()
    }

    /// Of weights, batches and what is drawn: a half's own, so that halves share nothing.
    pub fn own_seed(&self) -> u64 {
        self.seed ^ u64::from(self.data_loader.half) << 48
    }

    pub fn encoder(&self) -> Encoder {
        let networks = &self.model.model_cfg;
        Encoder {
            kind: networks.encoder_cls,
            hidden: networks.e_hidden_dim.clone(),
            attention_layers: networks.attention_layer,
            z: networks.z_dim,
            variational: networks.variational,
        }
    }

    pub fn cutoffs(&self) -> Cutoffs {
        Cutoffs {
            intra_chain: self.loss.intra_chain_cutoff,
            inter_chain: self.loss.inter_chain_cutoff,
            nucleotides: [self.loss.nt_intra_chain_cutoff, self.loss.nt_inter_chain_cutoff],
            clash: self.loss.clash_min_cutoff,
            watched: self.loss.clash_max_cutoff,
        }
    }

    /// What holds the structures of the stage.
    pub fn structural(&self, reference: &Reference) -> Box<dyn Structural> {
        let loss = &self.loss;
        let springs = Springs::new(reference, &self.cutoffs());
        let free = self.parity || self.extra_input_data_attr.nma_modes == 0;
        let held = if free { 1.0 } else { MODES };
        let Some(beads) = &reference.beads else {
            return Box::new(Residues {
                springs,
                weights: losses::Weights {
                    connected: held * loss.connect_weight,
                    elastic: held * loss.dist_weight,
                    clash: loss.clash_weight,
                },
                keep: loss.dist_keep_ratio,
                least: loss.clash_min_cutoff,
            });
        };
        let topology = Topology::new(beads);
        let places = &reference.places;
        let scale = if self.parity { 1.0 } else { MARTINI };
        Box::new(Bonded {
            pairs: bonded::wells(beads, &topology, places, loss.nonbonded_cutoff, self.parity),
            topology,
            springs,
            weights: bonded::Weights {
                bonds: scale * loss.bonded_weight,
                angles: scale * loss.angle_weight,
                dihedrals: scale * loss.torsion_weight,
                impropers: scale * loss.improper_weight,
                pairs: scale * loss.nonbonded_weight,
                elastic: held * loss.dist_weight,
            },
            morse: loss.morse_a,
            keep: loss.dist_keep_ratio,
            parity: self.parity,
        })
    }
}
