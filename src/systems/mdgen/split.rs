//! Split files: a table of names and sequences, `name,seqres`, as the reference program reads.

use crate::error::{Error, Result};
use crate::io::atomic;
use crate::protein::residue::type_of_letter;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One molecule of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// One-letter codes.
    pub sequence: String,
}

impl Entry {
    /// Type of each residue.
    pub fn kinds(&self) -> Result<Vec<usize>> {
        let one = |letter| {
            let why = || format!("{}: `{letter}` is no one-letter code of an amino acid", self.name);
            type_of_letter(letter).ok_or_else(|| Error::usage(why()))
        };
        self.sequence.chars().map(one).collect()
    }

    /// The entry's trajectory: `FOLDER/NAME SUFFIX.npy`, without the blank.
    pub fn file(&self, folder: &Path, suffix: &str) -> PathBuf {
        folder.join(format!("{}{suffix}.npy", self.name))
    }
}

/// Reads a split file; columns other than `name` and `seqres` are passed over.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::os("read", path, e))?;
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let fields = |line: &str| -> Vec<String> {
        line.split(',').map(|field| field.trim().trim_matches('"').to_string()).collect()
    };
    let head = lines.next().map(|(_, line)| fields(line.trim_start_matches('\u{feff}'))).unwrap_or_default();
    let column = |name: &str| {
        let why = || format!("the first line must name the columns, `{name}` among them");
        head.iter().position(|h| h == name).ok_or_else(|| Error::malformed(path, "line 1", why()))
    };
    let (name, sequence) = (column("name")?, column("seqres")?);
    let mut entries: Vec<Entry> = Vec::new();
    for (i, line) in lines {
        let row = fields(line);
        let bad = |why: String| Error::malformed(path, format!("line {}", i + 1), why);
        let get = |at: usize| row.get(at).filter(|f| !f.is_empty()).cloned();
        let (Some(name), Some(sequence)) = (get(name), get(sequence)) else {
            return Err(bad("the name or the sequence is missing".into()));
        };
        if let Some(letter) = sequence.chars().find(|c| type_of_letter(*c).is_none()) {
            return Err(bad(format!("`{letter}` is no one-letter code of an amino acid")));
        }
        entries.push(Entry { name, sequence });
    }
    if entries.is_empty() {
        return Err(Error::malformed(path, "", "no molecules are listed"));
    }
    Ok(entries)
}

/// Writes the entries, and before them those of an existing file with other names.
pub fn add(path: &Path, entries: &[Entry]) -> Result<()> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    if path.exists() {
        all.extend(read(path)?.into_iter().map(|e| (e.name, e.sequence)));
    }
    all.extend(entries.iter().map(|e| (e.name.clone(), e.sequence.clone())));
    atomic::write(path, |out| {
        writeln!(out, "name,seqres")?;
        all.iter().try_for_each(|(name, sequence)| writeln!(out, "{name},{sequence}"))
    })
}
