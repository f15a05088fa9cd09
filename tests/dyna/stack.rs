//! Simulated particles of adenylate kinase whose true structures are known.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kinesome::cryo::simulate::{Ensemble, SimulateOptions, simulate};
use kinesome::device::cpu::Cpu;
use kinesome::device::open;
use kinesome::io::structure::Structure;
use kinesome::plan::{Options, Step, Store};
use kinesome::protein::superpose::rmsd;
use kinesome::systems::dyna::checkpoint::EpochLosses;
use kinesome::systems::dyna::config::Config;
use kinesome::systems::dyna::train::{Trainer, Watch};
use kinesome::tape::Tape;
use kinesome::tensor::{DType, Tensor};

use crate::secondary::data;

pub struct Stack {
    pub folder: tempfile::TempDir,
    /// CA places that each image shows.
    pub truth: Vec<Vec<[f64; 3]>>,
}

/// From the open to the closed state.
fn path() -> Ensemble {
    let states =
        ["adk_open.pdb", "adk_closed.pdb"].map(|name| Structure::read(&data(name)).expect("a structure"));
    let mut ensemble = Ensemble::path(&states, 50, true).expect("a path");
    ensemble.centre();
    ensemble
}

impl Stack {
    /// `reference`: where along the path the model stands that is docked.
    pub fn new(images: usize, side: usize, apix: f64, snr: f64, reference: f64) -> Stack {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SimulateOptions {
            images,
            box_side: side,
            apix: Some(apix),
            snr: Some(snr),
            ..Default::default()
        };
        simulate(&options, path(), folder.path(), &mut |_, _, _| Ok(())).expect("a stack");
        let ensemble = path();
        ensemble.models_at(&[reference], 0.0)[0].write(&folder.path().join("model.pdb")).expect("a model");
        let atoms = &ensemble.models_at(&[0.0], 0.0)[0].atoms;
        let text = std::fs::read_to_string(folder.path().join("truth.csv")).expect("the truth");
        let time = |line: &str| line.split(',').nth(1).and_then(|t| t.parse::<f64>().ok()).expect("a number");
        let truth = text
            .lines()
            .skip(1)
            .map(|line| {
                let all = ensemble.atoms(time(line)).zip(atoms);
                all.filter(|(_, atom)| atom.name == "CA").map(|((place, _), _)| place).collect()
            })
            .collect();
        Stack { folder, truth }
    }

    pub fn config(&self) -> Config {
        let mut config = Config::default();
        config.dataset_attr.starfile_path = self.path("particles.star");
        config.dataset_attr.ref_pdb_path = self.path("model.pdb");
        config
    }

