//! The CUDA kernels without a GPU: run on the host against the oracle, and compiled for real ones.

#[path = "../shim/mod.rs"]
mod shim;

use std::sync::Arc;

use kinesome::conformance;
use kinesome::device::Device;
use shim::Shim;

#[test]
fn every_kernel_agrees_with_the_oracle_on_the_host() {
    let Some(shim) = Shim::open() else { return };
    let samples: Vec<_> = conformance::all()
        .into_iter()
        .filter(|s| std::env::var("KINESOME_SAMPLES").map_or(true, |part| s.name.contains(&part)))
        .collect();
    let programs = samples.iter().flat_map(|s| conformance::programs(s).expect("a plan"));
    shim.prepare(programs).unwrap_or_else(|e| panic!("{e}"));
    let device: Arc<dyn Device> = shim;
    let mut faults = vec![];
    for sample in &samples {
        match conformance::check(&device, sample) {
            Ok(found) => faults.extend(found.into_iter().map(|f| format!("{}: {}", f.sample, f.what))),
            Err(error) => faults.push(format!("{}: {error}", sample.name)),
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults[..faults.len().min(40)].join("\n"));
}
