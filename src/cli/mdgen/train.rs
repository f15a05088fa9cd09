//! `train`: a network from stored trajectories.

use std::io::Write;
use std::path::PathBuf;

use crate::cli::progress::{Progress, note, quiet};
use crate::device;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::systems::mdgen::checkpoint::EpochLoss;
use crate::systems::mdgen::config::{Config, Task};
use crate::systems::mdgen::objective::Objective;
use crate::systems::mdgen::split;
use crate::systems::mdgen::store::Store;
use crate::systems::mdgen::train::{Settings, Trainer, Watch, latest};
use crate::tensor::DType;
use crate::train::Adam;

/// Train a network on stored trajectories
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome mdgen train --sim-condition --data-dir data --train-split data/split.csv --num-frames 100 --prepend-ipa -o run
  kinesome mdgen train --tps-condition --data-dir data --train-split train.csv --val-split val.csv -o paths
  kinesome mdgen train ... -o run --resume           goes on where a run was stopped, to the same bits

One task is chosen: --sim-condition (the first frame is given), with --cond-interval N upsampling (every Nth frame is \
given), --tps-condition (first and last) or --inpainting (outer residues; the inner ones and their types are \
generated). An epoch takes --repeat windows of each trajectory, at random places. Checkpoints (epoch=N.ckpt, last.ckpt) \
hold the weights under the names that MDGen's own have.")]
pub struct Args {
    /// Generate what follows the first frame
    #[arg(long, help_heading = "Task")]
    sim_condition: bool,
    /// Generate what lies between the first and the last frame
    #[arg(long, help_heading = "Task")]
    tps_condition: bool,
    /// Generate the inner residues from the motion of the outer ones
    #[arg(long, alias = "design", help_heading = "Task")]
    inpainting: bool,
    /// Upsample: frames between those given
    #[arg(long, value_name = "N", requires = "sim_condition", help_heading = "Task")]
    cond_interval: Option<usize>,

    /// Folder of the trajectories (`kinesome mdgen prepare`)
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    data_dir: PathBuf,
    /// Table of names and sequences to learn from
    #[arg(long, value_name = "CSV", help_heading = "Data")]
    train_split: PathBuf,
    /// Table of those to look at without learning
    #[arg(long, value_name = "CSV", help_heading = "Data")]
    val_split: Option<PathBuf>,
    /// Text behind the names of the files: `_i100`
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT", help_heading = "Data")]
    suffix: String,
    /// Frames of a window
    #[arg(long, default_value_t = 50, value_name = "N", help_heading = "Data")]
    num_frames: usize,
    /// Stored frames between frames of a window
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Data")]
    frame_interval: usize,
    /// Longest chain [default: the longest of the splits]
    #[arg(long, value_name = "RESIDUES", help_heading = "Data")]
    crop: Option<usize>,
    /// Windows of each trajectory in an epoch
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Data")]
    repeat: usize,

    /// Width
    #[arg(long, default_value_t = 384, value_name = "N", help_heading = "Network")]
    embed_dim: usize,
    /// Blocks, and layers of invariant point attention before them
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Network")]
    num_layers: usize,
    /// Attention heads
    #[arg(long, default_value_t = 16, value_name = "N", help_heading = "Network")]
    mha_heads: usize,
    #[arg(long, default_value_t = 4, hide = true)]
    ipa_heads: usize,
    #[arg(long, default_value_t = 32, hide = true)]
    ipa_head_dim: usize,
    #[arg(long, default_value_t = 8, hide = true)]
    ipa_qk: usize,
    #[arg(long, default_value_t = 8, hide = true)]
    ipa_v: usize,
    /// Hyena along time in place of attention
    #[arg(long, help_heading = "Network")]
    hyena: bool,
    /// Residue types are not told
    #[arg(long, help_heading = "Network")]
    no_aa_emb: bool,
    /// Torsions are not told
    #[arg(long, help_heading = "Network")]
    no_torsion: bool,
    /// Inpainting: nothing is told of the inner residues' key frames
    #[arg(long, help_heading = "Network")]
    design_key_frames: bool,
    /// Path between noise and data: GVP, Linear or VP
    #[arg(long, default_value = "GVP", value_name = "PATH", help_heading = "Network")]
    path_type: String,
    /// As the reference does it where that is a fault: Hyena forward only, the first residue's phi through the origin
    #[arg(long, help_heading = "Network")]
    parity: bool,
    /// Accepted: always so
    #[arg(long, hide = true)]
    prepend_ipa: bool,
    /// Accepted: always so
    #[arg(long, hide = true)]
    abs_pos_emb: bool,

