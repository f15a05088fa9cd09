//! Times cryoDRGN training steps on random data, as fractions of this machine's measured matrix-product peak.
//!
//! `cargo bench --bench step -- [ROW ...] [--device NAME] [--threads N] [--seconds S] [--profile] [--json]`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use kinesome::device::{self, Device, cpu::Cpu};
use kinesome::plan::{Kernel, Launch, Options, Program, Step, Store};
use kinesome::stats::random::Philox;
use kinesome::systems::drgn::config::Config;
use kinesome::systems::drgn::model::{Network, Objective};
use kinesome::systems::drgn::train::random_key;
use kinesome::tape::Tape;
use kinesome::tensor::Tensor;
use kinesome::train::Adam;
use rayon::prelude::*;

/// Name, box, width of encoder and decoder; three hidden layers, zdim 8, batch 8 throughout.
const ROWS: [(&str, usize, usize); 4] = [
    ("box64-256x3", 64, 256),
    ("box64-1024x3", 64, 1024),
    ("box128-256x3", 128, 256),
    ("box128-1024x3", 128, 1024),
];
const LAYERS: usize = 3;
const ZDIM: usize = 8;
const BATCH: usize = 8;

struct Arguments {
    rows: Vec<String>,
    device: Arc<dyn Device>,
    threads: usize,
    seconds: f64,
    profile: bool,
    json: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments {
        rows: vec![],
        device: Arc::new(Cpu::new()),
        threads: 0,
        seconds: 3.0,
        profile: false,
        json: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        if argument == "--device" {
            let name = given.next().ok_or("--device takes a name")?;
            parsed.device = device::open(&name).map_err(|e| e.to_string())?;
            continue;
        }
        let mut number =
            || given.next().and_then(|v| v.parse().ok()).ok_or(format!("{argument} takes a number"));
        match argument.as_str() {
            // Cargo's own.
            "--bench" => {}
            "--threads" => parsed.threads = number()? as usize,
            "--seconds" => parsed.seconds = number()?,
            "--profile" => parsed.profile = true,
            "--json" => parsed.json = true,
            row if ROWS.iter().any(|r| r.0 == row) => parsed.rows.push(argument),
            other => return Err(format!("{other:?}: rows are {}", ROWS.map(|r| r.0).join(", "))),
        }
    }
    if parsed.rows.is_empty() {
        parsed.rows = ROWS.iter().map(|r| r.0.into()).collect();
    }
    Ok(parsed)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = arguments()?;
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    if !arguments.json {
        println!("{}", arguments.device.describe());
        println!(
            "                 ms/step  images/s   GFLOP/s  of peak |  per processor second: images   GFLOP  of peak"
        );
    }
    for &(name, side, hidden) in ROWS.iter().filter(|r| arguments.rows.iter().any(|a| a == r.0)) {
        let bench = Bench::new(arguments.device.clone(), side, hidden)?;
        let peak = peak();
        let taken = bench.time(arguments.seconds)?;
        let flop = bench.flop()? as f64 / 1e9;
        let images = taken.map(|t| BATCH as f64 / t);
        let rate = taken.map(|t| flop / t);
        let share = [0, 1].map(|i| rate[i] / peak[i]);
        if arguments.json {
            println!(
                "{{\"row\": \"{name}\", \"seconds\": {}, \"images_per_second\": {}, \"images_per_cpu_second\": {}, \
                 \"gflops\": {}, \"share_of_peak\": {}, \"share_of_peak_by_cpu_time\": {}}}",
                taken[0], images[0], images[1], rate[0], share[0], share[1]
            );
        } else {
            println!(
                "{name:15} {:9.2} {:9.1} {:9.1} {:7.0}% | {:29.1} {:7.1} {:7.0}%",
                1e3 * taken[0],
                images[0],
                rate[0],
                100.0 * share[0],
                images[1],
                rate[1],
                100.0 * share[1]
            );
        }
        if arguments.profile {
            bench.profile(arguments.seconds)?;
        }
    }
    Ok(())
}

