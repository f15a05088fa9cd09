//! `train_vae`, `train_nn` and the short way, `train`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args as ClapArgs};

use crate::cli::progress::{Progress, note, quiet};
use crate::io::atomic;
use crate::io::particles::ParticleStack;
use crate::systems::drgn::config::{
    Config, DatasetArgs, DecoderArgs, LatticeArgs, ModelArgs, SharedArgs, VaeArgs,
};
use crate::systems::drgn::data::{Images, Source};
use crate::systems::drgn::files::{CtfTable, Poses};
use crate::systems::drgn::import;
use crate::systems::drgn::model::Objective;
use crate::systems::drgn::run::{self, EpochLosses};
use crate::systems::drgn::train::{Beta, Settings, Trainer, Watch};
use crate::tensor::DType;
use crate::train::{Adam, LossScale};
use crate::{Error, Result, device};

/// What every kind of training has in common.
#[derive(ClapArgs, Debug)]
struct Common {
    /// Particle images: .mrcs, .star, .cs or a .txt list of stacks
    particles: PathBuf,

    /// Folder for the run; made if missing
    #[arg(short, long, value_name = "DIR")]
    outdir: PathBuf,

    /// CTF parameters (.pkl); without them images count as CTF-corrected
    #[arg(long, value_name = "PKL")]
    ctf: Option<PathBuf>,

    /// Go on from this checkpoint, or from the newest one of the folder: `latest`
    #[arg(long, value_name = "PKL|latest")]
    load: Option<String>,

    /// Epochs between checkpoints
    #[arg(long, default_value_t = 1, value_name = "N")]
    checkpoint: usize,

    /// Images between lines of the log
    #[arg(long, default_value_t = 1000, value_name = "N")]
    log_interval: usize,

    /// Seed of weights and noise
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Seed of the order of images [default: --seed]
    #[arg(long, value_name = "SEED")]
    shuffle_seed: Option<u64>,

    /// Only these images (.pkl with their numbers from 0)
    #[arg(long, value_name = "PKL", help_heading = "Images")]
    ind: Option<PathBuf>,

    /// Do not turn the sign of the images: they are light on dark after the CTF
    #[arg(long, help_heading = "Images")]
    uninvert_data: bool,

    /// No soft mask on the images
    #[arg(long, help_heading = "Images")]
    no_window: bool,

    /// Radius where the soft mask starts to fall, as a fraction of half the box
    #[arg(long, default_value_t = 0.85, value_name = "R", help_heading = "Images")]
    window_r: f64,

    /// Folder of the stacks that a .star or .cs file names
    #[arg(long, value_name = "DIR", help_heading = "Images")]
    datadir: Option<PathBuf>,

    /// Mean and standard deviation of the transforms [default: 0 and that of 1000 images]
    #[arg(long, num_args = 2, value_names = ["MEAN", "STD"], allow_negative_numbers = true, help_heading = "Images")]
    norm: Option<Vec<f32>>,

    /// Epochs
    #[arg(
        short = 'n',
        long = "num-epochs",
        default_value_t = 20,
        value_name = "N",
        help_heading = "Training"
    )]
    num_epochs: usize,

    /// Images a step
    #[arg(short, long, default_value_t = 16, value_name = "N", help_heading = "Training")]
    batch_size: usize,

    /// Learning rate of Adam
    #[arg(long, default_value_t = 1e-4, help_heading = "Training")]
    lr: f64,

    /// Weight decay of Adam
    #[arg(long, default_value_t = 0.0, help_heading = "Training")]
    wd: f64,

    /// Scale gradients down to this joint norm (not in cryoDRGN)
    #[arg(long, value_name = "NORM", help_heading = "Training")]
    clip: Option<f32>,

    /// Device: auto, cpu, cuda, wgpu; `kinesome devices` lists them
    #[arg(long, default_value = "auto", help_heading = "Running")]
    device: String,

    /// Matrix products in 16 bits, bf16 or f16 (then with a scaled loss); weights stay f32
    #[arg(long, value_name = "TYPE", num_args = 0..=1, require_equals = true, default_missing_value = "bf16",
        value_parser = ["bf16", "f16"], help_heading = "Running")]
    amp: Option<String>,

    /// Print parameters, memory and FLOP of a step, and stop
    #[arg(long, help_heading = "Running")]
    dry_run: bool,

    /// With --dry-run: print every launch of a step, before and after fusion
    #[arg(long, requires = "dry_run", help_heading = "Running")]
    dump_plan: bool,

    /// Run node by node and stop at the first value that is not finite, naming the line that made it
    #[arg(long, help_heading = "Running")]
    eager: bool,

    /// Accepted and without effect: images are always streamed, in f32
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    lazy: bool,
    #[arg(long, hide = true, action = ArgAction::SetTrue, conflicts_with = "amp")]
    no_amp: bool,
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    multigpu: bool,
    #[arg(short, long, hide = true, action = ArgAction::Count)]
    verbose: u8,
    #[arg(long, hide = true, value_name = "N")]
    num_workers: Option<usize>,
    #[arg(long, hide = true, value_name = "N")]
    max_threads: Option<usize>,
    #[arg(long, hide = true, value_name = "N")]
    shuffler_size: Option<usize>,
    /// Not supported yet; refused when given
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    do_pose_sgd: bool,
}

