//! `density`: maps of the latents that another stage found, learned from the particles alone.

use std::path::{Path, PathBuf};

use toml::Value;

use super::stage::{Log, option, put, settings};
use crate::cli::progress::{Progress, note, quiet};
use crate::device;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::systems::dyna::checkpoint::latest;
use crate::systems::dyna::density::checkpoint::EpochLoss;
use crate::systems::dyna::density::config::Config;
use crate::systems::dyna::density::page::page;
use crate::systems::dyna::density::train::{Trainer, Watch};

/// Learn the density of given latents, without the model
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna density particles.star run/0020_0015620/z.npy -o maps
  kinesome dyna density particles.star z.npy -o maps --down-side-shape 96 --hidden 256 -n 10
  kinesome dyna density --config maps/config.toml -o maps --resume     goes on where a run was stopped, to the same bits

The latents are those of another stage (dyna residue), a row for each particle of the star file. A network learns what \
density goes with a latent; no atomic model enters, so maps check what the other stage found. Every few epochs a folder \
EPOCH_STEP appears in the run's: ckpt.pt, z.npy, vol_kmeans_000.mrc .. (of cluster centres), vol_pca_1_000.mrc .. (along \
the axes of most variance), and beside them which latents and particles these are; the last one has a report, which says \
how the maps change and, where pca-1.pdb lies beside the latents, whether they change as these structures do. Particles are white, as RELION extracts \
them; else say --contrast dark. Settings have the names that CryoDyna's configurations have: a TOML file with --config, \
single ones with --cfg-options loss.mask_rad_for_image_loss=0.85.")]
pub struct Args {
    /// RELION star file of the particles
    #[arg(value_name = "STAR")]
    particles: Option<PathBuf>,
    /// Latents, a row for each particle (.npy)
    #[arg(value_name = "Z")]
    z: Option<PathBuf>,
    /// Settings, TOML; flags go before it
    #[arg(long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// Single settings: loss.mask_rad_for_image_loss=0.85
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
    /// Particles are light or dark [default: light]
    #[arg(long, value_name = "SIGN", help_heading = "Data")]
    contrast: Option<String>,
    /// Standard deviation of the images' transforms [default: estimated]
    #[arg(long, value_name = "NUMBER", help_heading = "Data")]
    f_std: Option<f64>,

    /// Width of the network's layers [default: 1024]
    #[arg(long, value_name = "N", help_heading = "Network")]
    hidden: Option<usize>,

    /// Epochs [default: 20]
    #[arg(short = 'n', long, value_name = "N", help_heading = "Training")]
    max_epochs: Option<usize>,
    /// Images of a step [default: 16]
    #[arg(short, long, value_name = "N", help_heading = "Training")]
    batch_size: Option<usize>,
    /// Learning rate of AdamW [default: 1e-4]
    #[arg(long, help_heading = "Training")]
    lr: Option<f64>,
    /// What is compared: fmsf (transforms) or rmsf (pixels) [default: fmsf]
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    loss_fn: Option<String>,
    /// Seed of everything [default: 1]
    #[arg(long, help_heading = "Training")]
    seed: Option<u64>,
    /// As the reference's configurations have it where that is a fault: the first CTF, and images moved between pixels
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

impl Args {
    fn config(&self) -> Result<Config> {
        let mut table = settings::<Config>(self.config.as_deref())?;
        let path = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| Value::String(path.to_string_lossy().into_owned()))
        };
        let count = |count: Option<usize>| count.map(|n| Value::Integer(n as i64));
        let number = |number: Option<f64>| number.map(Value::Float);
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let as_it_was = |value: &str| self.parity.then(|| Value::String(value.into()));
        let flags = [
            ("dataset_attr.starfile_path", path(&self.particles)),
            ("extra_input_data_attr.given_z", path(&self.z)),
            ("dataset_attr.dataset_dir", path(&self.datadir)),
            ("dataset_attr.apix", number(self.apix)),
            ("dataset_attr.contrast", text(&self.contrast)),
            ("dataset_attr.f_std", number(self.f_std)),
            ("data_process.down_side_shape", count(self.down_side_shape)),
            ("model.hidden", count(self.hidden)),
            ("model.ctf", as_it_was("v1")),
            ("model.shift_method", as_it_was("interp")),
            ("trainer.max_epochs", count(self.max_epochs)),
            ("trainer.check_val_every_n_epoch", count(self.check_val_every_n_epoch)),
            ("trainer.precision", self.amp.then(|| Value::String("bf16-mixed".into()))),
            ("data_loader.train_batch_per_gpu", count(self.batch_size)),
            ("optimizer.lr", number(self.lr)),
            ("loss.loss_fn", text(&self.loss_fn)),
            ("seed", self.seed.map(|seed| Value::Integer(seed as i64))),
        ];
        for (key, value) in flags {
            if let Some(value) = value {
                put(&mut table, key, value)?;
            }
        }
        for text in &self.cfg_options {
            let (key, value) = option(text)?;
            put(&mut table, key, value)?;
        }
        let config = Config::of(table)?;
        for (path, what) in [
            (&config.dataset_attr.starfile_path, "the particles' star file is"),
            (&config.extra_input_data_attr.given_z, "the latents are"),
        ] {
            if path.as_os_str().is_empty() {
                return Err(Error::usage(format!("{what} missing: kinesome dyna density STAR Z.npy -o DIR")));
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
    let images = &trainer.images;
    log.line(&format!(
        "{} particles of {} pixels, {} Å a pixel; latents of {} numbers; transforms deviate by {:.6}; on {described}",
        images.len(),
        images.particles.side(),
        images.particles.apix(),
        images.latents.dim,
        images.f_std
    ))?;
    for text in &images.particles.notes {
        note(text);
        log.line(text)?;
    }
    trainer.run(&mut log)?;
    let folder = trainer.last_folder();
    let report = folder.join("report.html");
    // Latents lie beside the structures that they became.
    let html = page(&trainer, &folder, trainer.config.extra_input_data_attr.given_z.parent())?;
    atomic::write(&report, |out| out.write_all(html.as_bytes()))?;
    note(&format!("report: {}", report.display()));
    println!("{}", folder.display());
    Ok(())
}

impl Watch for Log {
    fn begin_epoch(&mut self, epoch: usize, epochs: usize, images: usize) -> Result<()> {
        self.bar = Some(Progress::new(&format!("epoch {epoch}/{epochs}"), "images"));
        self.images = images;
        Ok(())
    }

    fn images(&mut self, done: usize) -> Result<()> {
        self.bar.as_mut().map_or(Ok(()), |bar| bar.tick(done, self.images))
    }

    fn end_epoch(&mut self, losses: &EpochLoss) -> Result<()> {
        self.bar = None;
        let text = format!(
            "epoch {}: loss {:.6}, {:.0} images/s",
            losses.epoch, losses.loss, losses.images_per_second
        );
        if !quiet() {
            println!("{text}");
        }
        self.line(&text)
    }

    fn maps(&mut self, done: usize, total: usize) -> Result<()> {
        self.bar.get_or_insert_with(|| Progress::new("maps", "maps")).tick(done, total)
    }

    fn evaluated(&mut self, folder: &Path) -> Result<()> {
        self.bar = None;
        self.line(&format!("wrote {}", folder.display()))
    }
}
