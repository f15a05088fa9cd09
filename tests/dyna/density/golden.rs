//! Network, transforms and the first CTF with the reference's numbers.

use std::collections::BTreeMap;

use kinesome::cryo::ctf::CtfParams;
use kinesome::io::npy::Array;
use kinesome::plan::Store;
use kinesome::systems::dyna::density::decoder::Decoder;
use kinesome::systems::dyna::density::evaluate::{Maps, Scale};
use kinesome::systems::dyna::density::images::{first_grid, first_params};
use kinesome::systems::dyna::density::model::{fourier, slices};
use kinesome::tape::{Init, Tape};
use kinesome::tensor::Tensor;

use crate::golden::{close, cpu, npz, run, tensor};

const DECODER: Decoder = Decoder { side: 16, hidden: 32, z: 4 };

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

/// The negative of a frequency of a centred transform of any rank, the edge of an even one being its own.
fn negative(at: usize, side: usize, rank: u32) -> usize {
    let digit = |axis: u32| at / side.pow(axis) % side;
    let of = |i: usize| if side.is_multiple_of(2) { (side - i) % side } else { side - 1 - i };
    (0..rank).map(|axis| of(digit(axis)) * side.pow(axis)).sum()
}

/// Real and imaginary part of whole transforms by [`fourier`], which wants lists that are their own mirror images:
/// pairs of a coefficient and its negative are such.
fn parts(hartley: &[f32], side: usize, rank: u32) -> [Vec<f32>; 2] {
    let size = side.pow(rank);
    let pairs = hartley.chunks(size).flat_map(|one| {
        (0..size).flat_map(|at| [one[at], one[negative(at, side, rank)]]).collect::<Vec<_>>()
    });
    let tape = Tape::new();
    let pairs = tape.constant(Tensor::f32(&[hartley.len(), 2], pairs.collect()));
    let [re, im] = fourier(pairs).map(|part| part.slice(1, 0, 1));
    let mut found = run(&tape, &cpu(), &[("re", re), ("im", im)], &[]);
    ["re", "im"].map(|name| found.remove(name).expect("a part"))
}

#[test]
fn slices_are_the_reference_s() {
    let golden = npz("06_density.npz");
    let tape = Tape::new();
    let all: Vec<usize> = (0..256).collect();
    let rotations = tape.constant(tensor(&golden["rotmat"]));
    let values = slices(&DECODER, &all, rotations, tape.constant(tensor(&golden["z"])));
    let found = run(&tape, &store(&golden), &[("y", values)], &[]);
    let [re, im] = parts(&found["y"], 16, 2);
    close("real part", &re, &golden["fplane_re"].to_f32(), 1e-5);
    close("imaginary part", &im, &golden["fplane_im"].to_f32(), 1e-5);
    // Every weight of the file was asked for, under its own name and shape.
    let declared: Vec<(String, Vec<usize>)> =
        tape.states().into_iter().map(|s| (s.name, s.meta.shape)).collect();
    let held: Vec<_> =
        golden.iter().filter_map(|(name, a)| Some((name.strip_prefix("W.")?, &a.shape))).collect();
    assert_eq!(declared.len(), held.len());
    for (name, shape) in held {
        assert!(declared.iter().any(|d| d.0 == name && &d.1 == shape), "{name} {shape:?}: {declared:?}");
    }
}

#[test]
fn a_map_is_the_reference_s() {
    let golden = npz("06_density.npz");
    let scale = Scale { apix: 1.0, f_std: 1.0, radius: 1.0 };
    let mut maps = Maps::new(DECODER, &store(&golden), scale).expect("maps");
    let map = maps.map(&golden["z"].to_f32()[..4]).expect("a map");
    close("map", &map, &golden["volume_zyx"].to_f32(), 1e-5);
}

/// The reference's Hartley transform is the mirror image of ours.
#[test]
fn hartley_and_fourier_are_one_another_s() {
    let golden = npz("06_density.npz");
    for (hartley, fourier, side, rank) in [
        ("hartley_even", "fourier_even", 6, 2),
        ("hartley_odd", "fourier_odd", 5, 2),
        ("hartley3", "fourier3", 4, 3),
    ] {
        let theirs = golden[hartley].to_f32();
        let size = usize::pow(side, rank);
        let mirrored = |one: &[f32]| (0..size).map(|at| one[negative(at, side, rank)]).collect::<Vec<_>>();
        let ours: Vec<f32> = theirs.chunks(size).flat_map(mirrored).collect();
        let [re, im] = parts(&ours, side, rank);
        close(hartley, &re, &golden[&format!("{fourier}_re")].to_f32(), 1e-6);
        close(hartley, &im, &golden[&format!("{fourier}_im")].to_f32(), 1e-6);
        let back: Vec<f32> = re.iter().zip(&im).map(|(re, im)| re - im).collect();
        close("back", &back, &ours, 1e-6);
    }
}

#[test]
fn the_first_ctf_is_as_it_was() {
    let golden = npz("02_image_ops.npz");
    let number = |name: &str, i: usize| golden[name].to_f64()[i];
    let grid = first_grid(64);
    let mut found = vec![0.0; 8 * 64 * 64];
    for (i, out) in found.chunks_mut(64 * 64).enumerate() {
        let ctf = CtfParams {
            apix: 2.0,
            defocus_u: 1e4 * number("defocusU_um", i),
            defocus_v: 1e4 * number("defocusV_um", i),
            defocus_angle: number("astig_rad", i).to_degrees(),
            voltage: 300.0,
            cs: 2.7,
            amplitude_contrast: 0.1,
            phase_shift: 0.0,
            scale: 1.0,
            b_factor: 0.0,
        };
        grid.eval(&first_params(&ctf), out).expect("a CTF");
        out.iter_mut().for_each(|v| *v = -*v);
    }
    close("the first CTF", &found, &golden["ctf_v1"].to_f32(), 1e-4);
}

#[test]
fn layers_start_as_the_reference_s() {
    let tape = Tape::new();
    Decoder { side: 32, hidden: 200, z: 3 }.declare(&tape);
    let states = tape.states();
    let start = |name: &str| states.iter().find(|s| s.name == name).map(|s| s.init.clone()).expect(name);
    let is = |name: &str, deviation: f32| match start(name) {
        Init::Normal(found) => assert!((found / deviation - 1.0).abs() < 1e-6, "{name}: {found}"),
        other => panic!("{name}: {other:?}"),
    };
    is("pe.gaussian_weights", 4.0);
    is("net.net.0.weight", 1.0 / (6.0 * 32.0 + 3.0 + 3.0_f32).sqrt());
    is("net.net.4.layer.weight", 1.0 / 200.0_f32.sqrt());
    assert!(matches!(start("net.net.5.weight"), Init::Uniform(_)));
}
