//! The one error type of the library: every variant says what is wrong, where, and what to do.

use std::path::{Path, PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused: missing file, no permission, full disk.
    #[error("cannot {action} {}: {source}", path.display())]
    Os { action: &'static str, path: PathBuf, source: std::io::Error },
    /// A file is readable but its content is not what its format (or its own header) promises.
    #[error("{}{}: {problem}", path.display(), if place.is_empty() { String::new() } else { format!(", {place}") })]
    Malformed {
        path: PathBuf,
        /// Line, field, image or byte offset, as `line 12` or `image 7`; may be empty.
        place: String,
        /// What is wrong and what to do about it.
        problem: String,
    },
    /// What the user asked for cannot be done as asked; the text says what to do instead.
    #[error("{0}")]
    Usage(String),
    /// A step was recorded with shapes that do not fit: operation, shapes and layer.
    #[error("{0}")]
    Shape(String),
    /// A device cannot run what was asked of it.
    #[error("{device}: {problem}")]
    Device { device: String, problem: String },
    /// A value that should be finite is not.
    #[error("{0}")]
    NotFinite(String),
    /// Ctrl-C or SIGTERM; what was complete before it stays on disk.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    pub fn os(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Error::Os { action, path: path.as_ref().to_path_buf(), source }
    }

    pub fn malformed(path: impl AsRef<Path>, place: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::Malformed { path: path.as_ref().to_path_buf(), place: place.into(), problem: problem.into() }
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Error::Usage(text.into())
    }
}

/// The first few of many names.
pub fn listed<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 4;
    let more = match names.len() {
        n if n > SHOWN => format!(" and {} more", n - SHOWN),
        _ => String::new(),
    };
    format!("{}{more}", names.iter().take(SHOWN).map(T::as_ref).collect::<Vec<_>>().join(", "))
}
