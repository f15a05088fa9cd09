//! How each layer of a figure is painted.

use std::collections::BTreeMap;

use plotters::prelude::DrawingBackend;

use super::canvas::{At, Canvas, Lettering, clip_segment};
use super::colour::{Rgb, category, mix};
use super::draw::{QUIET, TEXT, tinted};
use super::figure::{Figure, Layer, Tint};
use super::layout::{LEGEND_NAMES, Layout};
use super::raster::{Cloud, Raster};
use crate::error::Result;
use crate::stats::random::Philox;
use crate::stats::rank::median;

pub(super) fn draw<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figure: &Figure,
    layout: &Layout,
    layer: &Layer,
    colour: Rgb,
) -> Result<()> {
    match layer {
        Layer::Line { x, y, dashed, markers, .. } => {
            let points: Vec<_> = x.iter().zip(y).map(|(x, y)| layout.point(*x, *y)).collect();
            stroke(canvas, layout, &points, colour, 2.0, *dashed)?;
            for point in points.into_iter().flatten().filter(|p| *markers && layout.holds(*p)) {
                canvas.disc(point, 3.4, colour)?;
            }
            Ok(())
        }
        Layer::Band { x, low, high } => {
            let edge = |side: &[f64]| -> Vec<_> {
                x.iter().zip(side).filter_map(|(x, y)| layout.point(*x, *y)).collect()
            };
            let mut outline = edge(low);
            outline.extend(edge(high).into_iter().rev());
            let clamp =
                |(x, y): (f64, f64)| (x.clamp(layout.left, layout.right), y.clamp(layout.top, layout.bottom));
            let outline: Vec<_> = outline.into_iter().map(clamp).collect();
            if outline.len() > 2 { canvas.polygon(&outline, colour, 0.18) } else { Ok(()) }
        }
        Layer::Scatter { x, y, tint: Tint::Category { labels, names }, .. } if names.len() > LEGEND_NAMES => {
            name_clusters(canvas, layout, x, y, labels, names)
        }
        Layer::Scatter { .. } => Ok(()),
        Layer::Hexbin { x, y, across } => {
            let Some(bar) = &layout.bar else { return Ok(()) };
            for hexagon in hexagons(figure, x, y, *across) {
                let corners: Vec<_> =
                    hexagon.corners().iter().filter_map(|c| layout.point(c.0, c.1)).collect();
                if corners.len() == 6 && corners.iter().all(|c| layout.holds(*c)) {
                    canvas.polygon(&corners, tinted(&bar.scale, hexagon.count), 1.0)?;
                }
            }
            Ok(())
        }
        Layer::Cells { x, y, values, .. } => {
            let Some(bar) = &layout.bar else { return Ok(()) };
            let inside =
                |(x, y): (f64, f64)| (x.clamp(layout.left, layout.right), y.clamp(layout.top, layout.bottom));
            for (i, value) in values.iter().enumerate().filter(|(_, v)| v.is_finite()) {
                let (column, row) = (i / (y.len() - 1), i % (y.len() - 1));
                let (low, high) = (layout.point(x[column], y[row]), layout.point(x[column + 1], y[row + 1]));
                let (Some(low), Some(high)) = (low.map(inside), high.map(inside)) else { continue };
                if high.0 > low.0 && low.1 > high.1 {
                    canvas.rectangle((low.0, high.1), (high.0, low.1), tinted(&bar.scale, *value), 1.0)?;
                }
            }
            Ok(())
        }
        Layer::Bars { edges, counts, .. } => {
            for (edge, count) in edges.windows(2).zip(counts).filter(|(_, c)| **c != 0.0) {
                let (Some(a), Some(b)) = (layout.x.place(edge[0]), layout.x.place(edge[1])) else { continue };
                let Some(t) = layout.y.place(*count) else { continue };
                let (a, b, t) = (a.clamp(0.0, 1.0), b.clamp(0.0, 1.0), t.clamp(0.0, 1.0));
                let wide = layout.right - layout.left;
                let (from, to) = (layout.left + a * wide, layout.left + b * wide);
                let up = layout.bottom - t * (layout.bottom - layout.top);
                // A hair of white between bars, where there is room.
                let gap = if to - from > 4.0 { 0.5 } else { 0.0 };
                canvas.rectangle((from + gap, up), (to - gap, layout.bottom), colour, 0.8)?;
            }
            Ok(())
        }
        Layer::Marks { x, y, labels, joined } => marks(canvas, layout, x, y, labels, *joined),
        Layer::HorizontalLine { at, label } => {
            let Some(t) = layout.y.place(*at).filter(|t| (0.0..=1.0).contains(t)) else { return Ok(()) };
            let y = layout.bottom - t * (layout.bottom - layout.top);
            stroke(canvas, layout, &[Some((layout.left, y)), Some((layout.right, y))], QUIET, 1.0, true)?;
            canvas.text((layout.right - 4.0, y - 3.0), label, note(At::End, At::End))
        }
        Layer::VerticalLine { at, label } => {
            let Some(t) = layout.x.place(*at).filter(|t| (0.0..=1.0).contains(t)) else { return Ok(()) };
            let x = layout.left + t * (layout.right - layout.left);
            stroke(canvas, layout, &[Some((x, layout.top)), Some((x, layout.bottom))], QUIET, 1.0, true)?;
            canvas.text((x + 4.0, layout.top + 4.0), label, note(At::Start, At::Start))
        }
    }
}

