//! Times single operations: median milliseconds, GFLOP/s and GB/s of what they read and write.
//!
//! `cargo bench --bench kernels -- [--device NAME] [--tf32] [PART OF A NAME ...]`

use std::time::Instant;

use kinesome::device;
use kinesome::ops::encode::Encode;
use kinesome::ops::fft::{Fft, Transform};
use kinesome::ops::slice::{Direction, Slice};
use kinesome::plan::{Options, Step, Store};
use kinesome::stats::random::Philox;
use kinesome::tape::{Tape, Var};
use kinesome::tensor::{DType, Tensor};

type Record = for<'t> fn(&'t Tape, &[Var<'t>]) -> Var<'t>;

const POINTS: usize = 12832;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cases: Vec<(&str, &[&[usize]], Record)> = vec![
        ("matmul: layer", &[&[POINTS, 256], &[256, 256]], |_, v| v[0].matmul_t(v[1])),
        ("matmul: layer, bias, residual, relu", &[&[POINTS, 256], &[256, 256], &[256]], |_, v| {
            (v[0].matmul_t(v[1]) + v[2] + v[0]).relu()
        }),
        ("matmul: derivative by the weight", &[&[POINTS, 256], &[POINTS, 256]], |_, v| v[0].t_matmul(v[1])),
        ("matmul: wide layer", &[&[2048, 1024], &[1024, 1024]], |_, v| v[0].matmul_t(v[1])),
        ("matmul: two outputs", &[&[POINTS, 256], &[2, 256]], |_, v| v[0].matmul_t(v[1])),
        ("matmul: few rows", &[&[8, 3208], &[256, 3208]], |_, v| v[0].matmul_t(v[1])),
        ("chain: three rows", &[&[POINTS, 256], &[256]], |_, v| (v[0] + v[1]).relu().scale(0.5)),
        ("sum of columns", &[&[POINTS, 256]], |_, v| v[0].sum(&[0])),
        ("encode", &[&[POINTS, 3], &[96, 3]], |t, v| t.special(Encode { group: 96 }, v)),
        ("slice: gather", &[&[65, 65, 65], &[POINTS, 3]], |t, v| {
            t.special(Slice { direction: Direction::Gather, side: 65, channels: None }, v)
        }),
        ("slice: scatter", &[&[POINTS], &[POINTS, 3]], |t, v| {
            t.special(Slice { direction: Direction::Scatter, side: 65, channels: None }, v)
        }),
        ("hartley 2-D, 8 images of 128", &[&[8, 128, 128]], |t, v| {
            t.special(Fft { transform: Transform::Hartley, axes: 2, centred: true }, v)
        }),
    ];
    let (mut wanted, mut name, mut options) = (vec![], "cpu".to_string(), Options::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--tf32" => options.tf32 = true,
            "--device" => name = arguments.next().ok_or("--device takes a name")?,
            _ => wanted.push(argument),
        }
    }
    let device = device::open(&name)?;
    println!("{}", device.describe());
    // A GPU is given many replays and then waited for once.
    let replays = if name == "cpu" { 1 } else { 20 };
    println!("{:38}        ms   GFLOP/s      GB/s", "operation");
    for (name, shapes, record) in cases {
        if !wanted.is_empty() && !wanted.iter().any(|w| name.contains(w.as_str())) {
            continue;
        }
        let tape = Tape::new();
        let names: Vec<String> = (0..shapes.len()).map(|i| i.to_string()).collect();
        let inputs: Vec<Var> = names.iter().zip(shapes).map(|(n, s)| tape.input(n, s, DType::F32)).collect();
        let result = record(&tape, &inputs);
        let done = tape.input("done", &[], DType::F32).neg();
        let mut step =
            Step::new(&Store::new(device.clone(), 0), &tape, &[("y", result), ("done", done)], options)?;
        let mut philox = Philox::new(0, 0);
        let values: Vec<Tensor> = shapes
            .iter()
            .map(|s| Tensor::f32(s, (0..s.iter().product()).map(|_| philox.normal() as f32).collect()))
            .collect();
        let feeds: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&values).collect();
        step.run(&feeds)?;
        step.run(&[])?;
        step.fetch("done")?;
        let mut times = vec![];
        let start = Instant::now();
        while times.len() < 5 || start.elapsed().as_secs_f64() < 0.5 {
            let start = Instant::now();
            for _ in 0..replays {
                step.run(&[])?;
            }
            step.fetch("done")?;
            times.push(start.elapsed().as_secs_f64() / replays as f64);
        }
        times.sort_by(f64::total_cmp);
        let time = times[times.len() / 2];
        let bytes: usize = step.program().launches.iter().map(|l| step.program().traffic(l)).sum();
        let rate = step.program().flop() as f64 / time / 1e9;
        println!("{name:38} {:9.3} {rate:9.1} {:9.1}", 1e3 * time, bytes as f64 / time / 1e9);
    }
    Ok(())
}
