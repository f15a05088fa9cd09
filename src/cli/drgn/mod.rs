//! `kinesome drgn`: cryoDRGN's commands under their own names, with underscores or hyphens.

pub mod analyse;
pub mod backproject;
pub mod ctf;
pub mod downsample;
pub mod evaluate;
pub mod fsc;
pub mod images;
pub mod mask;
pub mod pose;
pub mod select;
pub mod star;
pub mod train;
pub mod traverse;

use crate::error::{Error, Result};
use crate::systems::drgn::files;
use clap::{Command, Subcommand};
use std::path::Path;

/// How `kinesome drgn --help` groups the commands; those named nowhere come last.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "Prepare",
        &[
            "parse_star",
            "parse_pose_star",
            "parse_ctf_star",
            "parse_pose_csparc",
            "parse_ctf_csparc",
            "downsample",
            "backproject_voxel",
        ],
    ),
    ("Train and analyse", &["train", "train_vae", "train_nn", "analyze", "eval_vol", "eval_images"]),
    ("Latent paths", &["pc_traversal", "direct_traversal", "graph_traversal"]),
    (
        "Select particles",
        &[
            "filter",
            "select_clusters",
            "select_random",
            "filter_star",
            "filter_cs",
            "filter_mrcs",
            "filter_pkl",
        ],
    ),
    ("Maps", &["fsc", "plot_fsc", "gen_mask", "flip_hand", "invert_contrast", "add_psize"]),
    (
        "Files",
        &["write_star", "concat_pkls", "phase_flip", "translate_mrcs", "view_header", "view_cs_header"],
    ),
];

/// cryoDRGN: reconstruct moving particles from cryo-EM images
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true, subcommand_required = true, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Verb,
}

#[derive(Subcommand, Debug)]
#[command(rename_all = "snake_case")]
pub enum Verb {
    ParseStar(pose::BothArgs),
    ParsePoseStar(pose::StarArgs),
    ParseCtfStar(ctf::StarArgs),
    ParsePoseCsparc(pose::CsparcArgs),
    ParseCtfCsparc(ctf::CsparcArgs),
    Downsample(downsample::Args),
    BackprojectVoxel(backproject::Args),
    Train(train::Command),
    TrainVae(train::VaeCommand),
    TrainNn(train::NnCommand),
    Analyze(analyse::Args),
    EvalVol(evaluate::VolumeArgs),
    EvalImages(evaluate::ImageArgs),
    PcTraversal(traverse::PcArgs),
    DirectTraversal(traverse::DirectArgs),
    GraphTraversal(traverse::GraphArgs),
    Filter(select::FilterArgs),
    SelectClusters(select::ClusterArgs),
    SelectRandom(select::RandomArgs),
    FilterStar(star::FilterArgs),
    FilterCs(select::CsArgs),
    FilterMrcs(select::MrcsArgs),
    FilterPkl(select::PklArgs),
    Fsc(fsc::Args),
    PlotFsc(fsc::PlotArgs),
    GenMask(mask::Args),
    FlipHand(images::FlipHandArgs),
    InvertContrast(images::InvertArgs),
    AddPsize(images::PsizeArgs),
    WriteStar(star::WriteArgs),
    ConcatPkls(select::ConcatArgs),
    PhaseFlip(images::PhaseFlipArgs),
    TranslateMrcs(images::TranslateArgs),
    ViewHeader(images::HeaderArgs),
    ViewCsHeader(images::CsHeaderArgs),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Verb::ParseStar(args) => pose::run_both(args),
        Verb::ParsePoseStar(args) => pose::run_star(args),
        Verb::ParseCtfStar(args) => ctf::run_star(args),
        Verb::ParsePoseCsparc(args) => pose::run_csparc(args),
        Verb::ParseCtfCsparc(args) => ctf::run_csparc(args),
        Verb::Downsample(args) => downsample::run(args),
        Verb::BackprojectVoxel(args) => backproject::run(args),
        Verb::Train(args) => train::run(args),
        Verb::TrainVae(args) => train::run_vae(args),
        Verb::TrainNn(args) => train::run_nn(args),
        Verb::Analyze(args) => analyse::run(args),
        Verb::EvalVol(args) => evaluate::run_volumes(args),
        Verb::EvalImages(args) => evaluate::run_images(args),
        Verb::PcTraversal(args) => traverse::run_pc(args),
        Verb::DirectTraversal(args) => traverse::run_direct(args),
        Verb::GraphTraversal(args) => traverse::run_graph(args),
        Verb::Filter(args) => select::run_filter(args),
        Verb::SelectClusters(args) => select::run_clusters(args),
        Verb::SelectRandom(args) => select::run_random(args),
        Verb::FilterStar(args) => star::run_filter(args),
        Verb::FilterCs(args) => select::run_cs(args),
        Verb::FilterMrcs(args) => select::run_mrcs(args),
        Verb::FilterPkl(args) => select::run_pkl(args),
        Verb::Fsc(args) => fsc::run(args),
        Verb::PlotFsc(args) => fsc::run_plot(args),
        Verb::GenMask(args) => mask::run(args),
        Verb::FlipHand(args) => images::run_flip_hand(args),
        Verb::InvertContrast(args) => images::run_invert(args),
        Verb::AddPsize(args) => images::run_psize(args),
        Verb::WriteStar(args) => star::run_write(args),
        Verb::ConcatPkls(args) => select::run_concat(args),
        Verb::PhaseFlip(args) => images::run_phase_flip(args),
        Verb::TranslateMrcs(args) => images::run_translate(args),
        Verb::ViewHeader(args) => images::run_header(args),
        Verb::ViewCsHeader(args) => images::run_cs_header(args),
    }
}