fn note(across: At, down: At) -> Lettering {
    Lettering { size: 11.0, colour: QUIET, bold: false, across, down, upright: false }
}

/// A line through points, broken where one is missing, cut at the box.
fn stroke<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    layout: &Layout,
    points: &[Option<(f64, f64)>],
    colour: Rgb,
    width: f64,
    dashed: bool,
) -> Result<()> {
    let (low, high) = ((layout.left, layout.top), (layout.right, layout.bottom));
    let mut run: Vec<(f64, f64)> = Vec::new();
    let mut walked = 0.0;
    let flush = |run: &mut Vec<(f64, f64)>| -> Result<()> {
        let piece = std::mem::take(run);
        if piece.len() > 1 { canvas.line(&piece, colour, width) } else { Ok(()) }
    };
    for pair in points.windows(2) {
        let segment = match (pair[0], pair[1]) {
            (Some(a), Some(b)) => clip_segment(a, b, low, high),
            _ => None,
        };
        let Some((a, b)) = segment else {
            flush(&mut run)?;
            continue;
        };
        if !dashed {
            if run.last() != Some(&a) {
                flush(&mut run)?;
                run.push(a);
            }
            run.push(b);
            continue;
        }
        // Dashes of 5 with gaps of 4, carried over from segment to segment.
        let length = (b.0 - a.0).hypot(b.1 - a.1);
        let at = |s: f64| (a.0 + (b.0 - a.0) * s / length, a.1 + (b.1 - a.1) * s / length);
        let mut s = 0.0;
        while length > 0.0 && s < length {
            let phase = (walked + s) % 9.0;
            let (end, drawn) = if phase < 5.0 { (s + 5.0 - phase, true) } else { (s + 9.0 - phase, false) };
            let end = end.max(s + 1e-6).min(length);
            if drawn {
                canvas.line(&[at(s), at(end)], colour, width)?;
            }
            s = end;
        }
        walked += length;
    }
    flush(&mut run)
}

fn marks<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    layout: &Layout,
    x: &[f64],
    y: &[f64],
    labels: &[String],
    joined: bool,
) -> Result<()> {
    let points: Vec<_> = x.iter().zip(y).map(|(x, y)| layout.point(*x, *y)).collect();
    if joined {
        stroke(canvas, layout, &points, [255; 3], 4.5, false)?;
        stroke(canvas, layout, &points, TEXT, 2.0, false)?;
    }
    for point in points.iter().flatten().filter(|p| layout.holds(**p)) {
        canvas.disc(*point, 5.2, [255; 3])?;
        canvas.disc(*point, 3.8, TEXT)?;
    }
    let lettering = Lettering { bold: true, size: 13.0, colour: TEXT, ..note(At::Start, At::End) };
    for (point, label) in points.iter().zip(labels) {
        if let Some(p) = point.filter(|p| layout.holds(*p)) {
            canvas.text_over((p.0 + 5.0, p.1 - 4.0), label, lettering)?;
        }
    }
    Ok(())
}

fn name_clusters<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    layout: &Layout,
    x: &[f64],
    y: &[f64],
    labels: &[u32],
    names: &[String],
) -> Result<()> {
    for (cluster, name) in names.iter().enumerate() {
        let of = |v: &[f64]| -> Vec<f64> {
            v.iter().zip(labels).filter(|(_, l)| **l as usize == cluster).map(|(v, _)| *v).collect()
        };
        if let Some(p) = layout.point(median(&of(x)), median(&of(y))) {
            let lettering = Lettering { bold: true, colour: TEXT, ..note(At::Middle, At::Middle) };
            canvas.text_over(p, name, lettering)?;
        }
    }
    Ok(())
}