/// The decoder's shape.
#[derive(ClapArgs, Debug)]
struct Network {
    /// Positional encoding: gaussian, geom_ft, geom_full, geom_lowf, geom_nohighf, linear_lowf, none
    #[arg(long, default_value = "gaussian", value_name = "TYPE", help_heading = "Network")]
    pe_type: String,

    /// Standard deviation of the random frequencies of the gaussian encoding
    #[arg(long, default_value_t = 0.5, value_name = "SIGMA", help_heading = "Network")]
    feat_sigma: f64,

    /// Frequencies an axis [default: half the box]
    #[arg(long, value_name = "N", help_heading = "Network")]
    pe_dim: Option<usize>,

    /// What the decoder gives: fourier or hartley
    #[arg(long, default_value = "fourier", help_heading = "Network")]
    domain: String,

    /// relu or leaky_relu
    #[arg(long, default_value = "relu", help_heading = "Network")]
    activation: String,
}

#[derive(ClapArgs, Debug)]
struct Vae {
    /// Latent variables
    #[arg(long, value_name = "N", default_value_t = 8)]
    zdim: usize,

    /// Weight of the divergence: a number, or a schedule a, b, c, d (those need --beta-control)
    #[arg(long, value_name = "BETA", help_heading = "Training")]
    beta: Option<String>,

    /// Hold the divergence at beta with this strength instead
    #[arg(long, value_name = "GAMMA", help_heading = "Training")]
    beta_control: Option<f32>,

    /// Hidden layers of the encoder
    #[arg(long = "enc-layers", default_value_t = 3, value_name = "N", help_heading = "Network")]
    qlayers: usize,

    /// Width of the encoder
    #[arg(long = "enc-dim", default_value_t = 1024, value_name = "N", help_heading = "Network")]
    qdim: usize,

    /// resid or mlp
    #[arg(long, default_value = "resid", value_name = "MODE", help_heading = "Network")]
    encode_mode: String,

    /// Radius of the circle the encoder sees, in pixels [default: half the box]
    #[arg(long, value_name = "PX", help_heading = "Network")]
    enc_mask: Option<i64>,

    /// Hidden layers of the decoder
    #[arg(long = "dec-layers", default_value_t = 3, value_name = "N", help_heading = "Network")]
    players: usize,

    /// Width of the decoder
    #[arg(long = "dec-dim", default_value_t = 1024, value_name = "N", help_heading = "Network")]
    pdim: usize,

    /// Do not analyse the latents at the end
    #[arg(long)]
    no_analysis: bool,
}

/// Train a VAE on particles with known poses: continuous heterogeneity
#[derive(ClapArgs, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn train_vae particles.mrcs --poses pose.pkl --ctf ctf.pkl --zdim 8 -n 50 -o out
  kinesome drgn train_vae particles.mrcs --poses pose.pkl --ctf ctf.pkl --zdim 8 -n 50 -o out --load latest

Writes config.yaml, run.log, weights.N.pkl and z.N.pkl of each checkpoint, weights.pkl and z.pkl at the end; all open
in cryoDRGN. A run that was stopped in any way goes on with --load latest and ends with the same bits.")]
pub struct VaeCommand {
    #[command(flatten)]
    common: Common,
    /// Poses (.pkl): rotations, and shifts as fractions of the box
    #[arg(long, value_name = "PKL")]
    poses: PathBuf,
    #[command(flatten)]
    vae: Vae,
    #[command(flatten)]
    network: Network,
}

/// Train a VAE on a RELION or cryoSPARC file: poses and CTF are read from it
#[derive(ClapArgs, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn train particles.star -o out
  kinesome drgn train particles.star -o out --zdim 4 --enc-dim 256 --dec-dim 256 -n 30

