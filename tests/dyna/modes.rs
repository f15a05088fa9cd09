//! Normal modes of an elastic network, and motion that is a sum of them.

use kinesome::io::npy::{self, Array};
use kinesome::io::structure::Structure;
use kinesome::protein::modes::{CUTOFF, ElasticNetwork, overlaps};
use kinesome::protein::superpose::superpose;
use kinesome::stats::random::Philox;
use kinesome::systems::dyna::modes::{Modes, STATE};
use kinesome::tape::Tape;
use kinesome::tensor::{DType, Tensor};
use nalgebra::{DMatrix, Rotation3, SymmetricEigen, Vector3};

use crate::command::{kinesome, residue, succeeds};
use crate::golden::{close, cpu, run};
use crate::secondary::data;
use crate::stack::{Print, Stack, score, trainer};

fn alpha(name: &str) -> Vec<[f64; 3]> {
    let structure = Structure::read(&data(name)).expect("a structure");
    let is_alpha = |&i: &usize| structure.atoms[i].name == "CA";
    (0..structure.atoms.len()).filter(is_alpha).map(|i| structure.models[0][i]).collect()
}

/// Against the eigenvectors of the whole matrix.
#[test]
fn the_softest_modes_are_found() {
    let network = ElasticNetwork::new(&alpha("adk_open.pdb"), CUTOFF);
    let n = 3 * 214;
    let hessian = network.apply(&DMatrix::identity(n, n));
    assert!((&hessian - hessian.transpose()).amax() < 1e-12);
    let whole = SymmetricEigen::new(hessian.clone());
    let mut wanted: Vec<f64> = whole.eigenvalues.iter().copied().collect();
    wanted.sort_by(f64::total_cmp);
    let modes = network.modes(16).expect("modes");
    println!("{:?}", modes.values);
    // Shifts and turns of the whole need no force, everything else does.
    assert!(wanted[5].abs() < 1e-10 && wanted[6] > 1e-3, "{:?}", &wanted[..8]);
    for (k, value) in modes.values.iter().enumerate() {
        assert!((value / wanted[k + 6] - 1.0).abs() < 1e-9, "{value} for {}", wanted[k + 6]);
    }
    let products = modes.vectors.tr_mul(&modes.vectors) - DMatrix::identity(16, 16);
    assert!(products.amax() < 1e-12, "{products}");
    let left = &hessian * &modes.vectors - &modes.vectors * DMatrix::from_diagonal(&modes.values.into());
    assert!(left.amax() < 1e-6, "{}", left.amax());
    // All that there are: a subspace that is everything.
    let few = ElasticNetwork::new(&alpha("adk_open.pdb")[..10], CUTOFF);
    assert_eq!(few.modes(24).expect("modes").values.len(), 24);
    let says = |network: &ElasticNetwork, count: usize, words: &str| {
        let text = network.modes(count).expect_err("a refusal").to_string();
        assert!(text.contains(words), "{text}");
    };
    says(&few, 25, "1 to 24");
    says(&few, 0, "1 to 24");
    // Two parts that touch nowhere.
    let far = |p: &[f64; 3]| [p[0] + 500.0, p[1], p[2]];
    let here = alpha("adk_open.pdb");
    let both: Vec<[f64; 3]> = here.iter().copied().chain(here.iter().map(far)).collect();
    says(&ElasticNetwork::new(&both, CUTOFF), 8, "without a force");
}

/// Adenylate kinase closes along what is soft in its open state (Tama and Sanejouand, Protein Eng. 14:1, 2001).
#[test]
fn adenylate_kinase_closes_along_its_softest_modes() {
    let [open, closed] = ["adk_open.pdb", "adk_closed.pdb"].map(alpha);
    let (motion, _) = superpose(&closed, &open);
    let away = |(there, here): (&[f64; 3], &[f64; 3])| {
        (motion.apply(&Vector3::from(*there)) - Vector3::from(*here)).into()
    };
    let way: Vec<[f64; 3]> = closed.iter().zip(&open).map(away).collect();
    let modes = ElasticNetwork::new(&open, CUTOFF).modes(10).expect("modes");
    let found = overlaps(&modes, &way);
    let best = found.iter().copied().fold(0.0, f64::max);
    let together = found.iter().map(|v| v * v).sum::<f64>().sqrt();
    println!("{found:?}, together {together}");
    assert!(best > 0.7 && found.iter().position(|v| *v == best) < Some(3), "{found:?}");
    assert!(together > 0.9, "{together}");
}

