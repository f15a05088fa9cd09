//! MARTINI's energy and bead models at rest in it.

use std::path::Path;

use kinesome::io::structure::Structure;
use kinesome::protein::martini::{Angle, Beads, Bond, Dihedral, ForceField, Improper, Topology};
use kinesome::protein::minimise::{Energy, Point, Settings};
use kinesome::systems::dyna::relax::Relax;

use crate::secondary::data;

const EM: Settings = Settings { steps: 20_000, tolerance: 75.0, step: 0.01 };

fn beads() -> Beads {
    let structure = Structure::read(&data("adk_open.pdb")).expect("a structure");
    Beads::of(&structure, None, Path::new("adk_open.pdb")).expect("beads")
}

fn models(beads: &Beads) -> Structure {
    Structure { atoms: beads.atoms.clone(), models: vec![beads.places.clone()] }
}

/// Every bead a little aside, the same each time.
fn shaken(places: &[[f64; 3]], by: f64) -> Vec<Point> {
    let aside = |i: usize, k: usize| by * ((i * 3 + k) as f64 * 2.3).sin();
    places.iter().enumerate().map(|(i, p)| Point::from_fn(|k, _| p[k] + aside(i, k))).collect()
}

/// By the formulas of GROMACS's manual, on beads that only one term acts on.
#[test]
fn terms_have_the_values_of_their_formulas() {
    let energy = |places: &[[f64; 3]], types: &[&'static str], charges: &[f64], topology: Topology| {
        let beads = Beads { types: types.into(), charges: charges.into(), ..Beads::default() };
        let points: Vec<Point> = places.iter().map(|p| Point::from(*p)).collect();
        ForceField::new(&beads, topology).terms(&points)
    };
    let has = |terms: &[(&str, f64)], name: &str, wanted: f64| {
        let found = terms.iter().find(|t| t.0 == name).map(|t| t.1).expect(name);
        assert!((found - wanted).abs() < 1e-6 * (1.0 + wanted.abs()), "{name}: {found}, not {wanted}");
    };
    let bond = |i: usize, j: usize| Bond { atoms: [i, j], length: 3.5, stiffness: 12.5, rigid: false };
    let line = [[0.0; 3], [4.0, 0.0, 0.0]];
    let bonds = Topology { bonds: vec![bond(0, 1)], ..Topology::default() };
    let terms = energy(&line, &["P5", "P5"], &[0.0; 2], bonds);
    has(&terms, "bonds", 0.5 * 12.5 * 0.25);
    has(&terms, "Lennard-Jones", 0.0);
    // The bottom of the well, and what the cut-off at 11 Å takes off.
    let bottom = [[0.0; 3], [0.0, 4.7 * 2f64.powf(1.0 / 6.0), 0.0]];
    let beyond = |depth: f64| 4.0 * depth * ((4.7f64 / 11.0).powi(12) - (4.7f64 / 11.0).powi(6));
    has(&energy(&bottom, &["P5", "P5"], &[0.0; 2], Topology::default()), "Lennard-Jones", -5.6 - beyond(5.6));
    // 138.935 kJ/mol nm, screened by 15, with the field of a conductor beyond the cut-off.
    let at = |d: f64| 138.935458 / 15.0 * (1.0 / d + d * d / (2.0 * 1.1f64.powi(3)) - 1.5 / 1.1);
    let apart = [[0.0; 3], [0.0, 0.0, 6.0]];
    has(&energy(&apart, &["Qd", "Qa"], &[1.0, -1.0], Topology::default()), "Coulomb", -at(0.6));
    has(
        &energy(&[[0.0; 3], [0.0, 0.0, 12.0]], &["Qd", "Qa"], &[1.0, -1.0], Topology::default()),
        "Coulomb",
        0.0,
    );
    // A right angle, then a torsion of +90°.
    let square = [[3.5, 0.0, 0.0], [0.0; 3], [0.0, 3.5, 0.0], [0.0, 3.5, 3.5]];
    let angles = vec![Angle { atoms: [0, 1, 2], angle: 120.0, stiffness: 25.0 }];
    let dihedrals = vec![Dihedral { atoms: [0, 1, 2, 3], angle: -120.0, stiffness: 400.0, multiplicity: 1 }];
    let impropers = vec![Improper { atoms: [0, 1, 2, 3], angle: 0.0, stiffness: 50.0 }];
    let terms = energy(
        &square,
        &["P5"; 4],
        &[0.0; 4],
        Topology { angles, dihedrals, impropers, ..Topology::default() },
    );
    has(&terms, "angles", 0.5 * 25.0 * 0.25);
    let turned = std::f64::consts::FRAC_PI_2;
    has(&terms, "impropers", 0.5 * 50.0 * turned * turned);
    // Which way round a torsion turns shows in the phase.
    let phi = kinesome::protein::backmap::backbone::dihedral(square.map(Point::from)).to_radians();
    has(&terms, "dihedrals", 400.0 * (1.0 + (phi + 120f64.to_radians()).cos()));
}

