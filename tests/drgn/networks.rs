//! Networks, losses, gradients and Adam steps for given weights.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinesome::cryo::ctf::{CtfGrid, CtfParams};
use kinesome::cryo::image::{PhaseShift, Preprocessor};
use kinesome::cryo::lattice::Lattice;
use kinesome::device::cpu::Cpu;
use kinesome::io::npy::Array;
use kinesome::plan::{Options, Step, Store};
use kinesome::systems::drgn::config::Config;
use kinesome::systems::drgn::evaluate::Evaluator;
use kinesome::systems::drgn::model::{Network, Objective};
use kinesome::tape::Tape;
use kinesome::tensor::{DType, Tensor};
use kinesome::train::Adam;

use crate::golden::{close, npy, npz};

fn vae_config(domain: &str) -> Config {
    let text = format!(
        "dataset_args: {{particles: x.mrcs, norm: [0, 1]}}\n\
         lattice_args: {{D: 33, extent: 0.5, ignore_DC: true}}\n\
         model_args: {{qlayers: 2, qdim: 48, players: 2, pdim: 40, zdim: 5, encode_mode: resid, enc_mask: 16, \
         pe_type: gaussian, feat_sigma: 0.5, pe_dim: null, domain: {domain}, activation: relu}}\n"
    );
    Config::parse(&text, "config.yaml".as_ref()).expect("a config")
}

/// The batch of a golden step: images, CTF, rotations as the loader makes them.
fn batch(golden: &BTreeMap<String, Array>, step: usize) -> [Tensor; 4] {
    let b = 12;
    let idx = golden["idx"].to_i64().expect("integers");
    let idx = &idx[step * b..(step + 1) * b];
    let (images, shifts) = (golden["images"].to_f32(), golden["shifts_px"].to_f64());
    let (rotations, params) = (golden["rotations"].to_f32(), golden["ctf_params"].to_f32());
    let std = golden["hartley_std"].to_f32()[0];
    let preprocessor = Preprocessor::new(32, None, false, (0.0, std)).expect("a preprocessor");
    let shift = PhaseShift::new(32).expect("a shift");
    let mask = Lattice::new(33, 0.5).and_then(|l| l.masked_indices(16)).expect("a mask");
    let grid = CtfGrid::lattice(32).expect("a lattice");
    let p = mask.len();
    let (mut y, mut ctf, mut rot) = (vec![], vec![], vec![]);
    for &i in idx {
        let i = i as usize;
        let (mut transform, mut moved, mut c) = (vec![0.0; 1089], vec![0.0; 1089], vec![0.0; 1089]);
        let mut scratch = preprocessor.scratch();
        preprocessor
            .run(&images[i * 1024..(i + 1) * 1024], &mut transform, &mut scratch)
            .expect("a transform");
        shift.run(&transform, [shifts[2 * i], shifts[2 * i + 1]], &mut moved).expect("a shift");
        grid.eval(&CtfParams::from_row(&params[8 * i..8 * (i + 1)]).expect("a row"), &mut c).expect("a CTF");
        y.extend(mask.iter().map(|&m| moved[m as usize]));
        ctf.extend(mask.iter().map(|&m| c[m as usize]));
        rot.extend_from_slice(&rotations[9 * i..9 * (i + 1)]);
    }
    [
        Tensor::f32(&[b, p], y),
        Tensor::f32(&[b, p], ctf),
        Tensor::f32(&[b, 3, 3], rot),
        Tensor::f32(&[b], vec![1.0 / b as f32; b]),
    ]
}

fn set_weights(store: &Store, golden: &BTreeMap<String, Array>, prefix: &str) {
    for (name, array) in golden {
        if let Some(name) = name.strip_prefix(prefix) {
            store.set(name, &Tensor::f32(&array.shape, array.to_f32())).expect("a state");
        }
    }
}

