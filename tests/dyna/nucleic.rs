//! Nucleic acids at the stages of residues and of beads.

use std::fmt::Write;
use std::path::Path;

use kinesome::io::structure::Structure;
use kinesome::protein::backmap::Backmap;
use kinesome::protein::backmap::coarse::Coarse;
use kinesome::protein::martini::{Beads, Topology, pairs};
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
fn a_nucleic_acid_goes_through_both_stages() {
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
    let start = ["dyna", "beads", "sim/particles.star", "dna.pdb", "-o", "beads", "-n", "1"];
    let last = succeeds(kinesome(at, &[&start[..], &SMALL[..]].concat()));
    let found = Structure::read(&at.join(&last).join("pred.pdb")).expect("structures");
    // This model has an atom each of phosphate and sugar, and of bases none.
    assert_eq!(found.atoms.len(), 3 * 48);
    assert!(found.atoms.iter().all(|a| a.name.starts_with("BB")));
    assert!(kinesome(at, &["dyna", "martinize", "dna.pdb", "-o", "cg"]).status.success());
    assert!(["cg/dna_X.itp", "cg/dna_Y.itp"].iter().all(|file| at.join(file).is_file()));
    let unknown = kinesome(at, &["dyna", "minimize", "cg/dna_cg.pdb", "-o", "relaxed.pdb"]);
    let text = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && text.contains("--reference"), "{text}");
    let relaxed = ["dyna", "minimize", "cg/dna_cg.pdb", "--reference", "dna.pdb", "-o", "relaxed.pdb"];
    assert!(kinesome(at, &relaxed).status.success());
}

/// Guanosine and uridine, O3' of the first `link` Å from P of the second.
fn two_nucleotides(link: f64) -> Structure {
    const SUGAR: [&str; 12] =
        ["P", "O1P", "OP2", "O5'", "C5'", "C4'", "O4'", "C3'", "C2'", "O2'", "C1'", "O3'"];
    let bases =
        [("G", "N9 C4 C2 N2 N3 C6 O6 N1 C8 N7 C5", 0.0), ("U", "N1 C6 N3 C2 O2 C5 C4 O4", 2.0 * 11.0 + link)];
    let mut text = String::new();
    for (number, (residue, base, from)) in bases.into_iter().enumerate() {
        for (i, name) in SUGAR.into_iter().chain(base.split(' ')).enumerate() {
            // Along x up to O3', which ends the residue, and bases aside.
            let aside = if i < 12 { 0.0 } else { 3.4 * number as f64 + (i as f64).sin() };
            let at =
                [from + if i < 12 { 2.0 * i as f64 } else { 0.5 * i as f64 }, aside, 0.1 * (i as f64).cos()];
            text += &line("ATOM", (name, &name[..1]), residue, 'R', number + 1, at);
        }
    }
    Structure::parse_pdb(&text, Path::new("rna.pdb")).expect("a structure")
}

#[test]
fn nucleotides_become_beads_that_rest_where_they_are() {
    let path = Path::new("rna.pdb");
    let structure = two_nucleotides(1.6);
    let beads = Beads::of(&structure, None, path).expect("beads");
    let names: Vec<&str> = beads.atoms.iter().map(|a| a.name.as_str()).collect();
    let wanted = ["BB1", "BB2", "BB3", "SC1", "SC2", "SC3", "SC4", "BB1", "BB2", "BB3", "SC1", "SC2", "SC3"];
    assert_eq!(names, wanted);
    let all: usize = beads.members.iter().map(Vec::len).sum();
    assert_eq!(all, structure.atoms.len(), "every heavy atom is in one bead");
    // The first O3' is part of the phosphate that follows, the last of its own sugar.
    let of = |bead: usize| -> Vec<&str> {
        beads.members[bead].iter().map(|&i| structure.atoms[i].name.as_str()).collect()
    };
    assert_eq!(of(7), ["P", "O1P", "OP2", "O5'", "O3'"]);
    assert_eq!(of(9), ["C3'", "C2'", "O2'", "C1'", "O3'"]);
    assert_eq!(beads.electrons[7], 15.0 + 4.0 * 8.0);
    assert!(beads.charges.iter().enumerate().all(|(i, &q)| q == if i == 0 || i == 7 { -1.0 } else { 0.0 }));

    let topology = Topology::new(&beads);
    let length = |[i, j]: [usize; 2]| -> f64 {
        (0..3).map(|k| (beads.places[i][k] - beads.places[j][k]).powi(2)).sum::<f64>().sqrt()
    };
    assert_eq!((topology.bonds.len(), topology.angles.len()), (16, 8));
    assert!(topology.bonds.iter().all(|b| (b.length - length(b.atoms)).abs() < 1e-9));
    assert!(topology.bonds.iter().any(|b| b.atoms == [2, 7]), "the two are bonded");
    // No pair is driven apart.
    let wells = pairs(&beads, &topology, &beads.places, 12.0);
    assert!(wells.iter().any(|p| length(p.atoms) < 4.0), "the bases are near each other");
    assert!(wells.iter().all(|p| length(p.atoms) >= p.sigma * 2_f64.powf(1.0 / 6.0) - 1e-9));

    let apart = Beads::of(&two_nucleotides(9.0), None, path).expect("beads");
    assert!(beads.residues[1].joined && !apart.residues[1].joined);
    assert_eq!(Topology::new(&apart).bonds.len(), 15);
}

/// Beads that have turned about z take their atoms along.
#[test]
fn beads_of_nucleotides_lead_back_to_atoms() {
    let path = Path::new("rna.pdb");
    let model = two_nucleotides(1.6);
    let beads = Beads::of(&model, None, path).expect("beads");
    let turned = |p: &[f64; 3]| [-p[1] + 5.0, p[0], p[2] - 3.0];
    let structure =
        Structure { atoms: beads.atoms.clone(), models: vec![beads.places.iter().map(turned).collect()] };
    let coarse = Coarse::of(structure, Path::new("cg.pdb")).expect("beads");
    let backmap = Backmap::new(coarse, Path::new("cg.pdb"), Some((model.clone(), path))).expect("a plan");
    let (atoms, _) = backmap.run(&mut |_, _| Ok(())).expect("atoms");
    assert_eq!(atoms.atoms.len(), model.atoms.len());
    let wanted: Vec<[f64; 3]> = model.models[0].iter().map(turned).collect();
    // The made-up atoms are nearer to one another than real ones, which is mended.
    let rmsd = kinesome::protein::superpose::rmsd(&atoms.models[0], &wanted);
    assert!(rmsd < 0.5, "{rmsd}");
}
