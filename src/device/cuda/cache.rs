//! Compiled kernels on disk. A file holds the whole key it was made for (source and options)
//! beside the machine code and a checksum, so neither a collision of names nor a damaged file can hand out a
//! wrong kernel: anything that does not fit is compiled anew.

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const MAGIC: &[u8; 8] = b"kinesom1";

pub struct Cache {
    folder: Option<PathBuf>,
    warned: AtomicBool,
}

impl Cache {
    /// In the user's cache folder, or where `KINESOME_CACHE` says.
    pub fn open() -> Cache {
        let given = std::env::var_os("KINESOME_CACHE").map(PathBuf::from);
        let usual = || {
            let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
            Some(base?.join("kinesome"))
        };
        Cache::at(given.or_else(usual).map(|f| f.join("cuda")))
    }

    pub fn at(folder: Option<PathBuf>) -> Cache {
        Cache { folder, warned: AtomicBool::new(false) }
    }

    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// What was stored under exactly this key.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.file(key)?).ok()?;
        code(&bytes, key).map(<[u8]>::to_vec)
    }

    /// Failing to store costs time, not the run: it is said once.
    pub fn put(&self, key: &str, code: &[u8]) {
        let Some(file) = self.file(key) else { return };
        let length = (key.len() as u64).to_le_bytes();
        let content = [MAGIC, &length[..], key.as_bytes(), &hash(code).to_le_bytes(), code].concat();
        if let Err(e) = store(&file, &content)
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            let folder = file.parent().unwrap_or(&file).display();
            eprintln!(
                "warning: compiled kernels cannot be kept in {folder} ({e}); set KINESOME_CACHE to a folder"
            );
        }
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{:016x}.cubin", hash(key.as_bytes()))))
    }
}

/// The machine code in a cache's file, if it is undamaged and made for this key.
pub fn code<'a>(file: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let rest = file.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_at_checked(8)?;
    let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (known, rest) = rest.split_at_checked(length)?;
    let (sum, code) = rest.split_at_checked(8)?;
    (known == key.as_bytes() && sum == hash(code).to_le_bytes()).then_some(code)
}

/// Beside its place and then renamed: another process never reads half a file.
fn store(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // Threads of one process store different keys.
    let beside = file.with_extension(std::process::id().to_string());
    let outcome = std::fs::write(&beside, content).and_then(|()| std::fs::rename(&beside, file));
    if outcome.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    outcome
}

fn hash(bytes: &[u8]) -> u64 {
    // Its fixed keys make it the same in every process.
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_stored_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(Some(folder.path().join("deep/er")));
        assert_eq!(cache.get("key"), None);
        cache.put("key", b"code");
        assert_eq!(cache.get("key"), Some(b"code".to_vec()));
        assert_eq!(cache.get("other"), None);
        let file = cache.file("key").unwrap();
        let whole = std::fs::read(&file).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&file, &whole[..length]).unwrap();
            assert_eq!(cache.get("key"), None, "cut to {length} bytes");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(cache.get("key"), None, "byte {at} damaged");
        }
        // The right name with another key in it, as a collision would have it.
        cache.put("another", b"code of another");
        std::fs::rename(cache.file("another").unwrap(), &file).unwrap();
        assert_eq!(cache.get("key"), None);
        cache.put("key", b"new code");
        assert_eq!(cache.get("key"), Some(b"new code".to_vec()));
    }

    #[test]
    fn a_folder_that_cannot_be_written_only_warns() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = Cache::at(Some(file.path().join("below a file")));
        cache.put("key", b"code");
        assert_eq!(cache.get("key"), None);
    }
}
