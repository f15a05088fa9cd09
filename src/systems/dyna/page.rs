//! The report of a run: what moves, how far, and how well that agrees with the particles.

use std::path::Path;

use super::checkpoint::{EpochLosses, Score};
use super::evaluate::{Findings, Series, distance};
use super::pictures::{PREDICTIONS, TARGETS, plane};
use super::run::Run;
use crate::Result;
use crate::report::colour::{Rgb, viridis};
use crate::report::figure::Figure;
use crate::report::page::{Card, Page, Verdict};
use crate::report::plots;
use crate::report::trace::{Camera, tube};
use crate::stats::rank::mean;

/// Sides of pictures.
const LARGE: usize = 420;
const SMALL: usize = 190;
/// Motion that a picture shows, Å.
const SEEN: f64 = 0.1;
/// Motion that is told apart from none, Å.
const STILL: f64 = 0.3;

/// The page of what was found in a run; `umap` `[n]` where it was made.
pub fn page(run: &Run, findings: &Findings, umap: Option<&[[f32; 2]]>) -> Result<String> {
    let lead = "Each particle image has a latent; each latent is decoded into a structure. Structures shown here are \
                those of real particles.";
    let name = run.config.dataset_attr.starfile_path.file_name().unwrap_or_default().to_string_lossy();
    let mut page = Page::new(format!("Motion in {name}"), lead);
    cards(&mut page, run, findings);
    motion(&mut page, run, findings)?;
    residues(&mut page, run, findings)?;
    latents(&mut page, run, findings, umap)?;
    images(&mut page, &run.folder)?;
    training(&mut page, run)?;
    page.section("Go on");
    page.text(
        "Structures are in pca-1.pdb .. (along the axes) and pred.pdb (of clusters): multi-model files for ChimeraX, \
         VMD or PyMOL. A network can only move what its model has: refine the particles of clusters again without the \
         model to see that their densities differ as the structures do, and let two halves of the particles learn by \
         themselves.",
    );
    let stage = if run.reference.beads.is_some() { "beads" } else { "residue" };
    page.code(&format!(
        "kinesome dyna cluster RUN/EPOCH_STEP/z.npy -k 4 --star particles.star -o clusters    lists for RELION or cryoSPARC\n\
         kinesome dyna sample RUN --indices 0,17,42 -o chosen.pdb\n\
         kinesome dyna backmap RUN/EPOCH_STEP/pca-1.pdb --reference model.pdb -o atoms.pdb     all atoms\n\
         kinesome dyna density particles.star RUN/EPOCH_STEP/z.npy -o density                  maps without the model\n\
         kinesome dyna {stage} --config RUN/config.toml -o halves --half-sets                  do two halves agree?"
    ));

    page.details("All settings", |page| {
        page.code(&toml::to_string(&run.config).unwrap_or_default());
    });
    Ok(page.html())
}

fn cards(page: &mut Page, run: &Run, findings: &Findings) {
    let typical = mean(&findings.rmsf);
    let most = findings.rmsf.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let (verdict, remark) = match typical {
        t if t >= STILL => (Verdict::Plain, "mean over residues, without superposition"),
        _ => (Verdict::Warn, "hardly any motion: rigid particles, too few epochs, or too much noise"),
    };
    let mut cards =
        vec![Card::new(format!("{typical:.2} Å"), "fluctuation of a residue").verdict(verdict, remark)];
    if let Some((i, value)) = most {
        let atom = &run.reference.atoms[i];
        let place = format!("{} {}{}", atom.residue_name, atom.chain, atom.residue_number);
        cards.push(
            Card::new(format!("{value:.1} Å"), "fluctuation of the residue that moves most")
                .verdict(Verdict::Plain, place),
        );
    }
    cards.push(Card::new(run.len().to_string(), "particles"));
    if let Some(last) = run.position.history.last() {
        cards.push(
            Card::new(last.epoch.to_string(), "epochs")
                .verdict(Verdict::Plain, format!("{:.0} images a second", last.images_per_second)),
        );
    }
    page.cards(&cards);
}

