//! `kinesome mdgen prepare`: real and made trajectories to stores, names of force fields, and what is refused.

use crate::golden::{close, npz, tetrapeptides};
use kinesome::io::structure::{Atom, Structure};
use kinesome::io::trajectory::{Snapshot, Trajectory, TrajectoryWriter};
use kinesome::protein::chain::{Chain, heavy_atoms, structure_of};
use kinesome::protein::residue::{ATOMS, Atoms, RESIDUES, letter_of_type};
use kinesome::protein::superpose::{rmsd, superpose};
use kinesome::systems::mdgen::output::ChainWriter;
use kinesome::systems::mdgen::split;
use kinesome::systems::mdgen::store::Store;
use std::fs;
use std::path::Path;
use std::process::Command;

fn prepare(at: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinesome"));
    command.current_dir(at).args(["mdgen", "prepare"]).args(args);
    command
}

/// What the command says.
fn succeeds(at: &Path, args: &[&str]) -> String {
    let output = prepare(at, args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The one line it refuses with; nothing may be left behind.
fn fails(at: &Path, args: &[&str]) -> String {
    let listing = || {
        let mut names: Vec<_> = fs::read_dir(at).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listing();
    let output = prepare(at, args).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    assert!(text.starts_with("kinesome: ") && text.lines().count() == 1, "{text}");
    assert_eq!(listing(), before, "{args:?} left something behind");
    text
}

/// A real peptide of the golden arrays: types, and 5 frames of 4 residues.
fn peptide(p: usize) -> (Vec<usize>, Vec<Atoms>) {
    let golden = npz("geometry.npz");
    let kinds = golden["aatype"].to_f32()[4 * p..4 * p + 4].iter().map(|&k| k as usize).collect();
    let all = golden["atom14"].to_f32();
    let each = all.len() / 12;
    (kinds, all[p * each..(p + 1) * each].as_chunks::<3>().0.as_chunks::<ATOMS>().0.to_vec())
}

fn name_of(kinds: &[usize]) -> String {
    kinds.iter().map(|&k| letter_of_type(k)).collect()
}

fn snapshots(structure: &Structure) -> Vec<Snapshot> {
    let place = |model: &Vec<[f64; 3]>| model.iter().map(|p| p.map(|x| x as f32)).collect();
    structure.models.iter().map(|m| Snapshot { time: 0.0, positions: place(m) }).collect()
}

fn write_trajectory(path: &Path, structure: &Structure) {
    let mut out = TrajectoryWriter::create(path).unwrap();
    snapshots(structure).iter().for_each(|frame| out.push(frame).unwrap());
    out.finish().unwrap();
}

/// `NAME.pdb` with the first frame.
fn write_topology(path: &Path, structure: &Structure) {
    let mut first = structure.clone();
    first.models.truncate(1);
    first.write(path).unwrap();
}

/// The store's frames, and that they are these up to a motion of each frame.
fn same_shape(store: &Store, kinds: &[usize], wanted: &[Atoms], limit: f64) {
    assert_eq!(store.frames() * kinds.len(), wanted.len());
    for f in 0..store.frames() {
        let found = heavy_atoms(kinds, &store.window(f, 1, 1).unwrap());
        let real = heavy_atoms(kinds, &wanted[f * kinds.len()..(f + 1) * kinds.len()]);
        let (motion, left) = superpose(&found, &real);
        assert!(left < limit, "frame {f}: {left}");
        if f == 0 {
            assert!(motion.angle() < 1e-2 && rmsd(&found, &real) < limit);
        }
    }
}

#[test]
fn every_form_of_a_trajectory() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (kinds, atoms) = peptide(3);
    let structure = structure_of(&kinds, &atoms).unwrap();
    structure.write(&path("models.pdb")).unwrap();
    structure.write(&path("models.cif")).unwrap();
    write_topology(&path("first.pdb"), &structure);
    write_trajectory(&path("t.xtc"), &structure);
    write_trajectory(&path("t.dcd"), &structure);
    for (args, name) in [
        (&["models.pdb"][..], "models"),
        (&["models.cif"], "models"),
        (&["first.pdb", "t.xtc"], "first"),
        (&["first.pdb", "t.dcd"], "first"),
        (&["first.pdb", "models.pdb"], "first"),
        (&["first.pdb", "t.dcd", "--f32"], "first"),
    ] {
        let said = succeeds(folder.path(), &[args, &["-o", "data"]].concat());
        assert!(said.contains(&format!("data/{name}.npy: 5 frames of {}", name_of(&kinds))), "{said}");
        let store = Store::open(&path(&format!("data/{name}.npy")), &kinds).unwrap();
        same_shape(&store, &kinds, &atoms, 0.01);
    }
    let entries = split::read(&path("data/split.csv")).unwrap();
    assert_eq!(entries.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["first", "models"]);
    assert_eq!(entries[0].sequence, name_of(&kinds));
    // Fewer frames, other names, replicates.
    let two = ["first.pdb", "t.xtc", "t.dcd", "-o", "some", "--every", "2", "--skip", "1", "--suffix", "_i2"];
    succeeds(folder.path(), &[&two[..], &["--split", "all.csv"]].concat());
    assert_eq!(split::read(&path("all.csv")).unwrap()[0].name, "first");
    let wanted: Vec<Atoms> = [1, 3].iter().flat_map(|f| atoms[f * 4..f * 4 + 4].to_vec()).collect();
    for name in ["some/first_R1_i2.npy", "some/first_R2_i2.npy"] {
        same_shape(&Store::open(&path(name), &kinds).unwrap(), &kinds, &wanted, 0.01);
    }
}

#[test]
fn real_trajectories_give_the_arrays_made_from_them() {
    let Some(real) = tetrapeptides() else { return };
    let folder = tempfile::tempdir().unwrap();
    let said = succeeds(folder.path(), &[&real.display().to_string(), "-o", "data", "--every", "25"]);
    assert!(said.contains("9 molecules in data/split.csv"), "{said}");
    let entries = split::read(&folder.path().join("data/split.csv")).unwrap();
    assert_eq!(entries.len(), 9);
    for entry in &entries {
        assert_eq!(entry.name, entry.sequence);
        let kinds = entry.kinds().unwrap();
        let made = Store::open(&entry.file(&folder.path().join("data"), ""), &kinds).unwrap();
        let given = Store::open(&entry.file(&real, ""), &kinds).unwrap();
        assert_eq!(made.frames(), 200);
        for f in 0..200 {
            let a = heavy_atoms(&kinds, &made.window(f, 1, 1).unwrap());
            let b = heavy_atoms(&kinds, &given.window(25 * f, 1, 1).unwrap());
            // Steps of the XTC file and of float16; where a frame differs much from the first, the superposition makes
            // more of them.
            let (placed, shape) = (rmsd(&a, &b), superpose(&a, &b).1);
            assert!(placed < 0.1 && shape < 0.01, "{}, frame {f}: {placed} {shape}", entry.name);
        }
    }
}

/// A structure as a force field writes it: hydrogens, caps, water, other names.
fn dressed(kinds: &[usize], atoms: &[Atoms]) -> Structure {
    let plain = structure_of(kinds, atoms).unwrap();
    let mut dressed = Structure { atoms: Vec::new(), models: vec![Vec::new(); plain.models.len()] };
    let last = kinds.len() as i32;
    let mut add = |atom: &Atom, from: usize, shift: f64| {
        dressed.atoms.push(atom.clone());
        for (model, old) in dressed.models.iter_mut().zip(&plain.models) {
            model.push(old[from].map(|x| x + shift));
        }
    };
    let other = |name: &str, element: &str, residue: &str, number: i32| Atom {
        name: name.into(),
        element: element.into(),
        residue_name: residue.into(),
        residue_number: number,
        ..plain.atoms[0].clone()
    };
    for name in ["CH3", "C", "O"] {
        add(&other(name, &name[..1], "ACE", 0), 0, 1.5);
    }
    for (i, atom) in plain.atoms.iter().enumerate() {
        let mut atom = atom.clone();
        match (atom.residue_name.as_str(), atom.name.as_str()) {
            ("ILE", "CD1") => atom.name = "CD".into(),
            ("MET", "SD") => (atom.name, atom.element) = ("SE".into(), "Se".into()),
            (_, "O") if atom.residue_number == last => atom.name = "OT1".into(),
            _ => {}
        }
        atom.residue_name = match atom.residue_name.as_str() {
            "HIS" => "HSD".into(),
            "CYS" => "CYX".into(),
            "MET" => "MSE".into(),
            _ => atom.residue_name,
        };
        add(&atom, i, 0.0);
        if atom.name == "N" {
            add(&Atom { name: "HN".into(), element: "H".into(), ..atom.clone() }, i, 0.6);
        }
        if atom.name == "OT1" {
            add(&Atom { name: "OT2".into(), ..atom.clone() }, i, 1.3);
        }
    }
    add(&other("N", "N", "NME", last + 1), 0, 1.5);
    add(&Atom { chain: "W".into(), hetero: true, ..other("OW", "O", "SOL", 1) }, 0, 9.0);
    add(&Atom { chain: "X".into(), hetero: true, ..other("CA", "Ca", "CA", 1) }, 0, 9.0);
    dressed
}

#[test]
fn names_caps_hydrogens_and_water() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut seen = String::new();
    for p in 0..12 {
        let (kinds, atoms) = peptide(p);
        seen += &name_of(&kinds);
        let structure = dressed(&kinds, &atoms);
        let chain = Chain::of(&structure, Path::new("t.pdb"), None).unwrap();
        assert_eq!(chain.kinds, kinds);
        let all: Vec<[f32; 3]> = structure.models[2].iter().map(|p| p.map(|x| x as f32)).collect();
        assert_eq!(chain.atoms(&all).unwrap(), atoms[8..12]);
        write_topology(&path("t.pdb"), &structure);
        write_trajectory(&path("t.dcd"), &structure);
        succeeds(folder.path(), &["t.pdb", "t.dcd", "-o", "data"]);
        same_shape(&Store::open(&path("data/t.npy"), &kinds).unwrap(), &kinds, &atoms, 0.01);
    }
    assert!("HCMI".chars().all(|c| seen.contains(c)), "{seen} has no residue of another name");
}

#[test]
fn topologies_that_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (kinds, atoms) = peptide(3);
    let whole = structure_of(&kinds, &atoms).unwrap();
    let count = |r: usize| RESIDUES[kinds[r]].atoms.len();
    let label = |r: usize| format!("{} {}", RESIDUES[kinds[r]].name, r + 1);
    let with = |change: &dyn Fn(&mut Structure)| {
        let mut changed = whole.clone();
        change(&mut changed);
        changed.write(&at.join("t.pdb")).unwrap();
        fails(at, &["t.pdb", "-o", "data"])
    };
    let without = |s: &mut Structure, i: usize| {
        s.atoms.remove(i);
        for model in &mut s.models {
            model.remove(i);
        }
    };
    let second = count(0);
    let said = with(&|s| without(s, second + 3));
    assert!(said.contains(&label(1)) && said.contains("O missing"), "{said}");
    let said = with(&|s| without(s, second + 1));
    assert!(said.contains(&label(1)) && said.contains("CA missing"), "{said}");
    let said =
        with(&|s| s.atoms[second..second + count(1)].iter_mut().for_each(|a| a.residue_name = "TPO".into()));
    assert!(said.contains("TPO 2") && said.contains("not one of the twenty"), "{said}");
    let said = with(&|s| s.atoms[second + 3].name = "OZ".into());
    assert!(said.contains(&label(1)) && said.contains("atom OZ is none of a"), "{said}");
    let said = with(&|s| s.atoms[second + 3].name = "N".into());
    assert!(said.contains("atom N is there twice"), "{said}");
    let said = with(&|s| s.atoms[second + count(1)..].iter_mut().for_each(|a| a.chain = "B".into()));
    assert!(said.contains("2 chains (`A`, `B`)") && said.contains("--chain"), "{said}");
    let said = fails(at, &["t.pdb", "-o", "data", "--chain", "C"]);
    assert!(said.contains("no chain `C`") && said.contains("`A`, `B`"), "{said}");
    succeeds(at, &["t.pdb", "-o", "data", "--chain", "B"]);
    assert_eq!(split::read(&at.join("data/split.csv")).unwrap()[0].sequence, name_of(&kinds[2..]));
    fs::remove_dir_all(at.join("data")).unwrap();
    // Numbers that jump are fine where the chain goes on, and named where it does not.
    let jump = |s: &mut Structure, far: f64| {
        let from = second + count(1);
        s.atoms[from..].iter_mut().for_each(|a| a.residue_number += 5);
        s.models.iter_mut().for_each(|m| m[from..].iter_mut().for_each(|p| p[0] += far));
    };
    let said = with(&|s| jump(s, 30.0));
    assert!(said.contains("frame 0") && said.contains("residues 3 to 7 are missing"), "{said}");
    let mut gapped = whole.clone();
    jump(&mut gapped, 0.0);
    gapped.write(&at.join("t.pdb")).unwrap();
    succeeds(at, &["t.pdb", "-o", "data"]);
    fs::remove_dir_all(at.join("data")).unwrap();
    // A molecule split by its periodic box in the fourth frame.
    let said = with(&|s| s.models[3][second + count(1)..].iter_mut().for_each(|p| p[2] -= 40.0));
    assert!(said.contains("frame 3") && said.contains("whole in its periodic box"), "{said}");
    let said = with(&|s| s.models[3][second + 4][1] += 40.0);
    assert!(said.contains("frame 3") && said.contains("Å from CA"), "{said}");
    let said =
        with(&|s| s.atoms.iter_mut().for_each(|a| (a.residue_name, a.name) = ("HOH".into(), "O".into())));
    assert!(said.contains("no amino acids"), "{said}");
}

