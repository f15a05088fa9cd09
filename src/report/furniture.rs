//! What stands around the data: axes, title, marginal histograms, colour bar, legend.

use plotters::prelude::DrawingBackend;

use super::canvas::{At, Canvas, Lettering, text_width};
use super::colour::{Rgb, category, viridis};
use super::draw::TEXT;
use super::figure::{Figure, Layer, Tint};
use super::layers::pale;
use super::layout::{ColourBar, LABEL_SIZE, LEGEND_NAMES, Layout, MARGINAL, TICK_SIZE, TITLE_SIZE};
use crate::error::Result;

fn lettering(size: f64, across: At, down: At) -> Lettering {
    Lettering { size, colour: TEXT, bold: false, across, down, upright: false }
}

pub(super) fn axes<DB: DrawingBackend>(canvas: &Canvas<DB>, figure: &Figure, layout: &Layout) -> Result<()> {
    let (left, right, top, bottom) = (layout.left, layout.right, layout.top, layout.bottom);
    canvas.line(&[(left, top), (left, bottom), (right, bottom)], TEXT, 1.0)?;
    let length = |label: &str| if label.is_empty() { 3.0 } else { 5.0 };
    for (value, label) in &layout.x_ticks {
        let Some(t) = layout.x.place(*value) else { continue };
        let x = left + t * (right - left);
        canvas.line(&[(x, bottom), (x, bottom + length(label))], TEXT, 1.0)?;
        canvas.text((x, bottom + 8.0), label, lettering(TICK_SIZE, At::Middle, At::Start))?;
    }
    for (value, label) in &layout.y_ticks {
        let Some(t) = layout.y.place(*value) else { continue };
        let y = bottom - t * (bottom - top);
        canvas.line(&[(left - length(label), y), (left, y)], TEXT, 1.0)?;
        canvas.text((left - 8.0, y), label, lettering(TICK_SIZE, At::End, At::Middle))?;
    }
    let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
    let foot = f64::from(figure.height) - 8.0;
    canvas.text((middle.0, foot), &figure.x.label, lettering(LABEL_SIZE, At::Middle, At::End))?;
    let upright = Lettering { upright: true, ..lettering(LABEL_SIZE, At::Middle, At::Start) };
    canvas.text((8.0, middle.1), &figure.y.label, upright)?;
    let title = Lettering { bold: true, ..lettering(TITLE_SIZE, At::Start, At::Start) };
    canvas.text((left.min(40.0), 11.0), &figure.title, title)
}

/// Histograms of all points along the top and right edges.
pub(super) fn marginals<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figure: &Figure,
    layout: &Layout,
) -> Result<()> {
    let bins = 60;
    let mut counts = [vec![0.0f64; bins], vec![0.0f64; bins]];
    for layer in &figure.layers {
        let (Layer::Scatter { x, y, .. } | Layer::Hexbin { x, y, .. }) = layer else { continue };
        for (counts, (scale, values)) in counts.iter_mut().zip([(&layout.x, x), (&layout.y, y)]) {
            for t in values.iter().filter_map(|v| scale.place(*v)).filter(|t| (0.0..1.0).contains(t)) {
                counts[(t * bins as f64) as usize] += 1.0;
            }
        }
    }
    let colour = pale(category(0, 1));
    for (side, counts) in counts.iter().enumerate() {
        let most = counts.iter().fold(1.0f64, |m, c| m.max(*c));
        for (i, count) in counts.iter().enumerate().filter(|(_, c)| **c > 0.0) {
            let (a, b) = (i as f64 / bins as f64, (i + 1) as f64 / bins as f64);
            let tall = count / most * MARGINAL.0;
            if side == 0 {
                let (wide, foot) = (layout.right - layout.left, layout.top - MARGINAL.1);
                canvas.rectangle(
                    (layout.left + a * wide, foot - tall),
                    (layout.left + b * wide, foot),
                    colour,
                    1.0,
                )?;
            } else {
                let (wide, foot) = (layout.bottom - layout.top, layout.right + MARGINAL.1);
                canvas.rectangle(
                    (foot, layout.bottom - b * wide),
                    (foot + tall, layout.bottom - a * wide),
                    colour,
                    1.0,
                )?;
            }
        }
    }
    Ok(())
}

pub(super) fn colour_bar<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    layout: &Layout,
    bar: &ColourBar,
) -> Result<()> {
    let widest = bar.ticks.iter().map(|(_, l)| text_width(l, TICK_SIZE)).fold(0.0, f64::max);
    let right_edge = f64::from(layout_width(canvas));
    let left = right_edge - widest - 14.0 - 8.0 - if bar.title.is_empty() { 12.0 } else { 30.0 };
    let (right, tall) = (left + 14.0, layout.bottom - layout.top);
    let steps = 96;
    for i in 0..steps {
        let (a, b) = (i as f64 / steps as f64, (i + 1) as f64 / steps as f64);
        let (up, down) = (layout.bottom - b * tall, layout.bottom - a * tall);
        canvas.rectangle((left, up), (right, down), viridis((a + b) / 2.0), 1.0)?;
    }
    for (value, label) in &bar.ticks {
        let Some(t) = bar.scale.place(*value) else { continue };
        let y = layout.bottom - t * tall;
        canvas.line(&[(right, y), (right + 3.0, y)], TEXT, 1.0)?;
        canvas.text((right + 6.0, y), label, lettering(TICK_SIZE, At::Start, At::Middle))?;
    }
    let upright = Lettering { upright: true, ..lettering(LABEL_SIZE, At::Middle, At::End) };
    canvas.text((right_edge - 6.0, (layout.top + layout.bottom) / 2.0), &bar.title, upright)
}

