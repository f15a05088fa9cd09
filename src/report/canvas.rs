//! The few strokes that figures are made of, in CSS pixels, over either of plotters' backends. Backends count in whole
//! pixels, so a canvas draws enlarged: the PNG is shrunk afterwards, which smooths edges, and the SVG is scaled by its
//! view box, which keeps tenths of a pixel.

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontTransform, register_font};

use super::colour::Rgb;
use crate::error::{Error, Result};

/// The one name that means something to a browser too.
const FONT: &str = "sans-serif";

/// Makes the embedded font known to plotters, once; the PNG needs it, the SVG leaves fonts to the viewer.
pub(super) fn load_font() -> Result<()> {
    static LOADED: OnceLock<bool> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        let normal = include_bytes!("fonts/DejaVuSans-subset.ttf");
        let bold = include_bytes!("fonts/DejaVuSans-Bold-subset.ttf");
        register_font(FONT, FontStyle::Normal, normal).is_ok()
            && register_font(FONT, FontStyle::Bold, bold).is_ok()
    });
    if *loaded {
        Ok(())
    } else {
        Err(Error::usage("the font built into this program cannot be read: rebuild it"))
    }
}

/// Where a text's anchor lies in it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum At {
    Start,
    Middle,
    End,
}

#[derive(Clone, Copy)]
pub(super) struct Lettering {
    pub size: f64,
    pub colour: Rgb,
    pub bold: bool,
    pub across: At,
    pub down: At,
    /// Reads upwards.
    pub upright: bool,
}

pub(super) struct Canvas<DB: DrawingBackend> {
    pub area: DrawingArea<DB, Shift>,
    pub scale: f64,
}

impl<DB: DrawingBackend> Canvas<DB> {
    fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn stroke(&self, width: f64) -> u32 {
        (width * self.scale).round().max(1.0) as u32
    }

    fn drawn<E: std::error::Error + Send + Sync>(result: Result<(), DrawingAreaErrorKind<E>>) -> Result<()> {
        result.map_err(|e| Error::usage(format!("figure could not be drawn: {e}")))
    }

    pub fn rectangle(&self, from: (f64, f64), to: (f64, f64), colour: Rgb, alpha: f64) -> Result<()> {
        let [r, g, b] = colour;
        let style = RGBColor(r, g, b).mix(alpha).filled();
        Self::drawn(self.area.draw(&Rectangle::new([self.at(from), self.at(to)], style)))
    }

    pub fn line(&self, points: &[(f64, f64)], colour: Rgb, width: f64) -> Result<()> {
        let [r, g, b] = colour;
        let mut points: Vec<(i32, i32)> = points.iter().map(|p| self.at(*p)).collect();
        points.dedup();
        let style = RGBColor(r, g, b).stroke_width(self.stroke(width));
        Self::drawn(self.area.draw(&PathElement::new(points, style)))
    }

    pub fn polygon(&self, points: &[(f64, f64)], colour: Rgb, alpha: f64) -> Result<()> {
        let [r, g, b] = colour;
        let points: Vec<(i32, i32)> = points.iter().map(|p| self.at(*p)).collect();
        Self::drawn(self.area.draw(&Polygon::new(points, RGBColor(r, g, b).mix(alpha))))
    }

    pub fn disc(&self, center: (f64, f64), radius: f64, colour: Rgb) -> Result<()> {
        let [r, g, b] = colour;
        let radius = (radius * self.scale).round() as i32;
        Self::drawn(self.area.draw(&Circle::new(self.at(center), radius, RGBColor(r, g, b).filled())))
    }

    pub fn text(&self, at: (f64, f64), text: &str, lettering: Lettering) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let [r, g, b] = lettering.colour;
        let horizontal = match lettering.across {
            At::Start => HPos::Left,
            At::Middle => HPos::Center,
            At::End => HPos::Right,
        };
        let vertical = match lettering.down {
            At::Start => VPos::Top,
            At::Middle => VPos::Center,
            At::End => VPos::Bottom,
        };
        // plotters takes the height of a line of text, 1.24 times the size of the letters.
        let mut font = (FONT, lettering.size * 1.24 * self.scale).into_font();
        if lettering.bold {
            font = font.style(FontStyle::Bold);
        }
        if lettering.upright {
            font = font.transform(FontTransform::Rotate270);
        }
        let style = font.color(&RGBColor(r, g, b)).pos(Pos::new(horizontal, vertical));
        Self::drawn(self.area.draw(&Text::new(text.to_string(), self.at(at), style)))
    }

    /// Text with a white rim, readable over points.
    pub fn text_over(&self, at: (f64, f64), text: &str, lettering: Lettering) -> Result<()> {
        let rim = Lettering { colour: [255; 3], ..lettering };
        for (dx, dy) in [
            (-1.2, 0.0),
            (1.2, 0.0),
            (0.0, -1.2),
            (0.0, 1.2),
            (-0.8, -0.8),
            (0.8, 0.8),
            (0.8, -0.8),
            (-0.8, 0.8),
        ] {
            self.text((at.0 + dx, at.1 + dy), text, rim)?;
        }
        self.text(at, text, lettering)
    }
}

/// About how wide a text will be.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars()
        .map(|c| {
            if c.is_uppercase() || "mw—×".contains(c) {
                0.72
            } else if "il.,:;'| ".contains(c) {
                0.34
            } else {
                0.61
            }
        })
        .sum::<f64>()
        * size
}

/// The part of a segment inside a box (Liang and Barsky 1984).
pub(super) fn clip_segment(
    a: (f64, f64),
    b: (f64, f64),
    low: (f64, f64),
    high: (f64, f64),
) -> Option<((f64, f64), (f64, f64))> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut enter, mut leave) = (0.0f64, 1.0f64);
    for (p, q) in [(-dx, a.0 - low.0), (dx, high.0 - a.0), (-dy, a.1 - low.1), (dy, high.1 - a.1)] {
        if p == 0.0 && q < 0.0 {
            return None;
        } else if p < 0.0 {
            enter = enter.max(q / p);
        } else if p > 0.0 {
            leave = leave.min(q / p);
        }
    }
    let point = |t: f64| (a.0 + t * dx, a.1 + t * dy);
    (enter <= leave).then(|| (point(enter), point(leave)))
}
