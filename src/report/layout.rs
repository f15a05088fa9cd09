//! Where things stand in a figure: the plotting box, the scales, the ticks, the colours of the layers.

use super::axis::{Axis, Scale};
use super::canvas::text_width;
use super::colour::{Rgb, category};
use super::figure::{Figure, Layer, Tint};
use super::layers::hexagons;
use crate::stats::rank::percentiles;

pub(super) const TICK_SIZE: f64 = 11.5;
pub(super) const LABEL_SIZE: f64 = 13.0;
pub(super) const TITLE_SIZE: f64 = 14.5;
/// Height of the histograms along the edges, and their distance from the box.
pub(super) const MARGINAL: (f64, f64) = (52.0, 6.0);
/// Names in a legend at most; more are written at their clusters.
pub(super) const LEGEND_NAMES: usize = 10;

pub(super) struct ColourBar {
    pub scale: Scale,
    pub title: String,
    pub ticks: Vec<(f64, String)>,
}

pub(super) struct Layout {
    /// The plotting box, CSS pixels.
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub x: Scale,
    pub y: Scale,
    pub x_ticks: Vec<(f64, String)>,
    pub y_ticks: Vec<(f64, String)>,
    pub bar: Option<ColourBar>,
    /// Of each layer.
    pub colours: Vec<Rgb>,
}

impl Layout {
    pub fn new(figure: &Figure) -> Self {
        let points = figure.layers.iter().any(|l| matches!(l, Layer::Scatter { .. } | Layer::Marks { .. }));
        let bars = figure.layers.iter().any(|l| matches!(l, Layer::Bars { .. }));
        let mut x = Scale::new(&figure.x, values(figure, true), if points { 0.04 } else { 0.0 });
        let mut y = Scale::new(&figure.y, values(figure, false), if points { 0.04 } else { 0.05 });
        if bars && !figure.y.log && figure.y.range.is_none() {
            y.low = 0.0;
        }
        let top = if figure.title.is_empty() { 14.0 } else { 40.0 };
        let extra = if figure.marginals { MARGINAL.0 + MARGINAL.1 } else { 0.0 };
        let (top, bottom) = (top + extra, f64::from(figure.height) - 50.0);
        let count = |pixels: f64, each: f64| ((pixels / each) as usize).clamp(2, 9);
        let y_ticks = ticks(&figure.y, &y, count(bottom - top, 60.0));
        let widest = |ticks: &[(f64, String)]| {
            ticks.iter().map(|(_, label)| text_width(label, TICK_SIZE)).fold(0.0, f64::max)
        };
        let left = widest(&y_ticks) + if figure.y.label.is_empty() { 20.0 } else { 40.0 };
        let bar = colour_bar(figure, count(bottom - top, 60.0));
        let beside = match &bar {
            Some(bar) => {
                12.0 + 14.0 + 8.0 + widest(&bar.ticks) + if bar.title.is_empty() { 12.0 } else { 30.0 }
            }
            None => 20.0,
        };
        let right = (f64::from(figure.width) - beside - extra).max(left + 40.0);
        let bottom = bottom.max(top + 40.0);
        if figure.equal_scale && !figure.x.log && !figure.y.log {
            let units = ((x.high - x.low) / (right - left)).max((y.high - y.low) / (bottom - top));
            for (scale, pixels) in [(&mut x, right - left), (&mut y, bottom - top)] {
                let widen = (units * pixels - (scale.high - scale.low)) / 2.0;
                (scale.low, scale.high) = (scale.low - widen, scale.high + widen);
            }
        }
        let x_ticks = ticks(&figure.x, &x, count(right - left, 78.0));
        let y_ticks = ticks(&figure.y, &y, count(bottom - top, 60.0));
        Layout { left, right, top, bottom, x, y, x_ticks, y_ticks, bar, colours: colours(figure) }
    }

    /// A point of the data in CSS pixels; `None` if it has no place on the axes.
    pub fn point(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let (tx, ty) = (self.x.place(x)?, self.y.place(y)?);
        Some((self.left + tx * (self.right - self.left), self.bottom - ty * (self.bottom - self.top)))
    }