    /// Epochs
    #[arg(long, default_value_t = 100, value_name = "N", help_heading = "Training")]
    epochs: usize,
    #[arg(long, default_value_t = 8, value_name = "N", help_heading = "Training")]
    batch_size: usize,
    /// Batches whose gradients make one update
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Training")]
    accumulate_grad: usize,
    /// Learning rate of Adam
    #[arg(long, default_value_t = 1e-4, help_heading = "Training")]
    lr: f64,
    /// Let the learning rate fall to 0 along half a cosine
    #[arg(long, help_heading = "Training")]
    cosine: bool,
    /// AdamW, with a decay of 0.01
    #[arg(long = "adamW", help_heading = "Training")]
    adam_w: bool,
    /// Joint norm of the gradients at most
    #[arg(long, default_value_t = 1.0, value_name = "NORM", help_heading = "Training")]
    grad_clip: f32,
    /// Keep a moving average of the weights, and generate with it
    #[arg(long, help_heading = "Training")]
    ema: bool,
    #[arg(long, default_value_t = 0.999, help_heading = "Training")]
    ema_decay: f32,
    /// Seed of everything
    #[arg(long, default_value_t = 0, help_heading = "Training")]
    seed: u64,

    /// Folder for checkpoints and log
    #[arg(short, long = "outdir", value_name = "DIR", help_heading = "Running")]
    out: PathBuf,
    /// Device: auto, cpu, cuda, wgpu; `kinesome devices` lists them
    #[arg(long, default_value = "auto", help_heading = "Running")]
    device: String,
    /// Epochs between checkpoints
    #[arg(long, default_value_t = 10, value_name = "N", help_heading = "Running")]
    ckpt_freq: usize,
    /// Epochs between looks at --val-split
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Running")]
    val_epoch_freq: usize,
    /// Start from the weights of a checkpoint
    #[arg(long, value_name = "CKPT", conflicts_with = "resume", help_heading = "Running")]
    ckpt: Option<PathBuf>,
    /// Go on with the newest checkpoint of the folder
    #[arg(long, help_heading = "Running")]
    resume: bool,
    /// Matrix products in bf16; weights stay f32
    #[arg(long, help_heading = "Running")]
    amp: bool,
    /// Compute each block again for its derivatives: a third slower, and with memory for one block at a time
    #[arg(long, help_heading = "Running")]
    grad_checkpointing: bool,
    /// Print parameters, memory and FLOP of a step, and stop
    #[arg(long, help_heading = "Running")]
    dry_run: bool,
}

impl Args {
    fn task(&self) -> Result<Task> {
        match (self.sim_condition, self.tps_condition, self.inpainting) {
            (true, false, false) if self.cond_interval.is_some() => Ok(Task::Upsample),
            (true, false, false) => Ok(Task::Simulate),
            (false, true, false) => Ok(Task::Interpolate),
            (false, false, true) => Ok(Task::Inpaint),
            _ => Err(Error::usage("choose one of --sim-condition, --tps-condition and --inpainting")),
        }
    }

    fn stores(&self, split: &std::path::Path) -> Result<Vec<Store>> {
        let entries = split::read(split)?;
        entries
            .iter()
            .map(|entry| Store::open(&entry.file(&self.data_dir, &self.suffix), &entry.kinds()?))
            .collect()
    }
}

