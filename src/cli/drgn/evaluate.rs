//! `eval_vol` and `eval_images`: a trained model at work.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args as ClapArgs};

use crate::cli::progress::{Progress, note};
use crate::cryo::volume::{PostProcess, Volume};
use crate::io::atomic;
use crate::io::mrc::write_volume;
use crate::io::npy::Array;
use crate::io::pickle::{self, Value};
use crate::systems::drgn::config::ModelArgs;
use crate::systems::drgn::data::{Images, Source};
use crate::systems::drgn::evaluate::Model;
use crate::systems::drgn::files::{CtfTable, Poses};
use crate::{Error, Result};

/// What is done to every volume before it is written.
#[derive(ClapArgs, Debug)]
pub struct Finish {
    /// Pixel size in Å for the header [default: that of the run's ctf.pkl, else 1]
    #[arg(long = "Apix", alias = "apix", value_name = "Å")]
    pub apix: Option<f64>,
    /// Turn the handedness: reverse the first axis
    #[arg(long)]
    pub flip: bool,
    /// Turn the sign of the density
    #[arg(long)]
    pub invert: bool,
    /// Side of the volumes, even: a Fourier crop, coarser voxels
    #[arg(short, long, value_name = "VOXELS")]
    pub downsample: Option<usize>,
    /// Cut off finer detail than this resolution
    #[arg(long, value_name = "Å")]
    pub low_pass: Option<f32>,
    /// Keep the central cube of this side
    #[arg(long, value_name = "VOXELS")]
    pub crop: Option<usize>,
}

/// Volumes of latents, from a trained model
#[derive(ClapArgs, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn eval_vol out/weights.pkl -c out/config.yaml -z 0.5 -0.5 -o vol.mrc
  kinesome drgn eval_vol out/weights.pkl -c out/config.yaml --zfile z_values.txt -o volumes --Apix 2.5
  kinesome drgn eval_vol out/weights.pkl -c out/config.yaml --z-start -1 --z-end 1 -n 10 -o volumes")]
pub struct VolumeArgs {
    /// Checkpoint (weights.N.pkl)
    weights: PathBuf,
    /// The run's config.yaml
    #[arg(short, long, value_name = "YAML")]
    config: PathBuf,
    /// One .mrc file (one latent), or a folder
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// The latent, one number a variable
    #[arg(short, num_args = 1.., allow_negative_numbers = true, value_name = "Z", group = "latent")]
    z: Option<Vec<f32>>,
    /// First latent of a straight path
    #[arg(long, num_args = 1.., allow_negative_numbers = true, value_name = "Z", requires = "z_end", group = "latent")]
    z_start: Option<Vec<f32>>,
    /// Last latent of a straight path
    #[arg(long, num_args = 1.., allow_negative_numbers = true, value_name = "Z", requires = "z_start")]
    z_end: Option<Vec<f32>>,
    /// Volumes on the path
    #[arg(short, default_value_t = 10, value_name = "N")]
    n: usize,
    /// Latents, one a line of text, or an array (.pkl, .npy)
    #[arg(long, value_name = "FILE", group = "latent")]
    zfile: Option<PathBuf>,
    /// Beginning of the names in a folder
    #[arg(long, default_value = "vol_")]
    prefix: String,
    /// Number of the first name
    #[arg(long, default_value_t = 1)]
    vol_start_index: usize,
    #[command(flatten)]
    finish: Finish,
    /// Device: auto, cpu, cuda, wgpu; `kinesome devices` lists them
    #[arg(long, default_value = "auto")]
    device: String,
    #[arg(short, long, hide = true, action = ArgAction::Count)]
    verbose: u8,
}

/// Latents and losses of images, from a trained model
#[derive(ClapArgs, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn eval_images particles.mrcs out/weights.pkl -c out/config.yaml --poses pose.pkl --ctf ctf.pkl \\
      -o losses.pkl --out-z z.pkl