    pub fn holds(&self, (x, y): (f64, f64)) -> bool {
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }
}

fn ticks(axis: &Axis, scale: &Scale, count: usize) -> Vec<(f64, String)> {
    let mut ticks = axis.ticks.clone().unwrap_or_else(|| scale.ticks(count));
    ticks.retain(|(v, _)| scale.place(*v).is_some_and(|t| (-1e-6..=1.0 + 1e-6).contains(&t)));
    ticks
}

fn values(figure: &Figure, along_x: bool) -> impl Iterator<Item = f64> + '_ {
    figure.layers.iter().flat_map(move |layer| -> Box<dyn Iterator<Item = f64>> {
        match (layer, along_x) {
            (
                Layer::Line { x, .. }
                | Layer::Band { x, .. }
                | Layer::Scatter { x, .. }
                | Layer::Hexbin { x, .. }
                | Layer::Cells { x, .. }
                | Layer::Marks { x, .. },
                true,
            ) => Box::new(x.iter().copied()),
            (
                Layer::Line { y, .. }
                | Layer::Scatter { y, .. }
                | Layer::Hexbin { y, .. }
                | Layer::Cells { y, .. }
                | Layer::Marks { y, .. },
                false,
            ) => Box::new(y.iter().copied()),
            (Layer::Band { low, high, .. }, false) => Box::new(low.iter().chain(high).copied()),
            (Layer::Bars { edges, .. }, true) => Box::new(edges.iter().copied()),
            (Layer::Bars { counts, .. }, false) => Box::new(counts.iter().copied()),
            (Layer::VerticalLine { at, .. }, true) | (Layer::HorizontalLine { at, .. }, false) => {
                Box::new(std::iter::once(*at))
            }
            _ => Box::new(std::iter::empty()),
        }
    })
}

fn colours(figure: &Figure) -> Vec<Rgb> {
    let own = |layer: &Layer| match layer {
        Layer::Line { colour, .. } | Layer::Bars { colour, .. } => Some(*colour),
        Layer::Scatter { tint: Tint::Plain(colour), .. } => Some(*colour),
        _ => None,
    };
    let many = figure.layers.iter().filter(|l| own(l) == Some(None)).count();
    let mut next = 0;
    let mut colours = Vec::with_capacity(figure.layers.len());
    for layer in &figure.layers {
        // A band takes no colour of the palette: it borrows that of the line that follows.
        colours.push(match own(layer) {
            Some(Some(colour)) => colour,
            _ => category(next, many),
        });
        next += usize::from(own(layer) == Some(None));
    }
    colours
}

fn colour_bar(figure: &Figure, count: usize) -> Option<ColourBar> {
    figure.layers.iter().find_map(|layer| match layer {
        Layer::Scatter { tint: Tint::Value { values, title }, .. } => {
            let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
            // A few extreme values must not wash out the rest.
            let edge = if finite.len() > 200 { 0.5 } else { 0.0 };
            let ends = percentiles(&finite, &[edge, 100.0 - edge]);
            let axis = Axis { range: (ends[0] < ends[1]).then_some((ends[0], ends[1])), ..Axis::default() };
            let scale = Scale::new(&axis, finite.into_iter(), 0.0);
            Some(ColourBar { ticks: ticks(&axis, &scale, count), scale, title: title.clone() })
        }
        Layer::Hexbin { x, y, across } => {
            let most = hexagons(figure, x, y, *across).iter().fold(1.0f64, |m, h| m.max(h.count));
            let axis = Axis { range: Some((1.0, most.max(2.0))), log: true, ..Axis::default() };
            let scale = Scale::new(&axis, std::iter::empty(), 0.0);
            Some(ColourBar { ticks: ticks(&axis, &scale, count), scale, title: "count".into() })
        }
        Layer::Cells { title, range, .. } => {
            let axis = Axis { range: Some(*range), ..Axis::default() };
            let scale = Scale::new(&axis, std::iter::empty(), 0.0);
            Some(ColourBar { ticks: ticks(&axis, &scale, count), scale, title: title.clone() })
        }
        _ => None,
    })
}
