//! The evaluation of trajectories: on a chain whose dynamics are known, on real peptides where they are at hand, and on
//! everything that must be refused.

use std::path::{Path, PathBuf};

use kinesome::io::npy::{Array, write_npy};
use kinesome::protein::residue::{ATOMS, Atoms, type_of_letter};
use kinesome::stats::random::Philox;
use kinesome::systems::mdgen::evaluate::features::{Angles, torsions};
use kinesome::systems::mdgen::evaluate::scores::Scores;
use kinesome::systems::mdgen::evaluate::states::States;
use kinesome::systems::mdgen::evaluate::trajectory::Trajectory;
use kinesome::systems::mdgen::evaluate::{Evaluation, Options, design, evaluate, paths, proteins, write};
use nalgebra::Vector3;

type Point = Vector3<f64>;

/// The point at `length` from `c` with an angle of 110° at `c` and a dihedral in degrees.
fn beyond(a: Point, b: Point, c: Point, length: f64, dihedral: f64) -> Point {
    let axis = (c - b).normalize();
    let normal = (b - a).cross(&axis).normalize();
    let across = normal.cross(&axis);
    let (bend, turn) = (110f64.to_radians(), dihedral.to_radians());
    c + length * (-bend.cos() * axis + bend.sin() * (turn.cos() * across + turn.sin() * normal))
}

fn kinds(sequence: &str) -> Vec<usize> {
    sequence.chars().map(|c| type_of_letter(c).unwrap()).collect()
}

/// A chain from its torsions in degrees: (φ, ψ) of each residue, and χ1, which turns the third atom of a side chain.
fn chain(backbone: &[(f64, f64)], chi: &[f64]) -> Vec<Atoms> {
    let mut all = Vec::new();
    let (mut n, mut ca) = (Point::new(-1.4, 0.3, 0.0), Point::zeros());
    let mut c = Point::new(0.5, 1.4, 0.1);
    for (i, ((_, psi), chi)) in backbone.iter().zip(chi).enumerate() {
        let next = beyond(n, ca, c, 1.33, *psi);
        let o = beyond(n, ca, c, 1.23, psi + 180.0);
        let cb = beyond(c, n, ca, 1.53, -122.0);
        let mut atoms = [[0.0; 3]; ATOMS];
        let side = beyond(n, ca, cb, 1.42, *chi);
        for (place, point) in [n, ca, c, o, cb, side].into_iter().enumerate() {
            atoms[place] = point.map(|v| v as f32).into();
        }
        all.push(atoms);
        if let Some((phi, _)) = backbone.get(i + 1) {
            let next_ca = beyond(ca, c, next, 1.46, 180.0);
            let next_c = beyond(c, next, next_ca, 1.52, *phi);
            (n, ca, c) = (next, next_ca, next_c);
        }
    }
    all
}

/// What the middle residue does.
struct Walk {
    /// Chance to leave either state in a step.
    leave: f64,
    frames: usize,
    seed: u64,
}

/// ASA in time: the serine jumps between α and β, and drags ψ of the first residue along; χ1 jumps among three places.
fn walk(of: &Walk) -> Vec<Atoms> {
    let mut rng = Philox::new(of.seed, 0);
    let (mut beta, mut rotamer) = (false, 0);
    let mut atoms = Vec::new();
    for _ in 0..of.frames {
        beta ^= rng.uniform_f64() < of.leave;
        if rng.uniform_f64() < 0.05 {
            rotamer = rng.below(3);
        }
        let mut near = |degrees: f64| degrees + 12.0 * rng.normal();
        let (phi, psi, before) = if beta { (-120.0, 130.0, 150.0) } else { (-65.0, -40.0, 60.0) };
        let backbone = [(0.0, near(before)), (near(phi), near(psi)), (near(-70.0), 0.0)];
        let chi = near([-60.0, 60.0, 180.0][rotamer]);
        atoms.extend(chain(&backbone, &[0.0, chi, 0.0]));
    }
    atoms
}

/// As an array of ASA, or of a chain with as many atoms.
fn save(path: &Path, atoms: &[Atoms]) {
    let mut atoms = atoms.to_vec();
    atoms.chunks_exact_mut(3).for_each(|frame| (frame[0][5], frame[2][5]) = ([0.0; 3], [0.0; 3]));
    let numbers: Vec<f32> = atoms.iter().flatten().flatten().copied().collect();
    write_npy(path, &Array::f32(&[atoms.len() / 3, 3, ATOMS, 3], numbers).unwrap()).unwrap();
}

