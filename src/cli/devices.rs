//! `kinesome devices`: what this machine can compute on.

use crate::device;
use crate::error::Result;

/// List the devices that networks can be trained on
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kinesome devices

A name of the first column is what --device takes. `auto` is a GPU if there is one, else the CPU; an adapter that \
computes in software has to be named.")]
pub struct Args {}

pub fn run(_: Args) -> Result<()> {
    for device in device::all() {
        println!("{:8} {}{}", device.name(), device.describe(), memory_text(device.name()));
    }
    Ok(())
}

fn memory_text(device: &str) -> String {
    match (device, memory()) {
        ("cpu", Some(m)) => format!(", {} of memory, {} free", gib(m.total), gib(m.available)),
        _ => String::new(),
    }
}

/// Main memory in bytes.
pub struct Memory {
    /// What this process may use: the machine's, or less under a container's limit.
    pub total: u64,
    pub available: u64,
}

/// As the system states it (Linux); None elsewhere.
pub fn memory() -> Option<Memory> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let value = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|l| l.strip_prefix(key))?;
        Some(line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        .unwrap_or(u64::MAX);
    let (total, available) = (value("MemTotal")?, value("MemAvailable")?);
    Some(Memory { total: total.min(limit), available: available.min(limit) })
}

pub fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}
