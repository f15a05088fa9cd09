use std::collections::HashSet;

use kinesome::conformance::{self, Recorded};
use kinesome::device::gpu::source::{Spot, wgsl};
use kinesome::device::gpu::{Access, Language, lower};
use kinesome::plan::{Options, Program};
use kinesome::tape::Tape;

/// The programs of every sample, value and derivative, in both ways that they are planned.
fn programs(mut each: impl FnMut(&str, &Program)) {
    for sample in conformance::all() {
        for options in [Options::default(), Options::eager()] {
            let tape = Tape::new();
            let recorded = Recorded::new(&sample, &tape);
            each(&sample.name, &Program::new(&tape, &recorded.named(), options).expect("a plan"));
        }
    }
}

#[test]
fn every_shader_is_valid() {
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
    let mut seen = HashSet::new();
    let mut faults = vec![];
    programs(|name, program| {
        for launch in &program.launches {
            let lowered = match lower(program, launch, Language::Wgsl) {
                Ok(lowered) => lowered,
                Err(e) => return faults.push(format!("{name}: {e}")),
            };
            for pass in &lowered.passes {
                assert!(
                    pass.threads.is_multiple_of(32) && (32..=256).contains(&pass.threads) && pass.groups > 0,
                    "{name}: {} {} has {} groups of {} threads",
                    pass.stem,
                    pass.entry,
                    pass.groups,
                    pass.threads
                );
                let spots: Vec<Spot> =
                    (0..pass.bindings.len()).map(|memory| Spot { memory, word: 32 }).collect();
                let written: Vec<bool> = pass.bindings.iter().map(|b| b.access != Access::Read).collect();
                let Some(text) = wgsl(pass, &spots, &written) else {
                    faults.push(format!("{name}: {} has no file", pass.stem));
                    continue;
                };
                if !seen.insert(text.clone()) {
                    continue;
                }
                let module = naga::front::wgsl::parse_str(&text).map_err(|e| e.emit_to_string(&text));
                let outcome = module.and_then(|module| {
                    validator.validate(&module).map(|_| ()).map_err(|e| e.emit_to_string(&text))
                });
                if let Err(problem) = outcome {
                    faults.push(format!("{name}: {}: {problem}", pass.stem));
                }
            }
        }
    });
    assert!(seen.len() > 100);
    assert!(
        faults.is_empty(),
        "{} faults of {}\n{}",
        faults.len(),
        seen.len(),
        faults[..faults.len().min(8)].join("\n")
    );
}
