//! `fsc` and `plot_fsc`: how far two maps agree.

use crate::cryo::fsc::{self, Fsc, FscSet};
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::io::mrc::Volume;
use crate::report::plots;
use std::path::{Path, PathBuf};

/// Seed of the random phases in corrected curves.
const PHASE_SEED: u64 = 0;

/// Fourier shell correlation of maps
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome drgn fsc half_map_a.mrc half_map_b.mrc
  kinesome drgn fsc half_map_a.mrc half_map_b.mrc --mask mask.mrc -o fsc.txt -p fsc.png
  kinesome drgn fsc half_map_a.mrc half_map_b.mrc --ref-volume backproject.mrc -p fsc.png

With more than two maps each is compared with the first. Frequencies are cycles per pixel (0.5 is Nyquist); resolutions \
are those at which a curve is last above 0.5 and 0.143.")]
pub struct Args {
    /// Maps of one box
    #[arg(required = true, num_args = 2.., value_name = "MRC")]
    volumes: Vec<PathBuf>,

    /// Mask to multiply the maps by
    #[arg(long, value_name = "MRC")]
    mask: Option<PathBuf>,

    /// Full map from which loose and tight masks are made, for the five curves of a half-map FSC
    #[arg(long, value_name = "MRC", conflicts_with_all = ["mask", "corrected"])]
    ref_volume: Option<PathBuf>,

    /// Correct for the mask: randomise phases beyond this resolution (Å)
    #[arg(long, value_name = "Å", requires = "mask")]
    corrected: Option<f64>,

    /// Pixel size in Å [default: of the first map]
    #[arg(long = "Apix", value_name = "Å")]
    apix: Option<f64>,

    /// Write the curve as text
    #[arg(short, long = "outtxt", value_name = "TXT")]
    out: Option<PathBuf>,

    /// Plot the curves [default name: fsc-plot.png]
    #[arg(short, long, value_name = "PNG", num_args = 0..=1, default_missing_value = "fsc-plot.png")]
    plot: Option<PathBuf>,
}

/// Plot FSC curves of text files
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome drgn plot_fsc run1/fsc-vals.txt run2/fsc-vals.txt -a 1.06 -o both.png

Files are those of backproject_voxel or fsc. Of several files, and of files with several columns, all curves are drawn.")]
pub struct PlotArgs {
    /// FSC tables
    #[arg(required = true, value_name = "TXT")]
    input: Vec<PathBuf>,

    /// Pixel size in Å; without it the axis counts in pixels
    #[arg(short, long = "Apix", visible_alias = "apix", value_name = "Å")]
    apix: Option<f64>,

    /// Picture to write
    #[arg(short, long = "outfile", default_value = "fsc-plot.png", value_name = "PNG")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    let first = args.volumes.first().ok_or_else(|| Error::usage("give two maps"))?;
    let reference = Volume::read(first)?;
    let side = reference.cube_side().map_err(|e| Error::malformed(first, "", e.to_string()))?;
    let read = |path: &PathBuf| -> Result<Volume> {
        let map = Volume::read(path)?;
        match map.dims == reference.dims {
            true => Ok(map),
            false => {
                let [z, y, x] = map.dims;
                let problem =
                    format!("the map is {x} x {y} x {z}, but {} has a side of {side}", first.display());
                Err(Error::malformed(path, "", problem))
            }
        }
    };
    let apix = pixel_size(args.apix.or(reference.apix))?;
    let others = args.volumes[1..].iter().map(read).collect::<Result<Vec<_>>>()?;
    let (text, curves) = if let Some(path) = &args.ref_volume {
        let [other] = &others[..] else {
            return Err(Error::usage("--ref-volume goes with exactly two half maps"));
        };
        let set = fsc::fsc_set(&read(path)?.data, &reference.data, &other.data, side, apix, PHASE_SEED)?;
        (
            set.to_text(),
            curves_of(&set)
                .into_iter()
                .map(|(name, values)| (name, Fsc { box_side: side, values }))
                .collect(),
        )
    } else {
        let mask = args.mask.as_ref().map(read).transpose()?.map(|m| m.data);
        let mut curves: Vec<(String, Fsc)> = Vec::new();
        for (path, other) in args.volumes[1..].iter().zip(&others) {
            let mut curve = fsc::fsc(&reference.data, &other.data, mask.as_deref(), side)?;
            if let (Some(resolution), Some(mask)) = (args.corrected, &mask) {
                if resolution.is_nan() || resolution <= 0.0 {
                    return Err(Error::usage(format!("--corrected {resolution}: give a resolution in Å")));
                }
                let cutoff = ((side as f64 * apix / resolution) as usize).min(side / 2);
                curve = fsc::corrected(&reference.data, &other.data, mask, &curve, cutoff, PHASE_SEED)?;
            }
            curves.push((path.display().to_string(), curve));
        }
        (table(&curves), curves)
    };
    match &args.out {
        Some(path) => atomic::write(path, |out| out.write_all(text.as_bytes()))?,
        None => print!("{text}"),
    }
    if let Some(path) = &args.plot {
        let named: Vec<_> = curves.iter().map(|(name, curve)| (name.clone(), curve.values.clone())).collect();
        save_plot(path, &named, side, apix)?;
    }
    curves.iter().for_each(|(name, curve)| say_resolution(name, curve, apix));
    Ok(())
}