fn options() -> Options {
    let (reference_step, generated_step) = (Some(1.0), Some(1.0));
    Options {
        lag: 20.0,
        clusters: 30,
        states: 4,
        bins_2d: 12,
        reference_step,
        generated_step,
        ..Options::default()
    }
}

fn run(reference: &Path, generated: &Path, options: &Options) -> Result<Evaluation, String> {
    evaluate(reference, generated, options, &mut |_, _, _| Ok(())).map_err(|e| e.to_string())
}

/// The one comparison of two arrays of ASA.
fn compare(reference: &[Atoms], generated: &[Atoms], options: &Options) -> Result<Evaluation, String> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("made")).unwrap();
    save(&at("ASA.npy"), reference);
    save(&at("made/ASA.npy"), generated);
    run(&at("ASA.npy"), &at("made/ASA.npy"), options)
}

fn scores(found: &Evaluation) -> &Scores {
    &found.peptides[0].generated
}

const SLOW: Walk = Walk { leave: 0.01, frames: 6000, seed: 1 };

#[test]
fn torsions_are_what_the_chain_was_built_with() {
    let backbone = [(0.0, -47.0), (-57.0, 120.0), (33.0, -170.0), (-80.0, 0.0)];
    let chi = [-65.0, 70.0, 175.0, 10.0];
    let atoms = chain(&backbone, &chi);
    let kinds = kinds("SCVT");
    let all = torsions(&kinds);
    let angles = Angles::of(&all, &Trajectory { name: "SCVT".into(), kinds, atoms, step: 1.0 });
    let names: Vec<String> = all.iter().map(|t| t.name()).collect();
    assert_eq!(
        names,
        ["psi_1", "phi_2", "psi_2", "phi_3", "psi_3", "phi_4", "chi1_1", "chi1_2", "chi1_3", "chi1_4"]
    );
    let expected = [-47.0f64, -57.0, 120.0, 33.0, -170.0, -80.0, -65.0, 70.0, 175.0, 10.0];
    for ((name, series), expected) in names.iter().zip(&angles.series).zip(expected) {
        let found = f64::from(series[0]).to_degrees();
        assert!((found - expected).abs() < 1e-3, "{name}: {found} for {expected}");
    }
    let long = torsions(&kinds_of_all());
    let side = |letter: char| {
        let residue = "ARNDCQEGHILKMFPSTWYV".find(letter).unwrap();
        long.iter().filter(|t| t.residue == residue && !t.in_backbone()).count()
    };
    // As mdtraj counts them: arginine has a fifth.
    let counts = [('A', 0), ('R', 5), ('K', 4), ('M', 3), ('Q', 3), ('P', 2), ('W', 2), ('V', 1), ('G', 0)];
    counts.iter().for_each(|(letter, count)| assert_eq!(side(*letter), *count, "{letter}"));
}

fn kinds_of_all() -> Vec<usize> {
    kinds("ARNDCQEGHILKMFPSTWYV")
}

#[test]
fn an_independent_run_is_near_and_a_short_one_is_not() {
    let other = walk(&Walk { seed: 2, ..SLOW });
    let found = compare(&walk(&SLOW), &other, &options()).unwrap();
    let whole = scores(&found);
    let short = compare(&walk(&SLOW), &other[..3 * 120], &options()).unwrap();
    let short = scores(&short);
    assert!(whole.torsion_jsd.all.unwrap() < 0.1, "{:?}", whole.torsion_jsd);
    assert!(whole.tica_0_jsd < 0.15 && whole.occupancy_jsd < 0.1, "{whole:?}");
    assert!(short.torsion_jsd.all > whole.torsion_jsd.all.map(|v| 2.0 * v));
    assert!(short.tica_0_jsd > 2.0 * whole.tica_0_jsd);
    // The slow process relaxes at 2 · 0.01 a step.
    let peptide = &found.peptides[0];
    let slow = peptide.tica.timescales_ps[0].unwrap();
    assert!((slow - 50.0).abs() < 12.0, "{slow}");
    let phi = peptide.reference.torsions.iter().find(|t| t.name == "psi_2").unwrap();
    assert!((phi.decorrelation_ps.unwrap() - 50.0).abs() < 15.0, "{phi:?}");
    // Dragged along: residues on their own do not know it, so the joint distribution differs.
    let alone = peptide.baselines.iter().find(|b| b.name == "independent_residues").unwrap();
    assert!(alone.scores[0].torsion_jsd.all.unwrap() < 1e-9, "each residue's own distribution is the same");
    let (alone, whole) = (alone.scores[0].tica_01_jsd.unwrap(), whole.tica_01_jsd.unwrap());
    assert!(alone > 1.3 * whole, "{alone} {whole}");
    let names: Vec<&str> = peptide.baselines.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["md_1/10", "md_1/30", "md_1/100", "independent_residues"]);
}

