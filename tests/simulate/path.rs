//! The path between two conformations: bonds survive, ends are exact, domains move on arcs.

use crate::{adk, carbons};
use kinesome::io::structure::Structure;
use kinesome::protein::elements::{atomic_number, covalent_radius};
use kinesome::protein::path::ConformationPath;
use kinesome::protein::superpose::{Motion, rmsd, superpose};
use nalgebra::{Rotation3, Vector3};

fn distance(x: &[[f64; 3]], i: usize, j: usize) -> f64 {
    (0..3).map(|k| (x[i][k] - x[j][k]).powi(2)).sum::<f64>().sqrt()
}

/// Indices of the Cα atoms of residues first..=last.
fn alphas(s: &Structure, first: i32, last: i32) -> Vec<usize> {
    let inside = |i: &usize| s.atoms[*i].name == "CA" && (first..=last).contains(&s.atoms[*i].residue_number);
    (0..s.atoms.len()).filter(inside).collect()
}

fn pick(x: &[[f64; 3]], which: &[usize]) -> Vec<[f64; 3]> {
    which.iter().map(|&i| x[i]).collect()
}

#[test]
fn superposition_finds_a_known_motion_and_no_reflection() {
    let a: Vec<[f64; 3]> = (0..20)
        .map(|i| [(i as f64 * 1.3).sin() * 9.0, (i as f64 * 0.7).cos() * 5.0, i as f64 * 0.4])
        .collect();
    // Half a turn is where axes are easily lost.
    for angle in [0.0, 1e-9, 0.3, 2.0, std::f64::consts::PI] {
        let rotation = Rotation3::from_axis_angle(&Vector3::y_axis(), angle).into_inner();
        let known = Motion { rotation, translation: Vector3::new(3.0, -2.0, 7.0) };
        let b: Vec<[f64; 3]> = a.iter().map(|p| known.apply(&Vector3::from(*p)).into()).collect();
        let (found, left) = superpose(&a, &b);
        assert!(left < 1e-9, "angle {angle}: rmsd {left}");
        assert!((found.rotation - known.rotation).norm() < 1e-9);
        // Two half screws are the whole motion.
        let half = known.screw(0.5);
        let twice = half.after(&half);
        assert!((twice.rotation - known.rotation).norm() < 1e-9, "angle {angle}");
        assert!((twice.translation - known.translation).norm() < 1e-6, "angle {angle}");
    }
    let mirrored: Vec<[f64; 3]> = a.iter().map(|p| [-p[0], p[1], p[2]]).collect();
    let (found, left) = superpose(&a, &mirrored);
    assert!((found.rotation.determinant() - 1.0).abs() < 1e-9, "a reflection is no motion");
    assert!(left > 1.0);
    assert!((rmsd(&[[0.0; 3], [0.0; 3]], &[[3.0, 0.0, 4.0], [0.0; 3]]) - 12.5f64.sqrt()).abs() < 1e-12);
}

#[test]
fn elements_are_known_in_any_case() {
    assert_eq!(
        ["H", "c", "N", "O", "P", "S", "Fe", "ZN", "se", "U"].map(|e| atomic_number(e).unwrap_or(0)),
        [1, 6, 7, 8, 15, 16, 26, 30, 34, 92]
    );
    assert_eq!(atomic_number("Xx"), None);
    assert_eq!(covalent_radius("C"), Some(0.76));
}

#[test]
fn domains_of_adenylate_kinase_are_core_lid_and_nmp() {
    let [open, closed] = adk();
    let (path, _) = ConformationPath::new(&open, &closed).unwrap();
    let domains = path.domains().next().unwrap();
    assert_eq!(domains.motions.len(), 3);
    // CORE, LID and NMP as in the literature (1-29 + 60-121 + 160-214, 122-159, 30-59); hinges are a matter
    // of taste, so one residue in ten may differ.
    let literature = |r: usize| match r {
        122..=159 => 1,
        30..=59 => 2,
        _ => 0,
    };
    let agree = (1..=214).filter(|&r| domains.label[r - 1] == literature(r)).count();
    assert!(agree >= 193, "{agree} of 214 residues lie in the domain that the literature gives them");
    // The files stand superposed on the CORE.
    assert!(domains.motions[0].angle().to_degrees() < 3.0);
    assert!(domains.motions[1].angle().to_degrees() > 30.0);
}

#[test]
fn bonds_survive_and_the_ends_are_met_exactly() {
    let [open, closed] = adk();
    let (path, common) = ConformationPath::new(&open, &closed).unwrap();
    assert_eq!(common.left_out, [0, 0]);
    let (a, b) = (&open.models[0], &closed.models[0]);
    assert_eq!(&path.at(0.0), a);
    assert_eq!(&path.at(1.0), b);
    // 1656 heavy atoms with 1680 bonds: a chain with one bond less than atoms, and 25 rings (Phe, Tyr, His, Pro).
    let bonds = path.bonds(0);
    assert_eq!(bonds.len(), 1680);
    let ca = alphas(&open, 1, 214);
    let closest = |x: &[[f64; 3]]| {
        let pairs = ca.iter().enumerate().flat_map(|(k, &i)| ca[k + 1..].iter().map(move |&j| (i, j)));
        pairs.map(|(i, j)| distance(x, i, j)).fold(f64::INFINITY, f64::min)
    };
    let at_ends = closest(a).min(closest(b));
    for step in 1..10 {
        let t = f64::from(step) / 10.0;
        let x = path.at(t);
        let (mut squares, mut worst) = (0.0, 0.0f64);
        for &(i, j) in bonds {
            let error = distance(&x, i, j) - ((1.0 - t) * distance(a, i, j) + t * distance(b, i, j));
            squares += error * error;
            worst = worst.max(error.abs());
        }
        let rms = (squares / bonds.len() as f64).sqrt();
        // Bonds of crystal structures scatter by 0.02 Å.
        assert!(rms < 0.01, "t = {t}: bonds are off by {rms} Å (rms)");
        assert!(worst < 0.1, "t = {t}: a bond is off by {worst} Å");
        // The closest pair is a cis peptide of the crystal structures, 3.0 Å.
        assert!(closest(&x) > at_ends - 0.05, "t = {t}: two Cα stand {} Å apart", closest(&x));
    }
}