#[test]
fn trajectories_that_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (kinds, atoms) = peptide(3);
    let whole = structure_of(&kinds, &atoms).unwrap();
    write_topology(&at.join("t.pdb"), &whole);
    write_trajectory(&at.join("t.dcd"), &whole);
    // NaN, which XTC cannot hold: atom 7, y, of the last frame.
    let mut bytes = fs::read(at.join("t.dcd")).unwrap();
    let column = 4 * whole.atoms.len() + 8;
    let place = bytes.len() - 2 * column + 4 + 4 * 6;
    bytes[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(at.join("nan.dcd"), &bytes).unwrap();
    let said = fails(at, &["t.pdb", "nan.dcd", "-o", "data"]);
    let label = format!("in {} {}", whole.atoms[6].residue_name, whole.atoms[6].residue_number);
    assert!(said.contains("frame 4") && said.contains("atom 7") && said.contains(&label), "{said}");
    // Also when others before it were written.
    let said = fails(at, &["t.pdb", "t.dcd", "nan.dcd", "-o", "data"]);
    assert!(said.contains("nan.dcd, frame 4"), "{said}");
    let (other, more) = peptide(0);
    assert_ne!(name_of(&other), name_of(&kinds));
    write_trajectory(&at.join("other.xtc"), &structure_of(&other, &more).unwrap());
    let said = fails(at, &["t.pdb", "other.xtc", "-o", "data"]);
    assert!(said.contains("other.xtc") && said.contains("topology t.pdb has"), "{said}");
    let said = fails(at, &["t.pdb", "t.dcd", "-o", "data", "--skip", "5"]);
    assert!(said.contains("no frame is left of its 5"), "{said}");
    fs::write(at.join("empty.xtc"), b"").unwrap();
    assert!(fails(at, &["t.pdb", "empty.xtc", "-o", "data"]).contains("empty.xtc: the file is empty"));
    assert!(fails(at, &["t.pdb", "t.trr", "-o", "data"]).contains("t.trr"));
    assert!(fails(at, &["absent.pdb", "-o", "data"]).contains("absent.pdb"));
    fs::create_dir(at.join("folder")).unwrap();
    assert!(fails(at, &["folder", "-o", "data"]).contains("no PDB files"));
    fs::copy(at.join("t.dcd"), at.join("folder/alone.dcd")).unwrap();
    assert!(fails(at, &["folder", "-o", "data"]).contains("no topology `alone.pdb`"));
    assert!(fails(at, &["folder", "t.dcd", "-o", "data"]).contains("a folder brings its own"));
}

