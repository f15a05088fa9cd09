//! Files that belong together: when the work fails between the first and the last, those already written go again.

use crate::error::Result;
use crate::io::atomic;
use std::path::{Path, PathBuf};

/// Remembers what a command created; dropped without [`Outputs::keep`], it removes that again. Files that were there
/// before stay (each is replaced whole or not at all).
#[derive(Debug, Default)]
pub struct Outputs {
    files: Vec<PathBuf>,
    /// Outermost first.
    folders: Vec<PathBuf>,
}

impl Outputs {
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a folder, and those above it, unless it exists.
    pub fn folder(&mut self, path: &Path) -> Result<()> {
        let mut missing: Vec<PathBuf> = path
            .ancestors()
            .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
            .map(Path::to_path_buf)
            .collect();
        missing.reverse();
        atomic::folder(path)?;
        self.folders.extend(missing);
        Ok(())
    }

    /// Announces a file that is about to be written, and gives its path back.
    pub fn file(&mut self, path: impl Into<PathBuf>) -> PathBuf {
        let path = path.into();
        if !path.exists() {
            self.files.push(path.clone());
        }
        path
    }

    /// All is well: everything stays.
    pub fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
        // Only empty folders can be removed this way.
        for folder in self.folders.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
