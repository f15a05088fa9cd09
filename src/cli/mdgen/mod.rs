//! `kinesome mdgen`: trajectories of proteins, learned and generated.

pub mod evaluate;
pub mod prepare;
pub mod simulate;
pub mod train;

use crate::error::Result;
use clap::Subcommand;

/// MDGen: generate molecular-dynamics trajectories
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true, subcommand_required = true, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Verb,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    Prepare(prepare::Args),
    Train(Box<train::Args>),
    Simulate(simulate::Args),
    Evaluate(evaluate::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Verb::Prepare(args) => prepare::run(args),
        Verb::Train(args) => train::run(*args),
        Verb::Simulate(args) => simulate::run(args),
        Verb::Evaluate(args) => evaluate::run(args),
    }
}
