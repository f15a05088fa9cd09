//! How a generated ensemble compares with a reference: distributions of torsions, slow coordinates, states, and
//! everything that is ordered in time, each beside the same number for a replicate, for shorter simulations and for
//! residues without knowledge of one another.

pub mod baselines;
pub mod design;
pub mod features;
mod figures;
mod page;
pub mod paths;
pub mod proteins;
pub mod scores;
pub mod states;
mod summary;
pub mod trajectory;
pub mod upsampling;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result, listed};
use crate::io::atomic;
use baselines::{Baseline, baselines};
use design::DesignScores;
use features::{Angles, torsions};
use paths::Transitions;
use proteins::{ProteinMeans, ProteinScores};
use scores::{Reference, Scores};
use states::{States, check_lag};
pub use summary::{METRICS, Mean, Metric, heading};
use trajectory::{Given, Source, Trajectory, read, sources};
use upsampling::UpsamplingScores;

/// Told what is being done, how much of it is done, of how much; an error it returns stops the work.
pub type Progress<'a> = &'a mut dyn FnMut(&str, usize, usize) -> Result<()>;

/// What to compare, and how.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// Lag of TICA and of the Markov models, ps.
    pub lag: f64,
    /// Bins of a torsion or of a slow coordinate.
    pub bins: usize,
    /// Bins along each side in two dimensions.
    pub bins_2d: usize,
    /// Microstates.
    pub clusters: usize,
    /// Coarse states.
    pub states: usize,
    /// Share of the kinetic variance that is kept.
    pub kinetic_share: f64,
    /// Longest lag of decorrelation curves, ps; half of each trajectory if none is given.
    pub correlation: Option<f64>,
    pub seed: u64,
    /// Time between frames, ps, before what files say.
    pub reference_step: Option<f64>,
    pub generated_step: Option<f64>,
    pub replicate: Option<PathBuf>,
    /// The generated files are transition paths of one peptide.
    pub transition_paths: bool,
    /// Coarse states between which they lead, from 0; the rarest transition if none is given.
    pub pair: Option<(usize, usize)>,
    /// Paths drawn from a chain.
    pub paths: usize,
    /// Every how many-th frame of the generated trajectory was given.
    pub upsampling: Option<usize>,
    /// File of designed sequences, and residues that were designed (from 0; all if empty).
    pub designs: Option<PathBuf>,
    pub designed: Vec<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            lag: 100.0,
            bins: 100,
            bins_2d: 50,
            clusters: 100,
            states: 10,
            kinetic_share: 0.95,
            correlation: None,
            seed: 137,
            reference_step: None,
            generated_step: None,
            replicate: None,
            transition_paths: false,
            pair: None,
            paths: 1000,
            upsampling: None,
            designs: None,
            designed: Vec::new(),
        }
    }
}

impl Options {
    fn check(&self) -> Result<()> {
        let wrong = |text: &str| Err(Error::usage(text.to_string()));
        if !(self.lag > 0.0 && self.lag.is_finite()) {
            return wrong("--lag must be a time above 0 ps");
        }
        if self.bins == 0 || self.bins_2d == 0 || self.bins_2d > 2000 || self.bins > 1_000_000 {
            return wrong("--bins must lie between 1 and 1000000, --bins-2d between 1 and 2000");
        }
        if self.clusters < 2 || self.clusters > 5000 || self.states < 2 || self.states > self.clusters {
            return wrong("--clusters must lie between 2 and 5000, --states between 2 and the clusters");
        }
        if self.paths == 0 {
            return wrong("--paths must be at least 1");
        }
        if self.correlation.is_some_and(|t| t.is_nan() || t <= 0.0) {
            return wrong("--correlation must be a time above 0 ps");
        }
        Ok(())
    }
}

/// The comparison for one peptide or protein.
#[derive(Debug, Serialize)]
pub struct Compared {
    pub name: String,
    pub sequence: String,
    /// The reference, against itself: its own occupancies, times and stationary distribution.
    pub reference: Scores,
    pub generated: Scores,
    pub baselines: Vec<Baseline>,
    /// Torsions that never move in the reference.
    pub constant: Vec<String>,
    pub tica: TicaSummary,
    pub microstates: usize,
    pub coarse_states: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protein: Option<ProteinScores>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upsampling: Option<UpsamplingScores>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transition_paths: Option<Transitions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub design: Option<DesignScores>,
    #[serde(skip)]
    pub shown: figures::Shown,
}

/// The slow coordinates of a reference.
#[derive(Debug, Serialize)]
pub struct TicaSummary {
    pub lag_frames: usize,
    pub components: usize,
    pub eigenvalues: Vec<f64>,
    pub timescales_ps: Vec<Option<f64>>,
}

/// All peptides, and their means.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    pub kinesome: &'static str,
    pub options: Options,
    pub mean: Vec<Mean>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proteins: Option<ProteinMeans>,
    pub peptides: Vec<Compared>,
    /// What could not be compared.
    pub notes: Vec<String>,
}