struct Bench {
    device: Arc<dyn Device>,
    network: Network,
    feeds: Vec<(&'static str, Tensor)>,
}

impl Bench {
    fn new(device: Arc<dyn Device>, side: usize, hidden: usize) -> kinesome::Result<Bench> {
        let config = Config::parse(
            &format!(
                "dataset_args: {{particles: random.mrcs, norm: [0, 1]}}\n\
                 lattice_args: {{D: {}, extent: 0.5, ignore_DC: true}}\n\
                 model_args: {{qlayers: {LAYERS}, qdim: {hidden}, players: {LAYERS}, pdim: {hidden}, zdim: {ZDIM}, \
                 encode_mode: resid, enc_mask: {}, pe_type: gaussian, feat_sigma: 0.5, domain: fourier}}\n",
                side + 1,
                side / 2
            ),
            "bench".as_ref(),
        )?;
        let network = Network::new(&config)?;
        let mut philox = Philox::new(1, 1);
        let mut normal = |shape: &[usize]| {
            Tensor::f32(shape, (0..shape.iter().product()).map(|_| philox.normal() as f32).collect())
        };
        let pixels = network.mask_len();
        let mut feeds = vec![
            ("images", normal(&[BATCH, pixels])),
            ("ctf", normal(&[BATCH, pixels])),
            ("rotations", Tensor::f32(&[BATCH, 3, 3], rotations(BATCH))),
            ("weights", Tensor::f32(&[BATCH], vec![1.0 / BATCH as f32; BATCH])),
            ("beta", Tensor::scalar(1.0 / ZDIM as f32)),
            ("key", random_key(0, 1)),
        ];
        feeds.extend(Adam::default().schedule(1).feeds());
        Ok(Bench { device, network, feeds })
    }

    fn step(&self, store: &Store) -> kinesome::Result<Step> {
        let tape = Tape::new();
        let objective = Objective { beta_control: None, adam: Adam::default(), clip: None };
        let losses = self.network.training_step(&tape, BATCH, &objective);
        Step::new(store, &tape, &[("total", losses.total)], Options::default())
    }

    fn flop(&self) -> kinesome::Result<u64> {
        Ok(self.step(&Store::new(self.device.clone(), 0))?.program().flop())
    }

    /// Median seconds a step, and mean processor seconds a step.
    fn time(&self, seconds: f64) -> kinesome::Result<[f64; 2]> {
        let store = Store::new(self.device.clone(), 0);
        let mut step = self.step(&store)?;
        let feeds: Vec<(&str, &Tensor)> = self.feeds.iter().map(|(n, t)| (*n, t)).collect();
        let mut run = || -> kinesome::Result<f64> {
            let start = Instant::now();
            step.run(&feeds)?;
            step.number("total")?;
            Ok(start.elapsed().as_secs_f64())
        };
        // Pages are touched and clocks go up.
        run()?;
        run()?;
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let mut times = vec![];
        while times.len() < 3 || start.elapsed().as_secs_f64() < seconds {
            times.push(run()?);
        }
        let cpu = (cpu_seconds() - cpu) / times.len() as f64;
        Ok([median(&mut times), cpu])
    }

