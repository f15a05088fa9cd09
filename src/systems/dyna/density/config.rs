//! Settings of a run, under the key names of CryoDyna's density configurations.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::io::atomic;
use crate::systems::dyna::config::{self as residue, Analyze, Trainer};
use crate::{Error, Result};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub seed: u64,
    pub dataset_attr: Dataset,
    pub extra_input_data_attr: Given,
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
    /// Folder that image names are relative to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset_dir: Option<PathBuf>,
    /// Å per pixel; of the star file where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apix: Option<f64>,
    /// Standard deviation of the images' transforms; estimated where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f_std: Option<f64>,
    pub contrast: Contrast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contrast {
    #[default]
    Light,
    /// The sign of images is turned.
    Dark,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Given {
    /// Latents of the particles, a row each.
    pub given_z: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Process {
    /// Pixels along an axis after downsampling; boxes above 256 are brought to 128 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_side_shape: Option<usize>,
    /// What is kept of an image, 1: half the box.
    pub mask_rad: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loader {
    pub train_batch_per_gpu: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    pub lr: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    pub shift_method: ShiftMethod,
    pub ctf: Ctf,
    pub hidden: usize,
}

/// How images are moved by their origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShiftMethod {
    /// By phases, exactly.
    Fft,
    /// Between pixels, as the reference does.
    Interp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ctf {
    /// The reference's first: axes exchanged, the angle of astigmatism in the place of its amount, off by half a pixel.
    V1,
    V2,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loss {
    pub loss_fn: LossFn,
    /// fmsf: frequencies that are compared, 1: up to Nyquist; rmsf: pixels, 1: half the box.
    pub mask_rad_for_image_loss: f64,
}

/// Mean squared differences of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossFn {
    /// Of their transforms.
    Fmsf,
    /// Of their pixels.
    Rmsf,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 1,
            dataset_attr: Dataset::default(),
            extra_input_data_attr: Given::default(),
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
        Process { down_side_shape: None, mask_rad: 1.0 }
    }
}

impl Default for Model {
    fn default() -> Self {
        Model { shift_method: ShiftMethod::Fft, ctf: Ctf::V2, hidden: 1024 }
    }
}

impl Default for Loss {
    fn default() -> Self {
        Loss { loss_fn: LossFn::Fmsf, mask_rad_for_image_loss: 1.0 }
    }
}

impl Default for Loader {
    fn default() -> Self {
        Loader { train_batch_per_gpu: 16 }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer { lr: 1e-4 }
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
            ("model.hidden", self.model.hidden),
            ("analyze.cluster_k", self.analyze.cluster_k),
            ("trainer.check_val_every_n_epoch", self.trainer.check_val_every_n_epoch),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, value)| *value == 0) {
            return bad(format!("{name} is 0; give it at least 1"));
        }
        let positive = [
            ("optimizer.lr", self.optimizer.lr),
            ("data_process.mask_rad", self.data_process.mask_rad),
            ("loss.mask_rad_for_image_loss", self.loss.mask_rad_for_image_loss),
            ("dataset_attr.apix", self.dataset_attr.apix.unwrap_or(1.0)),
            ("dataset_attr.f_std", self.dataset_attr.f_std.unwrap_or(1.0)),
        ];
        if let Some((name, value)) = positive.iter().find(|(_, v)| !(*v > 0.0 && v.is_finite())) {
            return bad(format!("{name} is {value}; give a positive number"));
        }
        if !["32", "bf16-mixed"].contains(&self.trainer.precision.as_str()) {
            return bad(format!("trainer.precision {:?}: choose 32 or bf16-mixed", self.trainer.precision));
        }
        Ok(())
    }

    /// How the particles are opened, in the residue stage's words.
    pub fn particles(&self) -> residue::Config {
        let dataset = &self.dataset_attr;
        residue::Config {
            // Pixels as they stand in the file: the scale of their transforms is found out here.
            parity: true,
            dataset_attr: residue::Dataset {
                starfile_path: dataset.starfile_path.clone(),
                dataset_dir: dataset.dataset_dir.clone(),
                apix: dataset.apix,
                ..Default::default()
            },
            data_process: residue::Process {
                down_side_shape: self.data_process.down_side_shape,
                mask_rad: self.data_process.mask_rad,
                ..Default::default()
            },
            ..Default::default()
        }
    }

    /// Up to where frequencies are learned, 1: Nyquist.
    pub fn radius(&self) -> f64 {
        match self.loss.loss_fn {
            LossFn::Fmsf => self.loss.mask_rad_for_image_loss.min(1.0),
            LossFn::Rmsf => 1.0,
        }
    }
}
