//! Losses by epoch: as the checkpoint remembers them, or as cryoDRGN's `run.log` tells them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::systems::drgn::run::EpochLosses;
use crate::{Error, Result};

/// Losses up to epoch `last`, by the checkpoint's own memory or else by the log in `workdir`.
pub fn of(workdir: &Path, remembered: &[EpochLosses], last: usize) -> Result<Vec<EpochLosses>> {
    if !remembered.is_empty() {
        return Ok(remembered.iter().filter(|l| l.epoch <= last).copied().collect());
    }
    let path = workdir.join("run.log");
    if !path.is_file() {
        return Ok(vec![]);
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::os("read", &path, e))?;
    let mut losses = parse(&String::from_utf8_lossy(&bytes));
    losses.retain(|l| l.epoch <= last);
    Ok(losses)
}

/// The lines `=====> Epoch: 1 Average gen loss = 1.2, KLD = 2.1, total loss = 1.3; ...`. A run that was resumed may
/// tell an epoch twice: the later line counts.
fn parse(log: &str) -> Vec<EpochLosses> {
    let mut epochs = BTreeMap::new();
    for line in log.lines() {
        let Some((_, text)) = line.split_once("=====> Epoch:") else { continue };
        let Some(epoch) = text.split_whitespace().next().and_then(|w| w.parse::<usize>().ok()) else {
            continue;
        };
        let number = |key: &str| -> Option<f64> {
            let (_, rest) = text.split_once(key)?;
            let rest = rest.trim_start().strip_prefix('=')?.trim_start();
            rest.split([',', ';', ' ']).next()?.parse().ok()
        };
        // Decoders alone have one loss, the average.
        let Some(total) = number("total loss").or_else(|| number("Average loss")) else { continue };
        epochs.insert(
            epoch,
            EpochLosses {
                epoch,
                reconstruction: number("gen loss").unwrap_or(total),
                divergence: number("KLD").unwrap_or(0.0),
                total,
                images_per_second: f64::NAN,
            },
        );
    }
    epochs.into_values().collect()
}
