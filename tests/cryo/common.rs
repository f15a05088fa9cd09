//! Golden files, comparison and small deterministic inputs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kinesome::cryo::Rotation;
use kinesome::io::npy::{self, Array};

pub fn golden(name: &str) -> PathBuf {
    let root = std::env::var("KINESOME_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(root).join("tests/golden/cryodrgn").join(name)
}

pub fn npy(name: &str) -> Array {
    npy::read(&golden(name)).unwrap()
}

pub fn npz(name: &str) -> BTreeMap<String, Array> {
    npy::read_npz(&golden(name)).unwrap()
}

/// Float data of an MRC file with the plain 1024-byte header that the golden files have.
pub fn mrc(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(golden(name)).unwrap();
    assert_eq!(bytes[12..16], [2, 0, 0, 0], "{name} is not mode 2");
    bytes[1024..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// max |a − b| / max |b|.
pub fn worst<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> f64 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().map(|v| (*v).into().abs()).fold(0.0, f64::max);
    assert!(scale > 0.0, "nothing to compare with");
    let difference = a.iter().zip(b).map(|(a, b)| ((*a).into() - (*b).into()).abs());
    difference.fold(0.0, |worst, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) }) / scale
}

#[track_caller]
pub fn assert_close<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B], tolerance: f64) {
    let found = worst(a, b);
    assert!(found <= tolerance, "differs by {found:e}, allowed {tolerance:e}");
}

pub fn rotations(array: &Array) -> Vec<Rotation> {
    let values = array.to_f64();
    values.chunks_exact(9).map(|m| std::array::from_fn(|i| std::array::from_fn(|j| m[3 * i + j]))).collect()
}

pub fn flat(rotations: &[Rotation]) -> Vec<f64> {
    rotations.iter().flatten().flatten().copied().collect()
}

/// A small generator of numbers in [0, 1).
pub struct Uniform(pub u64);

impl Uniform {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }

    pub fn vec(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.next() - 0.5) as f32).collect()
    }

    pub fn rotation(&mut self) -> Rotation {
        kinesome::cryo::pose::random_rotation([self.next(), self.next(), self.next()])
    }
}
