//! `evaluate`: how a generated ensemble compares with a reference.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::cli::progress::{Stages, note};
use crate::systems::mdgen::evaluate::{Evaluation, Options, evaluate, heading, write};
use crate::{Error, Result};

/// Compare generated trajectories with a reference: distributions, states, kinetics, baselines, one report
#[derive(ClapArgs, Debug)]
#[command(after_help = "\
Examples:
  kinesome mdgen evaluate md/AAAA.xtc generated/AAAA.xtc -o report
  kinesome mdgen evaluate md generated --replicate md/replicate     all peptides that both folders name
  kinesome mdgen evaluate md/KLVF.xtc paths --transition-paths      each file of the folder is one path
  kinesome mdgen evaluate fine/AAAA.npy upsampled/AAAA.xtc --upsampling 100 --reference-step 0.1 --lag 5

Trajectories are .xtc or .dcd with a .pdb of the same name beside them (that of the reference serves if there is none),
.pdb with many models, or .npy arrays of MDGen (frames, residues, 14, 3), named after their sequence.

Begin with evaluation.html in the folder it writes. Numbers are Jensen-Shannon distances: 0 is equal, 0.833 has nothing
in common. What is good depends on the molecule and the length of the simulation: read each number beside those of a
replicate simulation, of simulations of 1/10, 1/30 and 1/100 of the length, and of residues put together from unrelated
frames. Rows on transitions and decorrelation are ordered in time: shuffled frames fail there and nowhere else.")]
pub struct Args {
    /// Simulation: a trajectory, or a folder of them
    reference: PathBuf,

    /// Generated: a trajectory, or a folder of them with the same names
    generated: PathBuf,

    /// Folder to write evaluation.html and evaluation.json to
    #[arg(short, long, default_value = "evaluation", value_name = "DIR")]
    outdir: PathBuf,

    /// Independent simulation of the same molecules: a trajectory, or a folder of them
    #[arg(long, value_name = "PATH")]
    replicate: Option<PathBuf>,

    /// Time between frames of the reference in ps [default: what the file says]
    #[arg(long, value_name = "PS")]
    reference_step: Option<f64>,

    /// Time between frames of the generated trajectory in ps [default: what the file says]
    #[arg(long, value_name = "PS")]
    generated_step: Option<f64>,

    /// Lag of TICA and of the Markov models in ps
    #[arg(long, default_value_t = 100.0, value_name = "PS")]
    lag: f64,

    /// Longest lag of decorrelation curves in ps [default: half of each trajectory]
    #[arg(long, value_name = "PS")]
    correlation: Option<f64>,

    /// Bins of the histogram of a torsion or of a slow coordinate
    #[arg(long, default_value_t = 100, value_name = "N")]
    bins: usize,

    /// Bins along each side of a histogram in two dimensions
    #[arg(long, default_value_t = 50, value_name = "N")]
    bins_2d: usize,

    /// Microstates of k-means
    #[arg(long, default_value_t = 100, value_name = "K")]
    clusters: usize,

    /// Coarse states of PCCA+
    #[arg(long, default_value_t = 10, value_name = "N")]
    states: usize,

    /// Share of the kinetic variance that slow coordinates keep
    #[arg(long, default_value_t = 0.95, value_name = "SHARE")]
    kinetic_share: f64,

    /// Seed of k-means, of drawn paths and of shuffled residues
    #[arg(long, default_value_t = 137)]
    seed: u64,

    /// The generated files are transition paths (NAME_0, NAME_1, ... in a folder)
    #[arg(long)]
    transition_paths: bool,

    /// Coarse states between which the paths lead [default: those of the rarest transition]
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], requires = "transition_paths")]
    between: Option<Vec<usize>>,

    /// Paths to draw from the reference's chain
    #[arg(long, default_value_t = 1000, value_name = "N")]
    paths: usize,

    /// Every N-th frame of the generated trajectory was given, those between were made
    #[arg(long, value_name = "N")]
    upsampling: Option<usize>,

    /// Designed sequences to score against the reference's, one a line or FASTA
    #[arg(long, value_name = "FILE")]
    designs: Option<PathBuf>,

    /// Residues that were designed, from 1 [default: all]
    #[arg(long, num_args = 1.., value_name = "N", requires = "designs")]
    designed: Vec<usize>,
}

/// Numbers from 1 as numbers from 0.
fn from_one(numbers: &[usize], flag: &str) -> Result<Vec<usize>> {
    let one = |n: &usize| n.checked_sub(1).ok_or_else(|| Error::usage(format!("{flag} counts from 1")));
    numbers.iter().map(one).collect()
}

pub fn run(args: Args) -> Result<()> {
    let pair = match args.between.as_deref() {
        Some(both) => match from_one(both, "--between")?[..] {
            [from, to] => Some((from, to)),
            _ => return Err(Error::usage("--between takes two states")),
        },
        None => None,
    };
    let options = Options {
        lag: args.lag,
        bins: args.bins,
        bins_2d: args.bins_2d,
        clusters: args.clusters,
        states: args.states,
        kinetic_share: args.kinetic_share,
        correlation: args.correlation,
        seed: args.seed,
        reference_step: args.reference_step,
        generated_step: args.generated_step,
        replicate: args.replicate,
        transition_paths: args.transition_paths,
        pair,
        paths: args.paths,
        upsampling: args.upsampling,
        designs: args.designs,
        designed: from_one(&args.designed, "--designed")?,
    };
    let mut stages = Stages::default();
    let found = evaluate(&args.reference, &args.generated, &options, &mut |_, done, total| {
        stages.show("comparing", "molecules", done, total)
    })?;
    stages.end();
    found.notes.iter().for_each(|text| note(text));
    let report = write(&found, &args.outdir)?;
    tell(&found);
    println!("report: {}", report.display());
    Ok(())
}

fn tell(found: &Evaluation) {
    let value = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.3}"));
    let Some(first) = found.mean.first() else { return };
    let names: Vec<String> = first.baselines.iter().map(|(name, _)| heading(name)).collect();
    let header: String = names.iter().map(|name| format!(" {name:>11}")).collect();
    let molecules = found.peptides.len();
    let title = if molecules == 1 { found.peptides[0].name.clone() } else { format!("mean of {molecules}") };
    println!("{title:30} {:>9}{header}", "generated");
    for row in &found.mean {
        let beside: String = row.baselines.iter().map(|(_, v)| format!(" {:>11}", value(*v))).collect();
        println!("{:30} {:>9}{beside}", row.label, value(row.generated));
    }
    for peptide in &found.peptides {
        if let Some(paths) = &peptide.transition_paths {
            let chain = paths.baselines.first().map_or(0.0, |b| b.visited_jsd);
            println!(
                "{}: {:.1} % of {} paths from state {} to {} are valid; visited states differ by {:.3} (the chain's own \
                 paths by {chain:.3})",
                peptide.name,
                100.0 * paths.generated.valid,
                paths.generated.paths,
                paths.from + 1,
                paths.to + 1,
                paths.generated.visited_jsd
            );
        }
        if let Some(scores) = &peptide.upsampling {
            println!(
                "{}: autocorrelation between given frames is off by {:.4}, by {:.4} for straight lines",
                peptide.name, scores.generated_error, scores.linear_error
            );
        }
        if let Some(scores) = &peptide.design {
            println!(
                "{}: {:.1} % of designed residues recovered in {} sequences (chance {:.0} %)",
                peptide.name,
                100.0 * scores.recovery,
                scores.samples,
                100.0 * scores.chance
            );
        }
    }
}
