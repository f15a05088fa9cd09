//! Whole training steps on random data: gradients and Adam included.

use super::{Case, normal};
use crate::Result;
use crate::cryo::pose::random_rotation;
use crate::stats::random::Philox;
use crate::systems::drgn::config::Config;
use crate::systems::drgn::model::{Network, Objective};
use crate::tensor::Tensor;
use crate::train::{Adam, random_key};

/// Box, width of encoder and decoder.
const ROWS: [(usize, usize); 4] = [(64, 256), (64, 1024), (128, 256), (128, 1024)];
const LAYERS: usize = 3;
const ZDIM: usize = 8;
const BATCH: usize = 8;

pub fn cases() -> Result<Vec<Case>> {
    ROWS.iter().map(|&(side, width)| drgn(side, width)).collect()
}

/// cryoDRGN: residual encoder and decoder, gaussian encoding, one half of a Fourier slice an image.
fn drgn(side: usize, width: usize) -> Result<Case> {
    let config = Config::parse(
        &format!(
            "dataset_args: {{particles: random.mrcs, norm: [0, 1]}}\n\
             lattice_args: {{D: {}, extent: 0.5, ignore_DC: true}}\n\
             model_args: {{qlayers: {LAYERS}, qdim: {width}, players: {LAYERS}, pdim: {width}, zdim: {ZDIM}, \
             encode_mode: resid, enc_mask: {}, pe_type: gaussian, feat_sigma: 0.5, domain: fourier}}\n",
            side + 1,
            side / 2
        ),
        "bench".as_ref(),
    )?;
    let network = Network::new(&config)?;
    let pixels = network.mask_len();
    let feeds = move || {
        let mut philox = Philox::new(2, 2);
        let rotations = (0..BATCH).flat_map(|_| random_rotation([0; 3].map(|_| philox.uniform_f64())));
        let rotations = rotations.flatten().map(|v| v as f32).collect();
        let mut feeds = vec![
            ("images".to_string(), normal(&[BATCH, pixels], 0)),
            ("ctf".into(), normal(&[BATCH, pixels], 1)),
            ("rotations".into(), Tensor::f32(&[BATCH, 3, 3], rotations)),
            ("weights".into(), Tensor::f32(&[BATCH], vec![1.0 / BATCH as f32; BATCH])),
            ("beta".into(), Tensor::scalar(1.0 / ZDIM as f32)),
            ("key".into(), random_key(0, 1)),
        ];
        let schedule = Adam::default().schedule(1).feeds();
        feeds.extend(schedule.into_iter().map(|(name, value)| (name.to_string(), value)));
        feeds
    };
    Ok(Case::new(format!("drgn/box{side}-{width}x{LAYERS}"), Some(BATCH), feeds, move |tape| {
        let objective = Objective { beta_control: None, adam: Adam::default(), clip: None, loss_scale: None };
        network.training_step(tape, BATCH, &objective).total
    }))
}
