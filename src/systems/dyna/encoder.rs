//! From a particle image to its latent.

use crate::nn::linear;
use crate::nn::norm::layer_norm;
use crate::ops::random::{Distribution, Random};
use crate::ops::softmax::Softmax;
use crate::tape::Var;
use crate::{Error, Result};

#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// Images of a batch attend to one another: an image's latent depends a little on what it is encoded with.
    #[serde(rename = "MS-GAT")]
    Attention,
    /// Each image by itself.
    #[serde(rename = "MLP")]
    Plain,
}

impl Kind {
    pub fn from_name(name: &str) -> Result<Kind> {
        match name {
            "MS-GAT" => Ok(Kind::Attention),
            "MLP" => Ok(Kind::Plain),
            other => Err(Error::usage(format!("--encoder-cls {other}: choose MS-GAT or MLP"))),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Encoder {
    pub kind: Kind,
    pub hidden: Vec<usize>,
    /// The last hidden widths that are attention's, and one.
    pub attention_layers: usize,
    pub z: usize,
    /// Whether an image has a normal distribution of latents, not one.
    pub variational: bool,
}

/// What an image says of its latent.
pub struct Posterior<'t> {
    /// `[B, z]`
    pub mean: Var<'t>,
    /// `[B, z]`, of the variational form.
    pub log_variance: Option<Var<'t>>,
}

const EPSILON: f32 = 1e-5;
const HEADS: usize = 4;
/// Share of attention weights that training leaves out.
pub const DROPOUT: f32 = 0.2;
/// The stream of random numbers that draws latents, behind those of the layers of attention.
const DRAW: u32 = 1 << 16;

impl<'t> Posterior<'t> {
    /// A latent of each image.
    #[track_caller]
    pub fn draw(&self, key: Var<'t>) -> Var<'t> {
        let Some(log_variance) = self.log_variance else { return self.mean };
        let op = Random { distribution: Distribution::Normal, shape: self.mean.shape(), stream: DRAW };
        self.mean + log_variance.scale(0.5).exp() * key.tape().special(op, &[key])
    }
}

impl Encoder {
    pub fn check(&self) -> Result<()> {
        let bad = |text: String| Err(Error::usage(text));
        if self.hidden.is_empty() || self.hidden.contains(&0) || self.z == 0 {
            return bad("the encoder needs --z-dim of at least 1 and hidden widths of at least 1".into());
        }
        let most = self.hidden.len();
        if self.kind == Kind::Attention && !(1..=most).contains(&self.attention_layers) {
            return bad(format!("--attention-layer {}: give 1 to {most}", self.attention_layers));
        }
        Ok(())
    }

    /// Latents `[B, z]` of images `[B, pixels]`, as [`posterior`](Encoder::posterior) means them.
    #[track_caller]
    pub fn record<'t>(&self, images: Var<'t>, present: Option<Var<'t>>, key: Option<Var<'t>>) -> Var<'t> {
        self.posterior(images, present, key).mean
    }

    /// Of images `[B, pixels]`. `present` `[B]` is 0 for images that only fill up a batch; `key` draws what training
    /// leaves out.
    #[track_caller]
    pub fn posterior<'t>(
        &self,
        images: Var<'t>,
        present: Option<Var<'t>>,
        key: Option<Var<'t>>,
    ) -> Posterior<'t> {
        let tape = images.tape();
        tape.scope("encoder", || {
            let h = self.features(images, present, key);
            Posterior {
                mean: linear("mean_layer", h, self.z),
                log_variance: self.variational.then(|| linear("var_layer", h, self.z)),
            }
        })
    }

    fn features<'t>(&self, images: Var<'t>, present: Option<Var<'t>>, key: Option<Var<'t>>) -> Var<'t> {
        let tape = images.tape();
        match self.kind {
            Kind::Attention => {
                let (blocks, attention) = self.hidden.split_at(self.hidden.len() + 1 - self.attention_layers);
                let mut h = blocks_of(images, blocks, 0);
                for (i, &width) in attention.iter().enumerate() {
                    h = tape.scope(format!("attn_layers.{i}"), || {
                        across_images(h, width, present, key.map(|key| (key, i as u32)))
                    });
                    h = layer_norm(&format!("post_norm.{i}"), h, EPSILON);
                }
                h
            }
            Kind::Plain => {
                let h = linear("input_layer", images, self.hidden[0]).elu();
                blocks_of(h, &self.hidden[1..], 0)
            }
        }
    }
}

/// Linear, SiLU and norm for each width; equal widths add their input to the linear layer's output.
fn blocks_of<'t>(x: Var<'t>, widths: &[usize], first: usize) -> Var<'t> {
    x.tape().scope("mlp1.layers", || {
        widths.iter().enumerate().fold(x, |h, (i, &width)| {
            let at = first + 3 * i;
            let y = linear(&at.to_string(), h, width);
            let y = if h.dim(1) == width { y + h } else { y };
            layer_norm(&(at + 2).to_string(), y.silu(), EPSILON)
        })
    })
}

/// Attention of each image to all, itself among them.
fn across_images<'t>(
    x: Var<'t>,
    width: usize,
    present: Option<Var<'t>>,
    dropout: Option<(Var<'t>, u32)>,
) -> Var<'t> {
    let tape = x.tape();
    let batch = x.dim(0);
    let heads =
        |name: &str| linear(name, x, HEADS * width).reshape(&[batch, HEADS, width]).permute(&[1, 0, 2]);
    let (k, q, v) = (heads("lin_key"), heads("lin_query"), heads("lin_value"));
    let mut scores = q.matmul_t(k).scale(1.0 / (width as f32).sqrt());
    if let Some(present) = present {
        scores = scores + present.add_scalar(-1.0).scale(1e30).reshape(&[1, 1, batch]);
    }
    let mut shares = tape.special(Softmax, &[scores]);
    if let Some((key, stream)) = dropout {
        let op = Random { distribution: Distribution::Uniform, shape: vec![HEADS, batch, batch], stream };
        let stays = tape.special(op, &[key]).greater(tape.scalar(DROPOUT));
        shares = shares * stays.scale(1.0 / (1.0 - DROPOUT));
    }
    let mean = shares.matmul(v).sum(&[0]).scale(1.0 / HEADS as f32);
    mean + linear("lin_skip", x, width)
}
