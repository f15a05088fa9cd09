//! Structure losses and their derivative, pair lists and the variance filter.

use kinesome::systems::dyna::graph::Pairs;
use kinesome::systems::dyna::losses::{clash, connected, elastic, kept};
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
