//! The table of an evaluation: one number a row, and beside it the same number for every baseline.

use serde::Serialize;

use super::Compared;
use super::scores::{Scores, average};

/// A number that is printed.
pub struct Metric {
    /// Its name in JSON.
    pub name: &'static str,
    pub label: &'static str,
    /// Ordered in time: shuffled frames change it.
    pub kinetic: bool,
    pub of: fn(&Scores) -> Option<f64>,
}

const fn metric(
    name: &'static str,
    label: &'static str,
    kinetic: bool,
    of: fn(&Scores) -> Option<f64>,
) -> Metric {
    Metric { name, label, kinetic, of }
}

/// All numbers, in the order of the table. Except for the correlation of fluxes, less is better.
pub const METRICS: [Metric; 14] = [
    metric("torsions_backbone", "torsions, backbone", false, |s| s.torsion_jsd.backbone),
    metric("torsions_side_chain", "torsions, side chain", false, |s| s.torsion_jsd.side_chain),
    metric("torsions_all", "torsions, all", false, |s| s.torsion_jsd.all),
    metric("ramachandran", "φ and ψ of a residue", false, |s| s.ramachandran_jsd),
    metric("tica_0", "TICA-0", false, |s| Some(s.tica_0_jsd)),
    metric("tica_01", "TICA-0,1", false, |s| s.tica_01_jsd),
    metric("occupancy", "states, frames in each", false, |s| Some(s.occupancy_jsd)),
    metric("states", "states, stationary", true, |s| s.state_jsd),
    metric("transitions", "transition matrix", true, |s| s.transition_jsd),
    metric("flux_correlation", "flux, correlation (1 is best)", true, |s| s.flux_correlation),
    metric("decorrelation_backbone", "decorrelation, backbone", true, |s| s.decorrelation_error.backbone),
    metric("decorrelation_side_chain", "decorrelation, side chain", true, |s| {
        s.decorrelation_error.side_chain
    }),
    metric("decorrelation_tica_0", "decorrelation, TICA-0", true, |s| s.tica_0_decorrelation_error),
    metric("decorrelation_time", "decorrelation time, |log₁₀|", true, |s| s.decorrelation_time_error.all),
];

/// One row of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Mean {
    pub metric: &'static str,
    pub label: &'static str,
    pub kinetic: bool,
    /// Mean over peptides; none where no peptide has the number.
    pub generated: Option<f64>,
    /// By name of the baseline.
    pub baselines: Vec<(String, Option<f64>)>,
}

/// The rows, as means over peptides.
pub fn means(peptides: &[Compared]) -> Vec<Mean> {
    rows(&peptides.iter().collect::<Vec<_>>())
}

/// The rows of one peptide.
pub fn row_of(peptide: &Compared) -> Vec<Mean> {
    rows(&[peptide])
}

fn rows(peptides: &[&Compared]) -> Vec<Mean> {
    let mut names: Vec<&str> = Vec::new();
    for baseline in peptides.iter().flat_map(|p| &p.baselines) {
        if !names.contains(&baseline.name.as_str()) {
            names.push(&baseline.name);
        }
    }
    METRICS
        .iter()
        .map(|metric| {
            let of = |name: &str| {
                let each = |p: &&Compared| {
                    let found = p.baselines.iter().find(|b| b.name == name)?;
                    average(found.scores.iter().filter_map(metric.of))
                };
                average(peptides.iter().filter_map(each))
            };
            Mean {
                metric: metric.name,
                label: metric.label,
                kinetic: metric.kinetic,
                generated: average(peptides.iter().filter_map(|p| (metric.of)(&p.generated))),
                baselines: names.iter().map(|name| (name.to_string(), of(name))).collect(),
            }
        })
        .collect()
}

/// How baselines are headed in a table.
pub fn heading(name: &str) -> String {
    match name {
        "independent_residues" => "independent".into(),
        name => name.replace("md_", "MD "),
    }
}
