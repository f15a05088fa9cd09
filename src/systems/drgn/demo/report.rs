//! The demo's page: what was found, how good it is, and how to look further.

use super::{Findings, Metrics};
use crate::Result;
use crate::cryo::volume::Volume;
use crate::report::figure::Figure;
use crate::report::page::{Card, Page, Verdict};
use crate::report::plots;
use crate::report::volume::{Contour, Style, View, grey, series_colour, surface};

/// Below this correlation with the truth the motion counts as lost in noise.
const WEAK: f64 = 0.6;

/// What the correlation of the first component with the truth means.
pub fn verdict(metrics: &Metrics) -> (Verdict, &'static str) {
    match metrics.spearman {
        s if s >= 0.9 => (Verdict::Good, "the motion was found"),
        s if s >= WEAK => (Verdict::Warn, "the motion was found, blurred"),
        _ => (Verdict::Bad, "the signal is too weak: more images, more epochs or less noise"),
    }
}

pub fn page(f: &Findings<'_>) -> Result<String> {
    let m = f.metrics;
    let mut page = Page::new(
        "Adenylate kinase in motion",
        "A particle stack was simulated from two crystal structures of adenylate kinase, whose lids open and close. \
         A variational autoencoder learned the motion from the noisy images alone; here it is beside the truth.",
    );
    cards(&mut page, m);
    motion(&mut page, f)?;
    latents(&mut page, f)?;
    maps(&mut page, f)?;
    training(&mut page, f)?;
    page.section("Go on");
    page.text(
        "Look at the volumes in ChimeraX: open volumes/motion.cxc. Analyse the run as you would your own:",
    );
    page.code("kinesome drgn analyze run\nkinesome drgn train your_particles.star -o out");
    page.details("All settings", |page| {
        let text = serde_json::to_string_pretty(&m.options).unwrap_or_default();
        page.code(&text);
    });
    Ok(page.html())
}

fn cards(page: &mut Page, m: &Metrics) {
    let (judgement, remark) = verdict(m);
    let gain = m.mean_correlation - m.mean_consensus;
    let gained = if gain > 0.0 { Verdict::Good } else { Verdict::Bad };
    page.cards(&[
        Card::new(format!("{:.2}", m.spearman), "rank correlation of PC1 with the true motion")
            .verdict(judgement, remark),
        Card::new(format!("{:.3}", m.mean_correlation), "mean correlation of the volumes with the true maps")
            .verdict(gained, format!("a single consensus map reaches {:.3}", m.mean_consensus)),
        Card::new(
            m.volumes
                .iter()
                .filter_map(|v| v.resolution)
                .reduce(f64::max)
                .map_or("–".into(), |r| format!("{r:.1} Å")),
            "worst resolution of the volumes (FSC 0.5 with the truth)",
        )
        .verdict(Verdict::Plain, format!("the pixels allow {:.1} Å", 2.0 * m.apix)),
        Card::new(format!("{:.0}", m.images_per_second), "images a second in training")
            .verdict(Verdict::Plain, format!("{}; {:.0} s in all", m.device, m.seconds)),
    ]);
}

/// The molecule fills about 60 % of the box: the picture leaves the empty rim out.
fn picture(map: &[f32], side: usize, i: usize, count: usize) -> Result<Vec<u8>> {
    let mut shown = Volume::new(map.to_vec(), side, 1.0)?;
    shown.crop(side * 3 / 8 * 2)?;
    surface(
        &shown.data,
        shown.n,
        Style {
            contour: Contour::Auto,
            view: View::Turned { azimuth: 0.5, elevation: 0.35 },
            colour: series_colour(i, count),
            ..Style::default()
        },
    )
}

