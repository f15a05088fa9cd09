//! What a model of MDGen is: the flags that shape the network and its task, under the reference's names.

use serde::{Deserialize, Serialize};

use super::transport::Path;
use crate::{Error, Result};

/// What is given and what is generated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// The first frame is given.
    Simulate,
    /// The first and the last frame are given.
    Interpolate,
    /// Every `cond_interval`-th frame is given.
    Upsample,
    /// The motion of the outer residues is given; that of the inner ones and their types are generated.
    Inpaint,
}

impl Task {
    /// Frames that tokens are measured from: the first, or the first and the last.
    pub fn key_frames(self) -> usize {
        match self {
            Task::Simulate | Task::Upsample => 1,
            Task::Interpolate | Task::Inpaint => 2,
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub task: Task,
    /// Frames of a window, T.
    pub num_frames: usize,
    /// Longest chain, L: shorter ones are padded.
    pub crop: usize,
    /// Frames between those given, for upsampling.
    pub cond_interval: usize,
    /// Steps of the stored trajectory between frames of a window.
    pub frame_interval: usize,
    pub embed_dim: usize,
    /// Blocks along the trajectory, and as many of invariant point attention before them.
    pub num_layers: usize,
    pub mha_heads: usize,
    pub ipa_heads: usize,
    pub ipa_head_dim: usize,
    pub ipa_qk: usize,
    pub ipa_v: usize,
    pub time_multiplier: f64,
    /// Hyena along time in place of attention.
    pub hyena: bool,
    /// Frames that Hyena's filters were made for, where windows are shorter; 0: those of a window.
    pub hyena_longest: usize,
    pub abs_pos_emb: bool,
    pub no_aa_emb: bool,
    pub no_torsion: bool,
    /// Inpainting: inner residues have the key frames of the nearest outer ones, so that nothing is told of them.
    pub design_key_frames: bool,
    /// GVP, Linear or VP.
    pub path_type: String,
    pub alpha_max: f64,
    pub discrete_loss_weight: f64,
    /// As the released weights expect it: Hyena sees later frames only.
    pub parity: bool,
    /// Upsampling: tokens are departures from straight lines between the given frames, divided by these, `[D]`. Empty:
    /// as they are, which leaves the little that moves between frames to a thousandth of the noise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<f32>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            task: Task::Simulate,
            num_frames: 50,
            crop: 4,
            cond_interval: 100,
            frame_interval: 1,
            embed_dim: 384,
            num_layers: 5,
            mha_heads: 16,
            ipa_heads: 4,
            ipa_head_dim: 32,
            ipa_qk: 8,
            ipa_v: 8,
            time_multiplier: 100.0,
            hyena: false,
            hyena_longest: 0,
            abs_pos_emb: true,
            no_aa_emb: false,
            no_torsion: false,
            design_key_frames: false,
            path_type: "GVP".into(),
            alpha_max: 8.0,
            discrete_loss_weight: 0.5,
            parity: false,
            spread: vec![],
        }
    }
}

impl Config {
    pub fn check(&self) -> Result<()> {
        let bad = |text: String| Err(Error::usage(text));
        let positive = [
            ("num-frames", self.num_frames),
            ("crop", self.crop),
            ("frame-interval", self.frame_interval),
            ("embed-dim", self.embed_dim),
            ("mha-heads", self.mha_heads),
            ("ipa-heads", self.ipa_heads),
            ("ipa-head-dim", self.ipa_head_dim),
            ("ipa-qk", self.ipa_qk),
            ("ipa-v", self.ipa_v),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return bad(format!("--{name} is 0; give it at least 1"));
        }
        if !self.embed_dim.is_multiple_of(2 * self.mha_heads) {
            let (width, heads) = (self.embed_dim, self.mha_heads);
            return bad(format!("--embed-dim {width} does not give {heads} heads of an even width"));
        }
        if self.task.key_frames() == 2 && self.num_frames < 2 {
            return bad("a window between two frames needs --num-frames 2 or more".into());
        }
        if self.task == Task::Upsample && !(1..=self.num_frames).contains(&self.cond_interval) {
            let (interval, frames) = (self.cond_interval, self.num_frames);
            return bad(format!("--cond-interval {interval} does not fit into {frames} frames"));
        }
        let is_spread =
            self.spread.len() == self.token() && self.spread.iter().all(|s| *s > 0.0 && s.is_finite());
        if !self.spread.is_empty() && (self.task != Task::Upsample || !is_spread) {
            return bad(
                "spread goes with upsampling, and is a positive number for each number of a token".into()
            );
        }
        if self.design_key_frames && self.task != Task::Inpaint {
            return bad("--design-key-frames goes with --inpainting".into());
        }
        if self.alpha_max.is_nan() || self.alpha_max <= 1.0 {
            return bad(format!("--alpha-max {} has to be above 1", self.alpha_max));
        }
        self.path().map(|_| ())
    }

    pub fn path(&self) -> Result<Path> {
        Path::from_name(&self.path_type)
    }

    /// The longest window of this network; with attention there is none.
    pub fn longest(&self) -> usize {
        self.num_frames.max(self.hyena_longest)
    }

    /// Numbers of a token: an offset from each key frame, and the torsions.
    pub fn token(&self) -> usize {
        7 * self.task.key_frames() + 14
    }
}
