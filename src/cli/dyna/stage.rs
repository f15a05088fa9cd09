//! What the stages that learn a structure for each particle share: their flags, and how a run goes.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::analyze::report;
use super::compare::compare;
use crate::cli::progress::{Progress, note, quiet};
use crate::device;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::systems::dyna::checkpoint::{EpochLosses, latest};
use crate::systems::dyna::config::{self, Config, Stage};
use crate::systems::dyna::encoder::Kind;
use crate::systems::dyna::run::Run;
use crate::systems::dyna::train::{Trainer, Watch};

// What all stages are told. (A doc comment would take the place of each command's own.)
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// RELION star file of the particles
    #[arg(value_name = "STAR")]
    particles: Option<PathBuf>,
    /// Docked model, PDB or mmCIF
    #[arg(value_name = "PDB")]
    model: Option<PathBuf>,
    /// Settings: TOML, or a Python file of CryoDyna's with plain values; flags go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Single settings: loss.dist_weight=2
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    cfg_options: Vec<String>,

    /// Folder that image names are relative to
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    datadir: Option<PathBuf>,
    /// Å per pixel [default: as the star file says]
    #[arg(long, value_name = "Å", help_heading = "Data")]
    apix: Option<f64>,
    /// Bring images to this size [default: 128 for boxes above 256]
    #[arg(long, value_name = "PIXELS", help_heading = "Data")]
    down_side_shape: Option<usize>,
    /// Finest detail that is compared [default: all]
    #[arg(long, value_name = "Å", help_heading = "Data")]
    low_pass_bandwidth: Option<f64>,
    /// Where the model's origin stands: auto, centre, corner, centroid
    #[arg(long, value_name = "WHERE", help_heading = "Data")]
    origin: Option<String>,
    /// Particles are auto, light or dark
    #[arg(long, value_name = "SIGN", help_heading = "Data")]
    contrast: Option<String>,

    /// MS-GAT (images of a batch attend to one another) or MLP [default: MS-GAT]
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    encoder_cls: Option<String>,
    /// Numbers of a latent [default: 64]
    #[arg(long, value_name = "N", help_heading = "Network")]
    z_dim: Option<usize>,
    /// A distribution of latents for each image (cryoSTAR), not one: its means are z.npy, log-variances z_logvar.npy
    #[arg(long, help_heading = "Network")]
    variational: bool,
    /// Features of a residue or bead in the decoder [default: 32]
    #[arg(long, value_name = "N", help_heading = "Network")]
    latent_dim: Option<usize>,
    /// Move the whole and the N softest normal modes of an elastic network, instead of each point
    #[arg(long, value_name = "N", help_heading = "Network")]
    modes: Option<usize>,
    /// Normal modes from a file, (3 x points, M): kinesome dyna modes writes one
    #[arg(long, value_name = "NPY", help_heading = "Network")]
    nma_path: Option<PathBuf>,

    /// Epochs [default: 20]
    #[arg(short = 'n', long, value_name = "N", help_heading = "Training")]
    max_epochs: Option<usize>,
    /// Images of a step [default: 64]
    #[arg(short, long, value_name = "N", help_heading = "Training")]
    batch_size: Option<usize>,
    /// Learning rate of AdamW [default: 1e-3; with --parity 1e-4]
    #[arg(long, help_heading = "Training")]
    lr: Option<f64>,
    /// Share of the elastic network that is kept: pairs whose distance varies most let go [default: 0.8]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    dist_keep_ratio: Option<f64>,
    /// Seed of everything [default: 1]
    #[arg(long, help_heading = "Training")]
    seed: Option<u64>,
    /// As the reference does it where that is a fault: attention is not trained, images are moved between pixels, raw
    /// values enter the network, and training begins with learning to hold still
    #[arg(long, help_heading = "Training")]
    parity: bool,

    /// Folder of the run
    #[arg(short, long = "outdir", value_name = "DIR", help_heading = "Running")]
    out: PathBuf,
    /// Device: auto, cpu, cuda, wgpu; `kinesome devices` lists them
    #[arg(long, default_value = "auto", help_heading = "Running")]
    device: String,
    /// Epochs between evaluations, each with a checkpoint [default: 5]
    #[arg(long, value_name = "N", help_heading = "Running")]
    check_val_every_n_epoch: Option<usize>,
    /// Go on with the newest checkpoint of the folder
    #[arg(long, help_heading = "Running")]
    resume: bool,
    /// Two networks, each on half of the particles, and how their motions agree: half1, half2, compare.html
    #[arg(long, help_heading = "Against bias of the model")]
    half_sets: bool,
    /// Share of the particles that is learned from; the others are scored at each evaluation [default: 1]
    #[arg(long, value_name = "SHARE", help_heading = "Against bias of the model")]
    train_ratio: Option<f64>,
    /// Bend the model smoothly before anything is learned: what is found should not depend on it (dyna compare)
    #[arg(long, value_name = "Å", help_heading = "Against bias of the model")]
    perturb_prior: Option<f64>,
    /// Matrix products in bf16; weights stay f32
    #[arg(long, help_heading = "Running")]
    amp: bool,
    /// Print parameters, memory and FLOP of a step, and stop
    #[arg(long, help_heading = "Running")]
    dry_run: bool,
}