fn motion(page: &mut Page, f: &Findings<'_>) -> Result<()> {
    let (m, side) = (f.metrics, f.metrics.options.side);
    page.section("The motion");
    let count = f.volumes.len();
    let frames = |maps: &[Vec<f32>]| -> Result<Vec<(Vec<u8>, String)>> {
        maps.iter()
            .zip(&m.volumes)
            .enumerate()
            .map(|(i, (map, v))| Ok((picture(map, side, i, count)?, format!("t = {:.2}", v.t))))
            .collect()
    };
    let found = frames(f.volumes)?;
    page.player(&found, "Volumes along the first principal component, from its 5th to its 95th percentile.");
    let every = |frames: Vec<(Vec<u8>, String)>| frames.into_iter().step_by(3).collect::<Vec<_>>();
    page.text("Found (above) and true (below); t is the mean true conformation of the images nearest to each volume, 0 open, 1 closed.");
    page.strip(&every(found));
    page.strip(&every(frames(f.true_maps)?));
    Ok(())
}

fn latents(page: &mut Page, f: &Findings<'_>) -> Result<()> {
    page.section("The latent space");
    let pc1 = &f.scores[0];
    let against_truth =
        Figure::new("Does PC1 follow the motion?", "True conformation (0 open, 1 closed)", "PC1")
            .scatter_by_value(f.truth, pc1, f.truth, "true t");
    let caption = format!("Each point is an image. Rank correlation {:.3}.", f.metrics.spearman);
    match f.scores.get(1) {
        Some(pc2) => {
            let scatter = Figure::new("Latents, coloured by the truth", "PC1", "PC2")
                .scatter_by_value(pc1, pc2, f.truth, "true t");
            page.figures(&[(&scatter, "The network never saw the colours."), (&against_truth, &caption)])?;
        }
        None => {
            page.figure(&against_truth, &caption)?;
        }
    }
    Ok(())
}

fn maps(page: &mut Page, f: &Findings<'_>) -> Result<()> {
    let m = f.metrics;
    page.section("The maps beside the true ones");
    let curves: Vec<(String, Vec<f64>)> =
        m.volumes.iter().step_by(3).map(|v| (format!("t = {:.2}", v.t), v.fsc.clone())).collect();
    let figure = plots::fsc("FSC with the true map", &curves, m.options.side, m.apix);
    page.figure(
        &figure,
        "Fourier shell correlation of volumes along PC1 with the true map of the same conformation.",
    )?;
    let rows: Vec<Vec<String>> = m
        .volumes
        .iter()
        .map(|v| {
            vec![
                v.file.clone(),
                format!("{:.2}", v.t),
                format!("{:.3}", v.correlation),
                format!("{:.3}", v.consensus),
                format!("{:.3}", v.best_single_map),
                v.resolution.map_or("–".into(), |r| format!("{r:.1} Å")),
            ]
        })
        .collect();
    page.table(
        &["volume", "t", "correlation", "of the consensus map", "of the mean true map", "FSC 0.5"],
        &rows,
    );
    page.text("The consensus map is the backprojection of all images; the mean of the true maps is about the best that any single map could do.");
    Ok(())
}

fn training(page: &mut Page, f: &Findings<'_>) -> Result<()> {
    let m = f.metrics;
    page.section("The training");
    let values = |of: fn(&super::EpochLosses) -> f64| m.losses.iter().map(of).collect::<Vec<f64>>();
    let reconstruction = plots::losses(
        "Loss",
        &[("reconstruction".into(), values(|l| l.reconstruction)), ("total".into(), values(|l| l.total))],
    );
    let mut divergence =
        plots::losses("Information in the latents", &[("KL divergence".into(), values(|l| l.divergence))]);
    divergence.y.label = "Nats".into();
    page.figures(&[
        (&reconstruction, "Mean squared error of the images, and with the divergence."),
        (&divergence, "Nats an image that the latents carry."),
    ])?;
    page.text("What the network saw:");
    let images = f
        .examples
        .iter()
        .enumerate()
        .map(|(i, image)| Ok((grey(image, m.options.side)?, format!("image {}", i + 1))));
    page.strip(&images.collect::<Result<Vec<_>>>()?);
    Ok(())
}