losses.pkl holds a dict of loss, recon and kld: means over all images, each at the mean of its latent.")]
pub struct ImageArgs {
    /// Particle images: .mrcs, .star, .cs or a .txt list of stacks
    particles: PathBuf,
    /// Checkpoint (weights.N.pkl)
    weights: PathBuf,
    /// The run's config.yaml
    #[arg(short, long, value_name = "YAML")]
    config: PathBuf,
    /// Losses (.pkl)
    #[arg(short, long, value_name = "PKL")]
    output: PathBuf,
    /// Latents (.pkl)
    #[arg(long, value_name = "PKL")]
    out_z: PathBuf,
    /// Poses (.pkl)
    #[arg(long, value_name = "PKL")]
    poses: PathBuf,
    /// CTF parameters (.pkl)
    #[arg(long, value_name = "PKL")]
    ctf: Option<PathBuf>,
    /// Weight of the divergence in the loss [default: 1 / zdim]
    #[arg(long)]
    beta: Option<f64>,
    /// Images a step
    #[arg(short, long, default_value_t = 64, value_name = "N")]
    batch_size: usize,
    /// Only these images (.pkl with their numbers from 0)
    #[arg(long, value_name = "PKL")]
    ind: Option<PathBuf>,
    /// Folder of the stacks that a .star or .cs file names
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,
    /// Device: auto, cpu, cuda, wgpu; `kinesome devices` lists them
    #[arg(long, default_value = "auto")]
    device: String,
    #[arg(short, long, hide = true, action = ArgAction::Count)]
    verbose: u8,
}

/// Makes a finished volume out of a decoded one of side `side`; `apix` is that of the model's box `n`.
pub fn finished(data: Vec<f32>, side: usize, n: usize, apix: f64, finish: &Finish) -> Result<Volume> {
    let mut volume = Volume::new(data, side, (apix * n as f64 / side as f64) as f32)?;
    volume.post_process(&PostProcess {
        flip: finish.flip,
        invert: finish.invert,
        low_pass: finish.low_pass,
        crop: finish.crop,
    })?;
    Ok(volume)
}

pub fn write(volume: &Volume, path: &Path) -> Result<()> {
    let origin = volume.origin.map(|v| v as f64);
    write_volume(path, &volume.data, [volume.n; 3], volume.apix as f64, origin)
}

pub fn run_volumes(args: VolumeArgs) -> Result<()> {
    let model = Model::load(&args.config, &args.weights, &args.device)?;
    let zdim = model.network.zdim();
    let latents = latents(&args, zdim)?;
    let folder = args.config.parent().unwrap_or(Path::new("."));
    let apix = args.finish.apix.or_else(|| model.apix(folder)).unwrap_or_else(|| {
        note("the pixel size is unknown: 1 Å is written (give --Apix)");
        1.0
    });
    let mut decoder = model.evaluator().volumes(args.finish.downsample)?;
    let n = model.network.side - 1;
    let side = args.finish.downsample.unwrap_or(n);
    let one_file = args.output.extension().is_some_and(|e| e.eq_ignore_ascii_case("mrc"));
    if one_file && latents.len() != 1 {
        return Err(Error::usage(format!(
            "-o {}: {} volumes need a folder",
            args.output.display(),
            latents.len()
        )));
    }
    if !one_file {
        atomic::folder(&args.output)?;
    }
    let mut bar = Progress::new("decoding", "volumes");
    for (i, z) in latents.iter().enumerate() {
        let volume = finished(decoder.decode(z, model.norm())?, side, n, apix, &args.finish)?;
        let path = if one_file {
            args.output.clone()
        } else {
            args.output.join(format!("{}{:03}.mrc", args.prefix, i + args.vol_start_index))
        };
        write(&volume, &path)?;
        bar.tick(i + 1, latents.len())?;
    }
    println!(
        "{} volumes of {side} voxels a side: {} ({})",
        latents.len(),
        args.output.display(),
        bar.finish()
    );
    Ok(())
}