/// Gives every command its name with hyphens as well, and the help its groups.
pub fn finish(drgn: Command) -> Command {
    let all: Vec<(String, String)> = drgn
        .get_subcommands()
        .map(|c| (c.get_name().to_string(), c.get_about().map(ToString::to_string).unwrap_or_default()))
        .collect();
    let line = |name: &str| {
        let about = all.iter().find(|(known, _)| known == name).map(|(_, about)| about)?;
        Some(format!("  {name:18} {about}\n"))
    };
    let mut text = String::new();
    let grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let more: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).filter(|name| !grouped(name)).collect();
    for (title, names) in GROUPS.iter().copied().chain([("More", &more[..])]) {
        let lines: String = names.iter().filter_map(|name| line(name)).collect();
        if !lines.is_empty() {
            text.push_str(&format!("{title}:\n{lines}\n"));
        }
    }
    text.push_str(
        "Names work with hyphens too (parse-pose-star). Particles are .mrcs, .mrc, .star, .cs or .txt files.\n\
         Every command explains itself, with an example: kinesome drgn downsample --help",
    );
    let template = "{about}\n\n{usage-heading} {usage}{after-help}\n\nOptions:\n{options}\n";
    let mut drgn = drgn.help_template(template).after_help(text);
    for (name, _) in all.iter().filter(|(name, _)| name.contains('_')) {
        drgn = drgn.mut_subcommand(name, |command| command.alias(name.replace('_', "-")));
    }
    drgn
}

/// Reads `--ind`.
fn indices(path: Option<&Path>) -> Result<Option<Vec<usize>>> {
    path.map(files::read_indices).transpose()
}

/// Refuses an output name of another kind than it says.
fn expect_extension(path: &Path, flag: &str, known: &[&str]) -> Result<()> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if known.iter().any(|k| extension.eq_ignore_ascii_case(k)) {
        return Ok(());
    }
    let names: Vec<String> = known.iter().map(|k| format!(".{k}")).collect();
    Err(Error::usage(format!("{flag} {}: the name must end in {}", path.display(), names.join(" or "))))
}
