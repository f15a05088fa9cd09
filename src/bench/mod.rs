//! How fast operations and training steps run on a device, and how near that is to what the device can do.
//!
//! Everything timed is a tape, planned and replayed as in training. The device's own limits, its largest matrix
//! product and its copy of much memory, are measured by the same code in the same run: a share of them is
//! comparable between machines where seconds are not.

mod operations;
mod residues;
mod training;
mod trajectories;

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::device::Device;
use crate::plan::{Options, Program, Step, Store};
use crate::stats::random::Philox;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{Result, interrupt};

/// Something to time: what to record, and with which values.
pub struct Case {
    /// `matmul/wide-layer`, `drgn/box64-256x3`
    pub name: String,
    /// Images or trajectories that one replay takes. None for a single operation.
    pub examples: Option<usize>,
    record: Record,
    /// Made when the case runs: they may be large.
    feeds: Feeds,
}

type Record = Box<dyn for<'t> Fn(&'t Tape) -> Var<'t>>;
type Feeds = Box<dyn Fn() -> Vec<(String, Tensor)>>;

impl Case {
    fn new(
        name: String,
        examples: Option<usize>,
        feeds: impl Fn() -> Vec<(String, Tensor)> + 'static,
        record: impl for<'t> Fn(&'t Tape) -> Var<'t> + 'static,
    ) -> Case {
        Case { name, examples, record: Box::new(record), feeds: Box::new(feeds) }
    }
}

/// Every operation's case and every training step.
pub fn cases() -> Result<Vec<Case>> {
    let mut all = operations::cases();
    all.extend(training::cases()?);
    all.extend(trajectories::cases()?);
    all.push(residues::step()?);
    Ok(all)
}

/// What a device reached at best.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Peak {
    /// In matrix products, 10^9 a second.
    pub gflops: f64,
    /// Read and written by a copy, 10^9 bytes a second.
    pub gigabytes: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    pub name: String,
    pub device: String,
    /// Median of one replay.
    pub seconds: f64,
    /// Processor seconds of one replay, where the system tells (Linux).
    pub cpu_seconds: Option<f64>,
    pub launches: usize,
    pub gflops: f64,
    /// What the launches read and write.
    pub gigabytes: f64,
    /// The larger of the shares of both peaks.
    pub share_of_peak: f64,
    /// Of the matrix-product peak alone.
    pub share_of_flops: f64,
    /// Arena, states and inputs.
    pub megabytes: f64,
    pub examples_per_second: Option<f64>,
    pub examples_per_cpu_second: Option<f64>,
}

/// Times replays of a case for about `seconds`, and at least three.
pub fn measure(
    device: &Arc<dyn Device>,
    case: &Case,
    peak: &Peak,
    options: Options,
    seconds: f64,
) -> Result<Timing> {
    let mut run = Run::new(device, case, options)?;
    let (median, cpu) = run.time(seconds)?;
    let program = run.step.program();
    let gflops = program.flop() as f64 / median / 1e9;
    let gigabytes = traffic(program) / median / 1e9;
    Ok(Timing {
        name: case.name.clone(),
        device: device.name().into(),
        seconds: median,
        cpu_seconds: cpu,
        launches: program.launches.len(),
        gflops,
        gigabytes,
        share_of_peak: (gflops / peak.gflops).max(gigabytes / peak.gigabytes),
        share_of_flops: gflops / peak.gflops,
        megabytes: (program.arena_bytes + program.state_bytes() + program.input_bytes()) as f64 / 1e6,
        examples_per_second: case.examples.map(|n| n as f64 / median),
        examples_per_cpu_second: case.examples.zip(cpu).map(|(n, cpu)| n as f64 / cpu),
    })
}

/// Measures the limits of a device, of products in the precision of `options`.
pub fn peak(device: &Arc<dyn Device>, options: Options, seconds: f64) -> Result<Peak> {
    let rate = |case: Case, of: fn(&Program) -> f64| -> Result<f64> {
        let mut run = Run::new(device, &case, options)?;
        let (median, _) = run.time(seconds)?;
        Ok(of(run.step.program()) / median / 1e9)
    };
    // Enough for a large device, and not minutes for a small one.
    let side = if device.name() == "cpu" { 1536 } else { 4096 };
    let words = if device.name() == "cpu" { 16 << 20 } else { 64 << 20 };
    let product = operations::case("", &[&[side, side], &[side, side]], |_, v| v[0].matmul(v[1]));
    let copy = operations::case("", &[&[words]], |_, v| v[0].scale(1.5));
    Ok(Peak { gflops: rate(product, |p| p.flop() as f64)?, gigabytes: rate(copy, traffic)? })
}

