//! Beads of MARTINI, what holds them, and the files of both.

use std::collections::BTreeMap;
use std::path::Path;

use kinesome::io::npy::Array;
use kinesome::io::structure::{Atom, Structure};
use kinesome::protein::martini::{Beads, Topology, attraction, pairs, side_chain};

use crate::golden::{close, npz, places};
use crate::secondary::data;

/// What the reference divides energies by.
const SCALE: f64 = 12.5;

/// Texts are kept as the numbers of their letters, with blanks between.
fn texts(array: &Array) -> Vec<String> {
    let letters = array.to_i64().expect("letters");
    let text: String = letters.iter().filter_map(|&letter| char::from_u32(letter as u32)).collect();
    text.split(' ').map(String::from).collect()
}

/// A structure whose heavy atoms stand where their beads do.
pub fn structure(golden: &BTreeMap<String, Array>) -> Structure {
    let (names, residues) = (texts(&golden["bead_name"]), texts(&golden["bead_res"]));
    let numbers = golden["bead_resid"].to_i64().expect("integers");
    let mut structure = Structure { atoms: vec![], models: vec![vec![]] };
    for (i, place) in places(&golden["bead_xyz"]).into_iter().enumerate() {
        let side = side_chain(&residues[i]).expect("an amino acid");
        let atoms = match names[i].as_str() {
            "BB" if residues[i] == "ALA" => &["N", "CA", "C", "O", "CB"][..],
            "BB" => &["N", "CA", "C", "O"],
            other => side.beads[other[2..].parse::<usize>().expect("a number") - 1].1,
        };
        for name in atoms {
            structure.atoms.push(Atom {
                name: name.to_string(),
                element: name[..1].into(),
                residue_name: residues[i].clone(),
                residue_number: (numbers[i] & 0xffff) as i32,
                insertion_code: None,
                chain: "A".into(),
                occupancy: 1.0,
                b_factor: 0.0,
                hetero: false,
            });
            structure.models[0].push(place);
        }
    }
    structure
}

pub fn beads(golden: &BTreeMap<String, Array>) -> Beads {
    let dssp: Vec<char> = texts(&golden["dssp"])[0].chars().collect();
    Beads::of(&structure(golden), Some(&dssp), Path::new("adk.pdb")).expect("beads")
}

/// Rows of atoms with their numbers, in the order of the atoms.
fn sorted(rows: Vec<(Vec<i64>, Vec<f64>)>) -> (Vec<Vec<i64>>, Vec<f32>) {
    let mut rows = rows;
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let numbers = rows.iter().flat_map(|row| row.1.iter().map(|&v| v as f32)).collect();
    (rows.into_iter().map(|row| row.0).collect(), numbers)
}

#[track_caller]
fn same(what: &str, found: Vec<(Vec<i64>, Vec<f64>)>, golden: &BTreeMap<String, Array>, names: &[&str]) {
    let width = golden[what].shape[1];
    let atoms = golden[what].to_i64().expect("integers");
    let numbers: Vec<Vec<f64>> = names.iter().map(|name| golden[*name].to_f64()).collect();
    let rows = atoms
        .chunks(width)
        .enumerate()
        .map(|(i, atoms)| (atoms.to_vec(), numbers.iter().map(|list| list[i]).collect()));
    let (found, wanted) = (sorted(found), sorted(rows.collect()));
    assert_eq!(found.0, wanted.0, "{what}");
    close(what, &found.1, &wanted.1, 1e-6);
}

fn ints(atoms: &[usize]) -> Vec<i64> {
    atoms.iter().map(|&i| i as i64).collect()
}

