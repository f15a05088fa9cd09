//! The report of an analysis: one page that a scientist reads before opening any map.

use std::path::Path;

use super::{Options, Summary, figures};
use crate::report::page::{Card, Verdict};
use crate::report::{Figure, Page};
use crate::systems::drgn::config::Config;
use crate::{Error, Result};

/// Maps at both ends of a component that agree better than this show no motion to speak of.
const ALIKE: f64 = 0.99;

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

/// A path as a word of a shell.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=@:,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The whole HTML file.
pub fn report(summary: &Summary, workdir: &Path, config: &Config, options: &Options) -> Result<String> {
    let name =
        std::path::absolute(workdir).ok().and_then(|p| Some(p.file_name()?.to_string_lossy().into_owned()));
    let title = format!("{}: what the model found", name.as_deref().unwrap_or("Analysis"));
    let pixel = summary.apix.map_or(String::new(), |apix| format!(" of {apix:.3} Å"));
    let lead = format!(
        "{} particles, {} latent variable{}, after {} epoch{}; volumes of {} voxels a side{pixel}.",
        summary.latents.len(),
        summary.latents.dim,
        if summary.latents.dim == 1 { "" } else { "s" },
        summary.epoch,
        if summary.epoch == 1 { "" } else { "s" },
        options.post_process.crop.unwrap_or(summary.side)
    );
    let mut page = Page::new(title, &lead);
    page.cards(&cards(summary));
    latent_space(&mut page, summary)?;
    motion(&mut page, summary, options)?;
    clusters(&mut page, summary, options)?;
    training(&mut page, summary)?;
    onwards(&mut page, summary, workdir, config);
    if !summary.notes.is_empty() {
        page.section("Notes");
        summary.notes.iter().for_each(|note| {
            page.text(note);
        });
    }
    settings(&mut page, config, options)?;
    Ok(page.html())
}

fn cards(summary: &Summary) -> Vec<Card> {
    let dim = summary.latents.dim;
    let used = Card::new(format!("{} of {dim}", summary.active), "latent variables in use");
    let used = match summary.active {
        0 => used.verdict(
            Verdict::Bad,
            "all particles look alike to the model: the signal is weak, or it needs more epochs",
        ),
        _ => used,
    };
    let mut cards = vec![Card::new(summary.latents.len().to_string(), "particles"), used];
    if let Some(share) = summary.pca.explained_variance_ratio.first().filter(|_| dim > 1) {
        cards.push(Card::new(percent(*share), "of the latents' variance along PC1"));
    }
    if let Some(ends) = summary.traversals.first().and_then(|t| t.series.ends) {
        let along = if dim > 1 { "PC1" } else { "z" };
        let card = Card::new(
            format!("{ends:.3}"),
            format!("correlation of the first with the last map along {along}"),
        );
        cards.push(match ends {
            ends if ends > ALIKE => card.verdict(Verdict::Warn, "hardly any motion"),
            _ => card,
        });
    }
    if let Some(last) = summary.history.last() {
        cards.push(Card::new(format!("{:.4}", last.total), format!("loss of epoch {}", last.epoch)));
    }
    cards
}

