//! `kinesome dyna`: motion of atomic models from particle images.

pub mod analyze;
pub mod backmap;
pub mod beads;
pub mod center;
pub mod cluster;
pub mod compare;
pub mod density;
pub mod martinize;
pub mod minimize;
pub mod modes;
pub mod residue;
pub mod sample;
pub mod simulate_density;
pub mod stage;
pub mod volumes;

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
    Beads(Box<beads::Args>),
    Density(Box<density::Args>),
    Analyze(analyze::Args),
    Sample(sample::Args),
    Volumes(volumes::Args),
    Cluster(cluster::Args),
    Compare(compare::Args),
    Martinize(martinize::Args),
    Minimize(minimize::Args),
    Modes(modes::Args),
    Backmap(backmap::Args),
    SimulateDensity(simulate_density::Args),
    Center(center::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Verb::Residue(args) => residue::run(*args),
        Verb::Beads(args) => beads::run(*args),
        Verb::Density(args) => density::run(*args),
        Verb::Analyze(args) => analyze::run(args),
        Verb::Sample(args) => sample::run(args),
        Verb::Volumes(args) => volumes::run(args),
        Verb::Cluster(args) => cluster::run(args),
        Verb::Compare(args) => compare::run(args),
        Verb::Martinize(args) => martinize::run(args),
        Verb::Minimize(args) => minimize::run(args),
        Verb::Modes(args) => modes::run(args),
        Verb::Backmap(args) => backmap::run(args),
        Verb::SimulateDensity(args) => simulate_density::run(args),
        Verb::Center(args) => center::run(args),
    }
}
