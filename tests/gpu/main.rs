//! What the GPU devices are given, checked without one: every launch of every sample case lowers, and its
//! shader is valid. Then the wgpu device itself, at sizes that reach the paths which small cases do not, where
//! an adapter answers.

mod adapter;
mod sizes;
mod wgsl;

use std::sync::{Arc, OnceLock};

use kinesome::device::{self, Device};

/// The adapters of this machine. Without one the test is left out, aloud, or fails where it has to be there.
fn adapters() -> Vec<Arc<dyn Device>> {
    static FOUND: OnceLock<Vec<Arc<dyn Device>>> = OnceLock::new();
    let is_adapter = |d: &Arc<dyn Device>| d.name().starts_with("wgpu");
    let found = FOUND.get_or_init(|| device::all().into_iter().filter(is_adapter).collect());
    if found.is_empty() {
        let required = std::env::var("KINESOME_REQUIRE_WGPU").is_ok_and(|v| v == "1");
        assert!(!required, "KINESOME_REQUIRE_WGPU is set and no adapter answers");
        eprintln!("wgpu: skipped, no adapter");
    }
    found.clone()
}