The same as parse_pose_star, parse_ctf_star and train_vae; pose.pkl and ctf.pkl are written into the run's folder.")]
pub struct Command {
    #[command(flatten)]
    common: Common,
    /// Poses (.pkl) instead of those of the file
    #[arg(long, value_name = "PKL")]
    poses: Option<PathBuf>,
    /// Pixel size in Å instead of that of the file
    #[arg(long = "Apix", alias = "apix", value_name = "Å", help_heading = "Images")]
    apix: Option<f64>,
    #[command(flatten)]
    vae: Vae,
    #[command(flatten)]
    network: Network,
}

/// Train a decoder alone on particles with known poses: one homogeneous map
#[derive(ClapArgs, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn train_nn particles.mrcs --poses pose.pkl --ctf ctf.pkl -n 20 -o out

Writes reconstruct.N.mrc and weights.N.pkl of each checkpoint, reconstruct.mrc and weights.pkl at the end.")]
pub struct NnCommand {
    #[command(flatten)]
    common: Common,
    /// Poses (.pkl): rotations, and shifts as fractions of the box
    #[arg(long, value_name = "PKL")]
    poses: PathBuf,
    /// Hidden layers
    #[arg(long, default_value_t = 3, value_name = "N", help_heading = "Network")]
    layers: usize,
    /// Width
    #[arg(long, default_value_t = 1024, value_name = "N", help_heading = "Network")]
    dim: usize,
    /// Half the width of the coordinates' range; 0.5 is the only one supported
    #[arg(long, default_value_t = 0.5, hide = true)]
    l_extent: f64,
    #[command(flatten)]
    network: Network,
}

pub fn run_vae(command: VaeCommand) -> Result<()> {
    let VaeCommand { common, poses, vae, network } = command;
    let ctf = common.ctf.as_deref().map(CtfTable::read).transpose()?;
    let paths = Paths { poses: poses.clone(), ctf: common.ctf.clone() };
    train(&common, Poses::read(&poses)?, ctf, paths, Model::Vae(&vae), &network)
}

pub fn run_nn(command: NnCommand) -> Result<()> {
    let NnCommand { common, poses, layers, dim, l_extent, network } = command;
    if l_extent != 0.5 {
        return Err(Error::usage("--l-extent: only 0.5, the default, is supported yet"));
    }
    let ctf = common.ctf.as_deref().map(CtfTable::read).transpose()?;
    let paths = Paths { poses: poses.clone(), ctf: common.ctf.clone() };
    train(&common, Poses::read(&poses)?, ctf, paths, Model::Decoder { layers, dim }, &network)
}

pub fn run(command: Command) -> Result<()> {
    let Command { common, poses, apix, vae, network } = command;
    atomic::folder(&common.outdir)?;
    let stack = ParticleStack::open(&common.particles, common.datadir.as_deref(), None)?;
    let given = import::Given {
        box_side: Some(stack.box_size() as f64),
        apix: apix.or(stack.apix()),
        ..Default::default()
    };
    let (pose_path, ctf_path) = (common.outdir.join("pose.pkl"), common.outdir.join("ctf.pkl"));
    let poses = match poses {
        Some(path) => Poses::read(&path)?,
        None => {
            let found = import::poses_of(&common.particles, &given)?;
            found.notes.iter().for_each(|n| note(n));
            found.table
        }
    };
    let ctf = match &common.ctf {
        Some(path) => CtfTable::read(path)?,
        None => {
            let found = import::ctf_of(&common.particles, &given)?;
            found.notes.iter().for_each(|n| note(n));
            found.table
        }
    };
    poses.write(&pose_path)?;
    ctf.write(&ctf_path)?;
    let paths = Paths { poses: pose_path, ctf: Some(ctf_path) };
    train(&common, poses, Some(ctf), paths, Model::Vae(&vae), &network)
}

struct Paths {
    poses: PathBuf,
    ctf: Option<PathBuf>,
}

enum Model<'a> {
    Vae(&'a Vae),
    Decoder { layers: usize, dim: usize },
}

