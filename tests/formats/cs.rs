//! cryoSPARC .cs: types, joins by uid, byte-exact selections, damaged files.

use crate::mrc::foreign;
use kinesome::io::cs::CsTable;
use std::path::{Path, PathBuf};

/// A structured .npy by hand.
pub fn craft(descr: &str, rows: usize, data: &[u8]) -> Vec<u8> {
    let mut text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': ({rows},), }}");
    text.push_str(&" ".repeat(63 - (10 + text.len()) % 64));
    text.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((text.len() as u16).to_le_bytes());
    [&file, text.as_bytes(), data].concat()
}

pub fn save(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn every_type_is_converted() {
    let folder = tempfile::tempdir().unwrap();
    let descr = "[('uid', '<u8'), ('blob/path', '|S6'), ('blob/idx', '>u4'), ('ctf/df1_A', '<f4'), \
('pose', '<f8', (3,)), ('half', '<f2'), ('flag', '|b1'), ('name', '<U2'), ('small', '|i1'), ('m', '>i2', (2, 2))]";
    let mut data = Vec::new();
    for row in 0..2u64 {
        data.extend((u64::MAX - row).to_le_bytes());
        data.extend(b">a/b\0\0");
        data.extend((3_000_000_000u32 + row as u32).to_be_bytes());
        data.extend(1.5f32.to_le_bytes());
        [0.1f64, -0.2, 0.3].iter().for_each(|v| data.extend(v.to_le_bytes()));
        data.extend(half::f16::from_f32(0.25).to_le_bytes());
        data.push(row as u8);
        "é!".chars().for_each(|c| data.extend((c as u32).to_le_bytes()));
        data.push(-5i8 as u8);
        [1i16, -2, 3, -4].iter().for_each(|v| data.extend(v.to_be_bytes()));
    }
    let path = save(folder.path(), "a.cs", &craft(descr, 2, &data));
    let t = CsTable::open(&path).unwrap();
    assert_eq!(t.integers("uid").unwrap(), [u64::MAX, u64::MAX - 1]);
    assert_eq!(t.texts("blob/path").unwrap(), [">a/b", ">a/b"]);
    assert_eq!(t.image_paths().unwrap(), ["a/b", "a/b"]);
    assert_eq!(t.integers("blob/idx").unwrap(), [3_000_000_000, 3_000_000_001]);
    assert_eq!(t.floats("ctf/df1_A").unwrap(), [1.5, 1.5]);
    assert_eq!(
        (t.width("pose").unwrap(), t.floats("pose").unwrap()),
        (3, vec![0.1, -0.2, 0.3, 0.1, -0.2, 0.3])
    );
    assert_eq!((t.floats("half").unwrap()[1], t.floats("flag").unwrap()), (0.25, vec![0.0, 1.0]));
    assert_eq!((t.texts("name").unwrap()[0].as_str(), t.floats("small").unwrap()[0]), ("é!", -5.0));
    assert_eq!((t.width("m").unwrap(), &t.floats("m").unwrap()[4..]), (4, &[1.0, -2.0, 3.0, -4.0][..]));
    assert!(t.integers("small").unwrap_err().to_string().contains("small"));
    assert!(t.floats("name").unwrap_err().to_string().contains("numbers"));
    let missing = t.floats("alignments3D/pose").unwrap_err().to_string();
    for word in ["a.cs", "alignments3D/pose", "refinement", "blob/idx", "half"] {
        assert!(missing.contains(word), "{missing}");
    }
    // A selection holds the very bytes of its rows.
    let picked = folder.path().join("picked.cs");
    t.write_rows(&picked, &[1, 0]).unwrap();
    let bytes = std::fs::read(&picked).unwrap();
    let size = data.len() / 2;
    assert_eq!(bytes[bytes.len() - data.len()..], [&data[size..], &data[..size]].concat());
    assert_eq!(CsTable::open(&picked).unwrap().describe(), t.describe());
    assert!(t.write_rows(&picked, &[2]).unwrap_err().to_string().contains("row 2"));
}

#[test]
fn passthrough_files_are_joined_by_uid() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |values: &[(u64, f32)]| -> Vec<u8> {
        values.iter().flat_map(|(u, v)| [&u.to_le_bytes()[..], &v.to_le_bytes()].concat()).collect()
    };
    let open = |name: &str, field: &str, values: &[(u64, f32)]| {
        let descr = format!("[('uid', '<u8'), ('{field}', '<f4')]");
        CsTable::open(save(folder.path(), name, &craft(&descr, values.len(), &rows(values)))).unwrap()
    };
    let main = || open("main.cs", "mine", &[(1 << 60, 1.0), ((1 << 60) + 1, 2.0)]);
    // The uids differ by less than an f64 can tell; the other file is in another order and has more.
    let other = open("pass.cs", "ctf/df1_A", &[((1 << 60) + 1, 20.0), (5, 0.0), (1 << 60, 10.0)]);
    let joined = main().join(other).unwrap();
    assert_eq!(joined.floats("ctf/df1_A").unwrap(), [10.0, 20.0]);
    assert_eq!(
        (joined.floats("mine").unwrap(), joined.fields()),
        (vec![1.0, 2.0], vec!["uid", "mine", "ctf/df1_A"])
    );
    let lost = main().join(open("few.cs", "x", &[(1 << 60, 1.0)])).unwrap_err().to_string();
    assert!(lost.contains("main.cs") && lost.contains("row 1") && lost.contains("few.cs"), "{lost}");
    let twice = main().join(open("twice.cs", "x", &[(7, 1.0), (7, 1.0)])).unwrap_err().to_string();
    assert!(twice.contains("occurs twice"), "{twice}");
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = craft("[('a', '<f4')]", 2, &[0; 8]);
    for (bytes, word) in [
        (good[..good.len() - 1].to_vec(), "promises 2 rows of 4 bytes, but 7"),
        (good[..40].to_vec(), "cut short"),
        (b"no numpy".to_vec(), "does not begin"),
        (craft("'<f4'", 2, &[0; 8]), "structured"),
        (craft("[('a', '|O')]", 2, &[0; 8]), "Python objects"),
        (craft("[('a', '<f4')]", 0, &[]), "no particles"),
        (craft(&"[".repeat(5000), 2, &[]), "nested"),
        (craft("[('a', '<f4', (9999999999, 9999999999))]", 2, &[]), "not a cryoSPARC"),
        (craft("[('a', '<f4')], 'shape': (99999999999, 99999999999)", 2, &[]), "impossibly large"),
        (craft("[('a', '<f4')], 'shape': (0xFFFFFFFFFFFFFFFF, 0xFFFF)", 2, &[]), "impossibly large"),
    ] {
        let text = CsTable::open(save(folder.path(), "bad.cs", &bytes)).unwrap_err().to_string();
        assert!(text.contains("bad.cs") && text.contains(word), "{text} lacks {word}");
    }
}