fn train_six_steps(domain: &str) {
    let golden = npz(&format!("vae_{domain}.npz"));
    let network = Network::new(&vae_config(domain)).expect("a network");
    let store = Store::new(Arc::new(Cpu::new()), 0);
    set_weights(&store, &golden, "init.");
    let adam = Adam { lr: 1e-3, ..Adam::default() };
    let tape = Tape::new();
    let objective = Objective { beta_control: None, adam, clip: None, loss_scale: None };
    let losses =
        network.training_step_with(&tape, 12, &objective, |mu| tape.input("noise", &mu.shape(), DType::F32));
    // Gradients are in the moments after the first step: m = (1 - b1) g.
    let outputs = [
        ("total", losses.total),
        ("gen", losses.reconstruction),
        ("kld", losses.divergence.expect("a VAE has a divergence")),
    ];
    let mut step = Step::new(&store, &tape, &outputs, Options::default()).expect("a step");
    let wanted = golden["losses_total_gen_kld"].to_f64();
    let eps = golden["eps"].to_f32();
    let beta = Tensor::scalar(0.3);
    for at in 0..6 {
        let [images, ctf, rotations, weights] = batch(&golden, at);
        let noise = Tensor::f32(&[12, 5], eps[at * 60..(at + 1) * 60].to_vec());
        let schedule = adam.schedule(at as u64 + 1).feeds();
        let mut feeds = vec![
            ("images", &images),
            ("ctf", &ctf),
            ("rotations", &rotations),
            ("weights", &weights),
            ("noise", &noise),
            ("beta", &beta),
        ];
        feeds.extend(schedule.iter().map(|(n, t)| (*n, t)));
        if at == 0 {
            first_forward(&network, &store, &golden, &feeds);
        }
        step.run(&feeds).expect("a step");
        // Differences of weights by rounding grow from step to step.
        let limit = if at == 0 { 1e-5 } else { 1e-3 };
        for (i, name) in ["total", "gen", "kld"].into_iter().enumerate() {
            let value = step.number(name).expect("a loss");
            close(&format!("{name} of step {at}"), &[value], &[wanted[3 * at + i] as f32], limit);
        }
        if at == 0 {
            for (name, array) in &golden {
                if let Some(parameter) = name.strip_prefix("grad0.") {
                    let first = store.get(&format!("adam.first.{parameter}")).expect("a moment").to_f32();
                    let gradient: Vec<f32> = first.iter().map(|m| m / 0.1).collect();
                    close(name, &gradient, &array.to_f32(), 1e-4);
                }
            }
        }
    }
    for (name, array) in &golden {
        if let Some(parameter) = name.strip_prefix("step6.") {
            close(name, &store.get(parameter).expect("a weight").to_f32(), &array.to_f32(), 1e-3);
        }
    }
}

fn first_forward(
    network: &Network,
    store: &Store,
    golden: &BTreeMap<String, Array>,
    feeds: &[(&str, &Tensor)],
) {
    let tape = Tape::new();
    let p = network.mask_len();
    let images = tape.input("images", &[12, p], DType::F32);
    let ctf = tape.input("ctf", &[12, p], DType::F32);
    let rotations = tape.input("rotations", &[12, 3, 3], DType::F32);
    let noise = tape.input("noise", &[12, 5], DType::F32);
    let (mu, logvar) = network.encode(&network.encoder.expect("an encoder"), images * ctf.sign());
    let z = mu + noise * logvar.scale(0.5).exp();
    let recon = network.slices(rotations, Some(z)) * ctf;
    let outputs = [("mu", mu), ("logvar", logvar), ("z", z), ("recon", recon)];
    let mut step = Step::new(store, &tape, &outputs, Options::default()).expect("a step");
    step.run(feeds).expect("a run");
    for (output, name) in [("mu", "z_mu0"), ("logvar", "z_logvar0"), ("z", "z0"), ("recon", "y_recon0")] {
        close(name, &step.fetch(output).expect("an output").to_f32(), &golden[name].to_f32(), 1e-5);
    }
    let mask: Vec<bool> = golden["mask"].to_f32().iter().map(|&m| m != 0.0).collect();
    for (feed, name) in [("images", "y0"), ("ctf", "ctf0")] {
        let wanted: Vec<f32> = golden[name]
            .to_f32()
            .chunks(1089)
            .flat_map(|i| i.iter().zip(&mask).filter(|m| *m.1).map(|m| *m.0))
            .collect();
        let found = feeds.iter().find(|f| f.0 == feed).expect("a feed").1.to_f32();
        // The golden CTF is computed in f32; ours in f64 (golden/README: up to 6e-5 apart).
        close(name, &found, &wanted, if feed == "ctf" { 1e-4 } else { 1e-5 });
    }
}

