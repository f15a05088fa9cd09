//! The figures of an evaluation.

use super::features::Angles;
use super::scores::{Curve, Reference, Scores};
use super::states::Placed;
use crate::report::Figure;
use crate::report::figure::Layer;
use crate::stats::divergence::{Bins, histogram_2d};

/// Bins of a curve of a torsion's distribution.
const TORSION_BINS: usize = 72;
/// Cells along a side of a free-energy surface.
const SURFACE: usize = 60;
/// Free energies above the least that are told apart, kT.
const HIGHEST: f64 = 8.0;
/// Points of a curve that is drawn.
const POINTS: usize = 300;

/// What of a comparison is drawn.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Of each torsion: name, distributions of reference and generated.
    pub torsions: Vec<Distribution>,
    /// Free energies, reference and generated; none with a single slow coordinate.
    surfaces: Option<[Surface; 2]>,
    /// Curves of the torsions, and of the slow coordinate: reference and generated.
    curves: Vec<[Curve; 2]>,
    slow: [Curve; 2],
}

#[derive(Debug, Clone)]
pub struct Distribution {
    pub symbol: String,
    pub backbone: bool,
    /// Per degree.
    densities: [Vec<f64>; 2],
}

#[derive(Debug, Clone)]
struct Surface {
    x: Bins,
    y: Bins,
    /// kT above the least, [x, y]; not finite where no frame was.
    energies: Vec<f64>,
}

impl Shown {
    pub fn new(reference: &Reference, angles: &Angles, placed: &Placed, scores: &Scores) -> Shown {
        let bins = Bins { low: -180.0, high: 180.0, count: TORSION_BINS };
        let density = |series: &[f32]| -> Vec<f64> {
            let counts = bins.histogram(series.iter().map(|v| f64::from(*v).to_degrees()));
            let scale = TORSION_BINS as f64 / (360.0 * counts.iter().sum::<f64>().max(1.0));
            counts.iter().map(|c| c * scale).collect()
        };
        let torsions = reference.torsions.iter().enumerate().map(|(i, torsion)| Distribution {
            symbol: torsion.symbol(),
            backbone: torsion.in_backbone(),
            densities: [density(&reference.angles.series[i]), density(&angles.series[i])],
        });
        Shown {
            torsions: torsions.collect(),
            surfaces: surfaces(&reference.placed, placed),
            curves: reference
                .curves
                .iter()
                .cloned()
                .zip(scores.curves.iter().cloned())
                .map(|(a, b)| [a, b])
                .collect(),
            slow: [reference.slow.clone(), scores.slow.clone()],
        }
    }

    /// One torsion's distributions.
    pub fn torsion(&self, i: usize) -> Option<Figure> {
        let found = self.torsions.get(i)?;
        let bins = Bins { low: -180.0, high: 180.0, count: TORSION_BINS };
        let x = bins.centres();
        let ticks = [-180, -90, 0, 90, 180].map(|d| (f64::from(d), format!("{d}°").replace('-', "−")));
        let names = if i == 0 { ["reference", "generated"] } else { ["", ""] };
        let mut figure = Figure::new(found.symbol.clone(), "", "").size(330, 210);
        figure = figure.x_range(-180.0, 180.0).x_ticks(ticks.to_vec());
        figure.y.ticks = Some(Vec::new());
        let highest = found.densities.iter().flatten().fold(1e-9, |m: f64, v| m.max(*v));
        figure = figure.y_range(0.0, 1.05 * highest);
        Some(figure.line(names[0], &x, &found.densities[0]).dashed_line(names[1], &x, &found.densities[1]))
    }

    /// Free energies in the plane of the first two slow coordinates, reference and generated.
    pub fn surfaces(&self) -> Option<[Figure; 2]> {
        let [own, theirs] = self.surfaces.as_ref()?;
        let energies = || own.energies.iter().chain(&theirs.energies).copied().filter(|e| e.is_finite());
        let highest = energies().fold(1.0, f64::max).ceil().min(HIGHEST);
        let draw = |title: &str, surface: &Surface| {
            let figure = Figure::new(title, "TICA-0", "TICA-1").size(500, 420);
            figure.layer(Layer::Cells {
                x: surface.x.edges(),
                y: surface.y.edges(),
                values: surface.energies.clone(),
                title: "free energy, kT".into(),
                range: (0.0, highest),
            })
        };
        Some([draw("Reference", own), draw("Generated", theirs)])
    }

    /// How the torsions forget, of the backbone or of the side chains: one line each.
    pub fn decorrelation(&self, backbone: bool) -> Option<Figure> {
        let chosen: Vec<usize> =
            (0..self.curves.len()).filter(|&i| self.torsions[i].backbone == backbone).collect();
        if chosen.is_empty() {
            return None;
        }
        let title = if backbone { "Backbone torsions" } else { "Side-chain torsions" };
        let mut figure =
            Figure::new(title, "time, ps", "correlation").size(510, 360).log_x().y_range(-0.1, 1.0);
        let count = chosen.len();
        for (n, &i) in chosen.iter().enumerate() {
            let colour = Some(crate::report::colour::category(n, count));
            for (side, curve) in self.curves[i].iter().enumerate() {
                let (x, y) = thinned(curve);
                // Solid the reference, dashed the generated one, alike in colour.
                let label =
                    if side == 0 && count <= 10 { self.torsions[i].symbol.clone() } else { String::new() };
                figure = figure.layer(Layer::Line { x, y, label, colour, dashed: side == 1, markers: false });
            }
        }
        Some(figure.horizontal_line((-1.0f64).exp(), "1/e"))
    }

