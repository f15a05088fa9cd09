//! The minimiser on functions with known minima, and the gradients of what it is given.

use std::collections::HashSet;

use kinesome::Error;
use kinesome::protein::backmap::restraints::{Anchor, Contacts, Distance, Restraints, Volume};
use kinesome::protein::minimise::{Energy, Point, Settings, descend, lbfgs, sum};

/// Rosenbrock's valley in x and y of each point, and a bowl in z.
struct Valley;

impl Energy for Valley {
    fn add(&mut self, points: &[Point], gradient: &mut [Point]) -> f64 {
        let all: Vec<usize> = (0..points.len()).collect();
        sum(&all, gradient, |&i| {
            let p = points[i];
            let (a, b) = (1.0 - p.x, p.y - p.x * p.x);
            let g = Point::new(-2.0 * a - 400.0 * b * p.x, 200.0 * b, 2.0 * p.z);
            (a * a + 100.0 * b * b + p.z * p.z, [(i, g)])
        })
    }

    fn terms(&mut self, points: &[Point]) -> Vec<(&'static str, f64)> {
        vec![("valley", self.add(points, &mut vec![Point::zeros(); points.len()]))]
    }
}

fn start() -> Vec<Point> {
    vec![Point::new(-1.2, 1.0, 2.0), Point::new(2.0, -1.0, -0.5)]
}

#[test]
fn both_ways_find_the_end_of_a_valley() {
    let settings = Settings { steps: 20_000, tolerance: 0.02, step: 0.01 };
    for (name, most) in [("descent", 20_000), ("L-BFGS", 300)] {
        let mut points = start();
        let mut seen = vec![];
        let mut watch = |_: usize, energy: f64, _: f64| {
            seen.push(energy);
            Ok(())
        };
        let outcome = match name {
            "descent" => descend(&mut Valley, &mut points, &settings, &mut watch),
            _ => lbfgs(&mut Valley, &mut points, &settings, &mut watch),
        };
        let outcome = outcome.expect("a minimum");
        assert!(outcome.settled && outcome.force <= 0.02 && outcome.steps <= most, "{name}: {outcome:?}");
        assert!(seen.windows(2).all(|w| w[1] <= w[0]), "{name}: the energy rises");
        for p in points {
            assert!((p - Point::new(1.0, 1.0, 0.0)).norm() < 0.06, "{name}: {p}");
        }
    }
}

#[test]
fn steps_end_where_they_are_told_and_an_interruption_passes_through() {
    let settings = Settings { steps: 7, tolerance: 0.0, step: 0.01 };
    let outcome = descend(&mut Valley, &mut start(), &settings, &mut |_, _, _| Ok(())).expect("seven steps");
    assert_eq!((outcome.steps, outcome.settled), (7, false));
    let stop = |steps: usize, _: f64, _: f64| if steps < 3 { Ok(()) } else { Err(Error::Interrupted) };
    let stopped = lbfgs(&mut Valley, &mut start(), &settings, &mut { stop });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let nowhere =
        descend(&mut Valley, &mut [Point::new(f64::NAN, 0.0, 0.0)], &settings, &mut |_, _, _| Ok(()));
    assert!(matches!(nowhere, Err(Error::NotFinite(_))));
}

/// Points at no special places, the same each time.
fn scattered(count: usize) -> Vec<Point> {
    let wave = |i: usize, k: f64| 2.0 * (i as f64 * k + k).sin();
    (0..count).map(|i| Point::new(wave(i, 1.7), wave(i, 2.9), wave(i, 4.3))).collect()
}

fn restraints() -> [(&'static str, Restraints); 4] {
    let none = || Restraints { distances: vec![], volumes: vec![], anchors: vec![], contacts: None };
    let distance = |i: usize, j: usize| Distance { atoms: [i, j], length: 1.5, stiffness: 3.0 };
    let volume = |a: usize| Volume { atoms: [a, a + 1, a + 2, a + 3], volume: 2.0, stiffness: 0.3 };
    let anchor = Anchor {
        members: vec![(0, 0.2), (3, 0.3), (4, 0.5)],
        place: Point::new(1.0, 2.0, 3.0),
        stiffness: 4.0,
    };
    let elements = ["C", "N", "O", "S", "C", "C", "O", "Zn"];
    let contacts = Contacts::new(elements.into_iter(), HashSet::from([(0, 1)]), vec![None; 8]);
    [
        ("distances", Restraints { distances: vec![distance(0, 5), distance(2, 3)], ..none() }),
        ("volumes", Restraints { volumes: (0..5).map(volume).collect(), ..none() }),
        ("anchors", Restraints { anchors: vec![anchor], ..none() }),
        ("contacts", Restraints { contacts: Some(contacts), ..none() }),
    ]
}

#[test]
fn gradients_are_those_of_the_energies() {
    for (name, mut energy) in restraints() {
        let points = scattered(8);
        let mut gradient = [Point::zeros(); 8];
        let value = energy.add(&points, &mut gradient);
        assert!(value > 0.1, "{name}: {value}, nothing to differentiate");
        let terms = energy.terms(&points);
        assert!(terms.iter().all(|(term, v)| *v == if *term == name { value } else { 0.0 }), "{terms:?}");
        for (i, k) in (0..8).flat_map(|i| (0..3).map(move |k| (i, k))) {
            let mut at = |shift: f64| {
                let mut moved = points.clone();
                moved[i][k] += shift;
                energy.add(&moved, &mut [Point::zeros(); 8])
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            let found = gradient[i][k];
            assert!(
                (slope - found).abs() < 1e-5 * (1.0 + slope.abs()),
                "{name}, {i}, {k}: {found}, not {slope}"
            );
        }
    }
}

/// Long lists are added up in parts, by as many threads as there are.
#[test]
fn threads_do_not_change_bits() {
    let points = scattered(9000);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let mut gradient = vec![Point::zeros(); points.len()];
            let value = Valley.add(&points, &mut gradient);
            (value.to_bits(), gradient)
        })
    };
    assert!(run(1) == run(3));
}
