//! Operations against the oracle on every device of this machine.

mod fuzz;
mod layers;
mod properties;

use std::path::PathBuf;

use kinesome::{conformance, device, ops};

/// The package's folder, also when the tests run on another machine than they were built on.
fn root() -> PathBuf {
    std::env::var_os("KINESOME_ROOT").map_or(env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

#[test]
fn every_operation_agrees_with_the_oracle_on_every_device() {
    let mut faults = vec![];
    for device in device::all() {
        for sample in conformance::all() {
            match conformance::check(&device, &sample) {
                Ok(found) => faults.extend(
                    found.into_iter().map(|f| format!("{}: {}: {}", device.name(), f.sample, f.what)),
                ),
                Err(error) => faults.push(format!("{}: {}: {error}", device.name(), sample.name)),
            }
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults[..faults.len().min(40)].join("\n"));
}

/// A special without a file in one of its places, or without samples, is a hole.
#[test]
fn every_special_stands_in_every_place() {
    let root = root();
    for special in ops::SPECIALS {
        for place in ["src/ops", "src/device/cpu"] {
            let file = root.join(place).join(format!("{}.rs", special.stem));
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