#[test]
fn beads_and_lists_are_the_reference_s() {
    let golden = npz("05_cg.npz");
    let beads = beads(&golden);
    let codes: String = beads.residues.iter().map(|r| r.code).collect();
    assert_eq!(codes, texts(&golden["martini_ss"])[0]);
    assert_eq!(beads.atoms.iter().map(|a| a.name.clone()).collect::<Vec<_>>(), texts(&golden["bead_name"]));
    assert_eq!(beads.types, texts(&golden["bead_type"]));
    assert_eq!(beads.electrons, golden["bead_electrons"].to_f64());
    let flat = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
    close("widths", &flat(&beads.widths), &golden["bead_sigma_A"].to_f32(), 1e-6);
    close("places", &flat(beads.places.as_flattened()), &golden["bead_xyz"].to_f32(), 1e-6);
    let topology = Topology::new(&beads);
    let bonds = topology.bonds.iter().map(|b| (ints(&b.atoms), vec![b.length, b.stiffness / SCALE]));
    same("bonds", bonds.collect(), &golden, &["bond_len_A", "bond_k"]);
    let radians = f64::to_radians;
    let angles =
        topology.angles.iter().map(|a| (ints(&a.atoms), vec![radians(a.angle), a.stiffness / SCALE]));
    same("angles", angles.collect(), &golden, &["angle_rad", "angle_k"]);
    let dihedrals = topology
        .dihedrals
        .iter()
        .map(|d| (ints(&d.atoms), vec![radians(d.angle), d.stiffness / SCALE, d.multiplicity as f64]));
    same("torsions", dihedrals.collect(), &golden, &["torsion_rad", "torsion_k", "torsion_mul"]);
    let impropers =
        topology.impropers.iter().map(|i| (ints(&i.atoms), vec![radians(i.angle), i.stiffness / SCALE]));
    same("impropers", impropers.collect(), &golden, &["improper_rad", "improper_k"]);
    // The reference takes what the second bead feels with its own like.
    let near = pairs(&beads, &topology, &beads.places, 12.0).into_iter().map(|p| {
        let kind = beads.types[p.atoms[1]];
        let (depth, sigma) = attraction(kind, kind);
        (ints(&p.atoms), vec![depth / SCALE, sigma])
    });
    same("nonbonded", near.collect(), &golden, &["nb_eps", "nb_sigma_A"]);
}

/// Levels of Marrink et al. (2007), table 1.
#[test]
fn types_attract_one_another_as_published() {
    for (a, b, depth, sigma) in [
        ("P5", "P5", 5.6, 4.7),
        ("P4", "Nda", 4.0, 4.7),
        ("Nd", "Qd", 4.0, 4.7),
        ("Na", "Qd", 5.0, 4.7),
        ("P1", "N0", 4.0, 4.7),
        ("AC1", "P5", 2.0, 4.7),
        ("AC2", "Qa", 2.0, 4.7),
        ("C3", "Qd", 2.3, 4.7),
        ("SC5", "SC4", 0.75 * 3.5, 4.3),
        ("SNd", "C5", 3.5, 4.7),
        ("SP1", "SNd", 0.75 * 4.5, 4.3),
    ] {
        assert_eq!(attraction(a, b), (depth, sigma), "{a} and {b}");
        assert_eq!(attraction(b, a), (depth, sigma), "{b} and {a}");
    }
}

