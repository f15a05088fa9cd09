//! The memory-mapped store: windows, precision, and files that are no trajectories.

use crate::golden::close;
use kinesome::io::npy::{Array, write_npy};
use kinesome::protein::residue::{ATOMS, Atoms, RESIDUES, type_of_letter};
use kinesome::systems::mdgen::split::{self, Entry};
use kinesome::systems::mdgen::store::{Precision, Store, StoreWriter};
use std::fs;
use std::path::Path;

fn kinds(sequence: &str) -> Vec<usize> {
    sequence.chars().map(|c| type_of_letter(c).unwrap()).collect()
}

/// Frames [frames × residues] whose every coordinate tells its place.
fn frames(kinds: &[usize], count: usize) -> Vec<Atoms> {
    let place =
        |f: usize, r: usize, a: usize, k: usize| (f * 100 + r * 15 + a) as f32 + k as f32 * 0.25 + 1.0;
    let residue = |f: usize, r: usize| -> Atoms {
        let present = RESIDUES[kinds[r]].atoms.len();
        std::array::from_fn(|a| std::array::from_fn(|k| if a < present { place(f, r, a, k) } else { 0.0 }))
    };
    (0..count).flat_map(|f| (0..kinds.len()).map(move |r| (f, r))).map(|(f, r)| residue(f, r)).collect()
}

fn write(path: &Path, kinds: &[usize], count: usize, precision: Precision) -> Vec<Atoms> {
    let all = frames(kinds, count);
    let mut out = StoreWriter::create(path, count, kinds.len(), precision).unwrap();
    all.chunks(kinds.len()).for_each(|frame| out.push(frame).unwrap());
    out.finish().unwrap();
    all
}

fn said<T>(result: kinesome::Result<T>) -> String {
    result.err().expect("it must be refused").to_string()
}

#[test]
fn windows_of_both_precisions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.npy");
    let kinds = kinds("GWAR");
    for (precision, bytes) in [(Precision::Half, 2), (Precision::Single, 4)] {
        let all = write(&path, &kinds, 12, precision);
        assert_eq!(fs::metadata(&path).unwrap().len(), 128 + 12 * 4 * 14 * 3 * bytes);
        let store = Store::open(&path, &kinds).unwrap();
        assert_eq!((store.frames(), store.residues()), (12, 4));
        let flat = |atoms: &[Atoms]| atoms.as_flattened().as_flattened().to_vec();
        close("all frames", &flat(&store.window(0, 12, 1).unwrap()), &flat(&all), 1.0 / 2048.0);
        let wanted: Vec<Atoms> = [2, 5, 8, 11].iter().flat_map(|f| all[f * 4..f * 4 + 4].to_vec()).collect();
        close("every third", &flat(&store.window(2, 4, 3).unwrap()), &flat(&wanted), 1.0 / 2048.0);
        if precision == Precision::Single {
            assert_eq!(store.window(2, 4, 3).unwrap(), wanted);
        }
        // As other readers see it.
        let array = kinesome::io::npy::read(&path).unwrap();
        assert_eq!(array.shape, [12, 4, 14, 3]);
        assert_eq!(array.to_f32(), flat(&store.window(0, 12, 1).unwrap()));
        for (first, count, step) in
            [(0, 13, 1), (3, 4, 3), (12, 1, 1), (0, usize::MAX, usize::MAX), (0, 0, 1)]
        {
            let text = said(store.window(first, count, step));
            assert!(text.contains("does not fit its 12 frames"), "{text}");
        }
    }
}

#[test]
fn files_that_are_no_trajectories() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.npy");
    let kinds = kinds("GWAR");
    let open = || said(Store::open(&path, &kinds));
    for shape in [vec![2, 4, 14], vec![2, 4, 37, 3], vec![8, 14, 3]] {
        let length = shape.iter().product();
        write_npy(&path, &Array::f32(&shape, vec![0.0; length]).unwrap()).unwrap();
        assert!(open().contains("where [frames, residues, 14, 3] is needed"), "{}", open());
    }
    write_npy(&path, &Array::f64(&[2, 4, 14, 3], vec![0.0; 336]).unwrap()).unwrap();
    assert!(open().contains("<f8") && open().contains("float16 or float32"), "{}", open());
    write_npy(&path, &Array::f32(&[0, 4, 14, 3], Vec::new()).unwrap()).unwrap();
    assert!(open().contains("no frames"));
    write_npy(&path, &Array::f32(&[1, 5, 14, 3], vec![1.0; 210]).unwrap()).unwrap();
    assert!(open().contains("5 residues, the sequence 4"));
    write(&path, &kinds, 3, Precision::Half);
    let wrong = said(Store::open(&path, &self::kinds("GWGR")));
    assert!(wrong.contains("residue 2") && wrong.contains("5 atoms") && wrong.contains("GLY"), "{wrong}");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    assert!(open().contains("copy it again"));
    fs::write(&path, &whole[..40]).unwrap();
    assert!(open().contains("cut short"));
    fs::write(&path, b"name,seqres\nGWAR,GWAR\n").unwrap();
    assert!(open().contains("not a .npy file"));
    fs::write(&path, b"").unwrap();
    assert!(open().contains("empty"));
}

#[test]
fn a_coordinate_that_is_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.npy");
    let kinds = kinds("GWAR");
    write(&path, &kinds, 6, Precision::Half);
    let mut bytes = fs::read(&path).unwrap();
    // Frame 4, residue 3, atom 5 (CG), y.
    let at = 128 + 2 * (((4 * 4 + 3) * ATOMS + 5) * 3 + 1);
    bytes[at..at + 2].copy_from_slice(&half::f16::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let store = Store::open(&path, &kinds).unwrap();
    assert!(store.window(0, 4, 1).is_ok());
    let text = said(store.window(2, 4, 1));
    assert!(text.contains("frame 4, residue 3") && text.contains("CG is NaN"), "{text}");
    let mut out = StoreWriter::create(&folder.path().join("u.npy"), 1, 4, Precision::Half).unwrap();
    let mut frame = frames(&kinds, 1);
    frame[1][0][0] = 70_000.0;
    assert!(said(out.push(&frame)).contains("residue 1: a coordinate is 70000"));
    assert!(said(out.push(&frame[..2])).contains("2 residues"));
    assert!(said(out.finish()).contains("1 frames were promised"));
    assert!(!folder.path().join("u.npy").exists());
}

#[test]
fn split_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("split.csv");
    fs::write(&path, "\u{feff},seqres,name,year\r\n0,GWAR,one,2001\r\n\r\n1,AC,two,2002\r\n").unwrap();
    let entry = |name: &str, sequence: &str| Entry { name: name.into(), sequence: sequence.into() };
    assert_eq!(split::read(&path).unwrap(), [entry("one", "GWAR"), entry("two", "AC")]);
    assert_eq!(split::read(&path).unwrap()[1].kinds().unwrap(), [0, 4]);
    split::add(&path, &[entry("two", "ACD"), entry("a", "G")]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "name,seqres\na,G\none,GWAR\ntwo,ACD\n");
    let refuse = |text: &str| {
        fs::write(&path, text).unwrap();
        said(split::read(&path))
    };
    assert!(refuse("name,sequence\na,G\n").contains("`seqres`"));
    assert!(refuse("name,seqres\n").contains("no molecules"));
    assert!(refuse("name,seqres\na\n").contains("line 2"));
    assert!(refuse("name,seqres\na,GXG\n").contains("`X`"));
    assert!(refuse("").contains("`name`"));
}
