//! XTC, DCD and models of PDB files: round trips, real files, damaged ones.

use crate::golden::{close, tetrapeptides};
use kinesome::io::dcd::DcdFile;
use kinesome::io::structure::Structure;
use kinesome::io::trajectory::{Snapshot, Trajectory, TrajectoryWriter};
use kinesome::io::xtc::XtcFile;
use kinesome::protein::chain::{Chain, heavy_atoms};
use kinesome::protein::residue::type_of_letter;
use kinesome::protein::superpose::superpose;
use kinesome::systems::mdgen::store::Store;
use std::fs;
use std::path::{Path, PathBuf};

/// Frames of atoms that wander from one another by about `near` Å, the molecule as a whole by `far`.
fn wander(seed: u64, atoms: usize, frames: usize, near: f32, far: f32) -> Vec<Snapshot> {
    let mut random = Random(seed);
    let frame = |f: usize| {
        let mut at = [0.0; 3].map(|_: f32| far * random.signed());
        let mut step = |_| {
            at = at.map(|x| (x + near * random.signed()).clamp(-9_999.0, 9_999.0));
            at
        };
        Snapshot { time: 2.0 + 0.5 * f as f32, positions: (0..atoms).map(&mut step).collect() }
    };
    (0..frames).map(frame).collect()
}

fn write(path: &Path, frames: &[Snapshot]) {
    let mut out = TrajectoryWriter::create(path).unwrap();
    frames.iter().for_each(|frame| out.push(frame).unwrap());
    out.finish().unwrap();
}

fn said<T>(result: kinesome::Result<T>) -> String {
    result.err().expect("it must be refused").to_string()
}

#[test]
fn xtc_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.xtc");
    let cases = [
        (1, 1.5, 10.0),
        (9, 1.5, 10.0),
        (10, 1.5, 10.0),
        (43, 1.5, 20.0),
        (43, 0.0, 5.0),
        (11, 400.0, 0.0),
        (2000, 1.5, 50.0),
        (300, 30_000.0, 0.0),
        (257, 0.02, 1.0),
    ];
    for (i, (atoms, near, far)) in cases.into_iter().enumerate() {
        let frames = wander(i as u64, atoms, 7, near, far);
        write(&path, &frames);
        let file = XtcFile::open(&path).unwrap();
        assert_eq!((file.frames(), file.atoms()), (7, atoms));
        // In any order.
        for f in [3, 0, 6, 1, 2, 5, 4] {
            let found = file.read(f).unwrap();
            assert_eq!(found.time, frames[f].time);
            assert_eq!(found.positions.len(), atoms);
            for (a, b) in found.positions.as_flattened().iter().zip(frames[f].positions.as_flattened()) {
                // Half a step of the file, and the rounding of numbers far out.
                assert!((a - b).abs() <= 0.00501 + 3e-7 * b.abs(), "{atoms} atoms: {a} {b}");
            }
        }
        assert!(said(file.read(7)).contains("frame 7"));
    }
}

#[test]
fn real_xtc_files_hold_what_their_arrays_hold() {
    let Some(folder) = tetrapeptides() else { return };
    for name in ["AAAA", "GPQS", "KLVF", "DTIE", "NHGA", "CMAR", "YWGS", "RHIP", "VGLD"] {
        let kinds: Vec<usize> = name.chars().map(|c| type_of_letter(c).unwrap()).collect();
        let topology = folder.join(format!("{name}.pdb"));
        let chain = Chain::of(&Structure::read(&topology).unwrap(), &topology, None).unwrap();
        assert_eq!(chain.sequence(), name);
        let trajectory = Trajectory::open(&folder.join(format!("{name}.xtc"))).unwrap();
        let store = Store::open(&folder.join(format!("{name}.npy")), &kinds).unwrap();
        assert_eq!((trajectory.frames(), store.frames()), (5000, 5000));
        for frame in (0..5000).step_by(53) {
            let snapshot = trajectory.read(frame).unwrap();
            assert!((snapshot.time - 2.0 * (frame + 1) as f32).abs() < 1e-2);
            let found = chain.atoms(&snapshot.positions).unwrap();
            chain.check(&found).unwrap();
            let wanted = store.window(frame, 1, 1).unwrap();
            // The two were superposed over different atoms. Half a step of the XTC file and of float16 is left.
            let left = superpose(&heavy_atoms(&kinds, &found), &heavy_atoms(&kinds, &wanted)).1;
            assert!(left < 0.008, "{name}, frame {frame}: {left}");
        }
    }
}

