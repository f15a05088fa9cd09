//! Nucleic acids at the stage of residues; where there are no beads for them that is said.

use std::fmt::Write;
use std::path::Path;

use kinesome::io::structure::Structure;
use kinesome::systems::dyna::config::Config;
use kinesome::systems::dyna::graph::{Springs, blocks};
use kinesome::systems::dyna::reference::Reference;

use crate::command::{SMALL, kinesome, succeeds};
use crate::secondary::data;

/// r (Å), angle and z (Å) of B-DNA (Arnott and Hukins, Biochem. Biophys. Res. Commun. 47:1504, 1972): 36 degrees and
/// 3.38 Å a step.
const ATOMS: [(&str, &str, f64, f64, f64); 3] =
    [("P", "P", 8.91, 94.95, 2.08), ("C4'", "C", 7.59, 69.9, 2.04), ("C1'", "C", 5.86, 67.4, 0.47)];

fn line(record: &str, atom: (&str, &str), residue: &str, chain: char, number: usize, at: [f64; 3]) -> String {
    let ((name, element), [x, y, z]) = (atom, at);
    format!(
        "{record:<6}{number:>5}  {name:<3} {residue:>3} {chain}{number:>4}    {x:>8.3}{y:>8.3}{z:>8.3}  1.00  0.00          \
         {element:>2}\n"
    )
}

/// A double helix about z, two strands that run against one another.
fn duplex(pairs: usize) -> String {
    let mut text = String::new();
    for (chain, names) in [('X', ["DA", "DC"]), ('Y', ["DG", "DT"])] {
        for step in 0..pairs {
            // The second strand is the first turned about the dyad, x; its chain runs down.
            let (pair, sign) = if chain == 'X' { (step, 1.0) } else { (pairs - 1 - step, -1.0) };
            for (name, element, r, angle, z) in ATOMS {
                let angle = (sign * angle + 36.0 * pair as f64).to_radians();
                let middle = 0.5 * (pairs - 1) as f64;
                let at = [r * angle.cos(), r * angle.sin(), sign * z + 3.38 * (pair as f64 - middle)];
                text += &line("ATOM", (name, element), names[step % 2], chain, step + 1, at);
            }
        }
    }
    text
}

fn reference(text: &str) -> Reference {
    let path = Path::new("model.pdb");
    Reference::of(&Structure::parse_pdb(text, path).expect("a structure"), path).expect("points")
}

#[test]
fn a_double_helix_has_points_bonds_and_springs() {
    let dna = reference(&duplex(12));
    assert_eq!((dna.len(), dna.notes.len()), (24, 0), "{:?}", dna.notes);
    assert!(dna.nucleic.iter().all(|n| *n) && dna.atoms.iter().all(|a| a.name == "C1'"));
    assert!(dna.electrons.iter().all(|e| *e == 27.0));
    // Each strand is one block.
    assert_eq!(blocks(&dna), [[0; 12], [1; 12]].concat());
    let springs = Springs::new(&dna, &Config::default().cutoffs());
    assert_eq!(springs.connected.len(), 22);
    assert!(springs.connected.distances.iter().all(|d| (d - 4.95).abs() < 0.02), "{:?}", springs.connected);
    assert_eq!(springs.chains.len(), 2);
    // Across a pair C1' are 10.8 Å apart, as in crystals; strands hold one another.
    let across = (0..12).map(|i| {
        let at = springs.between.members.iter().position(|m| *m == (i, 23 - i)).expect("a pair");
        springs.between.distances[at]
    });
    across.for_each(|d| assert!((d - 10.85).abs() < 0.1, "{d}"));
}

/// Beside a protein: nothing ties the two, and a nucleotide by itself is a ligand that a residue carries.
#[test]
fn a_protein_and_its_nucleic_acid_slide_and_atp_is_carried() {
    let protein = std::fs::read_to_string(data("adk_open.pdb")).expect("a model");
    let atoms: String =
        protein.lines().filter(|l| l.starts_with("ATOM")).fold(String::new(), |mut all, l| {
            writeln!(all, "{l}").expect("a text");
            all
        });
    let at = Structure::parse_pdb(&atoms, Path::new("x")).expect("a structure").models[0][100];
    let near =
        |atom: (&str, &str), by: f64| line("HETATM", atom, "ATP", 'A', 301, [at[0] + by, at[1], at[2]]);
    let ligand = near(("C1'", "C"), 4.0) + &near(("C4'", "C"), 5.5);
    let both = reference(&format!("{atoms}{}{ligand}", duplex(12)));
    assert_eq!((both.len(), both.carried.len()), (214 + 24, 1));
    assert!(both.notes.iter().any(|note| note.contains("ATP A301")), "{:?}", both.notes);
    assert!(both.carried[0].by < 214 && both.carried[0].electrons == 12.0);
    let springs = Springs::new(&both, &Config::default().cutoffs());
    let is_mixed = |&(i, j): &(usize, usize)| (i < 214) != (j < 214);
    let held = springs.chains.iter().chain([&springs.between, &springs.connected]);
    assert!(!held.flat_map(|pairs| &pairs.members).any(is_mixed));
    // A modified nucleotide within a strand is one of it.
    let marked = duplex(12).replace("ATOM      5", "HETATM    5");
    assert_eq!(reference(&marked).len(), 24);
}

#[test]
fn a_nucleic_acid_goes_through_the_stage_of_residues() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    std::fs::write(at.join("dna.pdb"), duplex(24)).expect("a file");
    let simulate =
        ["simulate", "dna.pdb", "-n", "40", "--box", "32", "--apix", "4", "--snr", "1", "-o", "sim"];
    succeeds(kinesome(at, &simulate));
    let residue = |out: &str, more: &[&str]| {
        let start = ["dyna", "residue", "sim/particles.star", "dna.pdb", "-o", out, "-n", "1"];
        succeeds(kinesome(at, &[&start[..], more, &SMALL[..]].concat()))
    };
    for last in [residue("free", &[]), residue("modes", &["--modes", "6"])] {
        let found = Structure::read(&at.join(&last).join("pred.pdb")).expect("structures");
        assert_eq!(found.atoms.len(), 48);
        assert!(found.atoms.iter().all(|a| a.name == "C1'" && a.residue_name.starts_with('D')));
    }
    for refused in [
        &["dyna", "beads", "sim/particles.star", "dna.pdb", "-o", "x"][..],
        &["dyna", "martinize", "dna.pdb", "-o", "x"],
    ] {
        let output = kinesome(at, refused);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.lines().count() == 1, "{text}");
        assert!(text.contains("dna.pdb") && text.contains("kinesome dyna residue"), "{text}");
    }
}