pub fn run(args: Args) -> Result<()> {
    let task = args.task()?;
    let trajectories = args.stores(&args.train_split)?;
    let held_out = args.val_split.as_ref().map(|split| args.stores(split)).transpose()?.unwrap_or_default();
    let longest = trajectories.iter().chain(&held_out).map(Store::residues).max().unwrap_or(1);
    let config = Config {
        task,
        num_frames: args.num_frames,
        crop: args.crop.unwrap_or(longest),
        cond_interval: args.cond_interval.unwrap_or(1),
        frame_interval: args.frame_interval,
        embed_dim: args.embed_dim,
        num_layers: args.num_layers,
        mha_heads: args.mha_heads,
        ipa_heads: args.ipa_heads,
        ipa_head_dim: args.ipa_head_dim,
        ipa_qk: args.ipa_qk,
        ipa_v: args.ipa_v,
        hyena: args.hyena,
        no_aa_emb: args.no_aa_emb,
        no_torsion: args.no_torsion,
        design_key_frames: args.design_key_frames,
        path_type: args.path_type.clone(),
        parity: args.parity,
        ..Config::default()
    };
    if !(args.lr > 0.0 && args.lr.is_finite() && args.grad_clip > 0.0) {
        return Err(Error::usage("--lr and --grad-clip have to be positive"));
    }
    let decay = if args.adam_w { 0.01 } else { 0.0 };
    let adam = Adam { lr: args.lr, weight_decay: decay, decoupled: args.adam_w, ..Adam::default() };
    let settings = Settings {
        epochs: args.epochs,
        batch: args.batch_size,
        accumulate: args.accumulate_grad,
        repeat: args.repeat,
        objective: Objective { adam, clip: Some(args.grad_clip), ema: args.ema.then_some(args.ema_decay) },
        cosine: args.cosine,
        seed: args.seed,
        checkpoint: args.ckpt_freq,
        validate: args.val_epoch_freq,
        precision: if args.amp { DType::BF16 } else { DType::F32 },
        recompute: args.grad_checkpointing,
    };
    let device = device::open(&args.device)?;
    let described = device.describe();
    let mut trainer = Trainer::new(&config, &trajectories, &held_out, device, &args.out, settings)?;
    if args.dry_run {
        let program = trainer.program()?;
        let mib = |bytes: usize| bytes as f64 / 1048576.0;
        println!("parameters   {}", program.parameter_count());
        println!("states       {:.1} MiB (parameters, moments and averages)", mib(program.state_bytes()));
        println!("arena        {:.1} MiB (peak memory of a step)", mib(program.arena_bytes));
        println!("FLOP a step  {:.3e}", program.flop() as f64);
        return Ok(());
    }
    if let Some(path) = &args.ckpt {
        trainer.start_from(path)?;
    }
    match (args.resume, latest(&args.out)) {
        (true, Some(path)) => {
            trainer.resume(&path)?;
            note(&format!("going on from {} after epoch {}", path.display(), trainer.history().len()));
        }
        (true, None) => note(&format!("no checkpoint in {} yet: starting over", args.out.display())),
        (false, _) => {}
    }
    atomic::folder(&args.out)?;
    let mut log = Log::open(&args.out.join("log.out"), args.resume)?;
    log.line(&format!("{} trajectories, {} held out, on {described}", trajectories.len(), held_out.len()))?;
    trainer.run(&mut log)?;
    println!("{}", args.out.join("last.ckpt").display());
    Ok(())
}

struct Log {
    path: PathBuf,
    file: std::fs::File,
    bar: Option<Progress>,
    windows: usize,
}

impl Log {
    fn open(path: &std::path::Path, append: bool) -> Result<Log> {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).write(true).append(append).truncate(!append);
        let file = options.open(path).map_err(|e| Error::os("write", path, e))?;
        Ok(Log { path: path.into(), file, bar: None, windows: 0 })
    }

    fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.file, "{text}").map_err(|e| Error::os("write", &self.path, e))
    }
}

impl Watch for Log {
    fn begin_epoch(&mut self, epoch: usize, epochs: usize, windows: usize) -> Result<()> {
        self.bar = Some(Progress::new(&format!("epoch {epoch}/{epochs}"), "windows"));
        self.windows = windows;
        Ok(())
    }

    fn windows(&mut self, done: usize, _: f64) -> Result<()> {
        self.bar.as_mut().map_or(Ok(()), |bar| bar.tick(done, self.windows))
    }

    fn end_epoch(&mut self, loss: &EpochLoss) -> Result<()> {
        self.bar = None;
        let held_out = loss.held_out.map(|v| format!(", held out {v:.5}")).unwrap_or_default();
        let text = format!(
            "epoch {}: loss {:.5}{held_out}, {:.1} windows/s",
            loss.epoch, loss.train, loss.windows_per_second
        );
        if !quiet() {
            println!("{text}");
        }
        self.line(&text)
    }
}