/// The settings of a file; what a Python file has beside them is told.
pub(super) fn settings<C: DeserializeOwned>(path: Option<&Path>) -> Result<Table> {
    let (table, left) = path.map(config::table::<C>).transpose()?.unwrap_or_default();
    if !left.is_empty() {
        note(&format!("settings without a meaning here are left out: {}", left.join(", ")));
    }
    Ok(table)
}

/// Puts a value at `a.b.c` of a table.
pub(super) fn put(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let mut at = table;
    let (folders, last) = key.rsplit_once('.').map_or((None, key), |(folders, last)| (Some(folders), last));
    for name in folders.into_iter().flat_map(|folders| folders.split('.')) {
        at = at
            .entry(name)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| Error::usage(format!("setting {key}: {name} holds no settings")))?;
    }
    at.insert(last.to_string(), value);
    Ok(())
}

/// `key=value`, the value as TOML has it, or else a text.
pub(super) fn option(text: &str) -> Result<(&str, Value)> {
    let (key, value) = text.split_once('=').ok_or_else(|| {
        Error::usage(format!("--cfg-options {text}: write key=value, as loss.dist_weight=2"))
    })?;
    let line = format!("value = {value}");
    let parsed = line.parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    Ok((key.trim(), parsed.unwrap_or_else(|| Value::String(value.into()))))
}

impl Flags {
    /// The settings of a stage; `more` are those that it alone has.
    fn config(&self, stage: Stage, more: &[(&str, Option<Value>)]) -> Result<Config> {
        let mut table = settings::<Config>(self.config.as_deref())?;
        let name = Value::try_from(stage).map_err(|e| Error::usage(e.to_string()))?;
        if let Some(other) = table.insert("stage".into(), name.clone()).filter(|other| *other != name) {
            return Err(Error::usage(format!(
                "these settings are of another stage: kinesome dyna {}",
                other.as_str().unwrap_or("?")
            )));
        }
        let path = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| Value::String(path.to_string_lossy().into_owned()))
        };
        let count = |count: Option<usize>| count.map(|n| Value::Integer(n as i64));
        let number = |number: Option<f64>| number.map(Value::Float);
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let encoder = self.encoder_cls.as_deref().map(Kind::from_name).transpose()?;
        let flags = [
            ("dataset_attr.starfile_path", path(&self.particles)),
            ("dataset_attr.ref_pdb_path", path(&self.model)),
            ("dataset_attr.dataset_dir", path(&self.datadir)),
            ("dataset_attr.apix", number(self.apix)),
            ("dataset_attr.origin", text(&self.origin)),
            ("dataset_attr.contrast", text(&self.contrast)),
            ("data_process.down_side_shape", count(self.down_side_shape)),
            ("data_process.low_pass_bandwidth", number(self.low_pass_bandwidth)),
            ("model.model_cfg.encoder_cls", encoder.and_then(|kind| Value::try_from(kind).ok())),
            ("model.model_cfg.z_dim", count(self.z_dim)),
            ("model.model_cfg.variational", self.variational.then_some(Value::Boolean(true))),
            ("model.model_cfg.latent_dim", count(self.latent_dim)),
            ("extra_input_data_attr.nma_modes", count(self.modes)),
            ("extra_input_data_attr.nma_path", path(&self.nma_path)),
            ("trainer.max_epochs", count(self.max_epochs)),
            ("trainer.check_val_every_n_epoch", count(self.check_val_every_n_epoch)),
            ("trainer.precision", self.amp.then(|| Value::String("bf16-mixed".into()))),
            ("data_loader.train_batch_per_gpu", count(self.batch_size)),
            ("data_loader.train_ratio", number(self.train_ratio)),
            ("dataset_attr.perturb", number(self.perturb_prior)),
            ("optimizer.lr", number(self.lr)),
            ("loss.dist_keep_ratio", number(self.dist_keep_ratio)),
            ("seed", self.seed.map(|seed| Value::Integer(seed as i64))),
            ("parity", self.parity.then_some(Value::Boolean(true))),
            ("do_ref_init", self.parity.then_some(Value::Boolean(true))),
        ];
        for (key, value) in flags.iter().chain(more) {
            if let Some(value) = value {
                put(&mut table, key, value.clone())?;
            }
        }
        if self.parity && !table.contains_key("optimizer") {
            put(&mut table, "optimizer.lr", Value::Float(1e-4))?;
        }
        for text in &self.cfg_options {
            let (key, value) = option(text)?;
            put(&mut table, key, value)?;
        }
        let config = Config::of(table)?;
        for (path, what) in [
            (&config.dataset_attr.starfile_path, "the particles' star file"),
            (&config.dataset_attr.ref_pdb_path, "the docked model"),
        ] {
            if path.as_os_str().is_empty() {
                let text = format!(
                    "{what} is missing: kinesome dyna {} STAR PDB -o DIR",
                    name.as_str().unwrap_or("")
                );
                return Err(Error::usage(text));
            }
        }
        Ok(config)
    }
}

