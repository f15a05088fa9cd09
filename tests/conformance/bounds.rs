//! Every value that a program computes stands alone in memory that is NaN all over, with a margin behind it: an
//! element that no kernel wrote shows, and so does a kernel that writes beyond its result.

use std::sync::Arc;

use kinesome::conformance::{self, Recorded, Sample};
use kinesome::device::Device;
use kinesome::plan::{Options, Place, Program};
use kinesome::tape::{State, Tape};
use kinesome::tensor::DType;
use rayon::prelude::*;

const MARGIN: usize = 1024;

#[test]
fn kernels_fill_their_results_and_nothing_else() {
    let samples = conformance::all();
    for device in crate::devices() {
        let faults: Vec<String> = samples
            .par_iter()
            .flat_map_iter(|sample| {
                let found = look(&device, sample).unwrap_or_else(|error| vec![error.to_string()]);
                found.into_iter().map(|what| format!("{}: {}: {what}", device.name(), sample.name))
            })
            .collect();
        assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
    }
}

fn look(device: &Arc<dyn Device>, sample: &Sample) -> kinesome::Result<Vec<String>> {
    let tape = Tape::new();
    let recorded = Recorded::new(sample, &tape);
    let mut program = Program::new(&tape, &recorded.named(), Options::default())?;
    let state = |(state, _): &(State, usize)| device.allocate(state.meta.bytes());
    let mut memories = program.states.iter().map(state).collect::<kinesome::Result<Vec<_>>>()?;
    let first = memories.len();
    let mut held = vec![];
    for (id, buffer) in program.buffers.iter_mut().enumerate() {
        if let Place::Arena(_) = buffer.place {
            let size = buffer.meta.bytes() + MARGIN;
            let memory = device.allocate(size)?;
            device.write(&memory, &vec![0xff; size])?;
            buffer.place = Place::State(memories.len());
            memories.push(memory);
            held.push(id);
        }
    }
    let program = Arc::new(program);
    let mut executable = device.load(program.clone(), memories.clone())?;
    for (at, (name, _)) in program.inputs.iter().enumerate() {
        let index: usize = name.trim_start_matches('x').parse().expect("inputs are called x0, x1, ..");
        executable.feed(at, sample.tensors()[index].bytes())?;
    }
    executable.replay()?;
    let mut faults = vec![];
    for (memory, id) in memories[first..].iter().zip(held) {
        let meta = &program.buffers[id].meta;
        let mut bytes = vec![0; meta.bytes() + MARGIN];
        device.read(memory, &mut bytes)?;
        let (body, margin) = bytes.split_at(meta.bytes());
        let untouched = |element: &[u8]| element.iter().all(|&b| b == 0xff);
        if let Some(at) = margin.iter().position(|&b| b != 0xff) {
            faults.push(format!("byte {at} behind {meta} was written"));
        }
        // -1 is no NaN.
        if meta.dtype != DType::I32
            && let Some(at) = body.chunks(meta.dtype.size()).position(untouched)
        {
            faults.push(format!("element {at} of {meta} was not written"));
        }
    }
    Ok(faults)
}