fn latents(args: &VolumeArgs, zdim: usize) -> Result<Vec<Vec<f32>>> {
    let check = |z: Vec<f32>| {
        if z.len() == zdim {
            return Ok(z);
        }
        Err(Error::usage(format!("this model has {zdim} latent variables, {} numbers were given", z.len())))
    };
    if let Some(z) = &args.z {
        return Ok(vec![check(z.clone())?]);
    }
    if let (Some(start), Some(end)) = (&args.z_start, &args.z_end) {
        let (start, end) = (check(start.clone())?, check(end.clone())?);
        let last = args.n.saturating_sub(1).max(1) as f32;
        let at = |i: usize| start.iter().zip(&end).map(|(a, b)| a + (b - a) * i as f32 / last).collect();
        return Ok((0..args.n.max(1)).map(at).collect());
    }
    match &args.zfile {
        Some(path) => read_latents(path, zdim),
        None if zdim == 0 => Ok(vec![vec![]]),
        None => Err(Error::usage("give the latents: -z, --zfile, or --z-start and --z-end")),
    }
}

/// One latent a line, or the rows of an array.
fn read_latents(path: &Path, zdim: usize) -> Result<Vec<Vec<f32>>> {
    let is_array =
        path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pkl") || e.eq_ignore_ascii_case("npy"));
    let wrong = |place: String, found: usize| {
        Error::malformed(path, place, format!("{found} numbers, but the model has {zdim} latent variables"))
    };
    if is_array {
        let latents = crate::systems::drgn::files::Latents::read(path)?;
        if latents.dim != zdim {
            return Err(wrong(String::new(), latents.dim));
        }
        return Ok(latents.mu.chunks(zdim.max(1)).map(<[f32]>::to_vec).collect());
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::os("read", path, e))?;
    let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
    let rows: Vec<Vec<f32>> = lines
        .map(|(i, line)| {
            let number = |t: &str| {
                let problem =
                    || Error::malformed(path, format!("line {}", i + 1), format!("{t:?} is no number"));
                t.parse::<f32>().map_err(|_| problem())
            };
            let row = line
                .split([' ', '\t', ','])
                .filter(|t| !t.is_empty())
                .map(number)
                .collect::<Result<Vec<_>>>()?;
            if row.len() == zdim { Ok(row) } else { Err(wrong(format!("line {}", i + 1), row.len())) }
        })
        .collect::<Result<_>>()?;
    if rows.is_empty() { Err(Error::malformed(path, "", "holds no latents")) } else { Ok(rows) }
}

pub fn run_images(args: ImageArgs) -> Result<()> {
    let model = Model::load(&args.config, &args.weights, &args.device)?;
    if !matches!(model.config.model_args, ModelArgs::Vae(_)) {
        return Err(Error::usage("this model has no encoder, so images have no latents"));
    }
    if args.batch_size == 0 {
        return Err(Error::usage("--batch-size must be at least 1"));
    }
    let mut source = Source::of(&model.config.dataset_args);
    source.particles = args.particles.clone();
    source.datadir = args.datadir.clone();
    source.ind = args.ind.clone();
    let ctf = args.ctf.as_deref().map(CtfTable::read).transpose()?;
    let images = Images::open(&source, Poses::read(&args.poses)?, ctf)?;
    if images.side() + 1 != model.network.side {
        let (has, needs) = (images.side(), model.network.side - 1);
        return Err(Error::usage(format!(
            "the images are {has} pixels a side, the model was trained on {needs}"
        )));
    }
    let evaluator = model.evaluator();
    let mut bar = Progress::new("encoding", "images");
    let mut interrupted = Ok(());
    let latents = evaluator.latents(&images, |done| interrupted = bar.tick(done, images.len()))?;
    interrupted?;
    drop(bar);
    let beta = args.beta.unwrap_or(1.0 / model.network.zdim() as f64);
    let losses = evaluator.losses(&images, args.batch_size, beta)?;
    latents.write(&args.out_z)?;
    let number = |v: f64| -> Result<Value> { Ok(Value::Array(Array::f64(&[], vec![v])?)) };
    let dict = vec![
        (Value::str("loss"), number(losses.total)?),
        (Value::str("recon"), number(losses.reconstruction)?),
        (Value::str("kld"), number(losses.divergence)?),
    ];
    pickle::write(&args.output, &Value::Dict(dict))?;
    println!(
        "{} images: loss {:.5}, reconstruction {:.5}, KLD {:.3}",
        images.len(),
        losses.total,
        losses.reconstruction,
        losses.divergence
    );
    Ok(())
}