/// The formula in f64, for no turn, tiny and large ones; and the derivative by differences of it.
#[test]
fn points_stand_where_the_formula_says() {
    let mut random = Philox::new(3, 1);
    let (points, count, batch) = (5, 3, 4);
    let mut normal = |n: usize, scale: f64| (0..n).map(|_| scale * random.normal()).collect::<Vec<f64>>();
    let places: Vec<[f64; 3]> = normal(3 * points, 20.0).chunks(3).map(|p| [p[0], p[1], p[2]]).collect();
    let modes = normal(3 * points * count, 1.0);
    let mut numbers = normal(batch * (6 + count), 0.7);
    numbers[..3].fill(0.0);
    numbers[6 + count..][..3].iter_mut().for_each(|v| *v *= 1e-5);
    numbers[2 * (6 + count)..][..3].copy_from_slice(&[2.0, -1.5, 1.0]);
    let upstream = normal(points * batch * 3, 1.0);
    let formula = |numbers: &[f64]| -> Vec<f64> {
        let mut shifts = vec![];
        for (i, place) in places.iter().enumerate() {
            let place = Vector3::from(*place);
            for image in numbers.chunks(6 + count) {
                let bent = Vector3::from_fn(|k, _| {
                    (0..count).map(|m| modes[(3 * i + k) * count + m] * image[6 + m]).sum()
                });
                let turned = Rotation3::from_scaled_axis(Vector3::from_column_slice(&image[..3])).inverse();
                let shift = turned * (place + bent) + 10.0 * Vector3::from_column_slice(&image[3..6]) - place;
                shifts.extend(shift.iter());
            }
        }
        shifts
    };
    let tape = Tape::new();
    let given = tape.input("numbers", &[batch, 6 + count], DType::F32);
    let weight = tape.input("weight", &[points, batch, 3], DType::F32);
    let motion = Modes { hidden: vec![], count, places: places.clone() };
    let shifts = motion.shifts(given);
    let slope = tape.grad((shifts * weight).sum_all(), &[given])[0];
    let tensor =
        |shape: &[usize], values: &[f64]| Tensor::f32(shape, values.iter().map(|&v| v as f32).collect());
    let store = cpu();
    store.set(STATE, &tensor(&[3 * points, count], &modes)).expect("modes");
    let feeds = [
        ("numbers", &tensor(&[batch, 6 + count], &numbers)),
        ("weight", &tensor(&[points, batch, 3], &upstream)),
    ];
    let found = run(&tape, &store, &[("shifts", shifts), ("slope", slope)], &feeds);
    let narrow = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
    close("shifts", &found["shifts"], &narrow(formula(&numbers)), 1e-6);
    let value = |numbers: &[f64]| {
        formula(numbers).iter().zip(&upstream).map(|(shift, weight)| shift * weight).sum::<f64>()
    };
    let slopes = (0..numbers.len()).map(|at| {
        let beside = |step: f64| {
            let mut numbers = numbers.clone();
            numbers[at] += step;
            value(&numbers)
        };
        (beside(1e-5) - beside(-1e-5)) / 2e-5
    });
    close("derivative", &found["slope"], &narrow(slopes.collect()), 1e-5);
}

/// In seconds. What the model mid-way, its turns and shifts and 12 modes can be at best is 0.55 Å from the truth.
#[test]
fn motion_is_learned_in_normal_modes() {
    let stack = Stack::new(400, 64, 2.0, 1.0, 0.5);
    let mut config = stack.small(20);
    config.extra_input_data_attr.nma_modes = 12;
    let out = tempfile::tempdir().expect("a folder");
    let mut trainer = trainer(config, out.path());
    let begun = std::time::Instant::now();
    trainer.run(&mut Print).expect("training");
    let score = score(&trainer, &stack);
    println!("{score:?}, {:.0} s", begun.elapsed().as_secs_f64());
    assert!(score.learned < 0.5 * score.still && score.explained > 0.9, "{score:?}");
    assert!(score.bonds < 0.25 && score.closest > 3.5, "{score:?}");
}

