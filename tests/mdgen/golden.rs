//! Golden files of these tests.

#[path = "../golden/mod.rs"]
mod shared;

use kinesome::io::npy::Array;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub use shared::close;

pub fn path(name: &str) -> PathBuf {
    shared::path("mdgen", name)
}

pub fn npz(name: &str) -> BTreeMap<String, Array> {
    shared::npz(&path(name))
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
