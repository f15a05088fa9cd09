//! Pictures of an evaluation: particles as they are compared, what is predicted of them, where latents lie.

use std::path::Path;

use super::data::Particles;
use super::evaluate::{Evaluator, Findings};
use crate::Result;
use crate::io::atomic;
use crate::report::{Figure, png_file};

/// Images in a row, and rows.
const ACROSS: usize = 5;
/// Pixels between images.
const GAP: usize = 2;

pub const TARGETS: &str = "input_image.png";
pub const PREDICTIONS: &str = "pred_gmm_image.png";

/// `input_image.png` (particles in the middle, filtered), `pred_gmm_image.png` (what the network thinks they are; where
/// images are not compared is tinted) and `z_distribution.png`.
pub fn write(
    folder: &Path,
    evaluator: &Evaluator<'_>,
    particles: &Particles,
    findings: &Findings,
) -> Result<()> {
    let count = particles.len().min(ACROSS * ACROSS);
    let chosen: Vec<usize> = (0..count).map(|i| i * particles.len() / count).collect();
    let side = particles.side();
    let put = |name: &str, png: Vec<u8>| atomic::write(&folder.join(name), |out| out.write_all(&png));
    let [targets, predictions] = evaluator.images(particles, &chosen)?;
    put(TARGETS, sheet(&targets, side, None)?)?;
    put(PREDICTIONS, sheet(&predictions, side, Some(particles.compared()))?)?;
    put(
        "z_distribution.png",
        plane(findings).hexbin(&findings.component(0), &findings.component(1), 40).png()?,
    )
}

/// An empty figure of the first two components.
pub fn plane(findings: &Findings) -> Figure {
    let share = |k: usize| {
        let ratio = findings.pca.as_ref().and_then(|pca| pca.explained_variance_ratio.get(k));
        format!("PC{} ({:.1} % of the variance)", k + 1, 100.0 * ratio.copied().unwrap_or(0.0))
    };
    Figure::new("Latents of the particles", share(0), share(1)).size(600, 480)
}

/// Images `[n, side, side]` in rows, each from its least value to its greatest; outside of a mask they are tinted.
pub fn sheet(images: &[f32], side: usize, mask: Option<&[f32]>) -> Result<Vec<u8>> {
    let count = images.len() / (side * side).max(1);
    let (columns, rows) = (ACROSS.min(count).max(1), count.div_ceil(ACROSS).max(1));
    let pitch = side + GAP;
    let (width, height) = (columns * pitch - GAP, rows * pitch - GAP);
    let mut rgb = vec![255u8; width * height * 3];
    for (i, image) in images.chunks_exact(side * side).enumerate() {
        let low = image.iter().copied().fold(f32::INFINITY, f32::min);
        let high = image.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let factor = 255.0 / (high - low).max(f32::MIN_POSITIVE);
        for (at, value) in image.iter().enumerate() {
            let tone = ((value - low) * factor) as u8;
            let outside = mask.is_some_and(|mask| mask[at] == 0.0);
            let (x, y) = (i % ACROSS * pitch + at % side, i / ACROSS * pitch + at / side);
            let colour = if outside { [tone / 2 + 60, tone / 2 + 60, tone / 2 + 110] } else { [tone; 3] };
            rgb[(y * width + x) * 3..][..3].copy_from_slice(&colour);
        }
    }
    png_file(width, height, 3, &rgb)
}
