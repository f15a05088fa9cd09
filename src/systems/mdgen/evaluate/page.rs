//! The page of an evaluation, which a scientist reads before trusting a model.

use super::baselines::time;
use super::scores::Scores;
use super::summary::{Mean, heading, row_of};
use super::{Compared, Evaluation, figures};
use crate::error::Result;
use crate::report::page::{Card, Verdict};
use crate::report::{Figure, Page};

/// Torsions of which figures are shown; a protein has hundreds.
const TORSIONS: usize = 40;

pub fn page(evaluation: &Evaluation) -> Result<String> {
    let peptides = &evaluation.peptides;
    let names: Vec<&str> = peptides.iter().map(|p| p.name.as_str()).collect();
    let title = match &names[..] {
        [one] => format!("{one}: generated against reference"),
        many => format!("{} molecules: generated against reference", many.len()),
    };
    let lead = match &peptides[..] {
        [one] => format!(
            "Sequence {}; reference {}, generated {}.",
            one.sequence,
            length(&one.reference),
            length(&one.generated)
        ),
        _ => names.join(", "),
    };
    let mut page = Page::new(title, &lead);
    page.cards(&cards(&evaluation.mean));
    page.section(if peptides.len() == 1 { "All numbers" } else { "Means over all molecules" });
    page.text(
        "Distances are Jensen–Shannon distances between 0 (equal) and 0.833 (nothing in common), except for the rows \
         on decorrelation. Beside the generated ensemble stand the same numbers for simulation and for the reference's \
         residues put together from frames that have nothing to do with one another. The lower rows are ordered in time: \
         frames in the right places but the wrong order fail there.",
    );
    table(&mut page, &evaluation.mean);
    if peptides.len() > 1 {
        each(&mut page, peptides);
        together(&mut page, evaluation);
    }
    for peptide in peptides {
        if peptides.len() == 1 {
            molecule(&mut page, peptide)?;
        } else {
            page.section(&format!("{} ({})", peptide.name, peptide.sequence));
            page.text(&format!(
                "Reference {}, generated {}.",
                length(&peptide.reference),
                length(&peptide.generated)
            ));
            table(&mut page, &row_of(peptide));
            molecule(&mut page, peptide)?;
        }
    }
    if !evaluation.notes.is_empty() {
        page.section("Notes");
        evaluation.notes.iter().for_each(|note| {
            page.text(note);
        });
    }
    page.section("How it was made");
    let options = &evaluation.options;
    page.text(&format!(
        "Torsions: all φ, ψ and χ. TICA of their cosines and sines at a lag of {}, kinetic map, {:.0} % of the kinetic \
         variance; k-means with {} centres (seed {}), a reversible Markov model at the same lag, PCCA+ with {} coarse \
         states, all fitted to the reference. Histograms: {} bins, {} × {} in two dimensions.",
        time(options.lag),
        100.0 * options.kinetic_share,
        options.clusters,
        options.seed,
        options.states,
        options.bins,
        options.bins_2d,
        options.bins_2d
    ));
    for baseline in peptides.first().map(|p| &p.baselines[..]).unwrap_or_default() {
        page.text(&format!("{}: {}.", heading(&baseline.name), baseline.about));
    }
    Ok(page.html())
}

fn length(scores: &Scores) -> String {
    format!(
        "{} ({} frames of {})",
        time(scores.frames as f64 * scores.step_ps),
        scores.frames,
        time(scores.step_ps)
    )
}

/// A number with three decimals, or a dash.
fn cell(value: Option<f64>) -> String {
    value.map_or("–".into(), |v| format!("{v:.3}").replace('-', "−"))
}

fn find<'a>(rows: &'a [Mean], metric: &str) -> Option<&'a Mean> {
    rows.iter().find(|m| m.metric == metric)
}

fn baseline(row: &Mean, name: &str) -> Option<f64> {
    row.baselines.iter().find(|(n, _)| n == name)?.1
}

