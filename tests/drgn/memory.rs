//! Training takes the same memory whatever the size of the stack.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use kinesome::Result;
use kinesome::device::cpu::Cpu;
use kinesome::io::mrc::{Mode, StackWriter};
use kinesome::stats::random::Philox;
use kinesome::systems::drgn::config::Config;
use kinesome::systems::drgn::data::{Images, Source};
use kinesome::systems::drgn::files::Poses;
use kinesome::systems::drgn::model::Objective;
use kinesome::systems::drgn::run::EpochLosses;
use kinesome::systems::drgn::train::{Beta, Settings, Trainer, Watch};
use kinesome::tensor::DType;
use kinesome::train::Adam;

const SIDE: usize = 64;
const IMAGES: usize = 200;
/// Tells the child how many images to train on.
const COUNT: &str = "KINESOME_TEST_IMAGES";

/// Anonymous resident memory of this process in KiB.
fn anonymous() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

struct Most(usize);

impl Watch for Most {
    fn begin_epoch(&mut self, _: usize, _: usize, _: usize) -> Result<()> {
        Ok(())
    }
    fn images(&mut self, _: usize, _: &EpochLosses) -> Result<()> {
        self.0 = self.0.max(anonymous());
        Ok(())
    }
    fn end_epoch(&mut self, _: &EpochLosses) -> Result<()> {
        Ok(())
    }
}

fn train(folder: &Path, count: usize) -> Result<usize> {
    let particles = folder.join("particles.mrcs");
    let mut writer = StackWriter::create(&particles, SIDE, SIDE, Mode::Float32, 1.0)?;
    let mut philox = Philox::new(0, 0);
    let noise: Vec<f32> = (0..2 * SIDE * SIDE).map(|_| philox.normal() as f32).collect();
    for i in 0..count {
        writer.push(&noise[i % (SIDE * SIDE)..][..SIDE * SIDE])?;
    }
    writer.finish()?;
    let poses = Poses {
        rotations: vec![[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]; count],
        translations: Some(vec![[0.01, -0.02]; count]),
    };
    let source = Source { particles, datadir: None, ind: None, invert: true, window: Some(0.85), norm: None };
    let images = Images::open(&source, poses, None)?;
    let text = "dataset_args: {particles: particles.mrcs, norm: [0, 1]}\n\
                lattice_args: {D: 65, extent: 0.5, ignore_DC: true}\n\
                model_args: {qlayers: 1, qdim: 16, players: 1, pdim: 16, zdim: 2, encode_mode: resid, \
                enc_mask: 32, pe_type: gaussian, feat_sigma: 0.5, pe_dim: 4, domain: fourier}\n";
    let config = Config::parse(text, "config.yaml".as_ref())?;
    let settings = Settings {
        epochs: 1,
        batch: 8,
        beta: Beta::Constant(0.5),
        objective: Objective { beta_control: None, adam: Adam::default(), clip: None, loss_scale: None },
        seed: 0,
        shuffle_seed: 0,
        checkpoint: 0,
        eager: false,
        precision: DType::F32,
    };
    let mut most = Most(0);
    Trainer::new(&config, &images, Arc::new(Cpu::new()), folder, settings)?.run(&mut most)?;
    Ok(most.0)
}

/// Runs in a process of its own, where no other test allocates.
#[test]
#[ignore = "started by a_stack_ten_times_larger_takes_the_same_memory"]
fn child() {
    let Some(count) = std::env::var(COUNT).ok().and_then(|c| c.parse().ok()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    println!("RssAnon {}", train(folder.path(), count).expect("a run"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_stack_ten_times_larger_takes_the_same_memory() {
    let measure = |count: usize| -> usize {
        let out = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "memory::child", "--ignored", "--nocapture", "--test-threads", "1"])
            .env(COUNT, count.to_string())
            // What threads and their arenas hold changes from run to run on a busy machine.
            .envs([("RAYON_NUM_THREADS", "1"), ("MALLOC_ARENA_MAX", "1")])
            .output()
            .expect("a child");
        let text = String::from_utf8_lossy(&out.stdout);
        let found = text.split("RssAnon ").nth(1).and_then(|t| t.split_whitespace().next()?.parse().ok());
        found.unwrap_or_else(|| panic!("no measurement: {text}{}", String::from_utf8_lossy(&out.stderr)))
    };
    let (few, many) = (measure(IMAGES), measure(10 * IMAGES));
    // The larger stack has 28 MiB more, more than all that the run holds.
    assert!(few > 1024, "{few} KiB is no training run");
    assert!(many as f64 <= 1.05 * few as f64, "{many} KiB for ten times the images of {few} KiB");
}
