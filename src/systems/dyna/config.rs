//! Settings of a run, under CryoDyna's key names; what the reference reads and does not use has no key here.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::encoder::{Encoder, Kind};
use super::graph::Cutoffs;
use super::losses::Weights;
use crate::io::atomic;
use crate::{Error, Result};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub seed: u64,
    /// Blocks that a block of secondary structure attends to, itself among them.
    pub knn_num: usize,
    /// Learn to predict no motion first. The first weights predict shifts of a tenth of an ångström, alike in all images.
    pub do_ref_init: bool,
    /// As the reference does it where that is a fault.
    pub parity: bool,
    pub dataset_attr: Dataset,
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
    /// Width of every point, Å; 2 for residues where absent.
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

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 1,
            knn_num: 16,
            do_ref_init: false,
            parity: false,
            dataset_attr: Dataset::default(),
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

impl Default for Process {
    fn default() -> Self {
        Process { down_side_shape: None, mask_rad: 1.0, low_pass_bandwidth: None, sigma: None, tail: 1e-4 }
    }
}

impl Default for Loader {
    fn default() -> Self {
        Loader { train_batch_per_gpu: 64, val_batch_per_gpu: 128 }
    }
}

impl Default for Networks {
    fn default() -> Self {
        Networks {
            encoder_cls: Kind::Attention,
            e_hidden_dim: vec![512, 256, 128, 128],
            attention_layer: 2,
            z_dim: 64,
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
    /// A TOML file; a key that is not known is an error.
    pub fn table(path: &Path) -> Result<toml::Table> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::os("read", path, e))?;
        text.parse().map_err(|e: toml::de::Error| Error::malformed(path, "", e.to_string()))
    }

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
        let loss = &self.loss;
        let positive = [
            ("optimizer.lr", self.optimizer.lr),
            ("data_process.sigma", self.data_process.sigma.unwrap_or(1.0)),
            ("data_process.mask_rad", self.data_process.mask_rad),
            ("loss.mask_rad_for_image_loss", loss.mask_rad_for_image_loss),
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
        ];
        if let Some((name, value)) = distances.iter().find(|(_, v)| !(0.0..=200.0).contains(v)) {
            return bad(format!("loss.{name} is {value}; give 0 to 200 Å"));
        }
        let weights = [
            ("gmm_cryoem_weight", loss.gmm_cryoem_weight),
            ("connect_weight", loss.connect_weight),
            ("dist_weight", loss.dist_weight),
            ("clash_weight", loss.clash_weight),
        ];
        if let Some((name, value)) = weights.iter().find(|(_, v)| !(*v >= 0.0 && v.is_finite())) {
            return bad(format!("loss.{name} is {value}; give 0 or more"));
        }
        if !(0.0..=1.0).contains(&loss.dist_keep_ratio) {
            return bad(format!("loss.dist_keep_ratio is {}; give 0 to 1", loss.dist_keep_ratio));
        }
        if !(0.0..0.5).contains(&self.data_process.tail) {
            return bad(format!("data_process.tail is {}; give 0 to 0.5", self.data_process.tail));
        }
        if !["32", "bf16-mixed"].contains(&self.trainer.precision.as_str()) {
            return bad(format!("trainer.precision {:?}: choose 32 or bf16-mixed", self.trainer.precision));
        }
        self.encoder().check()
    }

    pub fn encoder(&self) -> Encoder {
        let networks = &self.model.model_cfg;
        Encoder {
            kind: networks.encoder_cls,
            hidden: networks.e_hidden_dim.clone(),
            attention_layers: networks.attention_layer,
            z: networks.z_dim,
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

    pub fn weights(&self) -> Weights {
        Weights {
            connected: self.loss.connect_weight,
            elastic: self.loss.dist_weight,
            clash: self.loss.clash_weight,
        }
    }
}
