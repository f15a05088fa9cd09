//! Operations against the oracle on every device of this machine.

mod bounds;
mod fuzz;
mod golden;
mod hyena;
mod ipa;
mod layers;
mod networks;
mod optimiser;
mod properties;
#[path = "../shim/mod.rs"]
mod shim;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use kinesome::device::{self, Device};
use kinesome::{conformance, ops};
use rayon::prelude::*;

/// The devices of this machine, opened once: what one test compiled serves the others. Without an adapter wgpu
/// is left out, aloud, or a failure where it has to be there. The CUDA kernels run on the host where there is a
/// C++ compiler.
fn devices() -> Vec<Arc<dyn Device>> {
    static DEVICES: OnceLock<Vec<Arc<dyn Device>>> = OnceLock::new();
    DEVICES.get_or_init(open_devices).clone()
}

fn open_devices() -> Vec<Arc<dyn Device>> {
    let mut devices = device::all();
    if !devices.iter().any(|d| d.name().starts_with("wgpu")) {
        let required = std::env::var("KINESOME_REQUIRE_WGPU").is_ok_and(|v| v == "1");
        assert!(!required, "KINESOME_REQUIRE_WGPU is set and no adapter answers");
        eprintln!("wgpu: skipped, no adapter");
    }
    devices.extend(shim::device().map(|device| device as Arc<dyn Device>));
    devices
}

/// The package's folder, also when the tests run on another machine than they were built on.
fn root() -> PathBuf {
    std::env::var_os("KINESOME_ROOT").map_or(env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

#[test]
fn every_operation_agrees_with_the_oracle_on_every_device() {
    let mut samples = conformance::all();
    // While a kernel is being written: those whose names hold a word.
    if let Ok(word) = std::env::var("KINESOME_SAMPLES") {
        samples.retain(|sample| sample.name.contains(&word));
        assert!(!samples.is_empty(), "no sample is called {word}");
    }
    let mut faults = vec![];
    for device in devices() {
        let check = |sample: &conformance::Sample| match conformance::check(&device, sample) {
            Ok(found) => {
                found.into_iter().map(|f| format!("{}: {}: {}", device.name(), f.sample, f.what)).collect()
            }
            Err(error) => vec![format!("{}: {}: {error}", device.name(), sample.name)],
        };
        faults.extend(samples.par_iter().flat_map_iter(check).collect::<Vec<_>>());
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults[..faults.len().min(40)].join("\n"));
}

/// A special without a file in one of its places, or without samples, is a hole.
#[test]
fn every_special_stands_in_every_place() {
    let root = root();
    for special in ops::SPECIALS {
        let places = [
            ("src/ops", "rs"),
            ("src/device/cpu", "rs"),
            ("src/device/gpu", "rs"),
            ("shaders", "wgsl"),
            ("kernels", "cu"),
        ];
        for (place, kind) in places {
            let file = root.join(place).join(format!("{}.{kind}", special.stem));
            assert!(file.is_file(), "{} is missing", file.display());
        }
        assert!(!(special.samples)().is_empty(), "{} has no samples", special.stem);
    }
    let support = ["mod.rs", "row.rs", "rows.rs", "vocabulary.rs"];
    for entry in std::fs::read_dir(root.join("src/ops")).expect("src/ops is readable") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let stem = name.trim_end_matches(".rs");
        let known = support.contains(&name.as_str()) || ops::SPECIALS.iter().any(|s| s.stem == stem);
        assert!(known, "src/ops/{name} is not in the registry");
    }
}