    /// How the slowest coordinate forgets.
    pub fn slow(&self) -> Figure {
        let figure = Figure::new("Slowest coordinate, TICA-0", "time, ps", "correlation")
            .size(510, 360)
            .log_x()
            .y_range(-0.1, 1.0);
        let [own, theirs] = self.slow.each_ref().map(thinned);
        figure
            .line("reference", &own.0, &own.1)
            .dashed_line("generated", &theirs.0, &theirs.1)
            .horizontal_line((-1.0f64).exp(), "1/e")
    }
}

/// A curve at lags evenly spaced in their logarithm, without lag 0.
fn thinned(curve: &Curve) -> (Vec<f64>, Vec<f64>) {
    let last = curve.values.len().saturating_sub(1);
    let mut lags: Vec<usize> =
        (0..POINTS).map(|i| (last as f64).powf(i as f64 / (POINTS - 1) as f64).round() as usize).collect();
    lags.dedup();
    lags.retain(|&k| k > 0 && k <= last);
    lags.into_iter().map(|k| (k as f64 * curve.step, curve.values[k])).unzip()
}

fn surfaces(own: &Placed, theirs: &Placed) -> Option<[Surface; 2]> {
    if own.components < 2 {
        return None;
    }
    let both = |c: usize| {
        let all = own.coordinate(c).into_iter().chain(theirs.coordinate(c));
        Bins::over(all, SURFACE)
    };
    let (x, y) = (both(0), both(1));
    let surface = |placed: &Placed| {
        let counts = histogram_2d(x, y, placed.coordinate(0).into_iter().zip(placed.coordinate(1)));
        let most = counts.iter().fold(0.0, |m: f64, c| m.max(*c));
        let energies = counts.iter().map(|c| if *c > 0.0 { (most / c).ln() } else { f64::NAN }).collect();
        Surface { x, y, energies }
    };
    Some([surface(own), surface(theirs)])
}

/// Frames in each coarse state.
pub fn occupancies(reference: &Scores, generated: &Scores) -> Figure {
    let share = |counts: &[f64]| -> Vec<f64> {
        let sum = counts.iter().sum::<f64>().max(1.0);
        counts.iter().map(|c| c / sum).collect()
    };
    let count = reference.occupancy.len();
    // Side by side: each state has two bars and a gap.
    let bars = |shift: f64, counts: &[f64]| {
        let edges: Vec<f64> = (0..count).flat_map(|i| [i as f64 + shift, i as f64 + shift + 0.4]).collect();
        let heights = share(counts).into_iter().flat_map(|h| [h, 0.0]);
        let heights: Vec<f64> = heights.take((2 * count).saturating_sub(1)).collect();
        (edges, heights)
    };
    let ticks = (0..count).map(|i| (i as f64 + 0.4, (i + 1).to_string())).collect();
    let mut figure = Figure::new("Frames in each state", "coarse state", "share").size(510, 360);
    figure = figure.x_range(-0.2, count as f64).x_ticks(ticks);
    for (label, shift, counts) in
        [("reference", 0.0, &reference.occupancy), ("generated", 0.4, &generated.occupancy)]
    {
        let (edges, counts) = bars(shift, counts);
        figure = figure.layer(Layer::Bars { edges, counts, label: label.into(), colour: None });
    }
    figure
}

/// Decorrelation times of all torsions, generated against reference.
pub fn times(reference: &Scores, generated: &Scores) -> Option<Figure> {
    let pairs = reference.torsions.iter().zip(&generated.torsions);
    let pairs: Vec<(f64, f64, String)> =
        pairs.filter_map(|(a, b)| Some((a.decorrelation_ps?, b.decorrelation_ps?, a.name.clone()))).collect();
    if pairs.is_empty() {
        return None;
    }
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().map(|p| (p.0, p.1)).unzip();
    let low = x.iter().chain(&y).fold(f64::MAX, |m, v| m.min(*v)) / 1.5;
    let high = x.iter().chain(&y).fold(0.0f64, |m, v| m.max(*v)) * 1.5;
    let labels: Vec<String> = pairs.into_iter().map(|p| p.2).collect();
    let figure =
        Figure::new("Decorrelation times, ps", "reference", "generated").size(510, 400).log_x().log_y();
    Some(
        figure
            .x_range(low, high)
            .y_range(low, high)
            .dashed_line("", &[low, high], &[low, high])
            .marks(&x, &y, &labels),
    )
}

/// Mean torsion autocorrelation between given frames.
pub fn upsampled(scores: &super::UpsamplingScores) -> Figure {
    Figure::new("Torsion autocorrelation between given frames", "time, ps", "E[cos Δ]")
        .size(640, 380)
        .line("reference", &scores.lags_ps, &scores.reference)
        .dashed_line("generated", &scores.lags_ps, &scores.generated)
        .line("straight lines between frames", &scores.lags_ps, &scores.linear)
}

/// Fluctuations along a protein.
pub fn fluctuations(scores: &super::ProteinScores) -> Figure {
    let residue: Vec<f64> = (1..=scores.rmsf.len()).map(|i| i as f64).collect();
    Figure::new("Fluctuation of Cα atoms", "residue", "RMSF, Å")
        .size(640, 380)
        .line("reference", &residue, &scores.reference_rmsf)
        .dashed_line("generated", &residue, &scores.rmsf)
}
