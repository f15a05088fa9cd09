//! Golden files of these tests.

#[path = "../golden/mod.rs"]
mod shared;

use kinesome::io::npy::Array;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub use shared::close;

pub fn path(name: &str) -> PathBuf {
    shared::path("cryodrgn", name)
}

pub fn npz(name: &str) -> BTreeMap<String, Array> {
    shared::npz(&path(name))
}

pub fn npy(name: &str) -> Array {
    kinesome::io::npy::read(&path(name)).expect("golden file")
}
