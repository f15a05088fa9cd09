//! Pictures made of pixels: clouds of points, and PNG files.

use super::colour::Rgb;
use crate::error::{Error, Result};

/// Rows of RGBA pixels, colours not premultiplied.
pub(super) struct Raster {
    pub width: usize,
    pub height: usize,
    pub rgba: Vec<u8>,
}

/// Colour and coverage while points pile up: premultiplied, in floats.
pub(super) struct Cloud {
    width: usize,
    height: usize,
    pixels: Vec<[f32; 4]>,
}

impl Cloud {
    pub fn new(width: usize, height: usize) -> Self {
        Cloud { width, height, pixels: vec![[0.0; 4]; width * height] }
    }

    /// A round point with soft edge; coordinates and radius in pixels.
    pub fn point(&mut self, x: f64, y: f64, radius: f64, colour: Rgb, alpha: f64) {
        let reach = radius + 0.5;
        let span = |center: f64, size: usize| {
            let first = (center - reach).floor().max(0.0) as usize;
            first..((center + reach).ceil().max(0.0) as usize).min(size)
        };
        for py in span(y, self.height) {
            for px in span(x, self.width) {
                let away = (px as f64 + 0.5 - x).hypot(py as f64 + 0.5 - y);
                let cover = ((reach - away).clamp(0.0, 1.0) * alpha) as f32;
                if cover <= 0.0 {
                    continue;
                }
                let pixel = &mut self.pixels[py * self.width + px];
                for (v, c) in pixel.iter_mut().zip([colour[0], colour[1], colour[2], 255]) {
                    *v = *v * (1.0 - cover) + f32::from(c) * cover;
                }
            }
        }
    }

    pub fn finish(self) -> Raster {
        let straight = |p: [f32; 4]| {
            let scale = if p[3] > 0.0 { 255.0 / p[3] } else { 0.0 };
            [p[0] * scale, p[1] * scale, p[2] * scale, p[3]].map(|v| v.round() as u8)
        };
        Raster {
            width: self.width,
            height: self.height,
            rgba: self.pixels.into_iter().flat_map(straight).collect(),
        }
    }
}

/// Bytes of a PNG file; `channels` is 1 (grey), 3 (RGB) or 4 (RGBA), 8 bits each.
pub fn png_file(width: usize, height: usize, channels: usize, pixels: &[u8]) -> Result<Vec<u8>> {
    let failed = |why: String| Error::Shape(format!("PNG of {width} x {height} pixels: {why}"));
    let colour = match channels {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        4 => png::ColorType::Rgba,
        _ => return Err(failed(format!("{channels} channels; give 1, 3 or 4"))),
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|e| failed(e.to_string()))?;
    writer.write_image_data(pixels).map_err(|e| failed(e.to_string()))?;
    writer.finish().map_err(|e| failed(e.to_string()))?;
    Ok(bytes)
}

/// RGB pixels averaged over squares of `factor`.
pub(super) fn shrink(width: usize, height: usize, rgb: &[u8], factor: usize) -> Vec<u8> {
    let (w, h) = (width / factor, height / factor);
    let mut out = Vec::with_capacity(w * h * 3);
    let count = (factor * factor) as u32;
    for y in 0..h {
        for x in 0..w {
            for c in 0..3 {
                let at = |dy: usize, dx: usize| rgb[((y * factor + dy) * width + x * factor + dx) * 3 + c];
                let sum: u32 = (0..factor)
                    .flat_map(|dy| (0..factor).map(move |dx| (dy, dx)))
                    .map(|(a, b)| u32::from(at(a, b)))
                    .sum();
                out.push(((sum + count / 2) / count) as u8);
            }
        }
    }
    out
}

/// Lays `top` over RGB pixels of a picture `width` wide, its corner at (`left`, `up`).
pub(super) fn overlay(rgb: &mut [u8], width: usize, top: &Raster, left: usize, up: usize) {
    for y in 0..top.height {
        for x in 0..top.width.min(width.saturating_sub(left)) {
            let over = &top.rgba[(y * top.width + x) * 4..][..4];
            let at = ((up + y) * width + left + x) * 3;
            if let Some(under) = rgb.get_mut(at..at + 3) {
                let cover = u32::from(over[3]);
                for (u, o) in under.iter_mut().zip(over) {
                    *u = ((u32::from(*u) * (255 - cover) + u32::from(*o) * cover + 127) / 255) as u8;
                }
            }
        }
    }
}