#[test]
fn a_structure_becomes_beads() {
    let structure = Structure::read(&data("adk_open.pdb")).expect("a structure");
    let beads = Beads::of(&structure, None, Path::new("adk_open.pdb")).expect("beads");
    let topology = Topology::new(&beads);
    assert_eq!((beads.len(), beads.residues.len(), beads.charges.iter().sum::<f64>()), (450, 214, -4.0));
    assert!(beads.notes.is_empty() && beads.others.is_empty(), "{:?}", beads.notes);
    // Electrons of all but the last residue's second oxygen.
    assert_eq!(beads.electrons.iter().sum::<f64>(), 10927.0);
    // The first backbone by hand: N CA C O of MET 1.
    let at = |name: &str| structure.atoms.iter().position(|a| a.name == name).expect("an atom");
    let x = |name: &str| structure.models[0][at(name)][0];
    let mean = (14.0 * x("N") + 12.0 * x("CA") + 12.0 * x("C") + 16.0 * x("O")) / 54.0;
    assert!((beads.places[0][0] - mean).abs() < 1e-9);
    // Bonds are near their lengths in a crystal's structure.
    let strain: f64 = topology
        .bonds
        .iter()
        .map(|b| {
            let [i, j] = b.atoms.map(|i| nalgebra::Vector3::from(beads.places[i]));
            ((i - j).norm() - b.length).powi(2)
        })
        .sum();
    assert!((strain / topology.bonds.len() as f64).sqrt() < 0.6, "{strain}");
    // DSSP's own assignment of a conformation 2.9 Å away.
    let golden = npz("05_cg.npz");
    let own: Vec<char> = texts(&golden["martini_ss"])[0].chars().collect();
    let agrees = |same: &dyn Fn(char, char) -> bool| {
        beads.residues.iter().zip(&own).filter(|(r, c)| same(r.code, **c)).count() as f64 / 214.0
    };
    let three = |c: char| match c {
        'H' | '1' | '2' | '3' => 'H',
        'E' => 'E',
        _ => 'C',
    };
    let (all, coarse) = (agrees(&|a, b| a == b), agrees(&|a, b| three(a) == three(b)));
    println!("agreement with DSSP: {all:.3} of codes, {coarse:.3} of helix, strand and coil");
    println!("{}", beads.residues.iter().map(|r| r.code).collect::<String>());
    assert!(coarse > 0.8, "{coarse}");
}

#[test]
fn gaps_truncated_residues_and_ligands_are_seen() {
    let whole = Structure::read(&data("adk_open.pdb")).expect("a structure");
    let with = |keep: &dyn Fn(&Atom) -> bool| {
        let kept: Vec<usize> = (0..whole.atoms.len()).filter(|&i| keep(&whole.atoms[i])).collect();
        Structure {
            atoms: kept.iter().map(|&i| whole.atoms[i].clone()).collect(),
            models: vec![kept.iter().map(|&i| whole.models[0][i]).collect()],
        }
    };
    let of = |structure: &Structure| Beads::of(structure, None, Path::new("model.pdb"));
    let gap = of(&with(&|a| !(50..60).contains(&a.residue_number))).expect("beads");
    assert!(!gap.residues[49].joined && gap.residues[48].joined);
    let topology = Topology::new(&gap);
    let across = |i: usize, j: usize| gap.residue_of[i] < 49 && gap.residue_of[j] >= 49;
    assert!(!topology.bonds.iter().any(|b| across(b.atoms[0], b.atoms[1])));
    assert!(!topology.angles.iter().any(|a| across(a.atoms[0], a.atoms[2])));
    assert_eq!((gap.charges[0], gap.types[gap.len() - 1]), (1.0, "Qa"));
    // A lysine that ends at CB keeps its first bead.
    let stub =
        of(&with(&|a| a.residue_number != 13 || ["N", "CA", "C", "O", "CB"].contains(&a.name.as_str())))
            .expect("beads");
    assert_eq!(stub.residues[12].beads.iter().flatten().count(), 2, "{}", stub.residues[12].name);
    assert!(stub.notes.iter().any(|n| n.contains("LYS A13")), "{:?}", stub.notes);
    Topology::new(&stub);
    let mut ligand = whole.clone();
    ligand.atoms.iter_mut().filter(|a| a.residue_number == 214).for_each(|a| {
        (a.residue_name, a.hetero) = ("LIG".into(), true);
    });
    let ligand = of(&ligand).expect("beads");
    assert_eq!((ligand.residues.len(), ligand.others.len()), (213, 1));
    // A nucleotide without a C1' is a group that goes along.
    let mut nucleic = whole.clone();
    nucleic.atoms.iter_mut().filter(|a| a.residue_number == 214).for_each(|a| a.residue_name = "DA".into());
    let nucleic = of(&nucleic).expect("beads");
    assert_eq!((nucleic.residues.len(), nucleic.others.len()), (213, 1));
    let none = of(&with(&|a| a.name == "CB")).expect_err("no CA").to_string();
    assert!(none.contains("CA"), "{none}");
}
