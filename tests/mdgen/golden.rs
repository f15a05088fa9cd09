//! Where golden files lie, and how they are compared.

use kinesome::io::npy::{self, Array};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub fn path(name: &str) -> PathBuf {
    let root = std::env::var("KINESOME_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(root).join("tests/golden/mdgen").join(name)
}

pub fn npz(name: &str) -> BTreeMap<String, Array> {
    npy::read_npz(&path(name)).expect("golden file")
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

/// The folder of real trajectories, beside that of foreign files; tests skip where it is absent.
pub fn tetrapeptides() -> Option<PathBuf> {
    let found =
        std::env::var_os("KINESOME_FOREIGN").map(|foreign| PathBuf::from(foreign).join("../tetrapeptides"));
    let found = found.filter(|folder| folder.is_dir());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "tetrapeptides must lie beside KINESOME_FOREIGN in CI");
        println!("skipped: set KINESOME_FOREIGN to a folder that has tetrapeptides/ beside it");
    }
    found
}
