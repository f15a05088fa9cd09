//! Atoms from CA traces and beads: against the structures that these were made of, and for what is wrong with the input.

use std::path::Path;

use kinesome::io::structure::{Atom, Structure};
use kinesome::protein::backmap::backbone::dihedral;
use kinesome::protein::backmap::coarse::Coarse;
use kinesome::protein::backmap::{Backmap, Mended};
use kinesome::protein::elements::covalent_radius;
use kinesome::protein::geometry::{bonds, near_pairs};
use kinesome::protein::martini::Beads;
use kinesome::protein::minimise::Point;
use kinesome::protein::superpose::rmsd;
use kinesome::{Error, Result};

use crate::command::{kinesome, succeeds};
use crate::secondary::data;

fn adk(name: &str) -> Structure {
    Structure::read(&data(name)).expect("a structure")
}

fn only(structure: &Structure, keep: impl Fn(&Atom) -> bool) -> Structure {
    let kept: Vec<usize> = (0..structure.atoms.len()).filter(|&i| keep(&structure.atoms[i])).collect();
    Structure {
        atoms: kept.iter().map(|&i| structure.atoms[i].clone()).collect(),
        models: structure.models.iter().map(|m| kept.iter().map(|&i| m[i]).collect()).collect(),
    }
}

fn trace(structure: &Structure) -> Structure {
    only(structure, |a| a.name == "CA")
}

fn beads(structure: &Structure) -> Structure {
    let made = Beads::of(structure, None, Path::new("atoms.pdb")).expect("beads");
    Structure { atoms: made.atoms, models: vec![made.places] }
}

fn rebuild(coarse: Structure, reference: Option<&str>) -> Result<(Structure, Vec<Mended>, Vec<String>)> {
    let reference = reference.map(|name| (adk(name), Path::new(name)));
    let backmap =
        Backmap::new(Coarse::of(coarse, Path::new("coarse.pdb"))?, Path::new("coarse.pdb"), reference)?;
    let notes = backmap.notes.clone();
    let (structure, mended) = backmap.run(&mut |_, _| Ok(()))?;
    Ok((structure, mended, notes))
}

/// RMSD of the atoms that both have, without superposition: of backbones, and of all.
fn off(made: &Structure, truth: &Structure) -> (f64, f64) {
    let (mut backbone, mut all) = ((vec![], vec![]), (vec![], vec![]));
    for (atom, place) in made.atoms.iter().zip(&made.models[0]) {
        let same = |a: &Atom| a.residue_number == atom.residue_number && a.name == atom.name;
        let Some(there) = truth.atoms.iter().position(same) else { continue };
        all.0.push(*place);
        all.1.push(truth.models[0][there]);
        if ["N", "CA", "C", "O"].contains(&atom.name.as_str()) {
            backbone.0.push(*place);
            backbone.1.push(truth.models[0][there]);
        }
    }
    assert!(all.0.len() >= 1655, "{} atoms", all.0.len());
    (rmsd(&backbone.0, &backbone.1), rmsd(&all.0, &all.1))
}