#[test]
fn a_folder_of_molecules_and_replicates() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("runs")).unwrap();
    for (p, names) in [(0, &["a.xtc"][..]), (1, &["a_b_R1.xtc", "a_b_R2.dcd"]), (2, &[])] {
        let (kinds, atoms) = peptide(p);
        let structure = structure_of(&kinds, &atoms).unwrap();
        match p {
            0 => write_topology(&at.join("runs/a.pdb"), &structure),
            1 => write_topology(&at.join("runs/a_b.pdb"), &structure),
            _ => structure.write(&at.join("runs/c.pdb")).unwrap(),
        }
        names.iter().for_each(|name| write_trajectory(&at.join("runs").join(name), &structure));
    }
    fs::write(at.join("runs/notes.txt"), "nothing").unwrap();
    let said = succeeds(at, &["runs", "-o", "data"]);
    assert!(said.contains("3 molecules"), "{said}");
    for (p, names) in [(0, &["a"][..]), (1, &["a_b_R1", "a_b_R2"]), (2, &["c"])] {
        let (kinds, atoms) = peptide(p);
        for name in names {
            let store = Store::open(&at.join(format!("data/{name}.npy")), &kinds).unwrap();
            same_shape(&store, &kinds, &atoms, 0.01);
        }
    }
    let names: Vec<String> =
        split::read(&at.join("data/split.csv")).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["a", "a_b", "c"]);
}