/// All scattered points as one picture of the plotting box; `None` if there are none.
pub(super) fn cloud(figure: &Figure, layout: &Layout, scale: f64) -> Option<Raster> {
    figure.layers.iter().find(|l| matches!(l, Layer::Scatter { .. }))?;
    let size = |from: f64, to: f64| ((to - from) * scale).round() as usize;
    let mut cloud = Cloud::new(size(layout.left, layout.right), size(layout.top, layout.bottom));
    for (layer, plain) in figure.layers.iter().zip(&layout.colours) {
        let Layer::Scatter { x, y, tint, .. } = layer else { continue };
        let (radius, alpha) = point_style(x.len());
        let kinds = match tint {
            Tint::Category { labels, names } => {
                names.len().max(labels.iter().max().map_or(1, |m| *m as usize + 1).min(64))
            }
            _ => 1,
        };
        // In random order, so that no category or value hides the others by coming last.
        for i in Philox::new(0, 0).permutation(x.len()) {
            let colour = match tint {
                Tint::Plain(_) => *plain,
                Tint::Value { values, .. } => match &layout.bar {
                    Some(bar) => tinted(&bar.scale, values[i]),
                    None => *plain,
                },
                Tint::Category { labels, .. } => category(labels[i] as usize, kinds),
            };
            let alpha = if matches!(tint, Tint::Plain(_)) { alpha } else { alpha.max(0.5) };
            if let Some(p) = layout.point(x[i], y[i]).filter(|p| layout.holds(*p)) {
                cloud.point(
                    (p.0 - layout.left) * scale,
                    (p.1 - layout.top) * scale,
                    radius * scale,
                    colour,
                    alpha,
                );
            }
        }
    }
    Some(cloud.finish())
}

/// Radius in CSS pixels and opacity: more points are smaller and fainter, so that density shows.
pub(super) fn point_style(n: usize) -> (f64, f64) {
    let n = n.max(1) as f64;
    ((12.0 / n.powf(0.23)).clamp(0.7, 3.4), (14.0 / n.powf(0.38)).clamp(0.07, 0.85))
}

pub(super) struct Hexagon {
    center: (f64, f64),
    /// Half of the distance of neighbouring centres in x, and a third of that of rows in y times two.
    half: (f64, f64),
    pub count: f64,
}

impl Hexagon {
    fn corners(&self) -> [(f64, f64); 6] {
        let ((x, y), (a, b)) = (self.center, self.half);
        [(0.0, b), (a, b / 2.0), (a, -b / 2.0), (0.0, -b), (-a, -b / 2.0), (-a, b / 2.0)]
            .map(|(u, v)| (x + u, y + v))
    }
}

/// Counts in a hexagonal lattice, empty cells left out.
pub(super) fn hexagons(figure: &Figure, x: &[f64], y: &[f64], across: usize) -> Vec<Hexagon> {
    let range = |v: &[f64], given: Option<(f64, f64)>| {
        let (low, high) = given.unwrap_or_else(|| {
            v.iter().filter(|v| v.is_finite()).fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)))
        });
        (low, if high > low { high - low } else { 1.0 })
    };
    let ((x0, wide), (y0, tall)) = (range(x, figure.x.range), range(y, figure.y.range));
    let across = across.clamp(4, 200) as f64;
    let aspect = (f64::from(figure.height) - 90.0).max(60.0) / (f64::from(figure.width) - 130.0).max(60.0);
    let dx = wide / across;
    // Rows of regular hexagons stand sqrt(3)/2 of their width apart on the page.
    let dy = tall / (across * aspect / 0.866).round().max(2.0);
    let mut counts: BTreeMap<(i64, i64), f64> = BTreeMap::new();
    for (x, y) in x.iter().zip(y).filter(|(x, y)| x.is_finite() && y.is_finite()) {
        let (u, v) = ((x - x0) / dx, (y - y0) / dy);
        let near = |row: f64| {
            let shift = if row.rem_euclid(2.0) == 1.0 { 0.5 } else { 0.0 };
            let column = (u - shift).round();
            let away = (u - shift - column).powi(2) + 0.75 * (v - row).powi(2);
            (away, (row as i64, column as i64))
        };
        let (a, b) = (near(v.floor()), near(v.floor() + 1.0));
        *counts.entry(if a.0 <= b.0 { a.1 } else { b.1 }).or_insert(0.0) += 1.0;
    }
    counts
        .into_iter()
        .map(|((row, column), count)| {
            let shift = if row.rem_euclid(2) == 1 { 0.5 } else { 0.0 };
            let center = (x0 + (column as f64 + shift) * dx, y0 + row as f64 * dy);
            Hexagon { center, half: (dx * 0.505, dy * 2.0 / 3.0 * 1.01), count }
        })
        .collect()
}

/// A lighter shade, for areas.
pub(super) fn pale(colour: Rgb) -> Rgb {
    mix(colour, [255; 3], 0.45)
}