fn cards(rows: &[Mean]) -> Vec<Card> {
    let card = |metric: &str, caption: &str| {
        let row = find(rows, metric)?;
        let value = row.generated?;
        let card = Card::new(cell(Some(value)), caption);
        let Some(tenth) = baseline(row, "md_1/10") else { return Some(card) };
        let (verdict, word) = match value <= tenth {
            true => (Verdict::Good, "nearer than"),
            false => (Verdict::Warn, "farther than"),
        };
        let replicate =
            baseline(row, "replicate").map_or(String::new(), |v| format!("; a replicate: {v:.3}"));
        Some(card.verdict(verdict, format!("{word} a tenth of the simulation ({tenth:.3}){replicate}")))
    };
    [
        card("torsions_all", "torsions"),
        card("tica_0", "slowest coordinate"),
        card("occupancy", "states"),
        card("transitions", "transitions between states"),
        card("decorrelation_backbone", "how the backbone forgets"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn table(page: &mut Page, rows: &[Mean]) {
    let Some(first) = rows.first() else { return };
    let names: Vec<String> = first.baselines.iter().map(|(name, _)| heading(name)).collect();
    let header: Vec<&str> = ["", "generated"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let values = std::iter::once(row.generated).chain(row.baselines.iter().map(|(_, v)| *v));
            std::iter::once(row.label.to_string()).chain(values.map(cell)).collect()
        })
        .collect();
    page.table(&header, &lines);
}

/// One line a molecule.
fn each(page: &mut Page, peptides: &[Compared]) {
    page.section("Each molecule");
    let header = [
        "",
        "backbone",
        "side chain",
        "TICA-0",
        "TICA-0,1",
        "states",
        "transitions",
        "decorrelation",
        "replicate, all torsions",
    ];
    let lines: Vec<Vec<String>> = peptides
        .iter()
        .map(|p| {
            let s = &p.generated;
            let rows = row_of(p);
            let replicate = find(&rows, "torsions_all").and_then(|row| baseline(row, "replicate"));
            let values = [
                s.torsion_jsd.backbone,
                s.torsion_jsd.side_chain,
                Some(s.tica_0_jsd),
                s.tica_01_jsd,
                Some(s.occupancy_jsd),
                s.transition_jsd,
                s.decorrelation_error.all,
                replicate,
            ];
            std::iter::once(p.name.clone()).chain(values.into_iter().map(cell)).collect()
        })
        .collect();
    page.table(&header, &lines);
}

/// What several proteins show together.
fn together(page: &mut Page, evaluation: &Evaluation) {
    let Some(found) = evaluation.proteins.as_ref().filter(|p| p.proteins > 1) else { return };
    page.section("The proteins together");
    let line = |label: &str, value: Option<f64>| vec![label.to_string(), cell(value)];
    page.table(
        &["", "value"],
        &[
            line("pairwise RMSD, correlation over proteins", found.pairwise_rmsd_correlation),
            line("RMSF, correlation over all residues", found.global_rmsf_correlation),
            line("RMSF, mean correlation along a chain", found.rmsf_correlation),
            line("root mean Wasserstein-2 distance (Å)", found.rmwd),
            line("Wasserstein-2 distance in the reference's components (Å)", found.pca_w2),
            line("weak contacts, Jaccard index", found.weak_contacts),
            line("transient contacts, Jaccard index", found.transient_contacts),
        ],
    );
}

fn molecule(page: &mut Page, peptide: &Compared) -> Result<()> {
    let heading = |page: &mut Page, text: &str| {
        page.section(text);
    };
    let prefix = format!("{}: ", peptide.name);
    if let Some([own, theirs]) = peptide.shown.surfaces() {
        heading(page, &format!("{prefix}free energy along the slow coordinates"));
        let slow: Vec<String> =
            peptide.tica.timescales_ps.iter().take(2).map(|t| t.map_or("–".into(), time)).collect();
        let caption = format!("Implied timescales of the two coordinates: {}.", slow.join(" and "));
        page.figures(&[
            (&own, caption.as_str()),
            (&theirs, "The same coordinates, fitted to the reference alone."),
        ])?;
    }
    heading(page, &format!("{prefix}states and kinetics"));
    let occupancies = figures::occupancies(&peptide.reference, &peptide.generated);
    let slow = peptide.shown.slow();
    let state_note = "Coarse states by PCCA+, numbered by the reference's chain.";
    page.figures(&[(&occupancies, state_note), (&slow, "Autocorrelation around the mean; 1 at lag 0.")])?;
    let curves: Vec<Figure> =
        [true, false].into_iter().filter_map(|b| peptide.shown.decorrelation(b)).collect();
    let note = "Solid: reference. Dashed, in the same colour: generated.";
    page.figures(&curves.iter().map(|f| (f, note)).collect::<Vec<_>>())?;
    if let Some(figure) = figures::times(&peptide.reference, &peptide.generated) {
        page.figure(
            &figure,
            "Times until the correlation is down to 1/e, for torsions that get there in both.",
        )?;
    }
    heading(page, &format!("{prefix}torsions"));
    page.text("Solid: reference. Dashed: generated.");
    let shown: Vec<Figure> =
        (0..peptide.shown.torsions.len().min(TORSIONS)).filter_map(|i| peptide.shown.torsion(i)).collect();
    page.gallery(&shown)?;
    if peptide.shown.torsions.len() > TORSIONS {
        page.text(&format!("The first {TORSIONS} torsions are drawn; evaluation.json has numbers for all."));
    }
    torsion_table(page, peptide);
    extras(page, peptide)
}

fn torsion_table(page: &mut Page, peptide: &Compared) {
    let of_time = |t: Option<f64>| t.map_or("–".into(), |t| format!("{t:.3}"));
    let lines: Vec<Vec<String>> = peptide
        .reference
        .torsions
        .iter()
        .zip(&peptide.generated.torsions)
        .map(|(a, b)| {
            vec![b.name.clone(), cell(Some(b.jsd)), of_time(a.decorrelation_ps), of_time(b.decorrelation_ps)]
        })
        .collect();
    page.details("Every torsion", |inner| {
        inner.table(&["Torsion", "JSD", "Decorrelation, reference (ps)", "generated (ps)"], &lines);
    });
}

fn extras(page: &mut Page, peptide: &Compared) -> Result<()> {
    if let Some(scores) = &peptide.protein {
        page.section(&format!("{}: the protein as a whole", peptide.name));
        page.figure(
            &figures::fluctuations(scores),
            "Around the mean structure, superposed on the reference's first frame.",
        )?;
        let line = |label: &str, value: Option<f64>| vec![label.to_string(), cell(value)];
        page.table(
            &["", "value"],
            &[
                line("correlation of RMSF along the chain", scores.rmsf_correlation),
                line("pairwise RMSD, generated (Å)", Some(scores.pairwise_rmsd)),
                line("pairwise RMSD, reference (Å)", Some(scores.reference_pairwise_rmsd)),
                line("root mean Wasserstein-2 distance (Å)", Some(scores.rmwd)),
                line("… of the means", Some(scores.rmwd_means)),
                line("… of the spreads", Some(scores.rmwd_spreads)),
                line("Wasserstein-2 distance in the reference's components (Å)", Some(scores.pca_w2)),
                line("… in joint components (Å)", Some(scores.joint_pca_w2)),
                line("weak contacts, Jaccard index", scores.weak_contacts),
                line("transient contacts, Jaccard index", scores.transient_contacts),
            ],
        );
    }
    if let Some(scores) = &peptide.upsampling {
        page.section(&format!("{}: between given frames", peptide.name));
        page.figure(
            &figures::upsampled(scores),
            &format!(
                "Mean over torsions. Mean absolute difference from the reference at lags below {} frames: generated \
                 {:.4}, straight lines {:.4}.",
                scores.every, scores.generated_error, scores.linear_error
            ),
        )?;
    }
    if let Some(found) = &peptide.transition_paths {
        page.section(&format!(
            "{}: paths from state {} to state {}",
            peptide.name,
            found.from + 1,
            found.to + 1
        ));
        let lines: Vec<Vec<String>> = std::iter::once(&found.generated)
            .chain(&found.baselines)
            .map(|s| {
                vec![
                    s.about.clone(),
                    s.paths.to_string(),
                    cell(Some(s.valid)),
                    format!("{:.2e}", s.probability).replace('-', "−"),
                    cell(Some(s.visited_jsd)),
                    cell(Some(s.right_ends)),
                ]
            })
            .collect();
        page.table(&["", "Paths", "Valid", "Probability", "Visited states, JSD", "Right ends"], &lines);
        page.text(&format!(
            "Each path is read every {} steps of a lag; its probability is its chance under the reference's chain among \
             all paths between the two states in as many steps.",
            found.steps
        ));
    }
    if let Some(scores) = &peptide.design {
        page.section(&format!("{}: designed residues", peptide.name));
        let percent = |v: f64| format!("{:.1} %", 100.0 * v);
        page.table(
            &["", "recovered"],
            &[
                vec![format!("mean of {} sequences", scores.samples), percent(scores.recovery)],
                vec![
                    "most frequent residue at each position".into(),
                    percent(scores.recovery_of_most_frequent),
                ],
                vec!["most frequent combination".into(), percent(scores.recovery_of_most_frequent_together)],
                vec!["residues drawn evenly".into(), percent(scores.chance)],
            ],
        );
    }
    Ok(())
}
