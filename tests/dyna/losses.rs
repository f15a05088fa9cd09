//! Structure losses and their derivative, pair lists and the variance filter.

use kinesome::protein::martini::Topology;
use kinesome::systems::dyna::bonded::{Bonded, Weights, wells};
use kinesome::systems::dyna::graph::{Pairs, Springs};
use kinesome::systems::dyna::losses::{Structural, clash, connected, divergence, elastic, kept};
use kinesome::tape::{Tape, Var};
use kinesome::tensor::{DType, Tensor};

use crate::golden::{close, cpu, npz, run};

fn pairs(members: &[i64], distances: Vec<f64>) -> Pairs {
    Pairs { members: members.chunks(2).map(|p| (p[0] as usize, p[1] as usize)).collect(), distances }
}

/// Axes `[a, b]` of numbers exchanged.
fn turned(values: &[f32], a: usize, b: usize) -> Vec<f32> {
    (0..a * b).map(|i| values[i % a * b + i / a]).collect()
}

#[test]
fn losses_are_the_reference_s() {
    let golden = npz("03_losses_residue.npz");
    let structures = golden["struc"].to_f32();
    let (batch, count) = (4, 214);
    let list = |name: &str| golden[name].to_i64().expect("integers");
    let neighbours = pairs(&list("connect_pairs"), golden["connect_dists"].to_f64());
    let near = pairs(&list("cutoff_pairs"), golden["cutoff_dists"].to_f64());
    let apart = list("clash_pairs");
    let apart = pairs(&apart, vec![0.0; apart.len() / 2]);
    let tape = Tape::new();
    let places = tape.input("places", &[count, 3, batch], DType::F32);
    let none = Pairs::default();
    let held = |keep: f64| elastic(places, std::slice::from_ref(&near), &none, keep);
    let (bonds, springs, bumps) = (connected(places, &neighbours), held(0.8), clash(places, &apart, 4.0));
    let slope = tape.grad(bonds + springs + bumps, &[places])[0];
    let filter = {
        let index = |end: fn(&(usize, usize)) -> usize| near.members.iter().map(end).collect::<Vec<_>>();
        let end = |index: Vec<usize>| kinesome::nn::graph::pick(places, &index);
        let away: Var<'_> = end(index(|p| p.0)) - end(index(|p| p.1));
        let reference: Vec<f32> = near.distances.iter().map(|&d| d as f32).collect();
        let reference = tape.constant(Tensor::f32(&[near.len(), 1], reference));
        kept((away.square().sum(&[1]).sqrt() - reference).square(), 0.8)
    };
    let outputs = [
        ("connect_loss", bonds),
        ("dist_loss_keep08", springs),
        ("dist_loss_keep099", held(0.99)),
        ("dist_loss_all", held(1.0)),
        ("clash_loss", bumps),
        ("slope", slope),
        ("kept", filter),
    ];
    let fed = Tensor::f32(&[count, 3, batch], turned(&structures, batch, 3 * count));
    let found = run(&tape, &cpu(), &outputs, &[("places", &fed)]);
    for (name, _) in &outputs[..5] {
        close(name, &found[*name], &golden[*name].to_f32(), 1e-5);
    }
    let wanted = golden["keep08"].to_f32();
    assert_eq!(found["kept"], wanted, "the pairs that are kept");
    assert_eq!(wanted.iter().sum::<f32>(), 2000.0);
    close(
        "derivative",
        &turned(&found["slope"], 3 * count, batch),
        &golden["grad_total_keep08"].to_f32(),
        1e-5,
    );
}

/// The divergence of latents with and without free bits, and its slope by the formula.
#[test]
fn the_divergence_of_latents_is_the_reference_s() {
    let golden = npz("03_losses_residue.npz");
    let [means, logs] = ["kl_mu", "kl_logvar"].map(|name| golden[name].to_f32());
    for (name, free) in [("kl_free3", 3.0), ("kl_free0", 0.0)] {
        let tape = Tape::new();
        let [mean, log] = ["mean", "log"].map(|name| tape.input(name, &[2, 8], DType::F32));
        let value = divergence(mean, log, free);
        let slopes = tape.grad(value, &[mean, log]);
        let outputs = [("value", value), ("by mean", slopes[0]), ("by log", slopes[1])];
        let feeds =
            [("mean", &Tensor::f32(&[2, 8], means.clone())), ("log", &Tensor::f32(&[2, 8], logs.clone()))];
        let found = run(&tape, &cpu(), &outputs, &feeds);
        close(name, &found["value"], &golden[name].to_f32(), 1e-6);
        let counts = |(m, l): (&f32, &f32)| {
            let each = 0.5 * (m * m + l.exp() - 1.0 - l);
            if f64::from(each) > free { 1.0 / 16.0 } else { 0.0 }
        };
        let counts: Vec<f32> = means.iter().zip(&logs).map(counts).collect();
        assert_eq!(counts.iter().filter(|c| **c > 0.0).count(), if free > 0.0 { 1 } else { 16 });
        let by_mean: Vec<f32> = means.iter().zip(&counts).map(|(m, c)| m * c).collect();
        let by_log: Vec<f32> = logs.iter().zip(&counts).map(|(l, c)| 0.5 * (l.exp() - 1.0) * c).collect();
        close("by mean", &found["by mean"], &by_mean, 1e-6);
        close("by log", &found["by log"], &by_log, 1e-6);
    }
    let loss = kinesome::systems::dyna::config::Config::default().loss;
    assert_eq!([0, 2_500, 10_000, 90_000].map(|step| loss.beta(step)), [0.0, 0.125, 0.5, 0.5]);
}