/// Now, UTC, as `2026-11-21 10:13:15.876985`.
fn timestamp() -> String {
    let now = humantime::format_rfc3339_micros(std::time::SystemTime::now()).to_string();
    now.replace('T', " ").trim_end_matches('Z').to_string()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn config(common: &Common, images: &Images, paths: &Paths, model: &Model, network: &Network) -> Config {
    let side = images.side();
    let shared = SharedArgs {
        pe_type: network.pe_type.clone(),
        feat_sigma: Some(network.feat_sigma),
        pe_dim: network.pe_dim,
        domain: network.domain.clone(),
        activation: network.activation.clone(),
    };
    let model_args = match model {
        Model::Vae(vae) => ModelArgs::Vae(VaeArgs {
            qlayers: vae.qlayers,
            qdim: vae.qdim,
            players: vae.players,
            pdim: vae.pdim,
            zdim: vae.zdim,
            encode_mode: vae.encode_mode.clone(),
            enc_mask: Some(vae.enc_mask.unwrap_or((side / 2) as i64)),
            shared,
            tilt_params: None,
            other: Default::default(),
        }),
        Model::Decoder { layers, dim } => ModelArgs::Decoder(DecoderArgs {
            layers: *layers,
            dim: *dim,
            zdim: None,
            shared,
            other: Default::default(),
        }),
    };
    let (mean, std) = images.norm();
    Config {
        cmd: std::env::args().collect(),
        dataset_args: DatasetArgs {
            particles: text(&common.particles),
            datadir: common.datadir.as_deref().map(text),
            ctf: paths.ctf.as_deref().map(text),
            poses: Some(text(&paths.poses)),
            ind: common.ind.as_deref().map(text),
            norm: [mean as f64, std as f64],
            invert_data: !common.uninvert_data,
            keepreal: false,
            window: !common.no_window,
            window_r: common.window_r,
            do_pose_sgd: false,
            ntilts: None,
            other: Default::default(),
        },
        lattice_args: LatticeArgs { d: side + 1, extent: 0.5, ignore_dc: true, other: Default::default() },
        model_args,
        seed: Some(common.seed as i64),
        time: Some(timestamp()),
        version: Some(format!("kinesome {}", env!("CARGO_PKG_VERSION"))),
        other: Default::default(),
    }
}

fn settings(common: &Common, model: &Model) -> Result<Settings> {
    if common.do_pose_sgd {
        return Err(Error::usage("--do-pose-sgd is not supported yet: poses stay as they are given"));
    }
    if common.batch_size == 0 || common.num_epochs == 0 {
        return Err(Error::usage("--batch-size and --num-epochs must be at least 1"));
    }
    if !(common.lr > 0.0 && common.lr.is_finite()) {
        return Err(Error::usage(format!("--lr {}: give a positive number, such as 1e-4", common.lr)));
    }
    let (beta, beta_control) = match model {
        Model::Decoder { .. } => (Beta::Constant(0.0), None),
        Model::Vae(vae) => {
            if vae.zdim == 0 {
                return Err(Error::usage("--zdim 0: a VAE needs a latent variable; train_nn trains one map"));
            }
            let beta = match &vae.beta {
                Some(text) => Beta::parse(text)?,
                None => Beta::Constant(1.0 / vae.zdim as f64),
            };
            if matches!(beta, Beta::Linear { .. }) && vae.beta_control.is_none() {
                return Err(Error::usage("a schedule of beta needs --beta-control"));
            }
            (beta, vae.beta_control)
        }
    };
    let precision = match common.amp.as_deref() {
        Some("f16") => DType::F16,
        Some(_) => DType::BF16,
        None => DType::F32,
    };
    let loss_scale = (precision == DType::F16).then(LossScale::default);
    let adam = Adam { lr: common.lr, weight_decay: common.wd, ..Adam::default() };
    Ok(Settings {
        epochs: common.num_epochs,
        batch: common.batch_size,
        beta,
        objective: Objective { beta_control, adam, clip: common.clip, loss_scale },
        seed: common.seed,
        shuffle_seed: common.shuffle_seed.unwrap_or(common.seed),
        checkpoint: common.checkpoint,
        eager: common.eager,
        precision,
    })
}

fn train(
    common: &Common,
    poses: Poses,
    ctf: Option<CtfTable>,
    paths: Paths,
    model: Model,
    network: &Network,
) -> Result<()> {
    let settings = settings(common, &model)?;
    let device = device::open(&common.device)?;
    let source = Source {
        particles: common.particles.clone(),
        datadir: common.datadir.clone(),
        ind: common.ind.clone(),
        invert: !common.uninvert_data,
        window: (!common.no_window).then_some(common.window_r as f32),
        norm: common.norm.as_ref().map(|n| (n[0], n[1])),
    };
    let images = Images::open(&source, poses, ctf)?;
    let config = config(common, &images, &paths, &model, network);
    let mut trainer = Trainer::new(&config, &images, device.clone(), &common.outdir, settings)?;
    if common.dry_run {
        let program = trainer.program()?;
        println!("parameters   {}", program.parameter_count());
        println!("states       {:.1} MiB (parameters and moments)", program.state_bytes() as f64 / 1048576.0);
        println!("arena        {:.1} MiB (peak memory of a step)", program.arena_bytes as f64 / 1048576.0);
        println!(
            "FLOP a step  {:.3e} ({:.3e} an image)",
            program.flop() as f64,
            program.flop() as f64 / common.batch_size as f64
        );
        if common.dump_plan {
            print!("\nbefore fusion: {}\nafter fusion: {}", trainer.unfused()?.listing(), program.listing());
        }
        return Ok(());
    }
    let start = match common.load.as_deref() {
        None => None,
        Some("latest") => {
            let found = run::latest(&common.outdir);
            if found.is_none() {
                note(&format!("no checkpoint in {} yet: starting over", common.outdir.display()));
            }
            found
        }
        Some(path) => Some(path.into()),
    };
    if let Some(weights) = &start {
        trainer.resume(weights)?;
        note(&format!("going on from {} after epoch {}", weights.display(), trainer.history().len()));
    }
    atomic::folder(&common.outdir)?;
    config.write(&common.outdir.join("config.yaml"))?;
    let mut watch = Log::open(&common.outdir, common.log_interval, start.is_some())?;
    watch.line(&format!(
        "{} images of {} x {} pixels, on {}",
        images.len(),
        images.side(),
        images.side(),
        device.describe()
    ))?;
    trainer.run(&mut watch)?;
    println!(
        "trained {} epochs: {}",
        trainer.history().len(),
        run::weights_path(&common.outdir, None).display()
    );
    match model {
        Model::Vae(vae) if !vae.no_analysis => {
            super::analyse::run_after_training(&common.outdir, trainer.history().len())
        }
        _ => Ok(()),
    }
}

/// `run.log`, in lines that cryoDRGN's analysis reads too, and the bar.
struct Log {
    path: PathBuf,
    file: std::fs::File,
    interval: usize,
    bar: Option<Progress>,
    said: usize,
    images: usize,
}

impl Log {
    fn open(folder: &Path, interval: usize, append: bool) -> Result<Log> {
        let path = folder.join("run.log");
        let file =
            std::fs::OpenOptions::new().create(true).write(true).append(append).truncate(!append).open(&path);
        let file = file.map_err(|e| Error::os("write", &path, e))?;
        Ok(Log { path, file, interval: interval.max(1), bar: None, said: 0, images: 0 })
    }

    fn line(&mut self, text: &str) -> Result<()> {
        use std::io::Write;
        let stamp = timestamp();
        writeln!(self.file, "(INFO) (kinesome) ({stamp}) {text}")
            .map_err(|e| Error::os("write", &self.path, e))
    }
}

impl Watch for Log {
    fn begin_epoch(&mut self, epoch: usize, epochs: usize, images: usize) -> Result<()> {
        self.bar = Some(Progress::new(&format!("epoch {epoch}/{epochs}"), "images"));
        (self.said, self.images) = (0, images);
        Ok(())
    }

    fn images(&mut self, done: usize, losses: &EpochLosses) -> Result<()> {
        if let Some(bar) = &mut self.bar {
            bar.tick(done, self.images)?;
        }
        if done / self.interval > self.said {
            self.said = done / self.interval;
            let EpochLosses { epoch, reconstruction, divergence, total, .. } = losses;
            self.line(&format!(
                "# [Train Epoch: {epoch}] [{done}/{} images] gen loss={reconstruction:.6}, kld={divergence:.6}, loss={total:.6}",
                self.images
            ))?;
        }
        Ok(())
    }

    fn end_epoch(&mut self, losses: &EpochLosses) -> Result<()> {
        self.bar = None;
        let EpochLosses { epoch, reconstruction, divergence, total, images_per_second } = losses;
        let seconds = self.images as f64 / images_per_second.max(1e-9);
        let text = format!(
            "# =====> Epoch: {epoch} Average gen loss = {reconstruction:.6}, KLD = {divergence:.6}, total loss = {total:.6}; \
             Finished in {:.1?}",
            Duration::from_secs_f64(seconds)
        );
        if !quiet() {
            println!(
                "epoch {epoch}: loss {total:.5} (reconstruction {reconstruction:.5}, KLD {divergence:.3}), {images_per_second:.0} images/s"
            );
        }
        self.line(&text)
    }
}
