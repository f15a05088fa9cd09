//! How far a long command is: a bar with rate and time left on a terminal, a plain line every few seconds elsewhere.

use crate::error::Result;
use crate::interrupt;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use crate::interrupt::requested as interrupted;

/// Time between plain lines.
const PLAIN: Duration = Duration::from_secs(5);

static QUIET: AtomicBool = AtomicBool::new(false);

/// `--quiet`: no progress at all.
pub fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

pub fn quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A remark that is no result: to standard error, unless `--quiet`.
pub fn note(text: &str) {
    if !quiet() {
        eprintln!("note: {text}");
    }
}

/// Progress of one piece of work. Dropped, it leaves the terminal clean, so that an error's line stands alone.
pub struct Progress {
    bar: Option<ProgressBar>,
    label: String,
    unit: &'static str,
    begun: Instant,
    said: Instant,
    done: usize,
}

impl Progress {
    /// `label` says what is being done, `unit` of what: `images`.
    pub fn new(label: &str, unit: &'static str) -> Self {
        let now = Instant::now();
        let bar = (!quiet() && std::io::stderr().is_terminal()).then(|| {
            let template = format!("{{msg}} {{wide_bar}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left");
            let style =
                ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let rate = move |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{} {unit}/s", short(state.per_sec()));
            };
            ProgressBar::no_length()
                .with_message(label.to_string())
                .with_style(style.with_key("per_sec", rate))
        });
        Progress { bar, label: label.to_string(), unit, begun: now, said: now, done: 0 }
    }

    /// Shows that `done` of `total` are done; an error once the user pressed Ctrl-C.
    pub fn tick(&mut self, done: usize, total: usize) -> Result<()> {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        } else if !quiet() && self.said.elapsed() >= PLAIN {
            self.said = Instant::now();
            let rate = self.rate();
            let left = (total.saturating_sub(done)) as f64 / rate.max(1e-9);
            let (label, unit) = (&self.label, self.unit);
            eprintln!("{label}: {done}/{total} {unit}, {} {unit}/s, {left:.0} s left", short(rate));
        }
        interrupt::check()
    }

    /// As a callback for the library.
    pub fn ticker(&mut self) -> impl FnMut(usize, usize) -> Result<()> + '_ {
        |done, total| self.tick(done, total)
    }

    /// Units a second so far.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.begun.elapsed().as_secs_f64().max(1e-9)
    }

    /// Takes the bar away and says how fast it went: `2.1 s, 2400 images/s`.
    pub fn finish(self) -> String {
        let (seconds, rate) = (self.begun.elapsed().as_secs_f64(), self.rate());
        format!("{seconds:.1} s, {} {}/s", short(rate), self.unit)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Progress of work in stages: one bar at a time, named for what is being done.
#[derive(Default)]
pub struct Stages(Option<Progress>);

impl Stages {
    /// As [`Progress::tick`]; a new label begins a new bar.
    pub fn show(&mut self, label: &str, unit: &'static str, done: usize, total: usize) -> Result<()> {
        let bar = match self.0.take() {
            Some(bar) if bar.label == label => bar,
            // The old bar goes before the new one comes.
            other => {
                drop(other);
                Progress::new(label, unit)
            }
        };
        self.0.insert(bar).tick(done, total)
    }

    pub fn end(&mut self) {
        self.0 = None;
    }
}

/// Three digits or so.
fn short(v: f64) -> String {
    if v < 10.0 {
        format!("{v:.2}")
    } else if v < 100.0 {
        format!("{v:.1}")
    } else {
        format!("{v:.0}")
    }
}
