//! `kinesome completions`: scripts that let a shell complete commands and flags.

use crate::error::{Error, Result};
use clap_complete::Shell;
use std::io::Write;

/// Print a script for completion of commands in your shell
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome completions bash > ~/.local/share/bash-completion/completions/kinesome
  kinesome completions zsh > ~/.zfunc/_kinesome
  kinesome completions fish > ~/.config/fish/completions/kinesome.fish")]
pub struct Args {
    /// The shell it is for
    shell: Shell,
}

pub fn run(args: Args) -> Result<()> {
    // Into memory first: the generator panics when its output fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "kinesome", &mut script);
    std::io::stdout().write_all(&script).map_err(|e| Error::os("write", "standard output", e))
}