fn latent_space(page: &mut Page, summary: &Summary) -> Result<()> {
    page.section("Latent space");
    if summary.latents.dim == 1 {
        page.figure(
            &figures::histogram(summary),
            "Each particle has one number, z; similar maps have similar z.",
        )?;
        return Ok(());
    }
    page.text(
        "Each point is a particle; particles of similar conformation lie close together. Clouds that are apart hint \
         at distinct states (or at junk), a long band at continuous motion.",
    );
    let components =
        figures::Plane::components(summary, 0, 1).scatter("Principal components").with_marginals();
    let caption = "The two directions along which the latents vary most.";
    match &summary.umap {
        Some(points) => {
            let umap = figures::Plane::umap(points);
            let coloured = umap.by_value("UMAP, coloured by PC1", &summary.component(0), "PC1");
            let note = "Neighbours stay neighbours; distances between clouds and their sizes mean little.";
            page.figures(&[(&components, caption), (&coloured, note)])?;
        }
        None => {
            page.figure(&components, caption)?;
        }
    }
    let mut sum = 0.0;
    let rows: Vec<Vec<String>> = (0..summary.pca.len())
        .map(|k| {
            let share = summary.pca.explained_variance_ratio[k];
            sum += share;
            let made = summary.traversals.iter().find(|t| t.component == k).and_then(|t| t.series.ends);
            let ends = made.map_or("–".into(), |ends| format!("{ends:.3}"));
            vec![format!("PC{}", k + 1), percent(share), percent(sum), ends]
        })
        .collect();
    page.table(&["Component", "Variance", "Together", "Correlation of end maps"], &rows);
    Ok(())
}

fn captioned(pictures: &[Vec<u8>], caption: impl Fn(usize) -> String) -> Vec<(Vec<u8>, String)> {
    pictures.iter().enumerate().map(|(i, png)| (png.clone(), caption(i))).collect()
}

fn motion(page: &mut Page, summary: &Summary, options: &Options) -> Result<()> {
    if summary.traversals.is_empty() {
        return Ok(());
    }
    let one = summary.latents.dim == 1;
    page.section(if one { "Volumes along z" } else { "Volumes along the components" });
    page.text(
        "Equal steps between the 5th and the 95th percentile of the particles, all surfaces at one density. In \
         ChimeraX, drop vol_series.cxc from the folder of the volumes on the window.",
    );
    for of in &summary.traversals {
        let name = if one { "z".to_string() } else { format!("PC{}", of.component + 1) };
        let frames = captioned(&of.series.pictures, |i| {
            let number = i + options.first_volume;
            let z = of.series.z.points.get(i).map(|z| format!("z = {z:.2}")).filter(|_| one);
            format!(
                "vol_{number:03}, {}",
                z.unwrap_or_else(|| format!("{name}, {} of {}", i + 1, of.nearest.len()))
            )
        });
        let folder = of.series.folder.strip_prefix(&summary.outdir).unwrap_or(&of.series.folder);
        let place = if one { "beside this file".to_string() } else { format!("in {}/", folder.display()) };
        let caption = format!("Along {name}; maps {place}.");
        let path = if one { None } else { Some(figures::traversal(summary, of, options, false)?) };
        match (path, frames.is_empty()) {
            (Some(path), false) => page.player_beside(&frames, &caption, &path, "Where these maps lie.")?,
            (None, false) => page.player(&frames, &caption),
            (Some(path), true) => page.figure(&path, "Where maps would be made (they were skipped).")?,
            (None, true) => page,
        };
    }
    Ok(())
}

fn clusters(page: &mut Page, summary: &Summary, options: &Options) -> Result<()> {
    let Some(found) = &summary.clusters else { return Ok(()) };
    let counts = &found.kmeans.counts;
    page.section("Clusters");
    page.text(
        "k-means cuts the latents into pieces of similar size to show their range; the borders are not states. Each \
         map is decoded at the particle nearest to its cluster's centre; neighbouring numbers are neighbours in latent \
         space.",
    );
    let components = figures::Plane::components(summary, 0, 1);
    let components = figures::clusters(&components, found, options, false);
    let umap = summary.umap.as_deref().map(figures::Plane::umap);
    let umap: Option<Figure> = umap.map(|plane| figures::clusters(&plane, found, options, false));
    let mut both = vec![(&components, "Clusters among the principal components.")];
    both.extend(umap.iter().map(|figure| (figure, "The same clusters in the UMAP.")));
    page.figures(&both)?;
    let share = |i: usize| percent(counts[i] as f64 / summary.latents.len().max(1) as f64);
    let strip = captioned(&found.series.pictures, |i| {
        format!("{}: {} ({})", i + options.first_volume, counts[i], share(i))
    });
    if !strip.is_empty() {
        page.strip(&strip);
    }
    let row = |i: usize| {
        let centre = found.kmeans.center_indices[i];
        vec![(i + options.first_volume).to_string(), counts[i].to_string(), share(i), centre.to_string()]
    };
    let rows: Vec<Vec<String>> = (0..counts.len()).map(row).collect();
    page.details("Sizes of the clusters", |inner| {
        inner.table(&["Cluster", "Particles", "Share", "Particle at the centre (from 0)"], &rows);
    });
    Ok(())
}

