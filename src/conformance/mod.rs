//! Every operation against the f64 oracle, value and derivative, on a device. The test suite runs it on each
//! device it can find; `kinesome doctor` runs it on the user's.
//!
//! A case is a [`Sample`]: a few inputs and what to record. Its value is compared with the tape evaluated in
//! f64 node by node ([`oracle`]), its derivative (recorded by `pull_back`, run on the device) with central
//! differences of that.

pub mod oracle;
pub mod samples;
mod tolerance;

use std::sync::Arc;

use crate::Result;
use crate::device::Device;
use crate::ops::Array;
use crate::plan::{Options, Step, Store};
use crate::stats::random::Philox;
use crate::tape::{Tape, Var};
use crate::tensor::{DType, Tensor};
pub use samples::Sample;
pub use tolerance::tolerance;

/// What a sample got wrong.
#[derive(Debug)]
pub struct Fault {
    pub sample: String,
    pub what: String,
}

/// All samples of all operations.
pub fn all() -> Vec<Sample> {
    let specials = crate::ops::SPECIALS.iter().flat_map(|s| (s.samples)());
    samples::rows().into_iter().chain(specials).collect()
}

/// Central differences beyond this many components sample some of them.
const MOST_COMPONENTS: usize = 24;

/// A sample on a tape: its value, an upstream derivative of it, and what that gives by each input.
pub struct Recorded<'t> {
    pub outputs: Vec<(String, Var<'t>)>,
    /// Inputs that the derivatives are by.
    by: Vec<usize>,
    upstream: Vec<f64>,
}

impl<'t> Recorded<'t> {
    pub fn new(sample: &Sample, tape: &'t Tape) -> Recorded<'t> {
        let inputs = sample.inputs(tape);
        let value = (sample.record)(tape, &inputs);
        let shape = value.shape();
        let upstream = numbers(&format!("{} upstream", sample.name), value.meta().len());
        let constant = tape.constant(Tensor::from_f64(&shape, value.meta().dtype, &upstream));
        let is_float = |i: &usize| sample.differentiate && inputs[*i].meta().dtype == DType::F32;
        let by: Vec<usize> = (0..inputs.len()).filter(is_float).collect();
        let wanted: Vec<Var<'_>> = by.iter().map(|&i| inputs[i]).collect();
        let derivatives = tape.pull_back(value, constant, &wanted);
        let named = by.iter().zip(derivatives).map(|(i, d)| (format!("d{i}"), d));
        let outputs = std::iter::once(("value".to_string(), value)).chain(named).collect();
        Recorded { outputs, by, upstream }
    }

    /// As plans take them.
    pub fn named(&self) -> Vec<(&str, Var<'t>)> {
        self.outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect()
    }
}

/// Runs one sample on a device in every way that a program is run.
pub fn check(device: &Arc<dyn Device>, sample: &Sample) -> Result<Vec<Fault>> {
    let tensors = sample.tensors();
    let mut faults = vec![];
    for (way, options) in [("fused", Options::default()), ("one by one", Options::eager())] {
        let mut report =
            |what: String| faults.push(Fault { sample: sample.name.clone(), what: format!("{way}: {what}") });
        let tape = Tape::new();
        let recorded = Recorded::new(sample, &tape);
        let value = recorded.outputs[0].1;
        let store = Store::new(device.clone(), 0);
        let mut step = Step::new(&store, &tape, &recorded.named(), options)?;
        let input_names: Vec<String> = (0..tensors.len()).map(|i| format!("x{i}")).collect();
        let feeds: Vec<(&str, &Tensor)> = input_names.iter().map(String::as_str).zip(&tensors).collect();
        step.run(&feeds)?;

        let exact =
            tensors.iter().map(|t| Array { shape: t.shape.clone(), data: t.to_f64() }).collect::<Vec<_>>();
        let truth = sample.oracle(&exact);
        let limit = tolerance(sample, value.meta().dtype);
        if let Some(what) = compare(&step.fetch("value")?, &truth, limit.value) {
            report(format!("value: {what}"));
        }
        for (&input, (name, _)) in recorded.by.iter().zip(&recorded.outputs[1..]) {
            let found = step.fetch(name)?.to_f32();
            if let Some(what) =
                check_derivative(sample, &exact, input, &found, &recorded.upstream, limit.derivative)
            {
                report(format!("derivative by input {input}: {what}"));
            }
        }
    }
    Ok(faults)
}

fn compare(found: &Tensor, truth: &[f64], limit: f64) -> Option<String> {
    let found = found.to_f64();
    if found.len() != truth.len() {
        return Some(format!("{} elements, the oracle has {}", found.len(), truth.len()));
    }
    let scale = truth.iter().filter(|t| t.is_finite()).fold(1e-3_f64, |m, t| m.max(t.abs()));
    found.iter().zip(truth).enumerate().find_map(|(i, (&f, &t))| {
        let alike = (t.is_nan() && f.is_nan()) || f == t || (f - t).abs() <= limit * scale;
        (!alike)
            .then(|| format!("element {i} is {f}, the oracle says {t} (scale {scale:.3}, limit {limit:e})"))
    })
}

fn check_derivative(
    sample: &Sample,
    at: &[Array],
    input: usize,
    found: &[f32],
    upstream: &[f64],
    limit: f64,
) -> Option<String> {
    let n = found.len();
    let mut pick = Philox::new(1, n as u64);
    let components: Vec<usize> = if n <= MOST_COMPONENTS {
        (0..n).collect()
    } else {
        (0..MOST_COMPONENTS).map(|_| pick.below(n)).collect()
    };
    let along = |component: usize, h: f64| -> f64 {
        let mut moved = at.to_vec();
        moved[input].data[component] += h;
        sample.oracle(&moved).iter().zip(upstream).map(|(y, g)| y * g).sum()
    };
    let scale = found.iter().fold(1e-3_f64, |m, v| m.max(v.abs() as f64));
    components.into_iter().find_map(|c| {
        let h = 1e-5;
        let truth = (along(c, h) - along(c, -h)) / (2.0 * h);
        let wrong = (found[c] as f64 - truth).abs();
        // A kink between the two points shows as one-sided slopes that differ.
        let (ahead, behind) = ((along(c, h) - along(c, 0.0)) / h, (along(c, 0.0) - along(c, -h)) / h);
        let kink = (ahead - behind).abs() > 1e-2 * scale;
        // A derivative that is no number is wrong too.
        (!kink && (wrong.is_nan() || wrong > limit * scale)).then(|| {
            format!(
                "component {c} is {}, central differences say {truth} (scale {scale:.3}, limit {limit:e})",
                found[c]
            )
        })
    })
}

/// Normal numbers that depend on a name.
pub(crate) fn numbers(name: &str, n: usize) -> Vec<f64> {
    let stream = name.bytes().fold(7_u64, |h, b| h.wrapping_mul(31).wrapping_add(b as u64));
    let mut philox = Philox::new(42, stream);
    (0..n).map(|_| philox.normal()).collect()
}
