//! Fourier-crop downsampling of stacks and maps: to one stack, to numbered pieces with a list, or file by file beside
//! a .star or .txt that names the results.

use super::Tick;
use super::images::{float_mode, not_onto_input, stream};
use crate::cryo::image::{Downsample, downsampled_apix};
use crate::cryo::volume::Volume;
use crate::error::{Error, Result};
use crate::io::atomic;
use crate::io::mrc::{self, StackWriter};
use crate::io::outputs::Outputs;
use crate::io::particles::ParticleStack;
use crate::io::star::ParticleTable;
use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    pub images: usize,
    pub files: usize,
    /// Å per pixel of the results; None where the input does not say.
    pub apix: Option<f64>,
}

struct Sizes {
    n: usize,
    m: usize,
    plan: Downsample,
    apix: Option<f64>,
}

impl Sizes {
    fn new(stack: &ParticleStack, m: usize) -> Result<Self> {
        let n = stack.box_size();
        let apix = stack.apix().map(|apix| downsampled_apix(apix, n, m.max(1)));
        Ok(Sizes { n, m, plan: Downsample::new(n, m)?, apix })
    }

    fn write(&self, stack: &ParticleStack, particles: &[usize], out: &Path, tick: Tick) -> Result<()> {
        not_onto_input(out, stack.files())?;
        // A header that leaves the pixel size open counts as 1 Å.
        let apix = self.apix.unwrap_or_else(|| downsampled_apix(1.0, self.n, self.m));
        let mut writer = StackWriter::create(out, self.m, self.m, float_mode(stack.mode()), apix)?;
        let work = |_: usize, image: &mut [f32], small: &mut [f32], scratch: &mut _| {
            self.plan.run(image, small, scratch)
        };
        stream(stack, particles, self.m, &mut writer, || self.plan.scratch(), work, tick)?;
        writer.finish()
    }

    fn written(&self, images: usize, files: usize) -> Written {
        Written { images, files, apix: self.apix }
    }
}

/// All images of a stack to one file.
pub fn to_stack(stack: &ParticleStack, side: usize, out: &Path, tick: Tick) -> Result<Written> {
    let sizes = Sizes::new(stack, side)?;
    let all: Vec<usize> = (0..stack.len()).collect();
    sizes.write(stack, &all, out, tick)?;
    Ok(sizes.written(all.len(), 1))
}

/// `NAME.0.mrcs`, `NAME.1.mrcs`, ... of `chunk` images each, and `NAME.txt`, which lists them.
pub fn to_pieces(
    stack: &ParticleStack,
    side: usize,
    chunk: usize,
    out: &Path,
    tick: Tick,
) -> Result<Written> {
    if chunk == 0 {
        return Err(Error::usage("--chunk must be at least 1 image a file"));
    }
    let sizes = Sizes::new(stack, side)?;
    let all: Vec<usize> = (0..stack.len()).collect();
    let mut outputs = Outputs::new();
    let mut names = String::new();
    let mut before = 0;
    for (piece, particles) in all.chunks(chunk).enumerate() {
        let path = outputs.file(out.with_extension(format!("{piece}.mrcs")));
        sizes.write(stack, particles, &path, &mut |done, _| tick(before + done, all.len()))?;
        before += particles.len();
        names.push_str(&format!("{}\n", path.file_name().unwrap_or_default().to_string_lossy()));
    }
    let list = outputs.file(out.with_extension("txt"));
    atomic::write(&list, |out| out.write_all(names.as_bytes()))?;
    outputs.keep();
    Ok(sizes.written(all.len(), all.len().div_ceil(chunk)))
}

/// One downsampled file under `outdir` for every file that `input` (.star or .txt) names, in the same tree of folders
/// with the new box in the name (`a/b.mrcs` becomes `a/b.64.mrcs`), and at `out` the same table or list of the new ones.
pub fn to_tree(
    stack: &ParticleStack,
    (input, ind): (&Path, Option<&[usize]>),
    side: usize,
    (out, outdir): (&Path, &Path),
    tick: Tick,
) -> Result<Written> {
    not_onto_input(out, [input])?;
    let sizes = Sizes::new(stack, side)?;
    // Particles of each source file, in the order of first use.
    let mut order: Vec<PathBuf> = Vec::new();
    let mut of_file: HashMap<PathBuf, usize> = HashMap::new();
    let mut particles: Vec<Vec<usize>> = Vec::new();
    let mut place: Vec<(usize, usize)> = Vec::with_capacity(stack.len());
    for i in 0..stack.len() {
        let (path, _) = stack.source(i)?;
        let file = *of_file.entry(path.to_path_buf()).or_insert_with(|| {
            order.push(path.to_path_buf());
            particles.push(Vec::new());
            order.len() - 1
        });
        place.push((file, particles[file].len()));
        particles[file].push(i);
    }
    let targets = mirror(&order, input, outdir, side)?;
    let mut outputs = Outputs::new();
    let mut before = 0;
    for (target, particles) in targets.iter().zip(&particles) {
        outputs.folder(target.parent().unwrap_or(Path::new("")))?;
        let target = outputs.file(target);
        sizes.write(stack, particles, &target, &mut |done, _| tick(before + done, stack.len()))?;
        before += particles.len();
    }
    let names: Vec<String> = targets.iter().map(|t| name_from(out, t)).collect();
    let out = outputs.file(out);
    if input.extension().is_some_and(|e| e.eq_ignore_ascii_case("star")) {
        let images = place.iter().map(|(file, at)| format!("{:06}@{}", at + 1, names[*file])).collect();
        star_of(input, ind, images, &sizes)?.star().write(&out)?;
    } else {
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        atomic::write(&out, |out| out.write_all(text.as_bytes()))?;
    }
    outputs.keep();
    Ok(sizes.written(stack.len(), targets.len()))
}