#[test]
fn handedness_survives() {
    let [open, closed] = adk();
    let (path, _) = ConformationPath::new(&open, &closed).unwrap();
    let find = |r: i32, name: &str| open.atoms.iter().position(|a| a.residue_number == r && a.name == name);
    let mut centres = 0;
    for t in [0.25, 0.5, 0.75] {
        let x = path.at(t);
        for r in 1..=214 {
            let four = ["CA", "N", "C", "CB"].map(|name| find(r, name));
            let [Some(o), Some(n), Some(c), Some(cb)] = four else { continue };
            let from = |i: usize| Vector3::from(x[i]) - Vector3::from(x[o]);
            // L amino acids: N, C, CB turn this way about CA; the volume of a sound centre is 2.5 Å³.
            let volume = from(n).dot(&from(c).cross(&from(cb)));
            assert!(volume > 1.5, "residue {r} at t = {t}: volume {volume}");
            centres += 1;
        }
    }
    assert!(centres > 3 * 180);
}

#[test]
fn the_lid_moves_on_an_arc_and_in_one_direction() {
    let [open, closed] = adk();
    let (path, _) = ConformationPath::new(&open, &closed).unwrap();
    let (a, b) = (&open.models[0], &closed.models[0]);
    let lid = alphas(&open, 125, 155);
    // On a straight line the LID would be squeezed half way; on its arc it keeps its shape.
    let half = pick(&path.at(0.5), &lid);
    let straight: Vec<[f64; 3]> = lid.iter().map(|&i| [0, 1, 2].map(|k| 0.5 * (a[i][k] + b[i][k]))).collect();
    let own = superpose(&pick(a, &lid), &half).1;
    let squeezed = superpose(&pick(a, &lid), &straight).1;
    let ends = superpose(&pick(a, &lid), &pick(b, &lid)).1;
    assert!(own <= ends + 0.1, "the LID is deformed by {own} Å half way, and by {ends} Å between the ends");
    assert!(squeezed > own + 0.3, "straight {squeezed}, arc {own}");
    assert!(
        rmsd(&half, &straight) > 0.8,
        "half way the LID is {} Å from the straight line",
        rmsd(&half, &straight)
    );
    // The angle turned so far grows evenly.
    let whole = superpose(&pick(a, &lid), &pick(b, &lid)).0.angle();
    let mut last = 0.0;
    for step in 1..=10 {
        let t = f64::from(step) / 10.0;
        let angle = superpose(&pick(a, &lid), &pick(&path.at(t), &lid)).0.angle();
        assert!(angle > last, "the LID turns back at t = {t}");
        // Even to a twentieth of the whole turn: flexible loops take part in the fit.
        assert!((angle - t * whole).abs() < 0.05 * whole, "t = {t}: {angle} of {whole}");
        last = angle;
    }
}

#[test]
fn a_path_is_smooth() {
    let [open, closed] = adk();
    let (path, _) = ConformationPath::new(&open, &closed).unwrap();
    let whole = rmsd(&open.models[0], &closed.models[0]);
    let models: Vec<_> = (0..=20).map(|k| path.at(f64::from(k) / 20.0)).collect();
    for pair in models.windows(2) {
        let step = rmsd(&pair[0], &pair[1]);
        // An even walk would take whole / 20; arcs are longer than their chord.
        assert!(step < 2.0 * whole / 20.0, "a step of {step} Å on a way of {whole} Å");
    }
}

#[test]
fn several_states_are_passed_in_order() {
    let [open, closed] = adk();
    let (path, common) = ConformationPath::new(&open, &closed).unwrap();
    let middle = path.at(0.5);
    let states = vec![closed.models[0].clone(), middle.clone(), open.models[0].clone()];
    let topology = kinesome::protein::path::Topology::of(&common.structure);
    let path = ConformationPath::through(topology, &states).unwrap();
    assert_eq!(path.at(0.0), states[0]);
    assert_eq!(path.at(0.5), middle);
    assert_eq!(path.at(1.0), states[2]);
}

#[test]
fn structures_are_matched_by_name_and_strangers_refused() {
    let [open, mut closed] = adk();
    // Another chain name, one atom less, and another order.
    closed.atoms.iter_mut().for_each(|a| a.chain = "X".into());
    closed.atoms.reverse();
    closed.models[0].reverse();
    closed.atoms.pop();
    closed.models[0].pop();
    let (path, common) = ConformationPath::new(&open, &closed).unwrap();
    assert_eq!(common.left_out, [1, 0]);
    let mut expected = closed.models[0].clone();
    expected.reverse();
    assert_eq!(path.at(1.0), expected);

    let few = carbons(&[[0.0; 3], [4.0, 0.0, 0.0], [8.0, 0.0, 0.0], [12.0, 0.0, 0.0]]);
    let mut other = few.clone();
    other.atoms.iter_mut().for_each(|a| a.residue_number += 3);
    let text = ConformationPath::new(&few, &other).err().unwrap().to_string();
    assert!(text.contains("share only 1 of"), "{text}");
}
