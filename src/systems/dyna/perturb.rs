//! A model bent smoothly: what is found from it and from the model as it was should agree, or it came from the model.

use nalgebra::Vector3;

use crate::protein::superpose::superpose;
use crate::stats::random::Philox;

/// Waves that a bend is the sum of, and their lengths in Å: far beyond a residue, so that bonds hardly change.
const WAVES: usize = 16;
const LENGTHS: [f64; 2] = [60.0, 160.0];

/// Moves points by `rmsd` Å on average, beside what turning and shifting the whole would do. The same seed gives the
/// same bend.
pub fn bend(points: &mut [[f64; 3]], rmsd: f64, seed: u64) {
    let mut random = Philox::new(seed, 0x6265_6e64_0000_0000);
    let mut normal = || Vector3::from_fn(|_, _| random.normal());
    let waves: Vec<[Vector3<f64>; 2]> = (0..WAVES).map(|_| [normal(), normal()]).collect();
    let waves = waves.into_iter().map(|[direction, amplitude]| {
        let length = LENGTHS[0] + (LENGTHS[1] - LENGTHS[0]) * random.uniform_f64();
        let wave = direction.try_normalize(0.0).unwrap_or(Vector3::x()) * std::f64::consts::TAU / length;
        (wave, amplitude, std::f64::consts::TAU * random.uniform_f64())
    });
    let waves: Vec<_> = waves.collect();
    let moved = |point: &[f64; 3], scale: f64| -> [f64; 3] {
        let point = Vector3::from(*point);
        let shift: Vector3<f64> = waves.iter().map(|(k, a, phase)| a * (k.dot(&point) + phase).cos()).sum();
        (point + shift * scale).into()
    };
    let bent = |scale: f64| -> (Vec<[f64; 3]>, f64) {
        let mut bent: Vec<[f64; 3]> = points.iter().map(|p| moved(p, scale)).collect();
        let (motion, left) = superpose(&bent, points);
        bent.iter_mut().for_each(|p| *p = motion.apply(&Vector3::from(*p)).into());
        (bent, left)
    };
    // What is left after superposition grows nearly as the scale does.
    let mut scale = 1.0;
    for _ in 0..8 {
        let (_, left) = bent(scale);
        if left <= 0.0 {
            return;
        }
        scale *= rmsd / left;
    }
    let (bent, _) = bent(scale);
    points.copy_from_slice(&bent);
}