#[test]
fn generated_chains_are_written_superposed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (kinds, atoms) = peptide(5);
    for name in ["t.xtc", "t.dcd", "models.pdb"] {
        let mut out = ChainWriter::create(&path(name), &kinds, 10.0).unwrap();
        for (f, frame) in atoms.chunks(4).enumerate() {
            // Each frame somewhere else.
            let moved: Vec<Atoms> = frame.iter().map(|r| r.map(|p| p.map(|x| x + 3.0 * f as f32))).collect();
            out.push(&moved).unwrap();
        }
        assert!(out.push(&atoms[..3]).is_err());
        out.finish().unwrap();
        let topology = path(name).with_extension("pdb");
        let chain = Chain::of(&Structure::read(&topology).unwrap(), &topology, Some("A")).unwrap();
        assert_eq!(chain.kinds, kinds);
        assert_eq!(chain.labels[0], format!("{} 1", RESIDUES[kinds[0]].name));
        let trajectory = Trajectory::open(&path(name)).unwrap();
        assert_eq!(trajectory.frames(), 5);
        let first = heavy_atoms(&kinds, &atoms[..4]);
        for (f, frame) in atoms.chunks(4).enumerate() {
            let snapshot = trajectory.read(f).unwrap();
            let found = heavy_atoms(&kinds, &chain.atoms(&snapshot.positions).unwrap());
            let wanted = superpose(&heavy_atoms(&kinds, frame), &first).1;
            let left = rmsd(&found, &first);
            close("distance to the first frame", &[left as f32 + 1.0], &[wanted as f32 + 1.0], 0.01);
            if name != "models.pdb" {
                close("time", &[snapshot.time + 1.0], &[10.0 * f as f32 + 1.0], 1e-5);
            }
        }
    }
    let unfinished = ChainWriter::create(&path("none.xtc"), &kinds, 1.0).unwrap();
    assert!(unfinished.finish().unwrap_err().to_string().contains("no frames"));
    assert!(ChainWriter::create(&path("t.trr"), &kinds, 1.0).is_err());
    assert!(ChainWriter::create(&path("none.xtc"), &[20], 1.0).is_err());
    assert!(!path("none.xtc").exists() && !path("none.pdb").exists());
}
