//! Where the files lie that the reference programs wrote.

use std::path::PathBuf;

/// The repository.
pub fn root() -> PathBuf {
    std::env::var("KINESOME_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into()).into()
}

/// A file of tests/golden/cryodrgn.
pub fn golden(name: &str) -> PathBuf {
    root().join("tests/golden/cryodrgn").join(name)
}
