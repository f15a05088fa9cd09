//! `kinesome dyna`: motion of atomic models from particle images.

pub mod analyze;
pub mod center;
pub mod cluster;
pub mod density;
pub mod residue;
pub mod sample;
pub mod simulate_density;
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
    Analyze(analyze::Args),
    Sample(sample::Args),
    Cluster(cluster::Args),
    Density(Box<density::Args>),
    Volumes(volumes::Args),
    SimulateDensity(simulate_density::Args),
    Center(center::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Verb::Residue(args) => residue::run(*args),
        Verb::Analyze(args) => analyze::run(args),
        Verb::Sample(args) => sample::run(args),
        Verb::Cluster(args) => cluster::run(args),
        Verb::Density(args) => density::run(*args),
        Verb::Volumes(args) => volumes::run(args),
        Verb::SimulateDensity(args) => simulate_density::run(args),
        Verb::Center(args) => center::run(args),
    }
}