fn training(page: &mut Page, summary: &Summary) -> Result<()> {
    if let (Some(losses), Some(divergence)) = (figures::learning(summary), figures::divergence(summary)) {
        page.section("Training");
        page.figures(&[
            (&losses, "A curve that still falls asks for more epochs; a flat one does not prove that all is learned."),
            (&divergence, "How much the latents tell about the images."),
        ])?;
    }
    Ok(())
}

fn onwards(page: &mut Page, summary: &Summary, workdir: &Path, config: &Config) {
    page.section("How to go on");
    let mut lines = vec![];
    if let Some(found) = &summary.clusters {
        let labels = found.series.folder.join("labels.pkl");
        let keep = workdir.join("keep.pkl");
        let particles = &config.dataset_args.particles;
        lines.push(
            "# Particles of some clusters (numbered as the maps), to train on or to refine elsewhere:"
                .to_string(),
        );
        let parent =
            config.dataset_args.ind.as_ref().map_or(String::new(), |ind| {
                format!(" --parent-ind {}", word(&super::resolve(ind, workdir)))
            });
        lines.push(format!(
            "kinesome drgn select_clusters {} --sel 1 2 3{parent} -o {}",
            word(&labels),
            word(&keep)
        ));
        lines.push(format!("kinesome drgn filter_star particles.star --ind {} -o keep.star", word(&keep)));
        lines.push(format!(
            "kinesome drgn train_vae {} --poses pose.pkl --ctf ctf.pkl --zdim {} --ind {} -o {}",
            word(Path::new(particles)),
            summary.latents.dim,
            word(&keep),
            word(&workdir.with_file_name("filtered"))
        ));
        lines.push(String::new());
    }
    lines.push("# The map at any point of the latent space:".into());
    let z = vec!["0"; summary.latents.dim].join(" ");
    lines.push(format!(
        "kinesome drgn eval_vol {} -c {} -z {z} -o vol.mrc",
        word(&workdir.join("weights.pkl")),
        word(&workdir.join("config.yaml"))
    ));
    if let Some(series) = summary.traversals.first().map(|t| &t.series).filter(|s| !s.volumes.is_empty()) {
        lines.push(String::new());
        lines.push("# The motion in ChimeraX:".into());
        lines.push(format!("chimerax {}", word(&series.folder.join("vol_series.cxc"))));
    }
    page.code(&lines.join("\n"));
}

fn settings(page: &mut Page, config: &Config, options: &Options) -> Result<()> {
    let yaml = serde_yaml_ng::to_string(config).map_err(|e| Error::usage(e.to_string()))?;
    let done = &options.post_process;
    let mut steps = vec![];
    steps.extend(options.downsample.map(|side| format!("Fourier crop to {side} voxels")));
    steps.extend(done.flip.then(|| "handedness turned".to_string()));
    steps.extend(done.invert.then(|| "sign turned".to_string()));
    steps.extend(done.low_pass.map(|r| format!("cut off beyond {r} Å")));
    steps.extend(done.crop.map(|side| format!("central {side} voxels kept")));
    let steps = if steps.is_empty() {
        "Volumes are as decoded.".into()
    } else {
        format!("Volumes: {}.", steps.join(", "))
    };
    page.details("Settings of the run", |inner| {
        inner.text(&steps).code(&yaml);
    });
    Ok(())
}
