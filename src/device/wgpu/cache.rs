//! Compiled pipelines kept on disk between runs, in the driver's own format behind a checksum. A cache that
//! cannot be read or written costs compile time and one line of warning, never a run.

use std::path::PathBuf;

use ::wgpu::{AdapterInfo, Device, Features, PipelineCache, PipelineCacheDescriptor};

pub struct Cache {
    path: Option<PathBuf>,
    /// None where the adapter has no such thing.
    pub pipelines: Option<PipelineCache>,
}

/// `KINESOME_CACHE`, or the user's cache folder.
fn folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    variable("KINESOME_CACHE").or_else(|| {
        let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
        Some(base?.join("kinesome"))
    })
}

/// FNV-1a: finds a file that was cut or damaged before a driver is asked to read it.
fn checksum(bytes: &[u8]) -> [u8; 8] {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
        .to_le_bytes()
}

fn intact(file: &[u8]) -> Option<&[u8]> {
    let (sum, data) = file.split_at_checked(8)?;
    (sum == checksum(data)).then_some(data)
}

impl Cache {
    pub fn open(device: &Device, info: &AdapterInfo) -> Cache {
        if !device.features().contains(Features::PIPELINE_CACHE) {
            return Cache { path: None, pipelines: None };
        }
        // The driver checks its own version as well, but not all of them do it well.
        let key = format!("{:x}-{:x}-{}", info.vendor, info.device, info.driver_info);
        let key: String = key.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let path = folder().map(|f| f.join(format!("wgpu-{key}.pipelines")));
        let file = path.as_ref().and_then(|p| match std::fs::read(p) {
            Ok(file) => Some(file),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => {
                eprintln!("wgpu: the pipeline cache {} cannot be read ({e}); compiling anew", p.display());
                None
            }
        });
        let data = file.as_deref().and_then(|file| {
            let data = intact(file);
            if let (None, Some(path)) = (data, &path) {
                eprintln!("wgpu: the pipeline cache {} is damaged; compiling anew", path.display());
            }
            data
        });
        let description = PipelineCacheDescriptor { label: None, data, fallback: true };
        // The data came from `get_data` for an adapter of this name and driver, as far as a checksum can say.
        let pipelines = Some(unsafe { device.create_pipeline_cache(&description) });
        Cache { path, pipelines }
    }

    pub fn save(&self) {
        let Some(path) = &self.path else { return };
        let Some(data) = self.pipelines.as_ref().and_then(|p| p.get_data()) else { return };
        let part = path.with_extension(format!("part{}", std::process::id()));
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&part, [&checksum(&data), data.as_slice()].concat()))
            .and_then(|()| std::fs::rename(&part, path));
        if let Err(e) = written {
            let _ = std::fs::remove_file(&part);
            eprintln!("wgpu: the pipeline cache {} cannot be written ({e})", path.display());
        }
    }
}