/// How far points are from the reference, as colours up to `most` Å.
fn by_distance(structure: &[[f64; 3]], model: &[[f64; 3]], most: f64) -> Vec<Rgb> {
    let away = |(p, q): (&[f64; 3], &[f64; 3])| (0..3).map(|k| (p[k] - q[k]).powi(2)).sum::<f64>().sqrt();
    structure.iter().zip(model).map(|pair| viridis(away(pair) / most)).collect()
}

fn frames(
    run: &Run,
    series: &Series,
    camera: &Camera,
    most: f64,
    pixels: usize,
) -> Result<Vec<(Vec<u8>, String)>> {
    let (model, chains) = (run.reference.backbone(&run.reference.places), run.reference.residue_chains());
    let draw = |(structure, particle): (&Vec<[f64; 3]>, &usize)| {
        let backbone = run.reference.backbone(structure);
        let colours = by_distance(&backbone, &model, most);
        let away = distance(structure, &run.reference.places);
        let caption = format!("particle {particle}: {away:.1} Å from the model");
        Ok((tube(&backbone, &chains, &colours, camera, pixels)?, caption))
    };
    series.structures.iter().zip(&series.particles).map(draw).collect()
}

fn motion(page: &mut Page, run: &Run, findings: &Findings) -> Result<()> {
    page.section("The motion");
    let everything: Vec<&[[f64; 3]]> = std::iter::once(run.reference.places.as_slice())
        .chain(findings.axes.iter().flat_map(|axis| &axis.structures).map(Vec::as_slice))
        .collect();
    let camera = Camera::of(&everything);
    let most = (3.0 * findings.rmsf.iter().copied().fold(0.0, f64::max)).max(1.0);
    page.text(&format!(
        "Residues are coloured by their distance from the model: dark where they stay, yellow at {most:.0} Å and beyond."
    ));
    for (axis, series) in findings.axes.iter().enumerate() {
        let (Some(first), Some(last)) = (series.structures.first(), series.structures.last()) else {
            continue;
        };
        let share = findings.pca.as_ref().map_or(0.0, |pca| pca.explained_variance_ratio[axis]);
        if distance(first, last) < SEEN {
            page.text(&format!(
                "Axis {}, {:.1} % of the latents' variance, moves nothing: its ends are {:.2} Å apart.",
                axis + 1,
                100.0 * share,
                distance(first, last)
            ));
            continue;
        }
        let steps: Vec<f64> = (1..=series.structures.len()).map(|i| i as f64).collect();
        let along: Vec<f64> = series.structures.iter().map(|s| distance(s, first)).collect();
        let figure =
            Figure::new(format!("Way along axis {}", axis + 1), "structure", "RMSD from the first (Å)")
                .size(460, 380)
                .line_with_markers("", &steps, &along);
        let caption = format!(
            "Axis {}, {:.0} % of the latents' variance, 5th to 95th percentile: pca-{}.pdb. Its ends are {:.1} Å apart.",
            axis + 1,
            100.0 * share,
            axis + 1,
            distance(first, last)
        );
        page.player_beside(&frames(run, series, &camera, most, LARGE)?, &caption, &figure, "")?;
    }
    page.section("Clusters");
    let mut strip = frames(run, &findings.centres, &camera, most, SMALL)?;
    for ((_, caption), (i, count)) in strip.iter_mut().zip(findings.clusters.counts.iter().enumerate()) {
        *caption = format!("{}: {count} particles; {caption}", i + 1);
    }
    page.strip(&strip);
    page.text("Structures at the centres of k-means clusters of the latents: pred.pdb.");
    Ok(())
}

fn residues(page: &mut Page, run: &Run, findings: &Findings) -> Result<()> {
    page.section("Which residues move");
    let mut figure = Figure::new("Fluctuation of residues", "residue", "RMSF (Å)").size(900, 360);
    let atoms = &run.reference.atoms;
    let anchors = run.reference.anchors();
    let mut chains: Vec<&str> = vec![];
    for &i in &anchors {
        if chains.last() != Some(&atoms[i].chain.as_str()) {
            chains.push(&atoms[i].chain);
        }
    }
    for chain in chains {
        let members: Vec<usize> = anchors.iter().copied().filter(|&i| atoms[i].chain == chain).collect();
        let numbers: Vec<f64> = members.iter().map(|&i| f64::from(atoms[i].residue_number)).collect();
        let values: Vec<f64> = members.iter().map(|&i| findings.rmsf[i]).collect();
        figure = figure.line(
            if chain.is_empty() { String::new() } else { format!("chain {chain}") },
            &numbers,
            &values,
        );
    }
    page.figure(&figure, "Over the particles, in the frame of the poses: what moves as a whole counts too.")?;
    Ok(())
}

