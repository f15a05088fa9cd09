//! Density learned from particles whose true conformations are known.

use kinesome::cryo::volume::correlation;
use kinesome::device::cpu::Cpu;
use kinesome::io::mrc::Volume;
use kinesome::io::npy::{self, Array};
use kinesome::systems::dyna::density::config::{Config, LossFn};
use kinesome::systems::dyna::density::train::Trainer;
use std::sync::Arc;

use super::command::Quiet;
use crate::stack::Stack;

/// Writes the particles' places along the path as latents of one number.
pub fn true_latents(stack: &Stack) -> Vec<f32> {
    let text = std::fs::read_to_string(stack.path("truth.csv")).expect("the truth");
    let time = |line: &str| line.split(',').nth(1).and_then(|t| t.parse::<f32>().ok()).expect("a number");
    let z: Vec<f32> = text.lines().skip(1).map(|line| 2.0 * time(line) - 1.0).collect();
    npy::write_npy(&stack.path("z.npy"), &Array::f32(&[z.len(), 1], z.clone()).expect("latents"))
        .expect("a file");
    z
}

fn config(stack: &Stack) -> Config {
    let mut config = Config::default();
    config.dataset_attr.starfile_path = stack.path("particles.star");
    config.extra_input_data_attr.given_z = stack.path("z.npy");
    config.model.hidden = 64;
    config.optimizer.lr = 2e-3;
    config.trainer.check_val_every_n_epoch = 100;
    config.analyze.cluster_k = 2;
    config
}

/// How well maps at the ends of the latent agree with the true maps there, and with those of the other end.
fn ends(stack: &Stack, trainer: &Trainer) -> [[f64; 2]; 2] {
    let mut maps = trainer.maps().expect("maps");
    let truth =
        ["vol_000.mrc", "vol_009.mrc"].map(|name| Volume::read(stack.path(name)).expect("a true map").data);
    [-1.0, 1.0].map(|z| {
        let map = maps.map(&[z]).expect("a map");
        [0, 1].map(|end| correlation(&map, &truth[end]).expect("a correlation"))
    })
}

#[test]
fn maps_follow_their_latents() {
    let stack = Stack::new(300, 32, 4.0, 1.0, 0.5);
    true_latents(&stack);
    for (loss, epochs, least, apart) in [(LossFn::Fmsf, 8, 0.9, 0.03), (LossFn::Rmsf, 8, 0.9, 0.015)] {
        let out = tempfile::tempdir().expect("a folder");
        let mut config = config(&stack);
        config.loss.loss_fn = loss;
        config.trainer.max_epochs = epochs;
        let mut trainer = Trainer::new(config, Arc::new(Cpu::new()), out.path()).expect("a trainer");
        let begun = std::time::Instant::now();
        trainer.run(&mut Quiet).expect("training");
        let [open, closed] = ends(&stack, &trainer);
        println!("{loss:?}: {open:.3?} {closed:.3?}, {:.0} s", begun.elapsed().as_secs_f64());
        assert!(open[0] > least && closed[1] > least, "{open:?} {closed:?}");
        assert!(open[0] > open[1] + apart && closed[1] > closed[0] + apart, "{open:?} {closed:?}");
    }
}
