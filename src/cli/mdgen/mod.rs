//! `kinesome mdgen`: trajectories of proteins, learned and generated.

pub mod evaluate;
pub mod export;
pub mod import;
pub mod inpaint;
pub mod interpolate;
pub mod prepare;
pub mod sampling;
pub mod simulate;
pub mod train;
pub mod upsample;

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
    Interpolate(interpolate::Args),
    Upsample(upsample::Args),
    Inpaint(inpaint::Args),
    Evaluate(evaluate::Args),
    Import(import::Args),
    Export(export::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Verb::Prepare(args) => prepare::run(args),
        Verb::Train(args) => train::run(*args),
        Verb::Simulate(args) => simulate::run(args),
        Verb::Interpolate(args) => interpolate::run(args),
        Verb::Upsample(args) => upsample::run(args),
        Verb::Inpaint(args) => inpaint::run(args),
        Verb::Evaluate(args) => evaluate::run(args),
        Verb::Import(args) => import::run(args),
        Verb::Export(args) => export::run(args),
    }
}
