//! Networks of MDGen on random data: training steps, forward passes, and both against the length of a trajectory.

use super::{Case, normal};
use crate::Result;
use crate::systems::mdgen::config::Config;
use crate::systems::mdgen::model::{Conditions, Network};
use crate::systems::mdgen::objective::{Objective, path_feeds};
use crate::systems::mdgen::transport::Path;
use crate::tensor::{DType, Tensor};
use crate::train::{Adam, random_key};

/// Frames of the growing trajectories.
const LENGTHS: [usize; 3] = [1_000, 10_000, 100_000];

pub fn cases() -> Result<Vec<Case>> {
    let full = |num_frames, hyena| Config { num_frames, hyena, ..Config::default() };
    let tiny = |num_frames| Config {
        num_frames,
        hyena: true,
        embed_dim: 16,
        mha_heads: 2,
        num_layers: 2,
        ipa_head_dim: 8,
        ..Config::default()
    };
    let mut cases = vec![
        step("step-attention", full(100, false), 8)?,
        step("step-hyena", full(100, true), 8)?,
        forward("forward-attention", full(1_000, false))?,
        forward("forward-hyena", full(1_000, true))?,
    ];
    for length in LENGTHS {
        cases.push(step(&format!("long-step-{length}"), tiny(length), 1)?);
        cases.push(forward(&format!("long-forward-{length}"), tiny(length))?);
    }
    Ok(cases)
}

/// Loss, gradients, clipping and Adam.
fn step(name: &str, config: Config, batch: usize) -> Result<Case> {
    let network = Network::new(&config)?;
    let feeds = move || {
        let Config { num_frames, crop, .. } = config;
        let d = config.token();
        let mut feeds = conditions(&config, batch);
        feeds.extend([
            ("tokens".to_string(), normal(&[batch, num_frames, crop, d], 2)),
            ("loss_mask".into(), filled(&[batch, 1, crop, d], 1.0)),
            ("weights".into(), filled(&[batch], 1.0 / batch as f32)),
            ("key".into(), random_key(0, 1)),
        ]);
        let schedule = Adam::default().schedule(1).feeds();
        let path = path_feeds(Path::Gvp, &vec![0.4; batch]);
        feeds.extend(path.into_iter().chain(schedule).map(|(name, value)| (name.to_string(), value)));
        feeds
    };
    let objective = Objective { adam: Adam::default(), clip: Some(1.0), ema: None };
    Ok(Case::new(format!("mdgen/{name}"), Some(batch), feeds, move |tape| {
        network.training_step(tape, batch, &objective).total
    }))
}

/// The velocity of one trajectory, as a sampler asks for it.
fn forward(name: &str, config: Config) -> Result<Case> {
    let network = Network::new(&config)?;
    let shape = [1, config.num_frames, config.crop, config.token()];
    let feeds = move || {
        let mut feeds = conditions(&config, 1);
        feeds.extend([("x".to_string(), normal(&shape, 2)), ("t".into(), filled(&[1], 0.4))]);
        feeds
    };
    Ok(Case::new(format!("mdgen/{name}"), Some(1), feeds, move |tape| {
        let conditions = Conditions::inputs(tape, &network.config, 1);
        let x = tape.input("x", &shape, DType::F32);
        network.record(x, None, tape.input("t", &[1], DType::F32), &conditions).velocity
    }))
}

fn filled(shape: &[usize], value: f32) -> Tensor {
    Tensor::f32(shape, vec![value; shape.iter().product()])
}

/// What the network is told: upright frames some angstrom apart, the first frame given.
fn conditions(config: &Config, batch: usize) -> Vec<(String, Tensor)> {
    let Config { num_frames, crop, .. } = *config;
    let upright: Vec<f32> = (0..9).map(|i| f32::from(i % 4 == 0)).collect();
    let given = |i: usize| f32::from(i % (num_frames * crop) < crop);
    let is_given = (0..batch * num_frames * crop).map(given).collect();
    vec![
        ("types".into(), Tensor::i32(&[batch, crop], (0..batch * crop).map(|i| i as i32 % 20).collect())),
        ("mask".into(), filled(&[batch, crop], 1.0)),
        ("given".into(), normal(&[batch, num_frames, crop, config.token()], 0)),
        ("is_given".into(), Tensor::f32(&[batch, num_frames, crop], is_given)),
        ("start.rotations".into(), Tensor::f32(&[batch, crop, 3, 3], upright.repeat(batch * crop))),
        ("start.translations".into(), normal(&[batch, crop, 3], 1)),
    ]
}
