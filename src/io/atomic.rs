//! Outputs appear whole or not at all.
//!
//! A file is written beside its target under a temporary name and renamed when it is complete, so a full disk,
//! an error or a kill leaves either the old file or the new one. A target that is not a regular file (a pipe,
//! `/dev/stdout`) cannot be renamed over and is written directly.

use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a format with a header finished last needs of its output.
pub trait WriteSeek: Write + Seek {}
impl<T: Write + Seek> WriteSeek for T {}

/// Writes the file at `path` through `fill`, whole or not at all.
///
/// A library error can be carried through `fill` by `io::Error::other(error)`; it comes out unchanged.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    if !is_special(path) {
        return write_seek(path, |out| fill(&mut &mut *out));
    }
    let mut out = BufWriter::new(open_special(path)?);
    fill(&mut out).and_then(|()| out.flush()).map_err(|e| refused(path, e))
}

/// As [`write()`], for formats that go back to finish their header.
pub fn write_seek(path: &Path, fill: impl FnOnce(&mut dyn WriteSeek) -> io::Result<()>) -> Result<()> {
    let mut out = Pending::create(path)?;
    match fill(&mut out) {
        Ok(()) => out.commit(),
        Err(e) => Err(refused(path, e)),
    }
}

/// Creates a folder and those above it; one that exists already is fine.
pub fn folder(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(file) = path.ancestors().find(|p| p.exists() && !p.is_dir()) {
        let why = format!("`{}` is a file; choose another folder or move the file away", file.display());
        return Err(Error::os("create folder", path, io::Error::new(io::ErrorKind::NotADirectory, why)));
    }
    fs::create_dir_all(path).map_err(|e| Error::os("create folder", path, e))
}

/// A file being written: nothing is seen at the target until [`Pending::commit`]; dropped before that, it
/// leaves no trace.
pub struct Pending {
    // An Option only so that commit can take it apart while Drop still guards the temporary file.
    out: Option<BufWriter<File>>,
    temporary: PathBuf,
    target: PathBuf,
    /// The target is no regular file: on commit the bytes are copied into it.
    special: bool,
}

impl Pending {
    /// Opens a temporary file beside `target` (for a special target: in the system's temporary folder).
    pub fn create(target: &Path) -> Result<Self> {
        let special = is_special(target);
        let (folder, destination) = if special {
            (std::env::temp_dir(), target.to_path_buf())
        } else {
            let destination = check_target(target)?;
            (destination.parent().map(Path::to_path_buf).unwrap_or_default(), destination)
        };
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            // A short name: the target's own name may already be as long as the file system allows.
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let temporary = folder.join(format!(".kinesome-{}-{n}.tmp", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&temporary) {
                Ok(file) => {
                    let out = Some(BufWriter::with_capacity(1 << 18, file));
                    return Ok(Pending { out, temporary, target: destination, special });
                }
                // Another machine's process with our number, or what a killed one left behind.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(refused(target, e)),
            }
        }
    }

    /// The path the file will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Puts the complete file in its place.
    pub fn commit(mut self) -> Result<()> {
        self.finish().map_err(|e| refused(&self.target, e))
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(mut out) = self.out.take() else { return Ok(()) };
        out.flush()?;
        let mut file = out.into_inner().map_err(|e| e.into_error())?;
        if self.special {
            file.rewind()?;
            let mut target = OpenOptions::new().append(true).open(&self.target)?;
            io::copy(&mut file, &mut target)?;
            return target.flush();
        }
        // Some network file systems report a full disk only here.
        file.sync_all()?;
        if let Ok(old) = fs::metadata(&self.target) {
            fs::set_permissions(&self.temporary, old.permissions())?;
        }
        drop(file);
        fs::rename(&self.temporary, &self.target)?;
        self.temporary = PathBuf::new();
        Ok(())
    }

    fn inner(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.out.as_mut().ok_or_else(|| io::Error::other("the file is already complete"))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Closed first: not every system removes an open file.
        if let Some(out) = self.out.take() {
            drop(out.into_parts());
        }
        if !self.temporary.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner()?.flush()
    }
}

impl Seek for Pending {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner()?.seek(to)
    }
}

/// Where the bytes will really lie (links followed), or why nothing can be written there.
fn check_target(target: &Path) -> Result<PathBuf> {
    let refuse =
        |kind: io::ErrorKind, why: String| Err(Error::os("write", target, io::Error::new(kind, why)));
    if target.file_name().is_none() {
        return refuse(io::ErrorKind::InvalidInput, "this is not the name of a file".into());
    }
    match fs::metadata(target) {
        Ok(old) if old.is_dir() => refuse(
            io::ErrorKind::IsADirectory,
            "a folder of this name exists; give the name of a file".into(),
        ),
        Ok(old) if old.permissions().readonly() => {
            refuse(io::ErrorKind::PermissionDenied, "the file exists and is write-protected".into())
        }
        Ok(_) => fs::canonicalize(target).map_err(|e| refused(target, e)),
        Err(_) => {
            let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !folder.is_dir() {
                return refuse(io::ErrorKind::NotFound, format!("there is no folder `{}`", folder.display()));
            }
            Ok(target.to_path_buf())
        }
    }
}

/// Devices, pipes and sockets; also anything under /dev and /proc, where even a redirected `/dev/stdout`,
/// which looks like a regular file, must not be replaced under the process that opened it.
fn is_special(path: &Path) -> bool {
    path.starts_with("/dev") && !path.starts_with("/dev/shm")
        || path.starts_with("/proc")
        || fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

fn open_special(path: &Path) -> Result<File> {
    // Append, so that a shell's `>>` to a file behind /dev/stdout keeps what it had.
    OpenOptions::new().append(true).open(path).map_err(|e| refused(path, e))
}

fn refused(target: &Path, e: io::Error) -> Error {
    match e.downcast::<Error>() {
        Ok(own) => own,
        Err(e) => Error::os("write", target, e),
    }
}