#[test]
fn dcd_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.dcd");
    for atoms in [1, 9, 43] {
        let frames = wander(atoms as u64, atoms, 5, 1.5, 100.0);
        write(&path, &frames);
        let file = DcdFile::open(&path).unwrap();
        assert_eq!((file.frames(), file.atoms()), (5, atoms));
        for (f, frame) in frames.iter().enumerate() {
            let found = file.read(f).unwrap();
            assert_eq!(found.positions, frame.positions);
            close("time", &[found.time], &[frame.time], 1e-6);
        }
    }
    // One frame only.
    write(&path, &wander(1, 4, 1, 1.0, 1.0));
    assert_eq!(DcdFile::open(&path).unwrap().frames(), 1);
}

/// A DCD file by hand: `cell` bytes of cell a frame, another byte order, header words set.
fn craft(frames: &[Snapshot], big: bool, cell: usize, fourth: bool, set: &[(usize, [u8; 4])]) -> Vec<u8> {
    let int = |n: usize| if big { (n as u32).to_be_bytes() } else { (n as u32).to_le_bytes() };
    let mut bytes = Vec::new();
    let mut record = |payload: &[u8]| {
        bytes.extend(int(payload.len()));
        bytes.extend(payload);
        bytes.extend(int(payload.len()));
    };
    let mut control = [int(0); 20];
    // A count that a killed program left behind.
    control[0] = int(1000);
    control[1] = int(10);
    control[2] = int(5);
    control[10] = int(usize::from(cell > 0));
    control[11] = int(usize::from(fourth));
    control[19] = int(24);
    let delta = 0.5f32 / 0.048_888_21;
    control[9] = if big { delta.to_be_bytes() } else { delta.to_le_bytes() };
    set.iter().for_each(|(i, word)| control[*i] = *word);
    record(&[b"CORD", control.as_flattened()].concat());
    record(&[&int(2)[..], &[b' '; 160]].concat());
    record(&int(frames[0].positions.len()));
    for frame in frames {
        if cell > 0 {
            record(&vec![7; cell]);
        }
        for axis in 0..3 {
            let word = |p: &[f32; 3]| if big { p[axis].to_be_bytes() } else { p[axis].to_le_bytes() };
            record(frame.positions.iter().map(word).collect::<Vec<_>>().as_flattened());
        }
        if fourth {
            record(&vec![1; 4 * frame.positions.len()]);
        }
    }
    bytes
}

#[test]
fn dcd_of_other_programs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.dcd");
    let frames = wander(5, 12, 3, 1.5, 10.0);
    for (big, cell, fourth) in [(false, 0, false), (true, 0, false), (false, 48, false), (true, 48, true)] {
        fs::write(&path, craft(&frames, big, cell, fourth, &[])).unwrap();
        let file = DcdFile::open(&path).unwrap();
        assert_eq!((file.frames(), file.atoms()), (3, 12));
        for (f, frame) in frames.iter().enumerate() {
            let found = file.read(f).unwrap();
            assert_eq!(found.positions, frame.positions);
            close("time", &[found.time], &[5.0 + 2.5 * f as f32], 1e-6);
        }
    }
    // X-PLOR's: version 0 and a time step of double precision.
    let step = (0.25f64 / 0.048_888_21).to_le_bytes();
    let halves = step.as_chunks::<4>().0;
    fs::write(&path, craft(&frames, false, 0, false, &[(19, [0; 4]), (9, halves[0]), (10, halves[1])]))
        .unwrap();
    let file = DcdFile::open(&path).unwrap();
    assert_eq!(file.read(2).unwrap().positions, frames[2].positions);
    close("time", &[file.read(2).unwrap().time], &[2.5 + 2.0 * 1.25], 1e-6);
}