#[test]
fn the_gradient_is_that_of_each_term() {
    let beads = beads();
    let whole = Topology::new(&beads);
    let points = shaken(&beads.places, 0.4);
    let none = Topology::default;
    let parts = [
        ("bonds", Topology { bonds: whole.bonds.clone(), ..none() }),
        ("angles", Topology { angles: whole.angles.clone(), ..none() }),
        ("dihedrals", Topology { dihedrals: whole.dihedrals.clone(), ..none() }),
        ("impropers", Topology { impropers: whole.impropers.clone(), ..none() }),
        ("pairs", none()),
    ];
    for (name, topology) in parts {
        let mut energy = ForceField::new(&beads, topology);
        let mut gradient = vec![Point::zeros(); points.len()];
        energy.add(&points, &mut gradient);
        for i in (0..points.len()).step_by(17) {
            for k in 0..3 {
                let mut at = |shift: f64| {
                    let mut moved = points.clone();
                    moved[i][k] += shift;
                    energy.add(&moved, &mut vec![Point::zeros(); points.len()])
                };
                let slope = (at(1e-4) - at(-1e-4)) / 2e-4;
                let off = (slope - gradient[i][k]).abs();
                assert!(off < 1e-3 + 1e-4 * slope.abs(), "{name}, {i}, {k}: {}, not {slope}", gradient[i][k]);
            }
        }
    }
}

#[test]
fn shaken_beads_come_to_rest() {
    let beads = beads();
    let mut structure = models(&beads);
    let places = shaken(&beads.places, 0.5).into_iter().map(Into::into).collect();
    structure.models = vec![beads.places.clone(), places];
    // The order of a file is kept.
    structure.atoms.reverse();
    structure.models.iter_mut().for_each(|m| m.reverse());
    let reference = Structure::read(&data("adk_open.pdb")).expect("a structure");
    for reference in [Some((reference, Path::new("adk_open.pdb"))), None] {
        let from_beads = reference.is_none();
        let relax = Relax::new(structure.clone(), Path::new("beads.pdb"), reference).expect("beads");
        assert_eq!(relax.notes.len(), usize::from(from_beads));
        let (made, relaxed) = relax.run(&EM, &mut |_, _| Ok(())).expect("a minimum");
        assert_eq!(made.atoms, structure.atoms);
        for (model, relaxed) in
            structure.models.iter().zip(&relaxed).zip(&made.models).map(|((m, r), n)| ((m, n), r))
        {
            let total = |terms: &[(&str, f64)]| terms.iter().map(|t| t.1).sum::<f64>();
            let outcome = relaxed.outcome;
            assert!(outcome.settled && outcome.force <= 75.0 && outcome.steps < 5000, "{outcome:?}");
            assert!(
                (total(&relaxed.after) - outcome.energy).abs() < 1e-6 * outcome.energy.abs(),
                "{relaxed:?}"
            );
            assert!(total(&relaxed.after) < total(&relaxed.before), "{relaxed:?}");
            let (before, after) = model;
            assert!(kinesome::protein::superpose::superpose(before, after).1 < 1.0);
        }
    }
}

#[test]
fn beads_that_do_not_fit_are_named() {
    let says = |structure: Structure, words: &[&str]| {
        let reference = Structure::read(&data("adk_open.pdb")).expect("a structure");
        let path = Path::new("beads.pdb");
        let Err(error) = Relax::new(structure, path, Some((reference, path))) else {
            panic!("{words:?}: nothing is said")
        };
        let text = error.to_string();
        assert!(words.iter().all(|w| text.contains(w)), "{words:?}: {text}");
    };
    let whole = models(&beads());
    let mut missing = whole.clone();
    missing.atoms.pop();
    missing.models[0].pop();
    says(missing, &["GLY 214 A", "BB", "missing"]);
    let mut other = whole.clone();
    other.atoms[0].name = "SC4".into();
    says(other, &["SC4 of MET 1 A"]);
    let mut twice = whole;
    twice.atoms[1] = twice.atoms[0].clone();
    says(twice, &["BB of MET 1 A", "twice"]);
}
