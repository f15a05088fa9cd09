//! Draws a [`Figure`]: settles its layout, then paints ground and grid, clouds of points, and all else, in that order.

use base64::Engine;
use plotters::prelude::*;

use super::axis::Scale;
use super::canvas::{Canvas, load_font};
use super::colour::{self, GRID, INK, MUTED, Rgb};
use super::figure::Figure;
use super::furniture;
use super::layers;
use super::layout::Layout;
use super::raster::{Raster, overlay, png_file, shrink};
use crate::error::{Error, Result};

/// Pixels of the PNG a CSS pixel, and how much larger it is drawn before it is shrunk.
const PNG_DENSITY: usize = 2;
const SMOOTHING: usize = 2;
/// Units of the SVG's view box a CSS pixel.
const SVG_UNITS: f64 = 10.0;

pub(super) fn png(figure: &Figure) -> Result<Vec<u8>> {
    load_font()?;
    let layout = Layout::new(figure);
    let enlarge = PNG_DENSITY * SMOOTHING;
    let (width, height) = (figure.width as usize * enlarge, figure.height as usize * enlarge);
    let mut rgb = vec![255u8; width * height * 3];
    let scale = enlarge as f64;
    {
        let area = BitMapBackend::with_buffer(&mut rgb, (width as u32, height as u32)).into_drawing_area();
        ground(&Canvas { area, scale }, figure, &layout)?;
    }
    if let Some(cloud) = layers::cloud(figure, &layout, scale) {
        overlay(&mut rgb, width, &cloud, (layout.left * scale) as usize, (layout.top * scale) as usize);
    }
    {
        let area = BitMapBackend::with_buffer(&mut rgb, (width as u32, height as u32)).into_drawing_area();
        figures(&Canvas { area, scale }, figure, &layout)?;
    }
    png_file(width / SMOOTHING, height / SMOOTHING, 3, &shrink(width, height, &rgb, SMOOTHING))
}

pub(super) fn svg(figure: &Figure) -> Result<String> {
    let layout = Layout::new(figure);
    let size = (figure.width * SVG_UNITS as u32, figure.height * SVG_UNITS as u32);
    let (mut below, mut above) = (String::new(), String::new());
    let part = |buffer: &mut String, over: bool| -> Result<()> {
        let area = SVGBackend::with_string(buffer, size).into_drawing_area();
        let canvas = Canvas { area, scale: SVG_UNITS };
        if over {
            figures(&canvas, figure, &layout)?
        } else {
            ground(&canvas, figure, &layout)?
        }
        canvas.area.present().map_err(|e| Error::usage(format!("figure could not be drawn: {e}")))
    };
    part(&mut below, false)?;
    part(&mut above, true)?;
    let body = |text: &str| -> String {
        let start = text.find('>').map_or(0, |i| i + 1);
        text[start..].trim().trim_end_matches("</svg>").trim().to_string()
    };
    let cloud = match layers::cloud(figure, &layout, PNG_DENSITY as f64) {
        Some(cloud) => image(&cloud, &layout)?,
        None => String::new(),
    };
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\" \
         style=\"max-width:100%;height:auto\">\n<title>{}</title>\n{}\n{cloud}{}\n</svg>\n",
        figure.width,
        figure.height,
        size.0,
        size.1,
        super::page::escape(&figure.title),
        body(&below),
        body(&above)
    ))
}

fn image(cloud: &Raster, layout: &Layout) -> Result<String> {
    let file = png_file(cloud.width, cloud.height, 4, &cloud.rgba)?;
    let unit = SVG_UNITS / PNG_DENSITY as f64;
    Ok(format!(
        "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" href=\"data:image/png;base64,{}\"/>\n",
        layout.left * SVG_UNITS,
        layout.top * SVG_UNITS,
        cloud.width as f64 * unit,
        cloud.height as f64 * unit,
        base64::engine::general_purpose::STANDARD.encode(file)
    ))
}

fn ground<DB: DrawingBackend>(canvas: &Canvas<DB>, figure: &Figure, layout: &Layout) -> Result<()> {
    canvas.rectangle((0.0, 0.0), (f64::from(figure.width), f64::from(figure.height)), [255; 3], 1.0)?;
    if figure.grid {
        for (value, label) in &layout.x_ticks {
            if let (Some(t), false) = (layout.x.place(*value), label.is_empty()) {
                let x = layout.left + t * (layout.right - layout.left);
                canvas.line(&[(x, layout.top), (x, layout.bottom)], GRID, 0.75)?;
            }
        }
        for (value, label) in &layout.y_ticks {
            if let (Some(t), false) = (layout.y.place(*value), label.is_empty()) {
                let y = layout.bottom - t * (layout.bottom - layout.top);
                canvas.line(&[(layout.left, y), (layout.right, y)], GRID, 0.75)?;
            }
        }
    }
    Ok(())
}

fn figures<DB: DrawingBackend>(canvas: &Canvas<DB>, figure: &Figure, layout: &Layout) -> Result<()> {
    for (i, layer) in figure.layers.iter().enumerate() {
        layers::draw(canvas, figure, layout, layer, layout.colours[i])?;
    }
    furniture::axes(canvas, figure, layout)?;
    if figure.marginals {
        furniture::marginals(canvas, figure, layout)?;
    }
    if let Some(bar) = &layout.bar {
        furniture::colour_bar(canvas, layout, bar)?;
    }
    furniture::legend(canvas, figure, layout)
}

/// Place of a value on a colour scale.
pub(super) fn tinted(scale: &Scale, value: f64) -> Rgb {
    colour::viridis(scale.place(value).unwrap_or(f64::NAN))
}

pub(super) const TEXT: Rgb = INK;
pub(super) const QUIET: Rgb = MUTED;