    /// Best time of every launch, summed by kernel, and the longest launches.
    fn profile(&self, seconds: f64) -> kinesome::Result<()> {
        let device = Cpu::new();
        let store = Store::new(Arc::new(Cpu::new()), 0);
        let tape = Tape::new();
        let objective = Objective { beta_control: None, adam: Adam::default(), clip: None };
        let losses = self.network.training_step(&tape, BATCH, &objective);
        let outputs = [("total", losses.total)];
        // Fills the store with the initial weights.
        Step::new(&store, &tape, &outputs, Options::default())?;
        let program = Arc::new(Program::new(&tape, &outputs, Options::default())?);
        let mut states = vec![];
        for (state, _) in &program.states {
            let value = store.get(&state.name)?;
            let memory = device.allocate(state.meta.bytes())?;
            device.write(&memory, value.bytes())?;
            states.push(memory);
        }
        let mut loaded = device.load(program.clone(), states)?;
        for (name, value) in &self.feeds {
            if let Ok((at, _)) = program.input(name) {
                loaded.feed(at, value.bytes())?;
            }
        }
        let mut times = vec![vec![]; program.launches.len()];
        let start = Instant::now();
        while times[0].len() < 3 || start.elapsed().as_secs_f64() < seconds {
            // From inside the pool, as a replay does.
            rayon::scope(|_| {
                for (at, times) in times.iter_mut().enumerate() {
                    let start = Instant::now();
                    loaded.launch(at)?;
                    times.push(start.elapsed().as_secs_f64());
                }
                kinesome::Result::Ok(())
            })?;
        }
        // The best of many is what other work on the machine disturbs least.
        let times: Vec<f64> = times.iter().map(|t| t.iter().copied().fold(f64::INFINITY, f64::min)).collect();
        let mut kernels: BTreeMap<String, (usize, f64, u64)> = BTreeMap::new();
        for (launch, time) in program.launches.iter().zip(&times) {
            let (count, total, flop) = kernels.entry(stem(launch)).or_default();
            *count += 1;
            *total += time;
            *flop += launch.flop;
        }
        let mut kernels: Vec<_> = kernels.into_iter().collect();
        kernels.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
        let total: f64 = times.iter().sum();
        println!(
            "  {} launches, {:.2} ms, arena {:.1} MiB",
            times.len(),
            1e3 * total,
            program.arena_bytes as f64 / 1048576.0
        );
        for (name, (count, time, flop)) in kernels {
            let share = 100.0 * time / total;
            println!(
                "  {name:30} {count:4} x {:9.3} ms {share:5.1}% {:8.1} GFLOP/s",
                1e3 * time,
                flop as f64 / time / 1e9
            );
        }
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by(|&a, &b| times[b].total_cmp(&times[a]));
        for at in order.into_iter().take(30) {
            let launch = &program.launches[at];
            let (time, bytes) = (times[at], program.traffic(launch));
            println!(
                "  {at:4} {:9.3} ms {:7.1} GFLOP/s {:6.1} GB/s  {:40} {}",
                1e3 * time,
                launch.flop as f64 / time / 1e9,
                bytes as f64 / time / 1e9,
                what(launch),
                launch.label
            );
        }
        Ok(())
    }
}

fn stem(launch: &Launch) -> String {
    match &launch.kernel {
        Kernel::Chain(chain) if chain.steps.is_empty() => "copy".into(),
        Kernel::Chain(_) => "chain".into(),
        Kernel::Special { op, epilogue: None, .. } => op.stem().into(),
        Kernel::Special { op, .. } => format!("{} with epilogue", op.stem()),
    }
}

fn what(launch: &Launch) -> String {
    let metas = |inputs: &[kinesome::tensor::Meta]| {
        inputs.iter().map(|m| format!("{:?}", m.shape)).collect::<Vec<_>>().join(" ")
    };
    match &launch.kernel {
        Kernel::Chain(chain) => format!("{chain} {:?}", chain.shape),
        Kernel::Special { op, inputs, epilogue: None, .. } => format!("{op:?} {}", metas(inputs)),
        Kernel::Special { op, inputs, epilogue: Some(chain), .. } => {
            format!("{op:?} {} + {chain}", metas(inputs))
        }
    }
}

/// Random rotations, row-major.
fn rotations(count: usize) -> Vec<f32> {
    let mut philox = Philox::new(2, 2);
    let one = |philox: &mut Philox| {
        let q: [f64; 4] = std::array::from_fn(|_| philox.normal());
        let norm = q.iter().map(|v| v * v).sum::<f64>().sqrt();
        let [r, i, j, k] = q.map(|v| v / norm);
        [
            1.0 - 2.0 * (j * j + k * k),
            2.0 * (i * j - k * r),
            2.0 * (i * k + j * r),
            2.0 * (i * j + k * r),
            1.0 - 2.0 * (i * i + k * k),
            2.0 * (j * k - i * r),
            2.0 * (i * k - j * r),
            2.0 * (j * k + i * r),
            1.0 - 2.0 * (i * i + j * j),
        ]
    };
    (0..count).flat_map(|_| one(&mut philox)).map(|v| v as f32).collect()
}

/// GFLOP of matrix products of 1024 x 1024, one on each thread at once: a second (the best of several) and a
/// processor second (the mean).
fn peak() -> [f64; 2] {
    const N: usize = 1024;
    const TIMES: usize = 12;
    let threads = rayon::current_num_threads();
    let (a, b) = (vec![0.5_f32; N * N], vec![0.25_f32; N * N]);
    let mut out = vec![0.0_f32; threads * N * N];
    let once = |out: &mut [f32]| {
        let n = N as isize;
        // Whole matrices of these strides.
        unsafe {
            gemm::gemm(
                N,
                N,
                N,
                out.as_mut_ptr(),
                1,
                n,
                false,
                a.as_ptr(),
                1,
                n,
                b.as_ptr(),
                1,
                n,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    };
    out.par_chunks_mut(N * N).for_each(once);
    let cpu = cpu_seconds();
    let times = (0..TIMES).map(|_| {
        let start = Instant::now();
        out.par_chunks_mut(N * N).for_each(once);
        start.elapsed().as_secs_f64()
    });
    let best = times.fold(f64::INFINITY, f64::min);
    let cpu = (cpu_seconds() - cpu) / TIMES as f64;
    [best, cpu].map(|t| (threads * 2 * N * N * N) as f64 / t / 1e9)
}

/// Processor time of this process so far (Linux; elsewhere NaN).
fn cpu_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = tasks.filter_map(|t| {
        let text = std::fs::read_to_string(t.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    let all: Vec<f64> = nanoseconds.collect();
    if all.is_empty() { f64::NAN } else { all.iter().sum::<f64>() / 1e9 }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
