//! CryoDyna's residue stage on random images of adenylate kinase: losses, gradients and AdamW.

use std::path::Path;

use super::{Case, normal};
use crate::Result;
use crate::cryo::pose::random_rotation;
use crate::io::structure::Structure;
use crate::stats::random::Philox;
use crate::systems::dyna::config::Config;
use crate::systems::dyna::model::Network;
use crate::systems::dyna::reference::Reference;
use crate::tensor::Tensor;
use crate::train::{Adam, random_key};

const MODEL: &str = include_str!("../../data/adk_open.pdb");
/// Pixels along a side, and what one measures, Å.
const SIDE: usize = 128;
const APIX: f64 = 1.0;
const BATCH: usize = 64;

pub fn step() -> Result<Case> {
    let path = Path::new("adk_open.pdb");
    let reference = Reference::of(&Structure::parse_pdb(MODEL, path)?, path)?;
    let config = Config::default();
    let network = Network::new(&config, &reference, SIDE, APIX, &vec![1.0; SIDE * SIDE])?;
    let feeds = || {
        let mut philox = Philox::new(2, 2);
        let rotations = (0..BATCH).flat_map(|_| random_rotation([0; 3].map(|_| philox.uniform_f64())));
        let rotations = rotations.flatten().map(|v| v as f32).collect();
        let mut feeds = vec![
            ("images".to_string(), normal(&[BATCH, SIDE * SIDE], 0)),
            ("targets".into(), normal(&[BATCH, SIDE, SIDE], 1)),
            ("filters".into(), normal(&[BATCH, SIDE, SIDE], 2)),
            ("rotations".into(), Tensor::f32(&[BATCH, 3, 3], rotations)),
            ("key".into(), random_key(0, 1)),
        ];
        let schedule = Adam::default().schedule(1).feeds();
        feeds.extend(schedule.into_iter().map(|(name, value)| (name.to_string(), value)));
        feeds
    };
    let name = format!("dyna/box{SIDE}-{}residues", reference.len());
    Ok(Case::new(name, Some(BATCH), feeds, move |tape| {
        network.training_step(tape, BATCH, None, &Adam::default()).total
    }))
}