#[test]
fn modes_go_through_a_run_and_its_files() {
    let stack = Stack::new(40, 32, 4.0, 1.0, 0.5);
    let at = stack.folder.path();
    let text = succeeds(kinesome(at, &["dyna", "modes", "model.pdb", "-o", "modes.npy", "-n", "6"]));
    assert!(text.ends_with("modes.npy"), "{text}");
    let modes = npy::read(&stack.path("modes.npy")).expect("modes");
    assert_eq!(modes.shape, [642, 6]);
    let open = data("adk_open.pdb");
    let toward = open.to_str().expect("a path");
    succeeds(kinesome(at, &["dyna", "modes", "model.pdb", "-o", "other.npy", "--toward", toward]));

    let whole = succeeds(residue(&stack, "whole", &["-n", "2", "--nma-path", "modes.npy"]));
    let log = std::fs::read_to_string(stack.path("whole/run.log")).expect("a log");
    assert!(log.contains("moved by 6 normal modes"), "{log}");
    // Without the file: modes are in the checkpoint, or made as the command makes them.
    succeeds(residue(&stack, "parts", &["-n", "1", "--modes", "6"]));
    let made = succeeds(residue(&stack, "made", &["-n", "2", "--modes", "6"]));
    let more = ["dyna", "residue", "--config", "parts/config.toml", "-o", "parts", "--resume", "-n", "2"];
    let parts = succeeds(kinesome(at, &[&more[..], &["--device", "cpu"]].concat()));
    std::fs::remove_file(stack.path("modes.npy")).expect("a file");
    for (run, out) in [("whole", "a.pdb"), ("made", "b.pdb"), ("parts", "c.pdb")] {
        succeeds(kinesome(at, &["dyna", "sample", run, "--indices", "0,39", "-o", out, "--device", "cpu"]));
    }
    let read = |name: &str| std::fs::read(stack.path(name)).expect(name);
    assert!(read("a.pdb") == read("b.pdb") && read("a.pdb") == read("c.pdb"));
    for folder in [&made, &parts] {
        assert!(read(&format!("{folder}/z.npy")) == read(&format!("{whole}/z.npy")), "{folder}");
    }
    succeeds(kinesome(at, &["dyna", "analyze", "whole", "-k", "3", "--skip-umap", "--device", "cpu"]));

    let says = |output: std::process::Output, words: &[&str]| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.lines().count() == 1, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    };
    says(residue(&stack, "x", &["--nma-path", "modes.npy"]), &["modes.npy"]);
    says(residue(&stack, "x", &["--nma-path", &format!("{whole}/z.npy")]), &["[40, 4]", "[642, modes]"]);
    says(residue(&stack, "x", &["--nma-path", "other.npy", "--modes", "17"]), &["holds 16 modes", "17"]);
    says(residue(&stack, "x", &["--modes", "1000"]), &["1 to 636"]);
    says(
        residue(&stack, "x", &["--modes", "4", "--cfg-options", "extra_input_data_attr.nma_cutoff=4"]),
        &["does not hold together"],
    );
    let mut broken = modes.to_f32();
    broken[7] = f32::NAN;
    npy::write_npy(&stack.path("nan.npy"), &Array::f32(&[642, 6], broken).expect("an array"))
        .expect("a file");
    says(residue(&stack, "x", &["--nma-path", "nan.npy"]), &["row 1, column 1", "finite"]);
    npy::write_npy(&stack.path("zero.npy"), &Array::f32(&[642, 1], vec![0.0; 642]).expect("an array"))
        .expect("a file");
    says(residue(&stack, "x", &["--nma-path", "zero.npy"]), &["move nothing"]);
    let refused =
        |more: &[&str]| kinesome(at, &[&["dyna", "modes", "model.pdb", "-o", "x.npy"], more].concat());
    says(refused(&["-n", "0"]), &["1 to 636"]);
    says(refused(&["--cutoff", "0"]), &["--cutoff 0"]);
    // Resumed with other modes, a run is another run.
    says(residue(&stack, "made", &["--resume", "-n", "3", "--modes", "5"]), &["other settings"]);
}
