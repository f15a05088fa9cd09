//! `residue`: a latent for each particle and a structure for each latent, one point a residue.

use std::io::Write;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::analyze::report;
use crate::cli::progress::{Progress, note, quiet};
use crate::device;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::systems::dyna::checkpoint::{EpochLosses, latest};
use crate::systems::dyna::config::Config;
use crate::systems::dyna::encoder::Kind;
use crate::systems::dyna::run::Run;
use crate::systems::dyna::train::{Trainer, Watch};

/// Learn the motion of a docked model, one point a residue
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna residue particles.star model.pdb -o run
  kinesome dyna residue particles.star model.pdb -o run --low-pass-bandwidth 8 -n 50
  kinesome dyna residue --config run/config.toml -o run --resume     goes on where a run was stopped, to the same bits

Particles come from a refinement (RELION star file with angles, origins and CTF), the model is docked into its map. Every \
few epochs a folder EPOCH_STEP appears in the run's: z.npy (a latent for each particle), pred.pdb (structures of \
clusters), pca-1.pdb .. pca-3.pdb (structures along the axes of most variance), ckpt.pt. Settings have the names that \
CryoDyna's configurations have: a TOML file with --config, single ones with --cfg-options loss.dist_weight=2.")]
pub struct Args {
    /// RELION star file of the particles
    #[arg(value_name = "STAR")]
    particles: Option<PathBuf>,
    /// Docked model, PDB or mmCIF
    #[arg(value_name = "PDB")]
    model: Option<PathBuf>,
    /// Settings, TOML; flags go before it
    #[arg(long, value_name = "TOML")]
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
    /// Features of a residue in the decoder [default: 32]
    #[arg(long, value_name = "N", help_heading = "Network")]
    latent_dim: Option<usize>,

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
    /// Matrix products in bf16; weights stay f32
    #[arg(long, help_heading = "Running")]
    amp: bool,
    /// Print parameters, memory and FLOP of a step, and stop
    #[arg(long, help_heading = "Running")]
    dry_run: bool,
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

impl Args {
    fn config(&self) -> Result<Config> {
        let mut table = self.config.as_deref().map(Config::table).transpose()?.unwrap_or_default();
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
            ("model.model_cfg.latent_dim", count(self.latent_dim)),
            ("trainer.max_epochs", count(self.max_epochs)),
            ("trainer.check_val_every_n_epoch", count(self.check_val_every_n_epoch)),
            ("trainer.precision", self.amp.then(|| Value::String("bf16-mixed".into()))),
            ("data_loader.train_batch_per_gpu", count(self.batch_size)),
            ("optimizer.lr", number(self.lr)),
            ("loss.dist_keep_ratio", number(self.dist_keep_ratio)),
            ("seed", self.seed.map(|seed| Value::Integer(seed as i64))),
            ("parity", self.parity.then_some(Value::Boolean(true))),
            ("do_ref_init", self.parity.then_some(Value::Boolean(true))),
        ];
        for (key, value) in flags {
            if let Some(value) = value {
                put(&mut table, key, value)?;
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
                return Err(Error::usage(format!(
                    "{what} is missing: kinesome dyna residue STAR PDB -o DIR"
                )));
            }
        }
        Ok(config)
    }
}

pub fn run(args: Args) -> Result<()> {
    let config = args.config()?;
    let device = device::open(&args.device)?;
    let described = device.describe();
    let mut trainer = Trainer::new(config, device, &args.out)?;
    if args.dry_run {
        let program = trainer.program()?;
        let mib = |bytes: usize| bytes as f64 / 1048576.0;
        println!("residues     {}", trainer.reference.len());
        println!("parameters   {}", program.parameter_count());
        println!("states       {:.1} MiB (parameters and moments)", mib(program.state_bytes()));
        println!("arena        {:.1} MiB (peak memory of a step)", mib(program.arena_bytes));
        println!("FLOP a step  {:.3e}", program.flop() as f64);
        return Ok(());
    }
    match (args.resume, latest(&args.out)) {
        (true, Some(path)) => {
            trainer.resume(&path)?;
            note(&format!("going on from {} after epoch {}", path.display(), trainer.history().len()));
        }
        (true, None) => note(&format!("no checkpoint in {} yet: starting over", args.out.display())),
        (false, Some(path)) => {
            let why = "holds a run already; go on with --resume, or choose another folder";
            return Err(Error::usage(format!("{}: {why} ({})", args.out.display(), path.display())));
        }
        (false, None) => {}
    }
    atomic::folder(&args.out)?;
    trainer.config.write(&args.out.join("config.toml"))?;
    let mut log = Log::open(&args.out.join("run.log"), args.resume)?;
    let (particles, side, apix) =
        (trainer.particles.len(), trainer.particles.side(), trainer.particles.apix());
    let blocks = trainer.network.decoder.graph.centroids.len();
    log.line(&format!(
        "{particles} particles of {side} pixels, {apix} Å a pixel; {} residues in {blocks} blocks; on {described}",
        trainer.reference.len()
    ))?;
    for text in trainer.particles.notes.iter().chain(&trainer.reference.notes) {
        log.note(text)?;
    }
    trainer.run(&mut log)?;
    drop(trainer);
    let run = Run::open(&args.out, None, None, device::open(&args.device)?)?;
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
