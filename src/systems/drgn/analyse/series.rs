//! Series of volumes: decoded one by one, written, pictured, and put into a ChimeraX script.

use std::path::{Path, PathBuf};

use super::{Options, Progress};
use crate::cryo::volume::{Volume, correlation};
use crate::io::atomic;
use crate::io::mrc::write_volume;
use crate::report::chimerax;
use crate::report::colour::{Rgb, category, mix};
use crate::report::maps::{pictured, surfaces};
use crate::report::volume::{Contour, contour_level, series_colour};
use crate::stats::rank::median;
use crate::systems::drgn::evaluate::VolumeDecoder;
use crate::systems::drgn::traverse::LatentPath;
use crate::{Result, interrupt};

/// Volumes at points of latent space.
#[derive(Clone, Debug)]
pub struct Series {
    pub folder: PathBuf,
    pub z: LatentPath,
    /// Empty if no volumes were asked for.
    pub volumes: Vec<PathBuf>,
    /// A picture of each, a PNG file's bytes.
    pub pictures: Vec<Vec<u8>>,
    /// Density of the surface in the pictures and in the script.
    pub level: f32,
    /// Correlation of the first volume with the last.
    pub ends: Option<f64>,
}

/// How the volumes of a series are coloured.
#[derive(Clone, Copy, PartialEq)]
pub enum Tinge {
    /// From blue to orange.
    Order,
    /// As the clusters in the figures.
    Cluster,
}

impl Tinge {
    fn of(self, i: usize, n: usize) -> Rgb {
        match self {
            Tinge::Order => series_colour(i, n),
            Tinge::Cluster => mix(category(i, n), [0xd8; 3], 0.45),
        }
    }
}

/// Makes all series of one analysis.
pub struct Maker<'a> {
    pub decoder: VolumeDecoder,
    pub norm: (f32, f32),
    /// Side of a decoded volume, and its pixel size in Å.
    pub side: usize,
    pub apix: f64,
    pub options: &'a Options,
    pub progress: Progress<'a>,
    pub done: usize,
    pub total: usize,
}

impl Maker<'_> {
    /// Writes `z_values.txt` and, unless volumes are skipped, `vol_001.mrc`.. with pictures and a script.
    pub fn run(&mut self, folder: &Path, z: LatentPath, title: &str, tinge: Tinge) -> Result<Series> {
        atomic::folder(folder)?;
        z.write(&folder.join("z_values.txt"))?;
        let mut series =
            Series { folder: folder.into(), z, volumes: vec![], pictures: vec![], level: 0.0, ends: None };
        if self.options.skip_volumes {
            return Ok(series);
        }
        let rows: Vec<Vec<f32>> =
            series.z.points.chunks_exact(series.z.dim.max(1)).map(<[f32]>::to_vec).collect();
        let (mut small, mut levels, mut first) = (Vec::new(), Vec::new(), Vec::new());
        for (i, z) in rows.iter().enumerate() {
            interrupt::check()?;
            let mut volume = Volume::new(self.decoder.decode(z, self.norm)?, self.side, self.apix as f32)?;
            volume.post_process(&self.options.post_process)?;
            let path = folder.join(format!("vol_{:03}.mrc", i + self.options.first_volume));
            let origin = volume.origin.map(f64::from);
            write_volume(&path, &volume.data, [volume.n; 3], f64::from(volume.apix), origin)?;
            levels.push(f64::from(contour_level(&volume.data, Contour::Auto)));
            if i == 0 {
                first = volume.data.clone();
            } else if i + 1 == rows.len() {
                series.ends = Some(correlation(&first, &volume.data)?);
            }
            small.push(pictured(volume)?);
            series.volumes.push(path);
            self.done += 1;
            (self.progress)("volumes", self.done, self.total)?;
        }
        // One level for all: else each volume would seem to be equally large.
        series.level = median(&levels) as f32;
        let count = small.len();
        series.pictures = surfaces(&mut small, |i| tinge.of(i, count))?;
        for (png, path) in series.pictures.iter().zip(&series.volumes) {
            atomic::write(&path.with_extension("png"), |out| out.write_all(png))?;
        }
        // The script lies beside the volumes and names them without a folder.
        let names: Vec<PathBuf> =
            series.volumes.iter().filter_map(|p| p.file_name().map(PathBuf::from)).collect();
        let script = chimerax::cxc(&names, series.level, title);
        atomic::write(&folder.join("vol_series.cxc"), |out| out.write_all(script.as_bytes()))?;
        Ok(series)
    }
}