fn bonded(parity: bool) -> Bonded {
    let beads = crate::martini::beads(&npz("05_cg.npz"));
    let topology = Topology::new(&beads);
    let none = Pairs::default();
    Bonded {
        pairs: wells(&beads, &topology, &beads.places, 12.0, parity),
        topology,
        springs: Springs { connected: none.clone(), chains: vec![], between: none.clone(), clashing: none },
        weights: Weights {
            bonds: 1.0,
            angles: 1.0,
            dihedrals: 1.0,
            impropers: 1.0,
            pairs: 1.0,
            elastic: 1.0,
        },
        morse: 1.0,
        keep: 0.8,
        parity,
    }
}

const BEADS: usize = 450;
const NAMES: [(&str, &str); 5] = [
    ("bonds", "bond_loss"),
    ("angles", "angle_loss"),
    ("dihedrals", "torsion_loss"),
    ("impropers", "improper_loss"),
    ("pairs", "morse_loss"),
];

#[test]
fn energies_of_beads_are_the_reference_s() {
    let golden = npz("05_cg.npz");
    let batch = golden["x"].shape[0];
    let tape = Tape::new();
    let places = tape.input("places", &[BEADS, 3, batch], DType::F32);
    let parts = bonded(true).parts(places);
    let total = parts.iter().map(|part| part.value).reduce(|a, b| a + b).expect("parts");
    let slope = tape.grad(total, &[places])[0];
    let mut outputs: Vec<(&str, Var<'_>)> = parts.iter().map(|part| (part.name, part.value)).collect();
    outputs.push(("slope", slope));
    let fed = Tensor::f32(&[BEADS, 3, batch], turned(&golden["x"].to_f32(), batch, 3 * BEADS));
    let found = run(&tape, &cpu(), &outputs, &[("places", &fed)]);
    for (ours, theirs) in NAMES {
        close(ours, &found[ours], &golden[theirs].to_f32(), 1e-5);
    }
    close("derivative", &turned(&found["slope"], 3 * BEADS, batch), &golden["grad_sum"].to_f32(), 2e-5);
}

/// As it should be, a crystal's structure is near the least of each term; half a turn off it is not.
#[test]
fn beads_of_a_crystal_have_little_energy() {
    let energies = |parity: bool| {
        let tape = Tape::new();
        let structure = kinesome::io::structure::Structure::read(&crate::secondary::data("adk_open.pdb"))
            .expect("a model");
        let beads = kinesome::protein::martini::Beads::of(&structure, None, std::path::Path::new("adk"))
            .expect("beads");
        let topology = Topology::new(&beads);
        let counts = [topology.dihedrals.len(), topology.impropers.len()].map(|n| n as f32);
        let flat = beads.places.as_flattened().iter().map(|&v| v as f32).collect();
        let places = tape.constant(Tensor::f32(&[beads.len(), 3, 1], flat));
        let pairs = wells(&beads, &topology, &beads.places, 12.0, parity);
        let parts = Bonded { topology, pairs, ..bonded(parity) }.parts(places);
        let outputs: Vec<(&str, Var<'_>)> = parts.iter().map(|part| (part.name, part.value)).collect();
        (run(&tape, &cpu(), &outputs, &[]), counts)
    };
    let ((own, _), (reference, counts)) = (energies(false), energies(true));
    println!("{own:?}\n{reference:?}");
    let of = |name: &str, count: f32| reference[name][0] * (BEADS * BEADS) as f32 / count;
    // 64 times 1 + cos: 128 at the most.
    assert!(own["dihedrals"][0] < 4.0 && of("dihedrals", counts[0]) > 115.0, "{own:?}, {reference:?}");
    // 8 times the square of an angle: 79 at the most.
    assert!(own["impropers"][0] < 4.0 && of("impropers", counts[1]) > 40.0, "{own:?}, {reference:?}");
    assert!(own["angles"][0] < 1.0 && own["pairs"][0] < 1.0, "{own:?}");
}