/// What one launch of a case costs.
#[derive(Clone, Debug, Serialize)]
pub struct Share {
    /// Layer, operation, shape and the line that recorded it.
    pub label: String,
    pub seconds: f64,
    /// Of the processor, where the system tells (Linux).
    pub cpu_seconds: Option<f64>,
    pub gflops: f64,
    pub gigabytes: f64,
}

/// Times every launch of a case by itself, in bursts; most expensive first.
pub fn profile(device: &Arc<dyn Device>, case: &Case, options: Options) -> Result<Vec<Share>> {
    let mut run = Run::new(device, case, options)?;
    let program = run.step.program();
    let launches = program.launches.iter();
    let costs: Vec<(String, u64, usize)> =
        launches.map(|l| (l.label.clone(), l.flop, program.traffic(l))).collect();
    let mut shares = vec![];
    for (at, (label, flop, traffic)) in costs.into_iter().enumerate() {
        interrupt::check()?;
        let mut burst = |times: usize| -> Result<f64> {
            let start = Instant::now();
            (0..times).try_for_each(|_| run.step.launch(at))?;
            run.step.number("done")?;
            Ok(start.elapsed().as_secs_f64())
        };
        let once = burst(1)?;
        let times = (BURST / once.max(1e-9)).clamp(2.0, 100.0) as usize;
        // The wait for the result is paid once, with one launch and with many.
        let before = cpu_seconds();
        let seconds = ((burst(times)? - once) / (times - 1) as f64).max(1e-9);
        let cpu_seconds = cpu_seconds().zip(before).map(|(end, start)| (end - start) / times as f64);
        let of = |amount: f64| amount / seconds / 1e9;
        let (gflops, gigabytes) = (of(flop as f64), of(traffic as f64));
        shares.push(Share { label, seconds, cpu_seconds, gflops, gigabytes });
    }
    shares.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok(shares)
}

fn traffic(program: &Program) -> f64 {
    program.launches.iter().map(|l| program.traffic(l)).sum::<usize>() as f64
}

/// Seconds of replays between two waits: a device is not asked for every one of them in training either.
const BURST: f64 = 0.02;

struct Run {
    step: Step,
    replays: usize,
}

impl Run {
    fn new(device: &Arc<dyn Device>, case: &Case, options: Options) -> Result<Run> {
        let tape = Tape::new();
        let value = (case.record)(&tape);
        // A single number to wait for: reading it means that all before it has run.
        let done = tape.scalar(1.0).scale(1.0);
        let outputs = [("value", value), ("done", done)];
        let mut step = Step::new(&Store::new(device.clone(), 0), &tape, &outputs, options)?;
        let values = (case.feeds)();
        let feeds: Vec<(&str, &Tensor)> = values.iter().map(|(n, t)| (n.as_str(), t)).collect();
        // Pages are touched, kernels compiled and clocks go up.
        step.run(&feeds)?;
        step.number("done")?;
        let start = Instant::now();
        step.run(&[])?;
        step.number("done")?;
        let replays = (BURST / start.elapsed().as_secs_f64().max(1e-9)).clamp(1.0, 100.0) as usize;
        Ok(Run { step, replays })
    }

    /// Median seconds and mean processor seconds of a replay.
    fn time(&mut self, seconds: f64) -> Result<(f64, Option<f64>)> {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let mut times = vec![];
        while times.len() < 3 || start.elapsed().as_secs_f64() < seconds {
            interrupt::check()?;
            let start = Instant::now();
            for _ in 0..self.replays {
                self.step.run(&[])?;
            }
            self.step.number("done")?;
            times.push(start.elapsed().as_secs_f64() / self.replays as f64);
        }
        let count = (times.len() * self.replays) as f64;
        let cpu = cpu_seconds().zip(cpu).map(|(end, start)| (end - start) / count);
        times.sort_by(f64::total_cmp);
        Ok((times[times.len() / 2], cpu))
    }
}

/// Processor time of this process so far (Linux).
fn cpu_seconds() -> Option<f64> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?.flatten();
    let nanoseconds = tasks.filter_map(|t| {
        let text = std::fs::read_to_string(t.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    Some(nanoseconds.sum::<f64>() / 1e9).filter(|s| *s > 0.0)
}

fn normal(shape: &[usize], stream: u64) -> Tensor {
    let mut philox = Philox::new(0, stream);
    Tensor::f32(shape, (0..shape.iter().product()).map(|_| philox.normal() as f32).collect())
}