/// What the report says, found again from the atoms alone.
fn sound(made: &Structure, mended: &Mended, cis: &[&str]) {
    let quality = &mended.quality;
    assert_eq!(quality.clashes, 0, "{quality:?}");
    assert!(quality.inverted.is_empty() && quality.twisted.is_empty(), "{quality:?}");
    assert!(quality.worst_bond.0 < 0.08 && quality.cis == cis, "{quality:?}");
    let points: Vec<Point> = made.models[0].iter().map(|p| Point::from(*p)).collect();
    let radii: Vec<f64> =
        made.atoms.iter().map(|a| covalent_radius(&a.element).expect("an element")).collect();
    let bonds = bonds(&points, &radii);
    // A tree of residues with 22 rings (an atom more than bonds in a tree).
    let rings = |name: &str| match name {
        "PRO" | "PHE" | "TYR" | "HIS" => 1,
        "TRP" => 2,
        _ => 0,
    };
    let in_rings: usize = made.atoms.iter().filter(|a| a.name == "CA").map(|a| rings(&a.residue_name)).sum();
    assert_eq!(bonds.len(), made.atoms.len() - 1 + in_rings);
    let mut near: Vec<Vec<usize>> = vec![vec![]; points.len()];
    for &(i, j) in &bonds {
        near[i].push(j);
        near[j].push(i);
    }
    for (i, j) in near_pairs(&points, 2.0) {
        let through = near[i].contains(&j) || near[i].iter().any(|k| near[*k].contains(&j));
        assert!(through, "{:?} and {:?}", made.atoms[i], made.atoms[j]);
    }
    let at = |start: usize, name: &str| {
        let a = &made.atoms[start];
        let same = |b: &&usize| {
            made.atoms[**b].name == name
                && (&made.atoms[**b].chain, made.atoms[**b].residue_number) == (&a.chain, a.residue_number)
        };
        let all: Vec<usize> = (start..made.atoms.len().min(start + 30)).collect();
        all.iter().find(same).map(|&i| points[i])
    };
    let mut before: Option<(Point, Point)> = None;
    for start in (0..points.len()).filter(|&i| made.atoms[i].name == "N") {
        let [n, ca, c] = ["N", "CA", "C"].map(|name| at(start, name).expect(name));
        let improper = |centre: &str, three: [&str; 3]| {
            let centre = at(start, centre)?;
            let [a, b, c] = three.map(|name| at(start, name).map(|p| p - centre));
            Some(a?.dot(&b?.cross(&c?)))
        };
        // By the rule of Cahn, Ingold and Prelog: L amino acids, (3S)-isoleucine, (3R)-threonine.
        if let Some(volume) = improper("CA", ["N", "C", "CB"]) {
            assert!((2.0..3.2).contains(&volume), "{:?}: {volume}", made.atoms[start]);
        }
        let second = match made.atoms[start].residue_name.as_str() {
            "ILE" => improper("CB", ["CA", "CG1", "CG2"]),
            "THR" => improper("CB", ["CA", "OG1", "CG2"]),
            _ => None,
        };
        if let Some(volume) = second {
            assert!((2.0..3.2).contains(&volume.abs()) && volume > 0.0, "{:?}: {volume}", made.atoms[start]);
        }
        if let Some((ca_before, c_before)) = before {
            let omega = dihedral([ca_before, c_before, n, ca]).abs();
            assert!(omega.min(180.0 - omega) < 25.0, "{:?}: ω {omega}", made.atoms[start]);
        }
        before = Some((ca, c));
    }
}

/// Measured: backbone 0.38 and 0.33 Å, all atoms 1.30 and 1.39 Å.
#[test]
fn atoms_come_back_from_a_trace() {
    for name in ["adk_open.pdb", "adk_closed.pdb"] {
        let (made, mended, notes) = rebuild(trace(&adk(name)), None).expect("atoms");
        let (backbone, all) = off(&made, &adk(name));
        assert!(backbone < 0.45 && all < 1.55, "{name}: {backbone} {all}");
        assert!(mended[0].quality.rmsd < 0.1 && notes.is_empty(), "{:?} {notes:?}", mended[0]);
        sound(&made, &mended[0], &["PRO 87 A"]);
    }
}

