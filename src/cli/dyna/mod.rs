//! `kinesome dyna`: motion of atomic models from particle images.

pub mod analyze;
pub mod backmap;
pub mod beads;
pub mod cluster;
pub mod martinize;
pub mod minimize;
pub mod residue;
pub mod sample;
pub mod stage;

use crate::error::Result;
use clap::Subcommand;

/// CryoDyna: learn how an atomic model moves from particle images
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true, subcommand_required = true, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Verb,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    Residue(Box<residue::Args>),
    Backmap(backmap::Args),
    Minimize(minimize::Args),
    Beads(Box<beads::Args>),
    Martinize(martinize::Args),
    Analyze(analyze::Args),
    Sample(sample::Args),
    Cluster(cluster::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Verb::Residue(args) => residue::run(*args),
        Verb::Backmap(args) => backmap::run(args),
        Verb::Minimize(args) => minimize::run(args),
        Verb::Beads(args) => beads::run(*args),
        Verb::Martinize(args) => martinize::run(args),
        Verb::Analyze(args) => analyze::run(args),
        Verb::Sample(args) => sample::run(args),
        Verb::Cluster(args) => cluster::run(args),
    }
}