#[test]
fn dcd_that_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.dcd");
    let frames = wander(5, 12, 3, 1.5, 10.0);
    let whole = craft(&frames, false, 48, false, &[]);
    let refuse = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        said(DcdFile::open(&path).and_then(|file| file.read(file.frames() - 1)))
    };
    assert!(refuse(&whole[..whole.len() - 7]).contains("frame 2 is cut short"));
    assert!(refuse(&whole[..100]).contains("cut short"));
    assert!(refuse(b"MODEL        1\nATOM").contains("not a DCD file"));
    assert!(refuse(b"").contains("empty"));
    assert!(refuse(&craft(&frames, false, 0, false, &[(8, [3, 0, 0, 0])])).contains("fixed atoms"));
    let velocities = [&whole[..4], b"VELD", &whole[8..]].concat();
    assert!(refuse(&velocities).contains("velocities"));
    // Another number of atoms in the second frame: no place is where it should be.
    let mut shifted = craft(&frames, false, 0, false, &[]);
    let last = shifted.len() - 3 * 56;
    shifted[last] = 9;
    assert!(refuse(&shifted).contains("frame 2: the record of x"), "{}", refuse(&shifted));
}

#[test]
fn xtc_that_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.xtc");
    write(&path, &wander(1, 30, 4, 1.5, 10.0));
    let whole = fs::read(&path).unwrap();
    let refuse = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        said(XtcFile::open(&path).and_then(|file| file.read(0)))
    };
    let cut = refuse(&whole[..whole.len() - 5]);
    assert!(cut.contains("frame 3: it is cut short; the 3 before"), "{cut}");
    assert!(refuse(&whole[..20]).contains("cut short"));
    assert!(refuse(b"ATOM      1  N   ALA").contains("is this an XTC file?"));
    assert!(refuse(b"").contains("empty"));
    let mut lying = whole.clone();
    lying[4..8].copy_from_slice(&i32::MAX.to_be_bytes());
    lying[52..56].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(refuse(&lying).contains("makes no sense"));
    write(&path, &wander(1, 31, 1, 1.5, 10.0));
    let other = fs::read(&path).unwrap();
    let mixed = refuse(&[whole, other].concat());
    assert!(mixed.contains("frame 4: it has 31 atoms, the first frame 30"), "{mixed}");
}

#[test]
fn damage_is_an_error_or_other_numbers_but_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(3);
    for (name, atoms) in [("t.xtc", 60), ("t.xtc", 5), ("t.dcd", 9)] {
        let path = folder.path().join(name);
        write(&path, &wander(8, atoms, 2, 1.5, 10.0));
        let whole = fs::read(&path).unwrap();
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random.below(3) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            fs::write(&path, &bytes).unwrap();
            if let Ok(file) = Trajectory::open(&path) {
                for f in 0..file.frames() {
                    if let Ok(found) = file.read(f) {
                        assert_eq!(found.positions.len(), file.atoms());
                    }
                }
            }
        }
    }
}

#[test]
fn frames_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["t.xtc", "t.dcd"] {
        let path: PathBuf = folder.path().join(name);
        let frames = wander(1, 12, 2, 1.0, 1.0);
        let mut out = TrajectoryWriter::create(&path).unwrap();
        out.push(&frames[0]).unwrap();
        let mut bad = frames[1].clone();
        bad.positions[4][2] = f32::NAN;
        let text = said(out.push(&bad));
        assert!(text.contains("frame 1") && text.contains("atom 5"), "{text}");
        bad.positions.truncate(4);
        assert!(said(out.push(&bad)).contains("4 atoms, the first frame 12"));
        drop(out);
        assert!(said(TrajectoryWriter::create(&path).unwrap().finish()).contains("no frames"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    assert!(said(TrajectoryWriter::create(Path::new("t.trr"))).contains(".xtc or .dcd"));
    assert!(said(Trajectory::open(Path::new("t.trr"))).contains(".xtc, .dcd"));
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // Knuth's MMIX generator; only its high bits are used.
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn signed(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 30) as f32 - 1.0
    }
}
