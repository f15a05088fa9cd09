//! Motion learned from particles whose truth is known.

use kinesome::protein::superpose::rmsd;
use kinesome::systems::dyna::config::{Config, Stage};
use kinesome::tape::Tape;
use kinesome::tensor::Tensor;

use crate::golden::{cpu, run};
use crate::stack::{Print, Stack, oracle, score, trainer};

/// The measure of the method: 3,000 particles of 64 pixels of 2 Å, signal a tenth of the noise, the model mid-way.
/// Minutes; `KINESOME_DYNA_SET` takes settings apart by blanks, as `optimizer.lr=0.001 trainer.max_epochs=60`.
#[test]
#[ignore = "takes up to twenty minutes"]
fn adenylate_kinase_moves() {
    let number = |name: &str, otherwise: f64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let images = number("KINESOME_DYNA_IMAGES", 3000.0) as usize;
    let side = number("KINESOME_DYNA_BOX", 64.0) as usize;
    // The same field of view.
    let (pixel, snr) = (128.0 / side as f64, number("KINESOME_DYNA_SNR", 0.1));
    let stack = Stack::new(images, side, pixel, snr, number("KINESOME_DYNA_AT", 0.5));
    let mut config = stack.config();
    config.trainer.max_epochs = number("KINESOME_DYNA_EPOCHS", 40.0) as usize;
    config.trainer.check_val_every_n_epoch = 10;
    config.optimizer.lr = number("KINESOME_DYNA_LR", 1e-4);
    config.loss.dist_keep_ratio = number("KINESOME_DYNA_KEEP", 0.8);
    config.data_process.low_pass_bandwidth =
        Some(number("KINESOME_DYNA_LOWPASS", 0.0)).filter(|bandwidth| *bandwidth > 0.0);
    let out = tempfile::tempdir().expect("a folder");
    let mut trainer = trainer(config, out.path());
    println!("{:?}\n{:?}", trainer.particles.notes, trainer.reference.notes);
    let begun = std::time::Instant::now();
    trainer.run(&mut Print).expect("training");
    let score = score(&trainer, &stack);
    println!(
        "{score:?}, {:.2} of the static model's, {:.0} s; the best of the true conformations: {:.3} Å",
        score.learned / score.still,
        begun.elapsed().as_secs_f64(),
        oracle(&trainer, &stack, 1000),
    );
    assert!(score.learned <= 0.45 * score.still, "{score:?}");
    assert!(score.bonds <= 0.15 && score.closest >= 3.5 && score.explained >= 0.8, "{score:?}");
}

/// In half a minute: few and clear particles, a small network.
#[test]
fn motion_is_learned() {
    let stack = Stack::new(400, 64, 2.0, 1.0, 0.5);
    let out = tempfile::tempdir().expect("a folder");
    let mut trainer = trainer(stack.small(40), out.path());
    let begun = std::time::Instant::now();
    trainer.run(&mut Print).expect("training");
    let score = score(&trainer, &stack);
    println!("{score:?}, {:.0} s", begun.elapsed().as_secs_f64());
    assert!(score.learned < 0.6 * score.still && score.explained > 0.8, "{score:?}");
    assert!(score.bonds < 0.15 && score.closest > 3.5, "{score:?}");
}

/// The same with beads: they follow the particles, and their bonds, angles and pairs end no worse than they begin.
#[test]
fn motion_of_beads_is_learned() {
    let stack = Stack::new(400, 64, 2.0, 1.0, 0.5);
    beads_are_learned(&stack, stack.small(40), 0.6);
}

/// The measure of the method with beads.
#[test]
#[ignore = "takes ten minutes"]
fn adenylate_kinase_of_beads_moves() {
    let stack = Stack::new(3000, 64, 2.0, 0.1, 0.5);
    let mut config = stack.config();
    config.optimizer.lr = 1e-3;
    config.trainer.max_epochs = 30;
    beads_are_learned(&stack, config, 0.45);
}

/// Trains beads and asserts that they end within a share of the static model's distance.
fn beads_are_learned(stack: &Stack, mut config: Config, share: f64) {
    config.stage = Stage::Beads;
    config.trainer.check_val_every_n_epoch = 40;
    let out = tempfile::tempdir().expect("a folder");
    let mut trainer = trainer(config, out.path());
    let begun = std::time::Instant::now();
    trainer.run(&mut Print).expect("training");
    let evaluator = trainer.evaluator();
    let latents = evaluator.latents(&trainer.particles).expect("latents");
    let structures = evaluator.structures(&latents).expect("structures");
    let energies = |structures: &[Vec<[f64; 3]>]| {
        let tape = Tape::new();
        let (count, batch) = (trainer.reference.len(), structures.len());
        let flat =
            (0..count * 3 * batch).map(|at| structures[at % batch][at / batch / 3][at / batch % 3] as f32);
        let places = tape.constant(Tensor::f32(&[count, 3, batch], flat.collect()));
        let parts = trainer.config.structural(&trainer.reference).parts(places);
        let outputs: Vec<_> = parts.iter().map(|part| (part.name, part.value)).collect();
        run(&tape, &cpu(), &outputs, &[])
    };
    // A CA stands beside its bead as it does in the model.
    let beads = trainer.reference.beads.as_ref().expect("beads");
    let model = kinesome::io::structure::Structure::read(&stack.path("model.pdb")).expect("a model");
    let alpha: Vec<[f64; 3]> =
        (0..model.atoms.len()).filter(|&i| model.atoms[i].name == "CA").map(|i| model.models[0][i]).collect();
    let backbone: Vec<usize> = beads.residues.iter().filter_map(|r| r.beads[0]).collect();
    let ca = |structure: &[[f64; 3]]| -> Vec<[f64; 3]> {
        let of = |(&bead, alpha): (&usize, &[f64; 3])| {
            [0, 1, 2].map(|k| structure[bead][k] + alpha[k] - beads.places[bead][k])
        };
        backbone.iter().zip(&alpha).map(of).collect()
    };
    let n = stack.truth.len() as f64;
    let learned = structures.iter().zip(&stack.truth).map(|(s, t)| rmsd(&ca(s), t)).sum::<f64>() / n;
    let still = stack.truth.iter().map(|t| rmsd(&ca(&trainer.reference.places), t)).sum::<f64>() / n;
    let some: Vec<_> = structures.iter().step_by(10).cloned().collect();
    let (start, end) = (energies(std::slice::from_ref(&beads.places)), energies(&some));
    let seconds = begun.elapsed().as_secs_f64();
    println!("RMSD {learned:.3} of {still:.3} Å, {start:?} to {end:?}, {seconds:.0} s");
    assert!(learned < share * still, "{learned} of {still}");
    for name in ["bonds", "angles", "dihedrals", "impropers", "pairs"] {
        assert!(end[name][0] <= start[name][0], "{name}: {} from {}", end[name][0], start[name][0]);
    }
}
