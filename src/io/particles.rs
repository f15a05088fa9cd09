//! A particle stack, whatever describes it: .mrcs or .mrc, RELION .star, cryoSPARC .cs, or a .txt that lists stacks.
//!
//! Files are mapped once and shared; a particle is a file number and an image number, eight bytes. Everything
//! that can be wrong with the files (missing, cut short, mixed boxes, rows past an end) is found when the stack
//! is opened, before any work is done; single pixels are checked as they are read.

use crate::error::{Error, Result};
use crate::io::cs::CsTable;
use crate::io::mrc::{self, Mode, MrcFile};
use crate::io::star::ParticleTable;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Depth to which .txt lists may name .txt lists; a list that names itself ends here.
const MAX_NESTING: usize = 8;

/// A lazy view over particle images of one even, square box.
#[derive(Debug)]
pub struct ParticleStack {
    files: Vec<MrcFile>,
    index: Index,
    box_size: usize,
    apix: Option<f64>,
}

#[derive(Debug)]
enum Index {
    /// All images of the only file.
    Whole(usize),
    /// File and image of each particle.
    List(Vec<(u32, u32)>),
}

/// A particle as a .star or .cs file names it.
struct Row {
    name: u32,
    image: u32,
    /// Its row in that file.
    row: usize,
}

/// The rows of a .star or .cs file.
struct Listing {
    names: Vec<String>,
    rows: Vec<Row>,
    apix: Option<f64>,
    /// Where a row stands, for messages.
    place: Box<dyn Fn(usize) -> String>,
}

impl ParticleStack {
    /// Opens and checks a stack.
    ///
    /// Image names are looked for in `datadir` (with and without their folders), then beside the file that names them,
    /// then as they are.
    pub fn open(path: &Path, datadir: Option<&Path>, ind: Option<&[usize]>) -> Result<Self> {
        Self::open_nested(path, datadir, ind, 0)
    }

