//! Pictures of maps that belong together: one cut and one level for all.

use super::colour::Rgb;
use super::volume::{Contour, Style, contour_level, surface};
use crate::cryo::volume::Volume;
use crate::stats::rank::median;
use crate::{Result, interrupt};

/// Larger maps are pictured at this side: finer detail would not show.
const PICTURED: usize = 96;

/// A map as small as a picture needs it.
pub fn pictured(mut map: Volume) -> Result<Volume> {
    if map.n > PICTURED && map.n.is_multiple_of(2) {
        map.downsample(PICTURED)?;
    }
    Ok(map)
}

/// The surface of each map, a PNG file's bytes; one level for all, else each would seem to be equally large.
pub fn surfaces(maps: &mut [Volume], colour: impl Fn(usize) -> Rgb) -> Result<Vec<Vec<u8>>> {
    frame(maps)?;
    let levels: Vec<f64> = maps.iter().map(|v| f64::from(contour_level(&v.data, Contour::Auto))).collect();
    let contour = Contour::Level(median(&levels) as f32);
    let draw = |(i, map): (usize, &Volume)| {
        interrupt::check()?;
        surface(&map.data, map.n, Style { contour, colour: colour(i), ..Style::default() })
    };
    maps.iter().enumerate().map(draw).collect()
}

/// Cuts all maps to the cube that holds the molecule in every one of them, so that it fills the pictures.
fn frame(maps: &mut [Volume]) -> Result<()> {
    let reach = |map: &Volume| {
        let level = contour_level(&map.data, Contour::Auto);
        let n = map.n;
        let away = |i: usize| {
            let square = |v: usize| v.abs_diff(n / 2).pow(2);
            square(i % n) + square(i / n % n) + square(i / (n * n))
        };
        let inside = map.data.iter().enumerate().filter(|(_, v)| **v >= level);
        let mut squares: Vec<usize> = inside.map(|(i, _)| away(i)).collect();
        squares.sort_unstable();
        // Specks in the solvent do not count.
        squares
            .get(squares.len().saturating_sub(1) * 99 / 100)
            .map_or(n, |s| (*s as f64).sqrt().ceil() as usize)
    };
    let most = maps.iter().map(reach).max().unwrap_or(0);
    for map in maps {
        let side = (2 * most + 6).next_multiple_of(2).min(map.n).max(2);
        map.crop(side)?;
    }
    Ok(())
}