/// Compares all trajectories that both sides have.
pub fn evaluate(
    reference: &Path,
    generated: &Path,
    options: &Options,
    progress: Progress,
) -> Result<Evaluation> {
    options.check()?;
    let (known, made) = (sources(reference)?, sources(generated)?);
    let replicates = options.replicate.as_deref().map(sources).transpose()?.unwrap_or_default();
    let mut notes = Vec::new();
    let mut peptides = Vec::new();
    let pairs = pairs(&known, &made, options, &mut notes, (reference, generated))?;
    for (i, (own, theirs)) in pairs.iter().enumerate() {
        progress(&own.name, i, pairs.len())?;
        let replicate = match &replicates[..] {
            [one] if pairs.len() == 1 => Some(one),
            many => many.iter().find(|r| r.name == own.name),
        };
        if options.replicate.is_some() && replicate.is_none() {
            notes.push(format!("{}: there is no replicate of this name", own.name));
        }
        peptides.push(compare(own, theirs, replicate, options)?);
    }
    progress("done", pairs.len(), pairs.len())?;
    for peptide in &peptides {
        if !peptide.constant.is_empty() {
            notes.push(format!(
                "{}: {} never move and were left out of TICA",
                peptide.name,
                peptide.constant.join(", ")
            ));
        }
        if peptide.coarse_states < options.states {
            notes.push(format!(
                "{}: only {} microstates are reached and left again, so there are {} coarse states",
                peptide.name, peptide.microstates, peptide.coarse_states
            ));
        }
        if peptide.generated.state_jsd.is_none() && !options.transition_paths {
            notes.push(format!(
                "{}: the generated trajectory is too short for a Markov model at a lag of {} ps",
                peptide.name, options.lag
            ));
        }
    }
    Ok(Evaluation {
        kinesome: env!("CARGO_PKG_VERSION"),
        options: options.clone(),
        mean: summary::means(&peptides),
        proteins: proteins::means(&peptides.iter().filter_map(|p| p.protein.as_ref()).collect::<Vec<_>>()),
        peptides,
        notes,
    })
}

/// Which trajectory is compared with which.
fn pairs<'a>(
    known: &'a [Source],
    made: &'a [Source],
    options: &Options,
    notes: &mut Vec<String>,
    (reference, generated): (&Path, &Path),
) -> Result<Vec<(&'a Source, Vec<&'a Source>)>> {
    let all = || made.iter().collect::<Vec<_>>();
    let of = |own: &Source| -> Vec<&Source> {
        let mine = |s: &&Source| match options.transition_paths {
            true => s
                .name
                .strip_prefix(&own.name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '.', '-'])),
            false => s.name == own.name,
        };
        made.iter().filter(mine).collect()
    };
    match (known, made) {
        ([own], _) if options.transition_paths && of(own).is_empty() => return Ok(vec![(own, all())]),
        ([own], [_]) if !(reference.is_dir() && generated.is_dir()) => return Ok(vec![(own, all())]),
        _ => {}
    }
    let mut found = Vec::new();
    for own in known {
        let theirs = of(own);
        if !theirs.is_empty() {
            found.push((own, theirs));
        }
    }
    if found.is_empty() {
        let names = |s: &[Source]| s.iter().take(4).map(|s| s.name.clone()).collect::<Vec<_>>().join(", ");
        return Err(Error::usage(format!(
            "no trajectory of {} ({}) has the name of one of {} ({}); rename one side",
            generated.display(),
            names(made),
            reference.display(),
            names(known)
        )));
    }
    let unmatched: Vec<&str> = made
        .iter()
        .filter(|s| !found.iter().any(|(_, theirs)| theirs.iter().any(|t| t.path == s.path)))
        .map(|s| s.name.as_str())
        .collect();
    if !unmatched.is_empty() {
        notes.push(format!("without a reference of the same name: {}", listed(&unmatched)));
    }
    Ok(found)
}

fn read_generated(
    source: &Source,
    own: &Source,
    reference: &Trajectory,
    options: &Options,
) -> Result<Trajectory> {
    let given = Given { step: options.generated_step, step_flag: "--generated-step", like: Some(own) };
    same_chain(reference, read(source, &given)?, source)
}

fn same_chain(reference: &Trajectory, other: Trajectory, source: &Source) -> Result<Trajectory> {
    if other.kinds == reference.kinds {
        return Ok(other);
    }
    Err(Error::malformed(
        &source.path,
        "",
        format!(
            "its sequence is {}, that of the reference {} is {}; compare trajectories of the same molecule",
            short(&other.sequence()),
            reference.name,
            short(&reference.sequence())
        ),
    ))
}

fn short(sequence: &str) -> String {
    match sequence.len() {
        0..=24 => sequence.into(),
        n => format!("{}… ({n} residues)", &sequence[..20]),
    }
}