    fn open_nested(path: &Path, datadir: Option<&Path>, ind: Option<&[usize]>, depth: usize) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match extension.as_str() {
            "star" => Self::from_listing(path, datadir, ind, list_star(path)?),
            "cs" => Self::from_listing(path, datadir, ind, list_cs(path)?),
            "txt" => Self::from_txt(path, datadir, depth)?.select(path, ind),
            _ => Self::from_mrc(path)?.select(path, ind),
        }
    }

    fn from_mrc(path: &Path) -> Result<Self> {
        let file = MrcFile::open(path)?;
        let box_size = even_box(&file)?;
        let (index, apix) = (Index::Whole(file.len()), file.header().apix);
        Ok(ParticleStack { files: vec![file], index, box_size, apix })
    }

    fn from_txt(path: &Path, datadir: Option<&Path>, depth: usize) -> Result<Self> {
        if depth >= MAX_NESTING {
            let problem = format!("lists are nested more than {MAX_NESTING} deep; does one name itself?");
            return Err(Error::malformed(path, "", problem));
        }
        let map = mrc::map(path)?;
        let text = std::str::from_utf8(&map)
            .map_err(|_| Error::malformed(path, "", "not a text file; a .txt lists one stack a line"))?;
        let lines = text.lines().enumerate().map(|(n, l)| (n + 1, l.trim()));
        let named: Vec<_> = lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')).collect();
        if named.is_empty() {
            return Err(Error::malformed(path, "", "the list is empty: there are no particles in it"));
        }
        // All lines are looked up before any file is opened, so that a missing one is reported at once.
        let mut found = Vec::with_capacity(named.len());
        for (n, name) in named {
            // A list's names are relative to the list before anything else.
            let beside = path.parent().unwrap_or(Path::new("")).join(name);
            let stack = if beside.exists() { Some(beside) } else { find(name, path, datadir) };
            found.push(stack.ok_or_else(|| missing(path, format!("line {n}"), name, datadir))?);
        }
        let parts: Vec<Result<Self>> =
            found.par_iter().map(|p| Self::open_nested(p, datadir, None, depth + 1)).collect();
        let mut whole =
            ParticleStack { files: Vec::new(), index: Index::List(Vec::new()), box_size: 0, apix: None };
        let mut index = Vec::new();
        for part in parts {
            let part = part?;
            let before = whole.files.len() as u32;
            if before == 0 {
                (whole.box_size, whole.apix) = (part.box_size, part.apix);
            }
            if let (Some(first), Some(here)) = (whole.files.first(), part.files.first()) {
                same_box(first, here)?;
            }
            if !agree(whole.apix, part.apix) {
                whole.apix = None;
            }
            index.extend((0..part.len()).filter_map(|i| part.at(i)).map(|(f, i)| (before + f, i)));
            whole.files.extend(part.files);
        }
        whole.index = Index::List(index);
        Ok(whole)
    }

    fn from_listing(
        path: &Path,
        datadir: Option<&Path>,
        ind: Option<&[usize]>,
        mut list: Listing,
    ) -> Result<Self> {
        if let Some(ind) = ind {
            check_selection(path, ind, list.rows.len())?;
            list.rows = ind.iter().map(|i| Row { ..list.rows[*i] }).collect();
        }
        // Files in the order of first use; `file_of` goes from name to file.
        let mut file_of: Vec<Option<u32>> = vec![None; list.names.len()];
        let mut paths: Vec<PathBuf> = Vec::new();
        let mut known: HashMap<PathBuf, u32> = HashMap::new();
        for row in &list.rows {
            let name = row.name as usize;
            if file_of[name].is_some() {
                continue;
            }
            let place = || (list.place)(row.row);
            let file = find(&list.names[name], path, datadir)
                .ok_or_else(|| missing(path, place(), &list.names[name], datadir))?;
            file_of[name] = Some(*known.entry(file.clone()).or_insert_with(|| {
                paths.push(file);
                paths.len() as u32 - 1
            }));
        }
        let files: Vec<MrcFile> =
            paths.par_iter().map(MrcFile::open).collect::<Vec<_>>().into_iter().collect::<Result<_>>()?;
        let Some(first) = files.first() else {
            return Err(Error::malformed(path, "", "there are no particles in this file"));
        };
        let box_size = even_box(first)?;
        for file in &files {
            even_box(file)?;
            same_box(first, file)?;
        }
        let mut index = Vec::with_capacity(list.rows.len());
        for row in &list.rows {
            let f = file_of[row.name as usize].unwrap_or_default();
            let held = files[f as usize].len();
            if row.image as usize >= held {
                let problem = format!(
                    "names image {} of {}, which holds only {held}",
                    u64::from(row.image) + 1,
                    files[f as usize].path().display()
                );
                return Err(Error::malformed(path, (list.place)(row.row), problem));
            }
            index.push((f, row.image));
        }
        let apix = list.apix.or(first.header().apix);
        Ok(ParticleStack { files, index: Index::List(index), box_size, apix })
    }

    fn select(mut self, path: &Path, ind: Option<&[usize]>) -> Result<Self> {
        if let Some(ind) = ind {
            check_selection(path, ind, self.len())?;
            self.index = Index::List(ind.iter().filter_map(|i| self.at(*i)).collect());
        }
        Ok(self)
    }

    fn at(&self, i: usize) -> Option<(u32, u32)> {
        match &self.index {
            Index::Whole(n) => (i < *n).then_some((0, i as u32)),
            Index::List(list) => list.get(i).copied(),
        }
    }

    /// Number of particles, at least 1.
    pub fn len(&self) -> usize {
        match &self.index {
            Index::Whole(n) => *n,
            Index::List(list) => list.len(),
        }
    }

    /// Never true: a stack without particles does not open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Side of the images in pixels, even.
    pub fn box_size(&self) -> usize {
        self.box_size
    }

    /// Å per pixel, from the .star or .cs file, else from the (first) image file's header; None where nothing
    /// says it or where particles or files differ.
    pub fn apix(&self) -> Option<f64> {
        self.apix
    }

    /// How the first file stores its pixels.
    pub fn mode(&self) -> Mode {
        self.files.first().map_or(Mode::Float32, |f| f.header().mode)
    }

    /// The image files, in the order of first use.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(MrcFile::path)
    }

    /// The file that holds particle `i`, and its image there (from 0).
    pub fn source(&self, i: usize) -> Result<(&Path, usize)> {
        self.locate(i).map(|(file, image)| (file.path(), image))
    }

    fn locate(&self, i: usize) -> Result<(&MrcFile, usize)> {
        self.at(i)
            .and_then(|(f, image)| Some((self.files.get(f as usize)?, image as usize)))
            .ok_or_else(|| Error::usage(format!("particle {i} of a stack of {} (from 0)", self.len())))
    }

    /// Copies image `i` into `out` \[box * box\], x fastest; NaN or infinite pixels are an error. May be called
    /// from many threads at once.
    pub fn read(&self, i: usize, out: &mut [f32]) -> Result<()> {
        let (file, image) = self.locate(i)?;
        file.read_image(image, out)?;
        if file.may_hold_nan() && !mrc::all_finite(out) {
            let bad = out.iter().position(|v| !v.is_finite()).unwrap_or_default();
            let (x, y) = (bad % self.box_size, bad / self.box_size);
            return Err(Error::NotFinite(format!(
                "particle {i} (image {}@{}): the pixel x {x}, y {y} is {}; leave the particle out with --ind, or \
                 extract it again",
                image + 1,
                file.path().display(),
                out[bad]
            )));
        }
        Ok(())
    }
}