/// The table with new image names, box and pixel size; shifts in pixels shrink with the box.
fn star_of(input: &Path, ind: Option<&[usize]>, images: Vec<String>, sizes: &Sizes) -> Result<ParticleTable> {
    let mut table = ParticleTable::open(input)?;
    if let Some(ind) = ind {
        table = ParticleTable::from_star(input, table.select(ind)?)?;
    }
    table.set_column("_rlnImageName", &images)?;
    let shrink = sizes.m as f64 / sizes.n as f64;
    let grown = |v: f64| format!("{:.6}", downsampled_apix(v, sizes.n, sizes.m));
    let box_of = |_: f64| sizes.m.to_string();
    let shrunk = |v: f64| format!("{:.6}", v * shrink);
    let edits: [(&str, &dyn Fn(f64) -> String); 6] = [
        ("_rlnImageSize", &box_of),
        ("_rlnImagePixelSize", &grown),
        ("_rlnPixelSize", &grown),
        ("_rlnDetectorPixelSize", &grown),
        ("_rlnOriginX", &shrunk),
        ("_rlnOriginY", &shrunk),
    ];
    for (name, edit) in edits {
        let changed = |t: &crate::io::star::Table| -> Option<Vec<String>> {
            let column = t.column(name)?;
            let value = |row| t.get(row, column).and_then(|v| v.parse().ok()).map_or("nan".into(), edit);
            Some((0..t.len()).map(value).collect())
        };
        if let Some(values) = table.optics().and_then(changed) {
            table.set_optics_column(name, &values)?;
        }
        if let Some(values) = changed(table.particles()) {
            table.set_column(name, &values)?;
        }
    }
    Ok(table)
}

/// Where each source goes under `outdir`: its path below the folder of `input` or, if one lies elsewhere, below the
/// deepest folder common to all.
fn mirror(sources: &[PathBuf], input: &Path, outdir: &Path, side: usize) -> Result<Vec<PathBuf>> {
    let full = |path: &Path| path.canonicalize().map_err(|e| Error::os("read", path, e));
    let sources: Vec<PathBuf> = sources.iter().map(|s| full(s)).collect::<Result<_>>()?;
    let home = full(input.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    let common = if sources.iter().all(|s| s.starts_with(&home)) {
        home
    } else {
        let mut common = sources.first().and_then(|s| s.parent()).unwrap_or(Path::new("/"));
        while !sources.iter().all(|s| s.starts_with(common)) {
            common = common.parent().unwrap_or(Path::new("/"));
        }
        common.to_path_buf()
    };
    let mut seen = HashSet::new();
    let targets = sources.iter().map(|source| {
        let below = source.strip_prefix(&common).unwrap_or(source);
        let below: PathBuf = below.components().filter(|c| matches!(c, Component::Normal(_))).collect();
        let extension = below.extension().map_or("mrcs".into(), |e| e.to_string_lossy().into_owned());
        let target = outdir.join(below.with_extension(format!("{side}.{extension}")));
        if seen.insert(target.clone()) {
            return Ok(target);
        }
        Err(Error::usage(format!("two source files would both become {}; rename one", target.display())))
    });
    targets.collect()
}

/// How a table or list at `out` names `file`: relative to its own folder where it lies below it, else absolute.
pub fn name_from(out: &Path, file: &Path) -> String {
    let full = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let (out, file) = (full(out), full(file));
    let below = out.parent().and_then(|folder| file.strip_prefix(folder).ok());
    below.unwrap_or(&file).to_string_lossy().into_owned()
}

/// A map to a smaller box.
pub fn volume(input: &Path, side: usize, out: &Path) -> Result<f64> {
    let map = mrc::Volume::read(input)?;
    not_onto_input(out, [input])?;
    let n = map.cube_side().map_err(|e| Error::malformed(input, "", e.to_string()))?;
    let mut volume = Volume::new(map.data, n, 1.0)?;
    volume.downsample(side)?;
    let apix = downsampled_apix(map.apix.unwrap_or(1.0), n, side);
    mrc::write_volume(out, &volume.data, [side; 3], apix, map.origin)?;
    Ok(apix)
}
