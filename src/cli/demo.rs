//! `kinesome demo`: from two structures to a report, in about two minutes.

use std::path::PathBuf;

use super::progress::{Stages, quiet};
use crate::Result;
use crate::systems::drgn::demo::{Audience, DemoOptions, Outcome, run as run_demo};
use crate::systems::drgn::run::EpochLosses;
use crate::systems::drgn::train::Watch;

/// Simulate particles of a moving protein, learn its motion, and write a report
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome demo                          about two minutes on two cores
  kinesome demo --snr 0.01 -o noisy      ten times the noise
  kinesome demo --images 1750            half the images

Writes into the folder: simulated/ (stack, star, truth), run/ (checkpoints and latents, as cryoDRGN's),
volumes/ (maps along the motion, motion.cxc for ChimeraX), report.html and metrics.json.")]
pub struct Args {
    /// Folder for everything
    #[arg(short, long, default_value = "kinesome-demo", value_name = "DIR")]
    output: PathBuf,
    /// Particle images
    #[arg(long, default_value_t = 3500, value_name = "N")]
    images: usize,
    /// Box in pixels, even, at least 32
    #[arg(long = "box", default_value_t = 40, value_name = "PX")]
    side: usize,
    /// Signal-to-noise ratio: variance of the CTF-multiplied signal over that of the noise
    #[arg(long, default_value_t = 0.1)]
    snr: f64,
    /// Error of the poses given to the training, rms degrees
    #[arg(long, default_value_t = 0.0, value_name = "DEG")]
    pose_error: f64,
    /// Epochs of training
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    epochs: usize,
    /// Seed of everything
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Device: auto, cpu, cuda, wgpu; `kinesome devices` lists them
    #[arg(long, default_value = "auto")]
    device: String,
}

pub fn run(args: Args) -> Result<()> {
    let options = DemoOptions {
        images: args.images,
        side: args.side,
        snr: args.snr,
        pose_error_deg: args.pose_error,
        epochs: args.epochs,
        batch: 16,
        zdim: 2,
        width: 128,
        layers: 2,
        frequencies: 16,
        lr: 1e-3,
        beta: 1.0,
        seed: args.seed,
        device: args.device,
    };
    options.check()?;
    let outcome = run_demo(&options, &args.output, &mut Screen::default())?;
    close(&outcome);
    Ok(())
}

/// The five closing lines.
fn close(outcome: &Outcome) {
    let m = &outcome.metrics;
    println!("found:  {}", outcome.summary());
    println!(
        "good:   rank correlation with the true motion {:.2}; volumes correlate {:.3} with the truth, one consensus map {:.3}",
        m.spearman, m.mean_correlation, m.mean_consensus
    );
    println!("look:   {} in any browser", outcome.report().display());
    println!("maps:   chimerax {}", outcome.chimerax().display());
    println!(
        "next:   kinesome drgn analyze {}    or your own: kinesome drgn train particles.star -o out",
        outcome.folder.join("run").display()
    );
}

#[derive(Default)]
struct Screen {
    stages: Stages,
    epoch: String,
    images: usize,
}

impl Watch for Screen {
    fn begin_epoch(&mut self, epoch: usize, epochs: usize, images: usize) -> Result<()> {
        self.images = images;
        self.epoch = format!("training, epoch {epoch}/{epochs}");
        self.stages.show(&self.epoch, "images", 0, images)
    }

    fn images(&mut self, done: usize, _: &EpochLosses) -> Result<()> {
        self.stages.show(&self.epoch, "images", done, self.images)
    }

    fn end_epoch(&mut self, losses: &EpochLosses) -> Result<()> {
        self.stages.end();
        let EpochLosses { epoch, total, divergence, images_per_second, .. } = losses;
        if !quiet() {
            println!(
                "epoch {epoch}: loss {total:.4}, KL divergence {divergence:.2}, {images_per_second:.0} images/s"
            );
        }
        Ok(())
    }
}

impl Audience for Screen {
    fn progress(&mut self, label: &str, unit: &'static str, done: usize, total: usize) -> Result<()> {
        self.stages.show(label, unit, done, total)
    }
}