fn latents(page: &mut Page, run: &Run, findings: &Findings, umap: Option<&[[f32; 2]]>) -> Result<()> {
    page.section("The latent space");
    if findings.width < 2 || findings.pca.as_ref().is_none_or(|pca| pca.len() < 2) {
        page.text(&format!(
            "{} particles have latents of {} numbers: there is no plane to show.",
            run.len(),
            findings.width
        ));
        return Ok(());
    }
    let (x, y) = (findings.component(0), findings.component(1));
    let labels = &findings.clusters.labels;
    let across = (0.6 * (x.len() as f64).sqrt()).clamp(12.0, 60.0) as usize;
    let density = plane(findings).hexbin(&x, &y, across);
    let clusters = plane(findings).scatter_by_category(&x, &y, labels, &[]);
    page.figures(&[
        (
            &density,
            "How many particles are where. Humps are states; a smooth cloud is continuous motion, or noise.",
        ),
        (&clusters, "The same by cluster, numbered as above."),
    ])?;
    if let Some(points) = umap {
        let axis = |k: usize| points.iter().map(|p| f64::from(p[k])).collect::<Vec<_>>();
        let (x, y) = (axis(0), axis(1));
        let empty = || Figure::new("UMAP of the latents", "UMAP 1", "UMAP 2").size(600, 480);
        page.figures(&[
            (
                &empty().hexbin(&x, &y, across),
                "UMAP keeps neighbours together; distances and sizes mean little.",
            ),
            (&empty().scatter_by_category(&x, &y, labels, &[]), "The same by cluster."),
        ])?;
    }
    Ok(())
}

fn images(page: &mut Page, folder: &Path) -> Result<()> {
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    if let (Some(targets), Some(predictions)) = (read(TARGETS), read(PREDICTIONS)) {
        page.section("Images");
        page.image(&targets, "Particles, moved to the middle and filtered.");
        page.image(&predictions, "What the network thinks they are; the tinted rim is not compared.");
    }
    Ok(())
}

fn training(page: &mut Page, run: &Run) -> Result<()> {
    let history = &run.position.history;
    if history.is_empty() {
        return Ok(());
    }
    page.section("Training");
    let curve = |name: &str| {
        let value = |losses: &EpochLosses| losses.parts.iter().find(|part| part.0 == name).map(|part| part.1);
        (name.to_string(), history.iter().filter_map(value).collect::<Vec<f64>>())
    };
    let structural = history[0].parts.iter().filter(|part| part.0 != "image");
    let image =
        plots::losses("Agreement with the images", &[("minus the correlation".into(), curve("image").1)]);
    let held: Vec<(String, Vec<f64>)> = structural.map(|part| curve(&part.0)).collect();
    let held = plots::losses("What holds structures together", &held);
    page.figures(&[(&image, "Lower is better."), (&held, "By epoch.")])?;
    let scores = &run.position.scores;
    if !scores.is_empty() {
        let of = |value: fn(&Score) -> f64| scores.iter().map(value).collect::<Vec<f64>>();
        let epochs = of(|s| s.epoch as f64);
        let figure =
            Figure::new("Particles that were held out", "epoch", "correlation with their structures")
                .size(600, 400)
                .line_with_markers("learned from", &epochs, &of(|s| s.trained))
                .line_with_markers("held out", &epochs, &of(|s| s.held))
                .dashed_line("the model as it stands", &epochs, &of(|s| s.still));
        let caption = "What helps particles that were never learned from is in the particles. Where their curve parts from \
                       the others', noise is learned by heart.";
        page.figure(&figure, caption)?;
    }
    Ok(())
}