fn pixel_size(apix: Option<f64>) -> Result<f64> {
    match apix {
        None => Ok(1.0),
        Some(apix) if apix > 0.0 && apix.is_finite() => Ok(apix),
        Some(apix) => {
            Err(Error::usage(format!("--Apix {apix}: the pixel size must be a positive number of Å")))
        }
    }
}

/// One curve as cryoDRGN writes it; several as further columns.
fn table(curves: &[(String, Fsc)]) -> String {
    let Some((_, first)) = curves.first() else { return String::new() };
    let mut lines: Vec<String> = fsc::curve_text(first).lines().map(str::to_string).collect();
    for (k, (_, curve)) in curves.iter().enumerate().skip(1) {
        let text = fsc::curve_text(curve);
        for (line, more) in lines.iter_mut().zip(text.lines()) {
            let value = more.split_whitespace().nth(1).unwrap_or_default();
            line.push_str(&if value == "fsc" { format!(" fsc{}", k + 1) } else { format!(" {value}") });
        }
    }
    lines.join("\n") + "\n"
}

pub(super) fn curves_of(set: &FscSet) -> Vec<(String, Vec<f64>)> {
    let named = [
        ("No mask", &set.no_mask),
        ("Spherical", &set.spherical),
        ("Loose", &set.loose),
        ("Tight", &set.tight),
        ("Corrected", &set.corrected),
    ];
    named.into_iter().map(|(name, curve)| (name.to_string(), curve.values.clone())).collect()
}

/// Resolutions at both thresholds, to standard output.
pub(super) fn say_resolution(name: &str, curve: &Fsc, apix: f64) {
    let at = |threshold| curve.resolution(threshold, apix).map_or("never".into(), |r| format!("{r:.2} Å"));
    println!("{name}: FSC 0.5 at {}, 0.143 at {}", at(0.5), at(0.143));
}

fn save_plot(path: &Path, curves: &[(String, Vec<f64>)], side: usize, apix: f64) -> Result<()> {
    let png = plots::fsc("Fourier shell correlation", curves, side, apix).png()?;
    atomic::write(path, |out| out.write_all(&png))
}

pub fn run_plot(args: PlotArgs) -> Result<()> {
    let apix = pixel_size(args.apix)?;
    let mut curves = Vec::new();
    let mut side = 0;
    for path in &args.input {
        let text = std::fs::read_to_string(path).map_err(|e| Error::os("read", path, e))?;
        let bad = |problem: String| Error::malformed(path, "", problem);
        let (names, rows) = fsc::parse_text(&text).map_err(|e| bad(e.to_string()))?;
        let step = match rows.get(1).and_then(|row| row.first()) {
            Some(step) if *step > 0.0 && *step <= 0.5 && names.len() > 1 => *step,
            _ => {
                return Err(bad(
                    "not an FSC table: a first column `pixres` in equal steps, then curves".into()
                ));
            }
        };
        let this = (1.0 / step).round() as usize;
        if side != 0 && side != this {
            return Err(bad(format!("its box is {this}, that of the first file {side}; plot them apart")));
        }
        side = this;
        for (k, name) in names.iter().enumerate().skip(1) {
            let label =
                if args.input.len() > 1 { format!("{}, {name}", path.display()) } else { name.clone() };
            curves.push((label, rows.iter().map(|row| row.get(k).copied().unwrap_or(f64::NAN)).collect()));
        }
    }
    save_plot(&args.out, &curves, side, apix)?;
    println!("{}: {} curves", args.out.display(), curves.len());
    Ok(())
}