#[test]
fn shuffled_frames_keep_the_ensemble_and_lose_the_kinetics() {
    let reference = walk(&SLOW);
    let other = walk(&Walk { seed: 3, ..SLOW });
    let mut order: Vec<usize> = (0..SLOW.frames).collect();
    Philox::new(4, 0).shuffle(&mut order);
    let shuffled: Vec<Atoms> = order.iter().flat_map(|&t| other[3 * t..3 * t + 3].iter().copied()).collect();
    let (ordered, mixed) = (
        compare(&reference, &other, &options()).unwrap(),
        compare(&reference, &shuffled, &options()).unwrap(),
    );
    let (ordered, mixed) = (scores(&ordered), scores(&mixed));
    assert_eq!(ordered.torsion_jsd.all, mixed.torsion_jsd.all);
    assert_eq!(
        (ordered.tica_0_jsd, ordered.tica_01_jsd, ordered.occupancy_jsd),
        (mixed.tica_0_jsd, mixed.tica_01_jsd, mixed.occupancy_jsd)
    );
    assert!(mixed.transition_jsd > ordered.transition_jsd.map(|v| 3.0 * v), "{mixed:?} {ordered:?}");
    assert!(mixed.decorrelation_error.backbone > ordered.decorrelation_error.backbone.map(|v| 3.0 * v));
    assert!(mixed.decorrelation_time_error.all.unwrap() > 0.7);
    // A faster chain with the same distribution is found out as well.
    let fast = compare(&reference, &walk(&Walk { leave: 0.1, ..SLOW }), &options()).unwrap();
    let fast = scores(&fast);
    assert!(fast.decorrelation_error.backbone > ordered.decorrelation_error.backbone.map(|v| 2.0 * v));
    assert!(fast.slowest_ps.unwrap() < 30.0, "{:?}", fast.slowest_ps);
}

