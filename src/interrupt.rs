//! Ctrl-C and SIGTERM: a flag that long work looks at between batches, so that it can stop with nothing half-written.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a program that was interrupted (128 + SIGINT).
pub const EXIT_CODE: i32 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Starts to listen. The first signal sets the flag; a second one ends the process at once.
///
/// On Unix a file-size limit (SIGXFSZ) is made an ordinary write error too, which would otherwise kill the process.
pub fn listen() {
    // An error means that somebody listens already.
    let _ = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(EXIT_CODE);
        }
    });
    #[cfg(unix)]
    {
        let seen = std::sync::Arc::new(AtomicBool::new(false));
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen);
    }
}

/// Whether the user asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// [`Error::Interrupted`] once the user asked to stop.
pub fn check() -> Result<()> {
    if requested() { Err(Error::Interrupted) } else { Ok(()) }
}
