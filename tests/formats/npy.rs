//! `.npy` and `.npz` against files NumPy wrote, and headers that lie.

use crate::golden::golden;
use kinesome::io::npy::{self, Array, ArrayData};
use std::path::Path;

#[test]
fn reads_numpys_files() {
    // The shapes are those of the golden README.
    let mask = npy::read(&golden("unit/circmask_D31_r15.npy")).unwrap();
    assert_eq!(mask.len(), 31 * 31);
    // Box 30 has 708 pixels in the mask of radius 15 (the specification's table).
    assert_eq!(mask.to_f64().iter().filter(|&&x| x != 0.0).count(), 708);
    let freqs = npy::read(&golden("unit/lattice33_freqs2d.npy")).unwrap();
    assert_eq!(freqs.shape, [33 * 33, 2]);
    // x runs fastest, from -0.5 in steps of 1/32.
    assert_eq!(freqs.to_f64()[..4], [-0.5, -0.5, -0.5 + 1.0 / 32.0, -0.5]);
    let vae = npy::read_npz(&golden("vae_hartley.npz")).unwrap();
    assert_eq!(vae["losses_total_gen_kld"].shape, [6, 3]);
    // losses = [total, gen, kld]; total = gen + 0.3 kld / 796 in float32.
    for row in vae["losses_total_gen_kld"].to_f64().chunks_exact(3) {
        assert!((row[0] - row[1] - 0.3 * row[2] / 796.0).abs() < 1e-6, "{row:?}");
    }
}

fn npy_bytes(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn load(bytes: &[u8]) -> kinesome::Result<Array> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    std::fs::write(&path, bytes).unwrap();
    npy::read(&path)
}

#[test]
fn order_and_byte_order() {
    let big: Vec<u8> = [1.5f32, -2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|x| x.to_be_bytes()).collect();
    let a = load(&npy_bytes("{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }\n", &big)).unwrap();
    assert_eq!(a, Array::f32(&[2, 3], vec![1.5, 3.0, 5.0, -2.0, 4.0, 6.0]).unwrap());
    // 0x3c00 is 1.0 and 0xc000 is -2.0 in IEEE half precision.
    let half =
        load(&npy_bytes("{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }\n", &[0, 0x3c, 0, 0xc0]));
    assert_eq!(half.unwrap().data, ArrayData::F32(vec![1.0, -2.0]));
    let wide = load(&npy_bytes("{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }\n", &[0xff; 8]));
    assert!(wide.unwrap_err().to_string().contains("too large"));
}

#[test]
fn headers_that_lie() {
    let cases = [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }", "cut short"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999), }", "large"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9999999999, 9999999999), }", "large"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "Python objects"),
        ("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,), }", "named fields"),
        ("{'descr': '<f4', 'shape': (1,), }", "fortran_order"),
        ("__import__('os')", "damaged"),
    ];
    for (header, message) in cases {
        let e = load(&npy_bytes(header, &[0; 16])).unwrap_err().to_string();
        assert!(e.contains(message), "{header}: {e}");
    }
    let deep = "(".repeat(60_000);
    assert!(load(&npy_bytes(&deep, &[])).unwrap_err().to_string().contains("deep"));
    assert!(load(b"").is_err());
    assert!(load(b"not numpy at all").unwrap_err().to_string().contains("not a .npy"));
}

#[test]
fn damage_never_panics() {
    let good = std::fs::read(golden("unit/s2s2_in.npy")).unwrap();
    for n in 0..good.len().min(200) {
        assert!(load(&good[..n]).is_err());
    }
    for i in 0..128 {
        for flip in [1u8, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[i] ^= flip;
            let _ = load(&bad);
        }
    }
}

#[test]
fn round_trips() {
    let dir = tempfile::tempdir().unwrap();
    let arrays = [
        ("f32", Array::f32(&[2, 3], vec![1.0, -0.0, f32::MAX, f32::MIN_POSITIVE, 0.1, 3.0]).unwrap()),
        ("f64", Array::f64(&[], vec![0.1]).unwrap()),
        ("i64", Array::i64(&[3], vec![i64::MIN, 0, i64::MAX]).unwrap()),
        ("i32", Array::new(vec![2, 1], ArrayData::I32(vec![-7, 8])).unwrap()),
        ("u8", Array::new(vec![3], ArrayData::U8(vec![0, 7, 255])).unwrap()),
        ("bool", Array::new(vec![2], ArrayData::Bool(vec![true, false])).unwrap()),
        ("none", Array::f32(&[0, 9], vec![]).unwrap()),
    ];
    for (name, a) in &arrays {
        let path = dir.path().join(format!("{name}.npy"));
        npy::write_npy(&path, a).unwrap();
        assert_eq!(&npy::read(&path).unwrap(), a, "{name}");
    }
    let path = dir.path().join("all.npz");
    npy::write_npz(&path, arrays.iter().map(|(n, a)| (*n, a))).unwrap();
    let back = npy::read_npz(&path).unwrap();
    assert_eq!(back.len(), arrays.len());
    for (name, a) in &arrays {
        assert_eq!(&back[*name], a);
    }
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
    assert!(npy::read_npz(&path).is_err());
    assert!(Array::f32(&[2, 2], vec![0.0; 3]).is_err());
    assert!(npy::read(Path::new("/nonexistent.npy")).unwrap_err().to_string().contains("nonexistent"));
}
