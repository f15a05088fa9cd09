//! Where golden files lie, and how they are compared. A test program sees those of its own folder.

use kinesome::io::npy::{self, Array};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub fn path(folder: &str, name: &str) -> PathBuf {
    let root = std::env::var("KINESOME_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(root).join("tests/golden").join(folder).join(name)
}

pub fn npz(path: &Path) -> BTreeMap<String, Array> {
    npy::read_npz(path).expect("golden file")
}

/// max |a - b| / max |b|
#[track_caller]
pub fn close(what: &str, found: &[f32], wanted: &[f32], limit: f64) {
    assert_eq!(found.len(), wanted.len(), "{what}: length");
    let scale = wanted.iter().fold(0.0_f32, |m, v| m.max(v.abs())) as f64;
    let worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs() as f64).fold(0.0, f64::max);
    assert!(
        worst <= limit * scale,
        "{what}: off by {:.2e} of {scale:.3}, allowed {limit:.0e}",
        worst / scale
    );
}