fn list_star(path: &Path) -> Result<Listing> {
    let table = ParticleTable::open(path)?;
    let apix = table.apix()?.and_then(|all| common(&all));
    let (mut names, mut known) = (Vec::new(), HashMap::new());
    let mut rows = Vec::with_capacity(table.len());
    for row in 0..table.len() {
        let (image, file) = table.image(row)?;
        rows.push(Row { name: number_of(file, &mut names, &mut known), image, row });
    }
    let lines: Vec<u32> =
        (0..table.len()).map(|r| table.particles().line(r).unwrap_or_default() as u32).collect();
    let place = Box::new(move |row: usize| format!("line {}", lines.get(row).copied().unwrap_or_default()));
    Ok(Listing { names, rows, apix, place })
}

fn list_cs(path: &Path) -> Result<Listing> {
    let table = CsTable::open(path)?;
    let images = table.integers("blob/idx")?;
    let apix = if table.has("blob/psize_A") { common(&table.floats("blob/psize_A")?) } else { None };
    let (mut names, mut known) = (Vec::new(), HashMap::new());
    let mut rows = Vec::with_capacity(table.len());
    for (row, (file, image)) in table.image_paths()?.iter().zip(images).enumerate() {
        let image = u32::try_from(image).map_err(|_| {
            Error::malformed(path, format!("row {row}"), format!("blob/idx {image} is no image of any stack"))
        })?;
        rows.push(Row { name: number_of(file, &mut names, &mut known), image, row });
    }
    Ok(Listing { names, rows, apix, place: Box::new(|row| format!("row {row}")) })
}

fn number_of(name: &str, names: &mut Vec<String>, known: &mut HashMap<String, u32>) -> u32 {
    if let Some(n) = known.get(name) {
        return *n;
    }
    let n = names.len() as u32;
    names.push(name.to_string());
    known.insert(name.to_string(), n);
    n
}

/// The value all share, to a part in a million.
fn common(all: &[f64]) -> Option<f64> {
    let first = *all.first()?;
    (first > 0.0 && all.iter().all(|a| (a - first).abs() <= 1e-6 * first)).then_some(first)
}

fn agree(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => common(&[a, b]).is_some(),
        _ => a.is_none() && b.is_none(),
    }
}

/// The places a named image file is looked for, in this order. A file of that name in the working folder comes last:
/// it may be another run's.
fn places(name: &str, listed_in: &Path, datadir: Option<&Path>) -> Vec<PathBuf> {
    let mut places = vec![];
    if let Some(folder) = datadir {
        places.push(folder.join(name));
        places.extend(Path::new(name).file_name().map(|base| folder.join(base)));
    }
    places.extend([listed_in.parent().unwrap_or(Path::new("")).join(name), PathBuf::from(name)]);
    places.dedup();
    places
}

fn find(name: &str, listed_in: &Path, datadir: Option<&Path>) -> Option<PathBuf> {
    let search = |name: &str| places(name, listed_in, datadir).into_iter().find(|p| p.is_file());
    // RELION allows the format behind a colon: stack.mrc:mrcs.
    search(name).or_else(|| name.rsplit_once(':').and_then(|(bare, _)| search(bare)))
}

fn missing(path: &Path, place: String, name: &str, datadir: Option<&Path>) -> Error {
    let tried: Vec<_> = places(name, path, datadir).iter().map(|p| p.display().to_string()).collect();
    let problem =
        format!("there is no image file {name} (tried {}); give its folder with --datadir", tried.join(", "));
    Error::malformed(path, place, problem)
}

fn even_box(file: &MrcFile) -> Result<usize> {
    let (nx, ny) = (file.header().nx, file.header().ny);
    let problem = if nx != ny {
        format!("the images are {nx} x {ny} pixels; particles must be square")
    } else if nx % 2 != 0 {
        format!("the box is {nx} pixels; it must be even: extract or crop the particles to {}", nx.max(3) - 1)
    } else {
        return Ok(nx);
    };
    Err(Error::malformed(file.path(), "", problem))
}

fn same_box(first: &MrcFile, file: &MrcFile) -> Result<()> {
    let (a, b) = (first.header().nx, file.header().nx);
    if a == b {
        return Ok(());
    }
    let problem = format!(
        "the box is {b} pixels, but that of {} is {a}; downsample to one box",
        first.path().display()
    );
    Err(Error::malformed(file.path(), "", problem))
}

fn check_selection(path: &Path, ind: &[usize], have: usize) -> Result<()> {
    if ind.is_empty() {
        return Err(Error::usage("the selection of particles (--ind) is empty"));
    }
    match ind.iter().find(|i| **i >= have) {
        Some(i) => {
            let file = path.display();
            Err(Error::usage(format!("--ind selects particle {i}, but {file} has {have} (counted from 0)")))
        }
        None => Ok(()),
    }
}