#[test]
fn no_byte_of_a_header_can_cause_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let good = craft("[('uid', '<u8'), ('blob/path', '|S3'), ('a', '<f4', (2,))]", 2, &[65; 38]);
    let mut opened = 0;
    for at in 0..good.len() {
        for value in *b"\0 9'(,[\xff" {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(t) = CsTable::open(save(folder.path(), "flip.cs", &bytes)) {
                opened += 1;
                for name in t.fields() {
                    let _ = (t.floats(name), t.integers(name), t.texts(name));
                }
            }
        }
    }
    assert!(opened > 100, "{opened}");
}

#[test]
fn a_file_of_cryosparc_is_read_and_written_back() {
    let Some(path) = foreign("cryosparc_first60.cs") else { return };
    let t = CsTable::open(&path).unwrap();
    assert_eq!((t.len(), t.fields().len()), (60, 34));
    assert!(t.image_paths().unwrap()[0].starts_with("J19/extract/20150917_05196"));
    assert_eq!(t.integers("blob/idx").unwrap()[..3], [0, 1, 2]);
    assert_eq!(
        (t.integers("blob/shape").unwrap()[..2].to_vec(), t.width("alignments3D/pose").unwrap()),
        (vec![180, 180], 3)
    );
    assert_eq!(t.floats("ctf/accel_kv").unwrap(), [200.0; 60]);
    assert_eq!(t.floats("blob/psize_A").unwrap()[0], f64::from(2.95f32));
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.cs");
    t.write_rows(&copy, &(0..60).collect::<Vec<_>>()).unwrap();
    let (old, new) = (std::fs::read(&path).unwrap(), std::fs::read(&copy).unwrap());
    let size = 60 * 244;
    assert_eq!(old[old.len() - size..], new[new.len() - size..]);
    assert_eq!(CsTable::open(&copy).unwrap().describe(), t.describe());
}