pub fn run(args: Flags, stage: Stage, more: &[(&str, Option<Value>)]) -> Result<()> {
    let config = args.config(stage, more)?;
    if !args.half_sets {
        return train(&args, config, stage, &args.out);
    }
    let halves = [1, 2].map(|half| args.out.join(format!("half{half}")));
    for (half, folder) in (1..).zip(&halves) {
        let mut config = config.clone();
        config.data_loader.half = half;
        note(&format!("half {half} of 2: {}", folder.display()));
        train(&args, config, stage, folder)?;
    }
    match args.dry_run {
        true => Ok(()),
        false => compare([&halves[0], &halves[1]], None, &args.out, &args.device),
    }
}

fn train(args: &Flags, config: Config, stage: Stage, out: &Path) -> Result<()> {
    let device = device::open(&args.device)?;
    let described = device.describe();
    let mut trainer = Trainer::new(config, device, out)?;
    if args.dry_run {
        let program = trainer.program()?;
        let mib = |bytes: usize| bytes as f64 / 1048576.0;
        println!("points       {}", trainer.reference.len());
        println!("parameters   {}", program.parameter_count());
        println!("states       {:.1} MiB (parameters and moments)", mib(program.state_bytes()));
        println!("arena        {:.1} MiB (peak memory of a step)", mib(program.arena_bytes));
        println!("FLOP a step  {:.3e}", program.flop() as f64);
        return Ok(());
    }
    match (args.resume, latest(out)) {
        (true, Some(path)) => {
            trainer.resume(&path)?;
            note(&format!("going on from {} after epoch {}", path.display(), trainer.history().len()));
        }
        (true, None) => note(&format!("no checkpoint in {} yet: starting over", out.display())),
        (false, Some(path)) => {
            let why = "holds a run already; go on with --resume, or choose another folder";
            return Err(Error::usage(format!("{}: {why} ({})", out.display(), path.display())));
        }
        (false, None) => {}
    }
    atomic::folder(out)?;
    trainer.config.write(&out.join("config.toml"))?;
    let mut log = Log::open(&out.join("run.log"), args.resume)?;
    let (particles, side, apix) =
        (trainer.particles.len(), trainer.particles.side(), trainer.particles.apix());
    log.line(&format!(
        "{particles} particles of {side} pixels, {apix} Å a pixel; {} {} {}; on {described}",
        trainer.reference.len(),
        if stage == Stage::Beads { "beads" } else { "residues" },
        trainer.network.motion.describe()
    ))?;
    for text in trainer.particles.notes.iter().chain(&trainer.reference.notes) {
        log.note(text)?;
    }
    trainer.run(&mut log)?;
    drop(trainer);
    let run = Run::open(out, None, None, device::open(&args.device)?)?;
    let findings = run.evaluator().find(&run.latents, run.config.analyze.cluster_k)?;
    note(&format!("report: {}", report(&run, &findings, None, &run.folder)?.display()));
    println!("{}", run.folder.display());
    Ok(())
}

pub(super) struct Log {
    path: PathBuf,
    file: std::fs::File,
    pub(super) bar: Option<Progress>,
    pub(super) images: usize,
}

impl Log {
    pub(super) fn open(path: &Path, append: bool) -> Result<Log> {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).write(true).append(append).truncate(!append);
        let file = options.open(path).map_err(|e| Error::os("write", path, e))?;
        Ok(Log { path: path.into(), file, bar: None, images: 0 })
    }

    pub(super) fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.file, "{text}").map_err(|e| Error::os("write", &self.path, e))
    }
}

impl Watch for Log {
    fn note(&mut self, text: &str) -> Result<()> {
        note(text);
        self.line(text)
    }

    fn begin_epoch(&mut self, epoch: usize, epochs: usize, images: usize) -> Result<()> {
        self.bar = Some(Progress::new(&format!("epoch {epoch}/{epochs}"), "images"));
        self.images = images;
        Ok(())
    }

    fn images(&mut self, done: usize) -> Result<()> {
        self.bar.as_mut().map_or(Ok(()), |bar| bar.tick(done, self.images))
    }

    fn end_epoch(&mut self, losses: &EpochLosses) -> Result<()> {
        self.bar = None;
        let parts: Vec<String> =
            losses.parts.iter().map(|(name, value)| format!("{name} {value:.5}")).collect();
        let text = format!(
            "epoch {}: loss {:.5} ({}), {:.0} images/s",
            losses.epoch,
            losses.total,
            parts.join(", "),
            losses.images_per_second
        );
        if !quiet() {
            println!("{text}");
        }
        self.line(&text)
    }

    fn evaluated(&mut self, folder: &Path) -> Result<()> {
        self.line(&format!("wrote {}", folder.display()))
    }
}