    /// A small network, for a few hundred clear particles.
    pub fn small(&self, epochs: usize) -> Config {
        let mut config = self.config();
        config.model.model_cfg.e_hidden_dim = vec![64, 32, 32, 32];
        config.model.model_cfg.z_dim = 8;
        config.model.model_cfg.latent_dim = 16;
        config.data_loader.train_batch_per_gpu = 40;
        config.optimizer.lr = 3e-3;
        config.trainer.max_epochs = epochs;
        config.trainer.check_val_every_n_epoch = epochs;
        config
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Prints what training says.
pub struct Print;

impl Watch for Print {
    fn note(&mut self, text: &str) -> kinesome::Result<()> {
        println!("{text}");
        Ok(())
    }

    fn begin_epoch(&mut self, _: usize, _: usize, _: usize) -> kinesome::Result<()> {
        Ok(())
    }

    fn images(&mut self, _: usize) -> kinesome::Result<()> {
        Ok(())
    }

    fn end_epoch(&mut self, losses: &EpochLosses) -> kinesome::Result<()> {
        println!("{losses:?}");
        Ok(())
    }

    fn evaluated(&mut self, _: &Path) -> kinesome::Result<()> {
        Ok(())
    }
}

/// On the CPU, or on `KINESOME_DYNA_DEVICE`.
pub fn trainer(config: Config, folder: &Path) -> Trainer {
    let device = std::env::var("KINESOME_DYNA_DEVICE").unwrap_or("cpu".into());
    Trainer::new(config, open(&device).expect("a device"), folder).expect("a trainer")
}

/// What was learned of the true structures.
#[derive(Debug)]
pub struct Score {
    /// Mean CA RMSD to the truth, no superposition, Å.
    pub learned: f64,
    /// The same of the reference as it stands.
    pub still: f64,
    /// Root mean square change of CA-CA bonds, Å.
    pub bonds: f64,
    /// Nearest two CA of any structure that are no neighbours, Å.
    pub closest: f64,
    /// Cross-validated share of the variance of the LID's angle that latents explain.
    pub explained: f64,
}

pub fn score(trainer: &Trainer, stack: &Stack) -> Score {
    let evaluator = trainer.evaluator();
    let latents = evaluator.latents(&trainer.particles).expect("latents");
    let structures = evaluator.structures(&latents).expect("structures");
    let reference = &trainer.reference;
    let n = stack.truth.len() as f64;
    let mean = |each: &dyn Fn(usize) -> f64| (0..stack.truth.len()).map(each).sum::<f64>() / n;
    let distance = |a: &[f64; 3], b: &[f64; 3]| (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt();
    let bonded: Vec<usize> = (1..reference.len()).filter(|&i| reference.bonded(i - 1, i)).collect();
    let strain = |s: &Vec<[f64; 3]>| -> f64 {
        let change = |&i: &usize| {
            (distance(&s[i], &s[i - 1]) - distance(&reference.places[i], &reference.places[i - 1])).powi(2)
        };
        bonded.iter().map(change).sum::<f64>() / bonded.len() as f64
    };
    let closest = |s: &Vec<[f64; 3]>| {
        let mut least = f64::INFINITY;
        for i in 0..s.len() {
            // The cis-proline 87 is 2.9 Å from its neighbour.
            for j in 0..i - usize::from(i > 0 && reference.bonded(i - 1, i)) {
                least = least.min(distance(&s[i], &s[j]));
            }
        }
        least
    };
    let angles: Vec<f64> = stack.truth.iter().map(|s| lid_angle(s)).collect();
    Score {
        learned: mean(&|i| rmsd(&structures[i], &stack.truth[i])),
        still: mean(&|i| rmsd(&reference.places, &stack.truth[i])),
        bonds: (structures.iter().map(strain).sum::<f64>() / n).sqrt(),
        closest: structures.iter().step_by(7).map(closest).fold(f64::INFINITY, f64::min),
        explained: explained(&latents, trainer.network.encoder.z, &angles),
    }
}

/// What true poses leave to be found: the mean RMSD to the truth, Å, of whichever of fifty true conformations agrees best
/// with each particle, among the first `count`.
pub fn oracle(trainer: &Trainer, stack: &Stack, count: usize) -> f64 {
    const BATCH: usize = 50;
    let (network, particles) = (&trainer.network, &trainer.particles);
    let n = trainer.reference.len();
    let tape = Tape::new();
    let inputs = network.inputs(&tape, BATCH, None);
    let places = tape.input("places", &[n, 3, 1], DType::F32).expand(&[n, 3, BATCH]);
    let off = network.disagreement(&inputs, places);
    let store = Store::new(Arc::new(Cpu::new()), 0);
    let mut step = Step::new(&store, &tape, &[("off", off)], Options::default()).expect("a step");
    let ensemble = path();
    let atoms = &ensemble.models_at(&[0.0], 0.0)[0].atoms;
    let conformations: Vec<Vec<[f64; 3]>> = (0..=50)
        .map(|t| {
            let all = ensemble.atoms(f64::from(t) / 50.0).zip(atoms);
            all.filter(|(_, atom)| atom.name == "CA").map(|((place, _), _)| place).collect()
        })
        .collect();
    let indices: Vec<usize> = (0..count.min(particles.len())).collect();
    let mut sum = 0.0;
    for chunk in indices.chunks(BATCH) {
        let batch = particles.batch(chunk, BATCH).expect("a batch");
        let mut best = vec![(f32::INFINITY, 0); chunk.len()];
        for (c, conformation) in conformations.iter().enumerate() {
            let places = conformation.iter().flatten().map(|&x| x as f32).collect();
            let places = Tensor::f32(&[n, 3, 1], places);
            let feeds: Vec<_> = batch.feeds().into_iter().chain([("places", &places)]).collect();
            step.run(&feeds).expect("a run");
            let off = step.fetch("off").expect("numbers").to_f32();
            for (best, &off) in best.iter_mut().zip(&off) {
                if off < best.0 {
                    *best = (off, c);
                }
            }
        }
        sum +=
            chunk.iter().zip(best).map(|(&i, (_, c))| rmsd(&conformations[c], &stack.truth[i])).sum::<f64>();
    }
    sum / indices.len() as f64
}

/// Between LID and CORE, degrees (Beckstein et al., J. Mol. Biol. 394:160, 2009).
fn lid_angle(ca: &[[f64; 3]]) -> f64 {
    let centroid = |from: usize, to: usize| {
        let part = &ca[from - 1..to];
        nalgebra::Vector3::from([0, 1, 2].map(|k| part.iter().map(|p| p[k]).sum::<f64>() / part.len() as f64))
    };
    let (core, hinge, lid) = (centroid(179, 185), centroid(115, 125), centroid(125, 153));
    (core - hinge).angle(&(lid - hinge)).to_degrees()
}

/// Linear regression with a small ridge, five folds.
fn explained(latents: &[f32], z: usize, values: &[f64]) -> f64 {
    let n = values.len();
    let row = |i: usize| -> Vec<f64> {
        std::iter::once(1.0).chain(latents[i * z..(i + 1) * z].iter().map(|&v| f64::from(v))).collect()
    };
    let mean = values.iter().sum::<f64>() / n as f64;
    let (mut left, mut total) = (0.0, 0.0);
    for fold in 0..5 {
        let mut squares = nalgebra::DMatrix::<f64>::identity(z + 1, z + 1) * 1e-3;
        let mut products = nalgebra::DVector::<f64>::zeros(z + 1);
        for i in (0..n).filter(|i| i % 5 != fold) {
            let x = nalgebra::DVector::from_vec(row(i));
            products += &x * values[i];
            squares += &x * x.transpose();
        }
        let weights = squares.cholesky().expect("a regular matrix").solve(&products);
        for i in (0..n).filter(|i| i % 5 == fold) {
            let predicted = nalgebra::DVector::from_vec(row(i)).dot(&weights);
            left += (values[i] - predicted).powi(2);
            total += (values[i] - mean).powi(2);
        }
    }
    1.0 - left / total
}