fn layout_width<DB: DrawingBackend>(canvas: &Canvas<DB>) -> f32 {
    (f64::from(canvas.area.dim_in_pixel().0) / canvas.scale) as f32
}

#[derive(PartialEq)]
enum Swatch {
    Line,
    Dashes,
    Disc,
    Square,
}

/// Names of the layers, in the corner where they hide the fewest points.
pub(super) fn legend<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figure: &Figure,
    layout: &Layout,
) -> Result<()> {
    let mut entries: Vec<(Swatch, Rgb, &str)> = Vec::new();
    for (layer, colour) in figure.layers.iter().zip(&layout.colours) {
        match layer {
            Layer::Line { label, dashed, .. } => {
                entries.push((if *dashed { Swatch::Dashes } else { Swatch::Line }, *colour, label));
            }
            Layer::Scatter { label, tint: Tint::Plain(_), .. } => {
                entries.push((Swatch::Disc, *colour, label))
            }
            Layer::Scatter { tint: Tint::Category { labels, names }, .. } if names.len() <= LEGEND_NAMES => {
                let kinds = names.len().max(labels.iter().max().map_or(1, |m| *m as usize + 1).min(64));
                entries.extend(
                    names.iter().enumerate().map(|(i, n)| (Swatch::Disc, category(i, kinds), n.as_str())),
                );
            }
            Layer::Bars { label, .. } => entries.push((Swatch::Square, *colour, label)),
            _ => {}
        }
    }
    entries.retain(|(_, _, label)| !label.is_empty());
    if entries.is_empty() {
        return Ok(());
    }
    let wide = 40.0 + entries.iter().map(|(_, _, l)| text_width(l, TICK_SIZE)).fold(0.0, f64::max);
    let tall = 10.0 + 18.0 * entries.len() as f64;
    let (x, y) = best_corner(figure, layout, wide, tall);
    canvas.rectangle((x, y), (x + wide, y + tall), [255; 3], 0.86)?;
    for (i, (swatch, colour, label)) in entries.iter().enumerate() {
        let middle = y + 14.0 + 18.0 * i as f64;
        let (a, b) = (x + 8.0, x + 28.0);
        match swatch {
            Swatch::Line => canvas.line(&[(a, middle), (b, middle)], *colour, 2.2)?,
            Swatch::Dashes => {
                canvas.line(&[(a, middle), (a + 8.0, middle)], *colour, 2.2)?;
                canvas.line(&[(b - 8.0, middle), (b, middle)], *colour, 2.2)?;
            }
            Swatch::Disc => canvas.disc((a + 12.0, middle), 4.0, *colour)?,
            Swatch::Square => {
                canvas.rectangle((a + 5.0, middle - 5.0), (a + 17.0, middle + 5.0), *colour, 0.8)?
            }
        }
        let style = Lettering { colour: TEXT, ..lettering(TICK_SIZE, At::Start, At::Middle) };
        canvas.text((b + 6.0, middle), label, style)?;
    }
    Ok(())
}

fn best_corner(figure: &Figure, layout: &Layout, wide: f64, tall: f64) -> (f64, f64) {
    let (left, right) = (layout.left + 8.0, layout.right - wide - 4.0);
    let (top, bottom) = (layout.top + 4.0, layout.bottom - tall - 6.0);
    let corners = [(right, top), (left, top), (right, bottom), (left, bottom)];
    let mut hidden = [0usize; 4];
    let mut count = |point: Option<(f64, f64)>| {
        for (h, (x, y)) in hidden.iter_mut().zip(corners) {
            let inside = |p: (f64, f64)| (x..x + wide).contains(&p.0) && (y..y + tall).contains(&p.1);
            *h += usize::from(point.is_some_and(inside));
        }
    };
    for layer in &figure.layers {
        match layer {
            Layer::Line { x, y, .. } | Layer::Scatter { x, y, .. } | Layer::Marks { x, y, .. } => {
                let every = x.len() / 4000 + 1;
                x.iter().zip(y).step_by(every).for_each(|(x, y)| count(layout.point(*x, *y)));
            }
            Layer::Bars { edges, counts, .. } => {
                for (edge, high) in edges.windows(2).zip(counts) {
                    for step in 0..=10 {
                        count(layout.point((edge[0] + edge[1]) / 2.0, high * f64::from(step) / 10.0));
                    }
                }
            }
            Layer::HorizontalLine { at, .. } => {
                (0..50).for_each(|i| count(layout.point(layout.x.value(f64::from(i) / 49.0), *at)));
            }
            _ => {}
        }
    }
    let best = (0..4).min_by_key(|&i| hidden[i]).unwrap_or(0);
    corners[best]
}
