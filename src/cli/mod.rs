//! Words in, exit codes out. One file for each group of commands; no science here.
//!
//! Exit codes: 0 done, 1 an error (one line on standard error), 2 a command line that cannot be understood, 130
//! interrupted. A reader that closes the pipe is no error.

pub mod bench;
pub mod completions;
pub mod demo;
pub mod devices;
pub mod doctor;
pub mod drgn;
pub mod dyna;
pub mod mdgen;
pub mod progress;
pub mod simulate;

use crate::error::{Error, Result};
use crate::interrupt;
use clap::{ArgAction, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

const OVERVIEW: &str = "\
Learns how molecules move, from cryo-EM particle images. One native program, no Python.

Two commands to start:
  kinesome demo                                    all of it on simulated data, in minutes
  kinesome drgn train particles.star -o trained    a RELION star file to moving volumes

Who has used cryoDRGN writes `kinesome drgn` instead of `cryodrgn` or `cryodrgn_utils` and goes on: same command \
names, flags and files.";

const CLOSING: &str = "\
Examples:
  kinesome drgn                    the cryo-EM commands; each explains itself with --help
  kinesome drgn parse_pose_star run_data.star -D 256 -o pose.pkl
  kinesome doctor                  is this machine fit?";

#[derive(Parser, Debug)]
#[command(
    name = "kinesome",
    bin_name = "kinesome",
    version,
    about = "Learns how molecules move, from cryo-EM particle images and molecular dynamics",
    long_about = OVERVIEW,
    after_help = CLOSING,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true
)]
struct Cli {
    /// Threads to use [default: all that this process may use]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Everywhere")]
    threads: Option<u16>,

    /// No progress on standard error
    #[arg(long, global = true, action = ArgAction::SetTrue, help_heading = "Everywhere")]
    quiet: bool,

    #[command(subcommand)]
    command: Room,
}

#[derive(Subcommand, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a run")]
enum Room {
    Demo(demo::Args),
    Drgn(drgn::Args),
    Dyna(dyna::Args),
    Mdgen(mdgen::Args),
    Simulate(simulate::SimulateArgs),
    Devices(devices::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
    Completions(completions::Args),
}

impl Room {
    fn run(self) -> Result<()> {
        match self {
            Room::Demo(args) => demo::run(args),
            Room::Drgn(args) => drgn::run(args),
            Room::Dyna(args) => dyna::run(args),
            Room::Mdgen(args) => mdgen::run(args),
            Room::Simulate(args) => simulate::run(args),
            Room::Devices(args) => devices::run(args),
            Room::Doctor(args) => doctor::run(args),
            Room::Bench(args) => bench::run(args),
            Room::Completions(args) => completions::run(args),
        }
    }
}

/// All commands, as `--help` and completions show them.
pub fn command() -> Command {
    Cli::command().mut_subcommand("drgn", drgn::finish)
}

/// Parses the command line, runs the command, and reports.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(report_panic));
    let matches = command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => e.exit(),
    };
    interrupt::listen();
    progress::set_quiet(cli.quiet);
    let outcome = set_threads(cli.threads).and_then(|()| cli.command.run());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("kinesome: {}", one_line(&e.to_string()));
            match e {
                Error::Interrupted => ExitCode::from(interrupt::EXIT_CODE as u8),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn set_threads(threads: Option<u16>) -> Result<()> {
    let Some(n) = threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(n))
        .build_global()
        .map_err(|e| Error::usage(format!("--threads {n}: {e}")))
}

fn is_broken_pipe(e: &Error) -> bool {
    matches!(e, Error::Os { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A failed `println!` is no bug: the reader went away, or the disk is full. Everything else is.
fn report_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default();
    if text.starts_with("failed printing to std") {
        if text.contains("Broken pipe") {
            std::process::exit(0);
        }
        // Standard error may be what failed; then there is nobody to tell.
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "kinesome: {}", one_line(text));
        std::process::exit(1);
    }
    let place = panic.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
    eprintln!(
        "kinesome: internal error{place}: {}; please report this with the command line",
        one_line(text)
    );
}
