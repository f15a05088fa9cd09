//! Results do not depend on the number of threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinesome::device::cpu::Cpu;
use kinesome::plan::{Options, Step, Store};
use kinesome::stats::random::Philox;
use kinesome::systems::drgn::config::Config;
use kinesome::systems::drgn::model::{Network, Objective};
use kinesome::tape::Tape;
use kinesome::tensor::Tensor;
use kinesome::train::{Adam, random_key};

/// Bits of the loss and of every state after three steps. Large enough that products fall into several tiles
/// and that long inner axes are split; widths that leave rests.
fn train(threads: usize) -> BTreeMap<String, Vec<u32>> {
    const BATCH: usize = 12;
    let text = "dataset_args: {particles: x.mrcs, norm: [0, 1]}\n\
                lattice_args: {D: 33, extent: 0.5, ignore_DC: true}\n\
                model_args: {qlayers: 2, qdim: 70, players: 2, pdim: 70, zdim: 5, encode_mode: resid, \
                enc_mask: 16, pe_type: gaussian, feat_sigma: 0.5, pe_dim: null, domain: fourier}\n";
    let config = Config::parse(text, "config.yaml".as_ref()).expect("a config");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    pool.install(|| {
        let network = Network::new(&config).expect("a network");
        let pixels = network.mask_len();
        let mut philox = Philox::new(3, 4);
        let mut normal = |n: usize| -> Vec<f32> { (0..n).map(|_| philox.normal() as f32).collect() };
        let adam = Adam { lr: 1e-3, ..Adam::default() };
        let tape = Tape::new();
        let losses = network.training_step(
            &tape,
            BATCH,
            &Objective { beta_control: None, adam, clip: Some(1.0), loss_scale: None },
        );
        let store = Store::new(Arc::new(Cpu::new()), 0);
        let mut step =
            Step::new(&store, &tape, &[("total", losses.total)], Options::default()).expect("a step");
        // No rotations, but the network takes any coordinates.
        let rotations: Vec<f32> = normal(9 * BATCH).iter().map(|v| 0.5 * v).collect();
        let mut bits = BTreeMap::new();
        for at in 1..=3 {
            let (images, ctf) = (normal(BATCH * pixels), normal(BATCH * pixels));
            let feeds = [
                ("images", Tensor::f32(&[BATCH, pixels], images)),
                ("ctf", Tensor::f32(&[BATCH, pixels], ctf)),
                ("rotations", Tensor::f32(&[BATCH, 3, 3], rotations.clone())),
                ("weights", Tensor::f32(&[BATCH], vec![1.0 / BATCH as f32; BATCH])),
                ("beta", Tensor::scalar(0.2)),
                ("key", random_key(5, at)),
            ];
            let schedule = adam.schedule(at).feeds();
            let feeds: Vec<(&str, &Tensor)> = feeds.iter().chain(&schedule).map(|(n, t)| (*n, t)).collect();
            step.run(&feeds).expect("a step");
            bits.insert(format!("loss {at}"), vec![step.number("total").expect("a loss").to_bits()]);
        }
        for name in store.names() {
            let values = store.get(&name).expect("a state").to_f32();
            assert!(values.iter().all(|v| v.is_finite()), "{name}");
            bits.insert(name, values.iter().map(|v| v.to_bits()).collect());
        }
        bits
    })
}

#[test]
fn training_gives_the_same_bits_on_any_number_of_threads() {
    let one = train(1);
    assert!(one["loss 1"] != one["loss 3"], "nothing was trained");
    for threads in [2, 3] {
        let many = train(threads);
        for (name, bits) in &one {
            assert!(many[name] == *bits, "{name} differs between 1 and {threads} threads");
        }
    }
}
