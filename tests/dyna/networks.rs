//! Encoder and decoder with the reference's weights.

use std::collections::BTreeMap;

use kinesome::io::npy::Array;
use kinesome::plan::Store;
use kinesome::systems::dyna::config::{Config, Stage};
use kinesome::systems::dyna::decoder::Decoder;
use kinesome::systems::dyna::encoder::{Encoder, Kind, Posterior};
use kinesome::systems::dyna::graph::Graph;
use kinesome::systems::dyna::model::Network;
use kinesome::systems::dyna::reference::Reference;
use kinesome::tape::Tape;
use kinesome::tensor::{DType, Tensor};
use kinesome::train::random_key;

use crate::golden::{close, cpu, npz, places, run, tensor};

fn encoder() -> Encoder {
    Encoder {
        kind: Kind::Attention,
        hidden: vec![512, 256, 128, 128],
        attention_layers: 2,
        z: 64,
        variational: false,
    }
}

pub fn graph(golden: &BTreeMap<String, Array>) -> Graph {
    let model = npz("01_projection.npz");
    let blocks: Vec<usize> =
        golden["sec_ids"].to_i64().expect("integers").iter().map(|&b| b as usize).collect();
    Graph::new(&places(&model["adk_ca"]), &[0; 214], blocks, 16)
}

/// A store with the weights of the file.
fn store(golden: &BTreeMap<String, Array>) -> Store {
    let store = cpu();
    for (name, array) in golden {
        if let Some(name) = name.strip_prefix("W.") {
            store.set(name, &tensor(array)).expect("a weight");
        }
    }
    store
}

#[test]
fn latents_and_shifts_are_the_reference_s() {
    let golden = npz("04_network_residue.npz");
    let tape = Tape::new();
    let images = tape.input("x", &[6, 256], DType::F32);
    let z = encoder().record(images, None, None);
    let given = tape.input("z", &[6, 64], DType::F32);
    let shifts = Decoder::new(graph(&golden), None, 32).record(given).permute(&[1, 0, 2]);
    let feeds = [("x", &tensor(&golden["x"])), ("z", &tensor(&golden["z"]))];
    let found = run(&tape, &store(&golden), &[("z", z), ("shifts", shifts)], &feeds);
    close("latents", &found["z"], &golden["z"].to_f32(), 1e-5);
    close("shifts", &found["shifts"], &golden["deformation"].to_f32(), 2e-5);
    // Every weight of the file was asked for, under its own name and shape.
    let declared: Vec<String> = tape.states().into_iter().map(|s| s.name).collect();
    let fixed = ["edge_dist", "pe_vector", "meta_2_node_vector"];
    for name in golden.keys().filter_map(|name| name.strip_prefix("W.")) {
        let is_graph = fixed.iter().any(|part| name.ends_with(part));
        assert!(is_graph || declared.iter().any(|d| d == name), "{name} is not used");
    }
}

/// Images that only fill up a batch change nothing.
#[test]
fn a_batch_that_is_not_full_is_a_smaller_one() {
    let golden = npz("04_network_residue.npz");
    let x = golden["x"].to_f32();
    let encode = |count: usize, size: usize| {
        let tape = Tape::new();
        let images = tape.input("x", &[size, 256], DType::F32);
        let present = tape.input("present", &[size], DType::F32);
        let z = encoder().record(images, Some(present), None);
        let mut fed = x[..count * 256].to_vec();
        fed.resize(size * 256, 7.0);
        let mut there = vec![1.0; count];
        there.resize(size, 0.0);
        let feeds = [("x", &Tensor::f32(&[size, 256], fed)), ("present", &Tensor::f32(&[size], there))];
        run(&tape, &store(&golden), &[("z", z)], &feeds)["z"][..count * 64].to_vec()
    };
    close("four of six", &encode(4, 6), &encode(4, 4), 1e-6);
    let (all, four) = (encode(6, 6), encode(4, 4));
    let apart = all.iter().zip(&four).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(apart > 1e-3, "images of a batch attend to one another");
}

/// Latents are drawn with the mean and the variance that they are said to have, others in each step.
#[test]
fn latents_are_drawn_from_their_distribution() {
    let (images, z) = (4000, 3);
    let tape = Tape::new();
    let [mean, log] = ["mean", "log"].map(|name| tape.input(name, &[images, z], DType::F32));
    let key = tape.input("key", &[4], DType::I32);
    let drawn = Posterior { mean, log_variance: Some(log) }.draw(key);
    let rows = |row: [f32; 3]| Tensor::f32(&[images, z], row.repeat(images));
    let (means, logs) = ([1.0, -2.0, 0.5], [0.0, -3.0, 1.0]);
    let draw = |step: u64| {
        let feeds = [("mean", &rows(means)), ("log", &rows(logs)), ("key", &random_key(7, step))];
        run(&tape, &cpu(), &[("drawn", drawn)], &feeds)["drawn"].clone()
    };
    let values = draw(1);
    for k in 0..z {
        let column: Vec<f64> = values.iter().skip(k).step_by(z).map(|&v| f64::from(v)).collect();
        let average = column.iter().sum::<f64>() / images as f64;
        let variance = column.iter().map(|v| (v - average).powi(2)).sum::<f64>() / images as f64;
        let wanted = f64::from(logs[k]).exp();
        assert!((average - f64::from(means[k])).abs() < 0.06 * wanted.sqrt(), "{average}");
        assert!((variance / wanted - 1.0).abs() < 0.1, "{variance} for {wanted}");
    }
    assert!(draw(1) == values && draw(2) != values);
}

/// As many parameters as the reference's decoder of beads has, whose weights are not at hand.
#[test]
fn a_decoder_of_beads_is_as_large_as_the_reference_s() {
    let path = crate::secondary::data("adk_open.pdb");
    let structure = kinesome::io::structure::Structure::read(&path).expect("a structure");
    let reference = Reference::of_beads(&structure, &path).expect("beads");
    let config = Config { stage: Stage::Beads, ..Config::default() };
    let network = Network::new(&config, &reference, 32, 2.0, &[1.0; 32 * 32]).expect("a network");
    let tape = Tape::new();
    let places = network.decoding(&tape, 2);
    assert_eq!(places.shape(), [2, 450, 3]);
    let count: usize = tape.states().iter().map(|state| state.meta.shape.iter().product::<usize>()).sum();
    assert_eq!(count, 993_411);
}