#[test]
fn a_trajectory_against_itself_is_perfect_and_the_report_holds_it() {
    let atoms = walk(&Walk { frames: 3000, ..SLOW });
    let found = compare(&atoms, &atoms, &options()).unwrap();
    let own = scores(&found);
    assert_eq!((own.torsion_jsd.all, own.tica_0_jsd, own.occupancy_jsd), (Some(0.0), 0.0, 0.0));
    assert_eq!((own.state_jsd, own.transition_jsd), (Some(0.0), Some(0.0)));
    assert!((own.flux_correlation.unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(own.decorrelation_error.all, Some(0.0));
    let folder = tempfile::tempdir().unwrap();
    let page = write(&found, &folder.path().join("report")).unwrap();
    let html = std::fs::read_to_string(page).unwrap();
    assert!(html.contains("free energy") && html.contains("independent") && html.matches("<svg").count() > 8);
    assert!(
        !html.contains("NaN") && !html.contains("http://") || html.contains("www.w3.org"),
        "self-contained"
    );
    let json = std::fs::read_to_string(folder.path().join("report/evaluation.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["peptides"][0]["sequence"], "ASA");
    assert_eq!(json["peptides"][0]["generated"]["torsion_jsd"]["all"], 0.0);
    assert_eq!(json["mean"][0]["metric"], "torsions_backbone");
}

#[test]
fn folders_are_matched_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for side in ["md", "made", "again"] {
        std::fs::create_dir(at(side)).unwrap();
    }
    let short = |seed| walk(&Walk { frames: 1500, seed, ..SLOW });
    for (file, seed) in [
        ("md/ASA.npy", 1),
        ("md/ASA_b.npy", 2),
        ("made/ASA.npy", 3),
        ("made/ASA_b.npy", 4),
        ("again/ASA.npy", 5),
        ("made/ASA_c.npy", 6),
    ] {
        save(&at(file), &short(seed));
    }
    let options = Options { replicate: Some(at("again")), ..options() };
    let found = run(&at("md"), &at("made"), &options).unwrap();
    let names: Vec<&str> = found.peptides.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["ASA", "ASA_b"]);
    assert_eq!(found.peptides[0].baselines[0].name, "replicate");
    assert_eq!(found.peptides[1].baselines[0].name, "md_1/10");
    assert!(found.notes.iter().any(|n| n.contains("ASA_c")), "{:?}", found.notes);
    assert!(
        found.notes.iter().any(|n| n == "ASA_b: there is no replicate of this name"),
        "{:?}",
        found.notes
    );
    let row = found.mean.iter().find(|m| m.metric == "torsions_all").unwrap();
    let mean = found.peptides.iter().map(|p| p.generated.torsion_jsd.all.unwrap()).sum::<f64>() / 2.0;
    assert!((row.generated.unwrap() - mean).abs() < 1e-12);
}

#[test]
fn what_cannot_be_compared_is_said_in_one_line() {
    let atoms = walk(&Walk { frames: 400, ..SLOW });
    let said = |reference: &[Atoms], generated: &[Atoms], options: Options| {
        let text = compare(reference, generated, &options).err().unwrap();
        assert!(!text.contains('\n'), "{text}");
        text
    };
    let still = [atoms[0], atoms[1], atoms[2]].repeat(100);
    let text = said(&still, &atoms, options());
    assert!(text.contains("ASA: TICA: all 10 features are constant"), "{text}");
    let text = said(&atoms, &atoms, Options { lag: 400.0, ..options() });
    assert!(text.contains("400 frames of 1 ps are no longer than the lag of 400 ps"), "{text}");
    let text = said(&atoms, &atoms[..60], options());
    assert!(text.contains("20 frames of 1 ps are no longer than the lag of 20 ps"), "{text}");
    let text = said(&atoms, &atoms[..3], options());
    assert!(text.contains("fewer than two frames"), "{text}");
    let text = said(&atoms, &atoms, Options { generated_step: None, ..options() });
    assert!(text.contains("--generated-step"), "{text}");
    let text = said(&atoms, &atoms, Options { reference_step: Some(-1.0), ..options() });
    assert!(text.contains("--reference-step -1"), "{text}");
    let text = said(&atoms, &atoms, Options { lag: 0.5, ..options() });
    assert!(text.contains("ASA: a lag of 0.5 ps is no multiple of the 1 ps between its frames"), "{text}");
    let text = said(&atoms, &atoms, Options { generated_step: Some(30.0), ..options() });
    assert!(text.contains("generated ASA: a lag of 20 ps is no multiple"), "{text}");
    let text = said(&atoms, &atoms, Options { states: 50, ..options() });
    assert!(text.contains("--states"), "{text}");
    let mut broken = atoms.clone();
    broken[301][1][2] = f32::NAN;
    let text = said(&atoms, &broken, options());
    assert!(text.contains("frame 100, residue 1"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    save(&at("ASA.npy"), &atoms);
    save(&at("ACA.npy"), &atoms);
    let text = run(&at("ASA.npy"), &at("ACA.npy"), &options()).err().unwrap();
    assert!(text.contains("its sequence is ACA, that of the reference ASA is ASA"), "{text}");
    save(&at("peptide.npy"), &atoms);
    let text = run(&at("peptide.npy"), &at("ASA.npy"), &options()).err().unwrap();
    assert!(text.contains("its sequence is not known"), "{text}");
    let text = run(&at("ASA.npy"), &at("none.npy"), &options()).err().unwrap();
    assert!(text.contains("none.npy"), "{text}");
    std::fs::create_dir(at("empty")).unwrap();
    let text = run(&at("ASA.npy"), &at("empty"), &options()).err().unwrap();
    assert!(text.contains("holds no trajectories"), "{text}");
    std::fs::write(at("short.npy"), [0u8; 7]).unwrap();
    let text = run(&at("ASA.npy"), &at("short.npy"), &options()).err().unwrap();
    assert!(text.contains("short.npy") && text.contains("cut short"), "{text}");
    std::fs::write(at("ASA.xtc"), [0u8; 12]).unwrap();
    assert!(run(&at("ASA.npy"), &at("ASA.xtc"), &options()).is_err());
}

#[test]
fn a_torsion_that_never_moves_is_left_out_and_said() {
    let mut atoms = walk(&Walk { frames: 1500, ..SLOW });
    // The serine's side chain is put at one place relative to its backbone.
    for frame in atoms.chunks_exact_mut(3) {
        let at = |p: usize| Point::from(frame[1][p].map(f64::from));
        let side = beyond(at(0), at(1), at(4), 1.42, 55.0);
        frame[1][5] = side.map(|v| v as f32).into();
    }
    let found = compare(&atoms, &atoms, &options()).unwrap();
    assert_eq!(found.peptides[0].constant, ["chi1_2"]);
    assert!(found.notes.iter().any(|n| n.contains("chi1_2 never move")), "{:?}", found.notes);
    let torsion = found.peptides[0].reference.torsions.iter().find(|t| t.name == "chi1_2").unwrap();
    assert_eq!(torsion.decorrelation_ps, None);
}

fn trajectory(atoms: Vec<Atoms>) -> Trajectory {
    Trajectory { name: "ASA".into(), kinds: kinds("ASA"), atoms, step: 1.0 }
}

#[test]
fn paths_of_the_reference_are_valid_and_jumps_are_not() {
    let reference = trajectory(walk(&Walk { frames: 20_000, ..SLOW }));
    let all = torsions(&reference.kinds);
    let angles = Angles::of(&all, &reference);
    let options = options();
    let states = States::fit(&all, &angles, &options).unwrap();
    let (from, to) = paths::rarest_pair(&states).unwrap();
    let placed = states.place_frames(&angles).unwrap();
    // Ten lags from one state to the other, as they happened.
    let steps = 200;
    let starts = (0..angles.frames - steps)
        .filter(|&t| placed[t] == Some(from as u32) && placed[t + steps] == Some(to as u32));
    let taken: Vec<Angles> = starts.take(50).map(|t| angles.stretch(t, t + steps + 1)).collect();
    assert!(taken.len() > 10, "{}", taken.len());
    let found = paths::score(&states, &taken, &angles, &all, None, &options).unwrap();
    assert_eq!((found.from, found.to, found.steps), (from, to, 10));
    assert_eq!((found.generated.valid, found.generated.right_ends), (1.0, 1.0));
    assert!(found.generated.visited_jsd < 0.35, "{:?}", found.generated);
    assert!(found.baselines[0].valid == 1.0 && found.baselines[0].visited_jsd == 0.0);
    // Paths that begin elsewhere count as invalid.
    let astray = (0..angles.frames - steps).filter(|&t| placed[t] != Some(from as u32));
    let astray: Vec<Angles> = astray.take(5).map(|t| angles.stretch(t, t + steps + 1)).collect();
    let wrong = paths::score(&states, &astray, &angles, &all, None, &options).unwrap();
    assert_eq!((wrong.generated.valid, wrong.generated.probability), (0.0, 0.0));
    let said = |paths: &[Angles], pair| {
        paths::score(&states, paths, &angles, &all, pair, &options).unwrap_err().to_string()
    };
    assert!(said(&taken, Some((0, 99))).contains("state 100 is not among"));
    let uneven = [taken[0].clone(), taken[1].stretch(0, 50)];
    assert!(said(&uneven, None).contains("path 2 has"));
}

#[test]
fn designs_are_recovered_as_often_as_counted_by_hand() {
    let truth = design::sequence("ASGA").unwrap();
    let made = design::sequences(">one\nASGA\nATGA\n\nASVA\nATVA\nATVA\n").unwrap();
    let found = design::score(&truth, &made, &[1, 2]).unwrap();
    assert_eq!((found.samples, found.positions.clone()), (5, vec![2, 3]));
    assert!((found.recovery - 4.0 / 10.0).abs() < 1e-12);
    // Most frequent: T and V, together TV; both wrong.
    assert_eq!((found.recovery_of_most_frequent, found.recovery_of_most_frequent_together), (0.0, 0.0));
    assert!(found.found_whole);
    assert_eq!(design::score(&truth, &made[..1], &[1]).unwrap().recovery, 1.0);
    let said = |e: kinesome::Error| e.to_string();
    assert!(said(design::score(&truth, &made, &[4]).unwrap_err()).contains("beyond the chain's 4"));
    assert!(
        said(design::score(&truth[..3], &made, &[1]).unwrap_err())
            .contains("has 4 residues, the reference 3")
    );
    assert!(said(design::sequence("AXB").unwrap_err()).contains("`X` is not one"));
}

#[test]
fn the_truth_beats_straight_lines_between_frames() {
    let folder = tempfile::tempdir().unwrap();
    let atoms = walk(&Walk { frames: 3000, ..SLOW });
    save(&folder.path().join("ASA.npy"), &atoms);
    let at = folder.path().join("ASA.npy");
    let found = run(&at, &at, &Options { upsampling: Some(20), ..options() }).unwrap();
    let scores = found.peptides[0].upsampling.as_ref().unwrap();
    assert_eq!(scores.generated_error, 0.0);
    assert!(scores.linear_error > 0.02, "{}", scores.linear_error);
    let far = run(&at, &at, &Options { upsampling: Some(20), generated_step: Some(2.0), ..options() });
    assert!(far.err().unwrap().contains("upsampling: the reference has a frame every 1 ps"));
}

#[test]
fn proteins_are_compared_as_wholes() {
    let mut rng = Philox::new(8, 0);
    let sequence = kinds("AAAAAAAAAAAA");
    // A rough helix whose ends flutter; the second ensemble flutters twice as far.
    let mut ensemble = |width: f64| -> Trajectory {
        let atoms = (0..60 * 12)
            .map(|i| {
                let residue = (i % 12) as f64;
                let turn = (100.0 * residue).to_radians();
                let loose = width * (0.2 + (residue - 5.5).abs() / 5.5);
                let mut at = |v: f64| (v + loose * rng.normal()) as f32;
                [[at(2.3 * turn.cos()), at(2.3 * turn.sin()), at(1.5 * residue)]; ATOMS]
            })
            .collect();
        Trajectory { name: "helix".into(), kinds: sequence.clone(), atoms, step: 1.0 }
    };
    let (own, again, wide) = (ensemble(0.4), ensemble(0.4), ensemble(0.8));
    let same = proteins::score(&own, &own).unwrap();
    assert!(same.rmwd < 1e-5 && same.pca_w2 < 1e-9 && (same.rmsf_correlation.unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(same.pairwise_rmsd, same.reference_pairwise_rmsd);
    let (again, wide) = (proteins::score(&own, &again).unwrap(), proteins::score(&own, &wide).unwrap());
    assert!(again.rmsf_correlation.unwrap() > 0.9, "{again:?}");
    assert!(again.rmwd < 0.6 * wide.rmwd && again.pca_w2 < wide.pca_w2, "{again:?} {wide:?}");
    assert!((wide.pairwise_rmsd / wide.reference_pairwise_rmsd - 2.0).abs() < 0.3);
}

/// The real trajectories, where they are at hand.
fn peptides() -> Option<PathBuf> {
    let foreign = std::env::var("KINESOME_FOREIGN").ok()?;
    let folder = Path::new(&foreign).join("../tetrapeptides");
    folder.join("replicate").is_dir().then_some(folder)
}

#[test]
fn real_replicates_are_nearer_than_short_cuts() {
    let Some(folder) = peptides() else {
        eprintln!("skipped: no real trajectories; set KINESOME_FOREIGN");
        return;
    };
    for name in ["AAAA", "KLVF", "RHIP"] {
        let file = |extension: &str| folder.join(format!("{name}.{extension}"));
        let replicate = folder.join(format!("replicate/{name}.xtc"));
        let found = run(&file("xtc"), &replicate, &Options::default()).unwrap();
        let peptide = &found.peptides[0];
        let of = |name: &str| &peptide.baselines.iter().find(|b| b.name == name).unwrap().scores;
        let whole = peptide.generated.torsion_jsd.all.unwrap();
        let mean = |s: &[Scores]| s.iter().map(|s| s.torsion_jsd.all.unwrap()).sum::<f64>() / s.len() as f64;
        assert!(whole < 0.2, "{name}: {whole}");
        assert!(mean(of("md_1/100")) > mean(of("md_1/10")) && mean(of("md_1/100")) > whole, "{name}");
        assert_eq!(peptide.generated.step_ps, 2.0, "{name}");
        // The arrays are the same trajectories in half precision.
        let halves = Options { generated_step: Some(2.0), ..Options::default() };
        let same = run(&file("xtc"), &file("npy"), &halves).unwrap();
        assert!(same.peptides[0].generated.torsion_jsd.all.unwrap() < 0.06, "{name}");
    }
}
