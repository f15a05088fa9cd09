//! Maps of atomic models, and models and maps in one frame.

use std::path::Path;

use kinesome::io::mrc::{Volume, write_volume};
use kinesome::io::structure::Structure;
use kinesome::systems::dyna::density::atoms;

use super::command::{fails, kinesome, succeeds};
use crate::golden::{close, npz, places};
use crate::secondary::data;

#[test]
fn densities_are_the_reference_s() {
    let golden = npz("01_projection.npz");
    let line = golden["line16"].to_f64();
    let (places, sigmas) = (places(&golden["mu"]), golden["sigma"].to_f64());
    let mut found = vec![0.0; 16 * 16 * 16];
    for ((place, electrons), sigma) in places.into_iter().zip(golden["amp"].to_f64()).zip(sigmas) {
        let one = atoms::map(&[(place, electrons)], 16, line[1] - line[0], sigma);
        found.iter_mut().zip(one).for_each(|(sum, v)| *sum += v);
    }
    let xyz = golden["density16_xyz"].to_f32();
    let zyx: Vec<f32> = (0..4096).map(|i| xyz[(i % 16 * 16 + i / 16 % 16) * 16 + i / 256]).collect();
    close("density", &found, &zyx, 1e-5);
}

/// Map and model lie over one another by the header alone.
#[test]
fn a_map_lies_over_its_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let mut model = Structure::read(&data("adk_open.pdb")).expect("a structure");
    let middle = atoms::centroid(&atoms::atoms(&model, 0));
    // Anywhere but in the middle.
    for place in &mut model.models[0] {
        (0..3).for_each(|k| place[k] += [7.0, -4.0, 2.0][k] - middle[k]);
    }
    let moved = model.models[0].iter().map(|p| p.map(|v| v + 1.0)).collect();
    model.models.push(moved);
    model.write(&at.join("two.pdb")).expect("a model");
    succeeds(kinesome(at, &["dyna", "simulate-density", "two.pdb", "-o", "two.mrc", "-s", "48", "-a", "2"]));
    for (name, by) in [("two_000.mrc", 0.0), ("two_001.mrc", 1.0)] {
        let map = Volume::read(at.join(name)).expect("a map");
        assert_eq!((map.dims, map.apix, map.origin), ([48; 3], Some(2.0), [-48.0; 3]));
        let total: f64 = map.data.iter().map(|&v| f64::from(v)).sum();
        for (axis, wanted) in [7.0, -4.0, 2.0].into_iter().enumerate() {
            let place = |i: usize| map.origin[axis] + 2.0 * (i / 48usize.pow(axis as u32) % 48) as f64;
            let mean =
                map.data.iter().enumerate().map(|(i, &v)| place(i) * f64::from(v)).sum::<f64>() / total;
            assert!((mean - wanted - by).abs() < 0.01, "{name}, axis {axis}: {mean}");
        }
    }
    // A residue's electrons stand at its CA.
    let more = ["-s", "48", "-a", "2", "--residues"];
    succeeds(kinesome(
        at,
        &[&["dyna", "simulate-density", "two.pdb", "-o", "coarse.mrc"], &more[..]].concat(),
    ));
    let sum = |name: &str| {
        Volume::read(at.join(name)).expect("a map").data.iter().map(|&v| f64::from(v)).sum::<f64>()
    };
    assert!((sum("coarse_000.mrc") / sum("two_000.mrc") - 1.0).abs() < 1e-3);
    let away = |folder: &Path, arguments: &[&str]| {
        let all = ["dyna", "simulate-density", "two.pdb", "-o", "x.mrc"];
        fails(kinesome(folder, &[&all[..], arguments].concat()))
    };
    assert!(away(at, &["-s", "4", "-a", "0.01"]).contains("sigma"));
    assert!(away(at, &["-a", "0"]).contains("--apix"));
    assert!(away(at, &["-s", "0"]).contains("--side"));
}

#[test]
fn a_model_and_its_map_move_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let mut model = Structure::read(&data("adk_open.pdb")).expect("a structure");
    let before = model.models[0][10];
    model.write(&at.join("model.pdb")).expect("a model");
    write_volume(&at.join("map.mrc"), &[0.5; 12 * 10 * 8], [12, 10, 8], 1.5, [3.0, 0.0, -2.0])
        .expect("a map");
    succeeds(kinesome(at, &["dyna", "center", "model.pdb", "map.mrc"]));
    let map = Volume::read(at.join("map_centered.mrc")).expect("a map");
    assert_eq!((map.dims, map.origin), ([12, 10, 8], [-6.0, -7.5, -9.0]));
    assert_eq!(map.data, vec![0.5; 960]);
    let after = Structure::read(&at.join("model_centered.pdb")).expect("a model").models[0][10];
    for (axis, moved) in [-9.0, -7.5, -7.0].into_iter().enumerate() {
        assert!((after[axis] - before[axis] - moved).abs() < 2e-3, "{axis}");
    }
    // Alone, a model's centroid becomes the origin.
    succeeds(kinesome(at, &["dyna", "center", "model.pdb", "-o", "alone"]));
    model = Structure::read(&at.join("alone/model_centered.pdb")).expect("a model");
    assert!(atoms::centroid(&atoms::atoms(&model, 0)).iter().all(|v| v.abs() < 2e-3));
    assert!(fails(kinesome(at, &["dyna", "center", "map.mrc", "map_centered.mrc"])).contains("one"));
    assert!(fails(kinesome(at, &["dyna", "center", "nothing.pdb"])).contains("nothing.pdb"));
}