/// Measured: backbone 0.32 and 0.26 Å, all atoms 0.58 and 0.50 Å.
#[test]
fn atoms_come_back_from_beads() {
    for name in ["adk_open.pdb", "adk_closed.pdb"] {
        let (made, mended, _) = rebuild(beads(&adk(name)), None).expect("atoms");
        let (backbone, all) = off(&made, &adk(name));
        assert!(backbone < 0.45 && all < 0.75, "{name}: {backbone} {all}");
        assert!(mended[0].quality.rmsd < 0.25, "{:?}", mended[0]);
        let cis = mended[0].quality.cis.clone();
        assert!(cis.is_empty() || cis == ["PRO 87 A"], "{cis:?}");
        sound(&made, &mended[0], &cis.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// Side chains as the open form has them on the points of the closed one. Measured: backbone 0.27 Å from a trace and 0.14
/// from beads, all atoms 1.18 and 0.51; the open form on its own trace 0.17.
#[test]
fn with_a_reference_its_fragments_move() {
    let closed = adk("adk_closed.pdb");
    for (coarse, most) in [(trace(&closed), (0.35, 1.3)), (beads(&closed), (0.25, 0.7))] {
        let (made, mended, _) = rebuild(coarse, Some("adk_open.pdb")).expect("atoms");
        let (backbone, all) = off(&made, &closed);
        assert!(backbone < most.0 && all < most.1, "{backbone} {all}");
        assert_eq!(made.atoms.len(), 1656);
        sound(&made, &mended[0], &["PRO 87 A"]);
    }
    let open = adk("adk_open.pdb");
    let (made, _, _) = rebuild(trace(&open), Some("adk_open.pdb")).expect("atoms");
    let (backbone, all) = off(&made, &open);
    assert!(backbone < 0.2 && all < 0.25, "{backbone} {all}");
}

/// What a trained network gives: traces that are off by a few tenths of an ångström everywhere.
#[test]
fn a_rough_trace_gives_sound_atoms() {
    let mut rough = trace(&adk("adk_closed.pdb"));
    for (i, place) in rough.models[0].iter_mut().enumerate() {
        (0..3).for_each(|k| place[k] += 0.3 * ((i * 3 + k) as f64 * 2.3).sin());
    }
    for reference in [None, Some("adk_open.pdb")] {
        let (made, mended, _) = rebuild(rough.clone(), reference).expect("atoms");
        let quality = &mended[0].quality;
        assert!(
            quality.clashes == 0 && quality.inverted.is_empty() && quality.worst_bond.0 < 0.15,
            "{quality:?}"
        );
        assert!(quality.twisted.len() < 4, "{quality:?}");
        let (backbone, _) = off(&made, &adk("adk_closed.pdb"));
        assert!(backbone < 0.8, "{backbone}");
    }
}

#[test]
fn one_residue_is_a_chain_too() {
    for count in [1, 2, 3] {
        let (made, mended, _) =
            rebuild(only(&trace(&adk("adk_open.pdb")), |a| a.residue_number <= count), None).expect("atoms");
        assert_eq!(made.atoms.iter().filter(|a| a.name == "N").count(), count as usize);
        let quality = &mended[0].quality;
        assert!(
            quality.clashes == 0 && quality.inverted.is_empty() && quality.worst_bond.0 < 0.05,
            "{quality:?}"
        );
    }
}

/// Ligands go along, nucleotides and modified residues come from the reference, B factors are kept.
#[test]
fn what_only_a_reference_has_goes_along() {
    let mut reference = adk("adk_open.pdb");
    let ca = |s: &Structure, n: i32| {
        s.atoms.iter().position(|a| a.residue_number == n && a.name == "CA").expect("a CA")
    };
    let beside = Point::from(reference.models[0][ca(&reference, 10)]) + Point::new(0.0, 0.0, 30.0);
    for (i, atom) in reference.atoms.iter_mut().enumerate() {
        atom.b_factor = (i % 90) as f32;
        // Selenomethionine, where nothing else has its CA.
        if atom.residue_number == 96 {
            atom.residue_name = "MSE".into();
            if atom.name == "SD" {
                (atom.name, atom.element) = ("SE".into(), "Se".into());
            }
        }
    }
    let ion = Atom {
        name: "ZN".into(),
        element: "Zn".into(),
        residue_name: "ZN".into(),
        residue_number: 301,
        hetero: true,
        ..reference.atoms[0].clone()
    };
    reference.atoms.push(ion);
    reference.models[0].push(beside.into());
    let mut coarse = trace(&reference);
    coarse.models[0].iter_mut().for_each(|p| p[0] += 5.0);
    let path = Path::new("x.pdb");
    let backmap =
        Backmap::new(Coarse::of(coarse, path).expect("a trace"), path, Some((reference.clone(), path)))
            .expect("a map");
    let (made, mended) = backmap.run(&mut |_, _| Ok(())).expect("atoms");
    assert_eq!(made.atoms.len(), reference.atoms.len());
    let ion = made.atoms.iter().position(|a| a.name == "ZN").expect("the ion");
    assert!((Point::from(made.models[0][ion]) - beside - Point::new(5.0, 0.0, 0.0)).norm() < 0.2);
    let methionine: Vec<&Atom> = made.atoms.iter().filter(|a| a.residue_number == 96).collect();
    assert!(methionine.iter().all(|a| a.residue_name == "MSE") && methionine.iter().any(|a| a.name == "SE"));
    for atom in &made.atoms {
        let there =
            reference.atoms.iter().find(|a| a.residue_number == atom.residue_number && a.name == atom.name);
        assert_eq!(there.map(|a| a.b_factor), Some(atom.b_factor));
    }
    assert_eq!(mended[0].quality.clashes, 0);
}

#[test]
fn gaps_are_said_and_nothing_is_built_across() {
    let mut gap = trace(&adk("adk_open.pdb"));
    gap = only(&gap, |a| !(50..60).contains(&a.residue_number));
    let (made, mended, notes) = rebuild(gap, None).expect("atoms");
    assert!(notes.len() == 1 && notes[0].contains("ALA 49 A") && notes[0].contains("THR 60 A"), "{notes:?}");
    assert_eq!((mended[0].quality.clashes, mended[0].quality.inverted.len()), (0, 0));
    assert!(made.atoms.iter().all(|a| !(50..60).contains(&a.residue_number)));
    // Missing atoms of the reference are built: side chains that are not there, and residues.
    let reference = only(&adk("adk_open.pdb"), |a| {
        a.residue_number != 30 && (a.residue_number != 20 || a.name.len() == 1 || a.name == "CA")
    });
    let path = Path::new("x.pdb");
    let coarse = Coarse::of(trace(&adk("adk_open.pdb")), path).expect("a trace");
    let backmap = Backmap::new(coarse, path, Some((reference, path))).expect("a map");
    assert!(backmap.notes.iter().any(|n| n.contains("SER 30 A")), "{:?}", backmap.notes);
    let (made, mended) = backmap.run(&mut |_, _| Ok(())).expect("atoms");
    assert_eq!((made.atoms.len(), mended[0].quality.clashes, mended[0].quality.inverted.len()), (1656, 0, 0));
}

#[test]
fn what_is_wrong_is_said() {
    let says = |coarse: Structure, reference: Option<&str>, words: &[&str]| {
        let Err(error) = rebuild(coarse, reference) else { panic!("{words:?}: nothing is said") };
        assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
        let text = error.to_string();
        assert!(words.iter().all(|w| text.contains(w)), "{words:?}: {text}");
    };
    let open = adk("adk_open.pdb");
    let renamed = |name: &str| {
        let mut made = trace(&open);
        made.atoms[4].residue_name = name.into();
        made
    };
    says(renamed("SEP"), None, &["SEP 5 A", "--reference"]);
    says(renamed("DG"), None, &["DG 5 A", "nucleotide", "--reference"]);
    says(renamed("TRP"), Some("adk_open.pdb"), &["TRP 5 A", "LEU"]);
    says(open.clone(), None, &["N of MET 1 A", "CA"]);
    says(Structure { models: vec![], ..trace(&open) }, None, &["no models"]);
    let mut elsewhere = trace(&open);
    elsewhere.atoms.iter_mut().for_each(|a| a.chain = "Q".into());
    says(elsewhere, Some("adk_open.pdb"), &["none of the residues"]);
    let mut small = trace(&open);
    small.models[0].iter_mut().flatten().for_each(|v| *v *= 0.1);
    says(small, None, &["0.38", "Å"]);
    let mut collapsed = trace(&open);
    collapsed.models[0][4] = collapsed.models[0][3];
    says(collapsed, None, &["model 1", "LEU 5 A"]);
    let mut twice = trace(&open);
    twice.atoms[1].residue_number = 1;
    twice.atoms[1].residue_name = "MET".into();
    says(twice, None, &["MET 1 A", "twice"]);
    says(only(&beads(&open), |a| a.residue_number != 5 || a.name != "BB"), None, &["LEU 5 A", "BB"]);
}

/// Two models through the program: the table of both, the file, and one line for what is wrong.
#[test]
fn the_commands_write_atoms_and_beads_at_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let open = adk("adk_open.pdb");
    open.write(&at("model.pdb")).expect("a model");
    let mut models = trace(&open);
    models.models.push(trace(&adk("adk_closed.pdb")).models.remove(0));
    models.write(&at("pred.pdb")).expect("traces");
    beads(&open).write(&at("beads.pdb")).expect("beads");
    let run = |line: &str| kinesome(folder.path(), &line.split(' ').collect::<Vec<_>>());
    let said = succeeds(run("dyna backmap pred.pdb --reference model.pdb -o atoms.pdb"));
    assert_eq!(said, "atoms.pdb");
    let made = Structure::read(&at("atoms.pdb")).expect("atoms");
    assert_eq!((made.atoms.len(), made.models.len()), (1656, 2));
    succeeds(run("dyna minimize beads.pdb --reference model.pdb -o rest.cif --nsteps 30"));
    let rest = Structure::read(&at("rest.cif")).expect("beads");
    assert_eq!((rest.atoms.len(), rest.models.len()), (450, 1));
    for (line, word) in [
        ("dyna backmap model.pdb -o x.pdb", "CA traces"),
        ("dyna backmap pred.pdb --reference nothing.pdb -o x.pdb", "nothing.pdb"),
        ("dyna minimize pred.pdb -o x.pdb", "martinize"),
        ("dyna minimize beads.pdb -o x.pdb --emstep 0", "--emstep"),
    ] {
        let output = run(line);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && text.lines().count() == 1 && text.contains(word),
            "{line}: {text}"
        );
        assert!(!at("x.pdb").exists());
    }
}