fn compare(
    own: &Source,
    theirs: &[&Source],
    replicate: Option<&Source>,
    options: &Options,
) -> Result<Compared> {
    let given = Given { step: options.reference_step, step_flag: "--reference-step", like: None };
    let reference = read(own, &given)?;
    let torsions = torsions(&reference.kinds);
    let angles = Angles::of(&torsions, &reference);
    check_lag(options.lag, angles.step, &own.name)?;
    let named = |e: Error| match e {
        Error::Usage(text) => Error::usage(format!("{}: {text}", own.name)),
        other => other,
    };
    let states = States::fit(&torsions, &angles, options).map_err(named)?;
    let judged = Reference::new(&torsions, &angles, &states, options)?;

    let mut made = Vec::new();
    for source in theirs {
        let read = read_generated(source, own, &reference, options)?;
        check_lag(options.lag, read.step, &format!("generated {}", source.name))?;
        made.push(read);
    }
    let made_angles: Vec<Angles> = made.iter().map(|t| Angles::of(&torsions, t)).collect();
    let transition_paths = match options.transition_paths {
        true => Some(
            paths::score(&states, &made_angles, &angles, &torsions, options.pair, options).map_err(named)?,
        ),
        false => None,
    };
    let (generated, first) = pooled(&made, &made_angles);
    if generated.frames as f64 * generated.step <= options.lag {
        return Err(Error::malformed(
            &theirs[0].path,
            "",
            format!(
                "its {} frames of {} ps are no longer than the lag of {} ps; generate more or give a shorter --lag",
                generated.frames, generated.step, options.lag
            ),
        ));
    }
    let replicate = match replicate {
        Some(source) => {
            let given =
                Given { step: options.reference_step, step_flag: "--reference-step", like: Some(own) };
            let read = same_chain(&reference, read(source, &given)?, source)?;
            check_lag(options.lag, read.step, &format!("replicate {}", source.name))?;
            Some(Angles::of(&torsions, &read))
        }
        None => None,
    };
    let placed = states.place(&generated)?;
    let mut scores = judged.score_placed(&generated, &placed, options)?;
    if options.transition_paths {
        // Pieces that begin and end where they were told to are no trajectory.
        scores.forget_kinetics();
    }
    let design = match &options.designs {
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|e| Error::os("read", file, e))?;
            let all: Vec<usize> = (0..reference.kinds.len()).collect();
            let positions = if options.designed.is_empty() { &all } else { &options.designed };
            Some(design::score(&reference.kinds, &design::sequences(&text)?, positions)?)
        }
        None => None,
    };
    let upsampling = match options.upsampling {
        Some(every) => Some(upsampling::score(&torsions, &reference, &generated, every)?),
        None => None,
    };
    let protein = match reference.kinds.len() >= proteins::RESIDUES {
        true => Some(proteins::score(&reference, first)?),
        false => None,
    };
    let constant = (0..torsions.len())
        .filter(|i| [2 * i, 2 * i + 1].iter().all(|c| states.tica.constant.contains(c)))
        .map(|i| torsions[i].name());
    let tica = TicaSummary {
        lag_frames: states.tica.lag,
        components: states.tica.len(),
        eigenvalues: states.tica.eigenvalues.clone(),
        timescales_ps: states.tica.timescales().into_iter().map(|t| Some(t? * angles.step)).collect(),
    };
    let baselines = baselines(&judged, &torsions, replicate.as_ref(), options)?;
    let shown = figures::Shown::new(&judged, &generated, &placed, &scores);
    Ok(Compared {
        name: own.name.clone(),
        sequence: reference.sequence(),
        reference: judged.score_placed(&angles, &judged.placed, options)?,
        generated: scores,
        baselines,
        constant: constant.collect(),
        tica,
        microstates: states.micro.active.len(),
        coarse_states: states.coarse_states,
        protein,
        upsampling,
        transition_paths,
        design,
        shown,
    })
}

/// Several trajectories as one, and the first of them.
fn pooled<'a>(made: &'a [Trajectory], angles: &[Angles]) -> (Angles, &'a Trajectory) {
    let mut all = angles[0].clone();
    for more in &angles[1..] {
        all.series.iter_mut().zip(&more.series).for_each(|(a, b)| a.extend(b));
        all.frames += more.frames;
    }
    (all, &made[0])
}

/// Writes `evaluation.json` and `evaluation.html` into a folder; the path of the page.
pub fn write(evaluation: &Evaluation, folder: &Path) -> Result<PathBuf> {
    atomic::folder(folder)?;
    let json = serde_json::to_string_pretty(evaluation).map_err(|e| Error::usage(e.to_string()))?;
    atomic::write(&folder.join("evaluation.json"), |out| out.write_all(json.as_bytes()))?;
    let html = page::page(evaluation)?;
    let path = folder.join("evaluation.html");
    atomic::write(&path, |out| out.write_all(html.as_bytes()))?;
    Ok(path)
}