#[test]
fn six_training_steps_in_the_fourier_domain() {
    train_six_steps("fourier");
}

#[test]
fn six_training_steps_in_the_hartley_domain() {
    train_six_steps("hartley");
}

fn decoder(domain: &str) -> (Network, Store) {
    let text = format!(
        "dataset_args: {{particles: x.mrcs, norm: [0, 1]}}\n\
         lattice_args: {{D: 33, extent: 0.5, ignore_DC: true}}\n\
         model_args: {{layers: 2, dim: 16, zdim: 2, pe_type: gaussian, feat_sigma: 0.5, pe_dim: null, \
         domain: {domain}, activation: relu}}\n"
    );
    let config = Config::parse(&text, "config.yaml".as_ref()).expect("a config");
    let store = Store::new(Arc::new(Cpu::new()), 0);
    set_weights(&store, &npz(&format!("unit/decoder_{domain}_weights.npz")), "");
    (Network::new(&config).expect("a network"), store)
}

#[test]
fn decoder_slices_and_volumes() {
    let z = npy("unit/decoder_z.npy").to_f32();
    for domain in ["fourier", "hartley"] {
        let (network, store) = decoder(domain);
        let tape = Tape::new();
        let rotations = tape.input("rotations", &[5, 3, 3], DType::F32);
        let latent = tape.input("z", &[1, 2], DType::F32).expand(&[5, 2]);
        let slices = network.slices(rotations, Some(latent));
        let mut step = Step::new(&store, &tape, &[("slices", slices)], Options::default()).expect("a step");
        let r = Tensor::f32(&[5, 3, 3], npy("unit/slice_rotations.npy").to_f32());
        step.run(&[("rotations", &r), ("z", &Tensor::f32(&[1, 2], z[..2].to_vec()))]).expect("a run");
        let wanted = npy(&format!("unit/decoder_{domain}_slices.npy")).to_f32();
        close(domain, &step.fetch("slices").expect("slices").to_f32(), &wanted, 1e-5);
        let mut volumes = Evaluator::new(&network, &store).volumes(None).expect("a decoder");
        let volume = volumes.decode(&z[..2], (0.0, 1.7)).expect("a volume");
        close(domain, &volume, &npy(&format!("unit/decoder_{domain}_volume.npy")).to_f32(), 1e-5);
    }
}

#[test]
fn positional_encodings() {
    let coords = npy("unit/pe_coords.npy");
    let points: Vec<f32> =
        coords.to_f32().chunks(coords.shape[1]).flat_map(|row| row[..3].to_vec()).collect();
    let n = coords.shape[0];
    for name in ["gaussian", "geom_ft", "geom_full", "geom_lowf", "geom_nohighf", "linear_lowf"] {
        let wanted = npy(&format!("unit/pe_{name}.npy"));
        let width = wanted.shape[1];
        let count = (width - (coords.shape[1] - 3)) / 6;
        let encoding =
            kinesome::nn::encoding::Encoding::from_name(name, count, 0.5, 33).expect("an encoding");
        let store = Store::new(Arc::new(Cpu::new()), 0);
        let frequencies = npy("unit/pe_gaussian_rand_freqs.npy");
        if name == "gaussian" {
            store.set("rand_freqs", &Tensor::f32(&frequencies.shape, frequencies.to_f32())).expect("a state");
        }
        let tape = Tape::new();
        let features = encoding.record(&tape, tape.input("points", &[n, 3], DType::F32)).features();
        let mut step =
            Step::new(&store, &tape, &[("features", features)], Options::default()).expect("a step");
        step.run(&[("points", &Tensor::f32(&[n, 3], points.clone()))]).expect("a run");
        let wanted: Vec<f32> =
            wanted.to_f32().chunks(width).flat_map(|row| row[..6 * count].to_vec()).collect();
        close(name, &step.fetch("features").expect("features").to_f32(), &wanted, 1e-5);
    }
}
