//! The figures of an analysis, under cryoDRGN's names.

use std::path::Path;

use super::{Clusters, Options, Summary, Traversal};
use crate::Result;
use crate::io::atomic;
use crate::report::Figure;

/// Bars of a histogram.
const BARS: usize = 50;

/// A plane in which particles are shown.
pub struct Plane {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    labels: [String; 2],
}

impl Plane {
    /// Components `a` and `b`, from 0.
    pub fn components(summary: &Summary, a: usize, b: usize) -> Plane {
        let label = |k: usize| {
            let share = summary.pca.explained_variance_ratio.get(k).copied().unwrap_or(0.0);
            format!("PC{} ({:.1} % of the variance)", k + 1, 100.0 * share)
        };
        Plane { x: summary.component(a), y: summary.component(b), labels: [label(a), label(b)] }
    }

    pub fn umap(points: &[[f32; 2]]) -> Plane {
        let axis = |k: usize| points.iter().map(|p| f64::from(p[k])).collect();
        Plane { x: axis(0), y: axis(1), labels: ["UMAP 1".into(), "UMAP 2".into()] }
    }

    fn empty(&self, title: impl Into<String>) -> Figure {
        let [x, y] = self.labels.clone();
        Figure::new(title, x, y).size(600, 480)
    }

    pub fn scatter(&self, title: impl Into<String>) -> Figure {
        self.empty(title).scatter("", &self.x, &self.y)
    }

    pub fn hexagons(&self, title: impl Into<String>) -> Figure {
        // Fewer particles want larger cells, or each would stand alone in its own.
        let across = (0.6 * (self.x.len() as f64).sqrt()).clamp(12.0, 60.0);
        self.empty(title).hexbin(&self.x, &self.y, across as usize)
    }

    pub fn by_value(&self, title: impl Into<String>, values: &[f64], name: &str) -> Figure {
        self.empty(title).scatter_by_value(&self.x, &self.y, values, name)
    }

    /// Points coloured by cluster.
    pub fn by_cluster(&self, title: impl Into<String>, clusters: &Clusters) -> Figure {
        self.empty(title).scatter_by_category(&self.x, &self.y, &clusters.kmeans.labels, &[])
    }

    /// Where particles lie.
    fn places(&self, particles: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let at = |v: &[f64]| particles.iter().filter_map(|i| v.get(*i).copied()).collect();
        (at(&self.x), at(&self.y))
    }
}

/// Numbers of `n` volumes, as in their names.
fn numbers(n: usize, options: &Options) -> Vec<String> {
    (0..n).map(|i| (i + options.first_volume).to_string()).collect()
}

/// Loss by epoch; `None` if the run left none.
pub fn learning(summary: &Summary) -> Option<Figure> {
    let losses = &summary.history;
    let of = |value: fn(&crate::systems::drgn::run::EpochLosses) -> f64| {
        losses.iter().map(value).collect::<Vec<_>>()
    };
    let epochs = of(|l| l.epoch as f64);
    let figure = Figure::new("Loss by epoch", "epoch", "loss").size(600, 400);
    if losses.is_empty() {
        return None;
    }
    let (total, reconstruction) = (of(|l| l.total), of(|l| l.reconstruction));
    let with_marks = losses.len() <= 40;
    Some(match with_marks {
        true => figure.line_with_markers("total", &epochs, &total).line_with_markers(
            "reconstruction",
            &epochs,
            &reconstruction,
        ),
        false => figure.line("total", &epochs, &total).line("reconstruction", &epochs, &reconstruction),
    })
}

/// Divergence by epoch.
pub fn divergence(summary: &Summary) -> Option<Figure> {
    let epochs: Vec<f64> = summary.history.iter().map(|l| l.epoch as f64).collect();
    let values: Vec<f64> = summary.history.iter().map(|l| l.divergence).collect();
    let figure = Figure::new("Divergence of the latents by epoch", "epoch", "KLD (nats)").size(600, 400);
    let figure = if epochs.len() <= 40 {
        figure.line_with_markers("", &epochs, &values)
    } else {
        figure.line("", &epochs, &values)
    };
    (!epochs.is_empty()).then_some(figure)
}

/// Histogram of a single latent variable.
pub fn histogram(summary: &Summary) -> Figure {
    let z: Vec<f64> = summary.latents.mu.iter().map(|v| f64::from(*v)).collect();
    Figure::new("Latent variable", "z", "particles").size(600, 400).histogram("", &z, BARS)
}

/// The path of a traversal among the components: its own axis is x or y.
pub fn traversal(summary: &Summary, of: &Traversal, options: &Options, hexagons: bool) -> Result<Figure> {
    let k = of.component;
    let (a, b) = if k == 1 { (0, 1) } else { (k, usize::from(k == 0)) };
    let plane = Plane::components(summary, a, b);
    let z = crate::stats::Matrix::new(&of.series.z.points, of.series.z.dim)?;
    let scores = summary.pca.transform(z)?;
    let at = |k: usize| {
        scores.iter().skip(k).step_by(summary.pca.len()).map(|v| f64::from(*v)).collect::<Vec<_>>()
    };
    let title = format!("Volumes along PC{}", k + 1);
    let figure = if hexagons { plane.hexagons(title) } else { plane.scatter(title) };
    Ok(figure.path(&at(a), &at(b), &numbers(of.nearest.len(), options)))
}

/// Clusters with their numbers at the centres, in some plane.
pub fn clusters(plane: &Plane, clusters: &Clusters, options: &Options, hexagons: bool) -> Figure {
    let centres = &clusters.kmeans.center_indices;
    let title = format!("k-means, {} clusters", centres.len());
    let (x, y) = plane.places(centres);
    let figure = if hexagons { plane.hexagons(title) } else { plane.by_cluster(title, clusters) };
    figure.marks(&x, &y, &numbers(centres.len(), options))
}

fn save(folder: &Path, name: &str, figure: Figure) -> Result<()> {
    crate::interrupt::check()?;
    let png = figure.png()?;
    atomic::write(&folder.join(name), |out| out.write_all(&png))
}

/// Writes all figures.
pub fn write(summary: &Summary, options: &Options) -> Result<()> {
    let out = &summary.outdir;
    if let Some(figure) = learning(summary) {
        save(out, &format!("learning_curve_epoch{}.png", summary.epoch), figure)?;
    }
    if summary.latents.dim == 1 {
        let z: Vec<f64> = summary.latents.mu.iter().map(|v| f64::from(*v)).collect();
        let particle: Vec<f64> = (0..z.len()).map(|i| i as f64).collect();
        let figure =
            Figure::new("Latent variable", "particle", "z").size(600, 480).scatter("", &particle, &z);
        save(out, "z.png", figure)?;
        return save(out, "z_hist.png", histogram(summary));
    }
    let components = Plane::components(summary, 0, 1);
    let title = "Latent space, principal components";
    save(out, "z_pca.png", components.scatter(title))?;
    save(out, "z_pca_marginals.png", components.scatter(title).with_marginals())?;
    save(out, "z_pca_hexbin.png", components.hexagons(title).with_marginals())?;
    let embedded = summary.umap.as_deref().map(Plane::umap);
    if let Some(plane) = &embedded {
        let title = "Latent space, UMAP";
        save(out, "umap.png", plane.scatter(title))?;
        save(out, "umap_marginals.png", plane.scatter(title).with_marginals())?;
        save(out, "umap_hexbin.png", plane.hexagons(title).with_marginals())?;
    }
    for of in &summary.traversals {
        let (folder, name) = (&of.series.folder, format!("PC{}", of.component + 1));
        save(folder, "pca_traversal.png", traversal(summary, of, options, false)?)?;
        save(folder, "pca_traversal_hex.png", traversal(summary, of, options, true)?)?;
        if let Some(plane) = &embedded {
            let (x, y) = plane.places(&of.nearest);
            let numbers = numbers(x.len(), options);
            let title = format!("Particles nearest to the volumes along {name}");
            let coloured =
                plane.by_value(format!("UMAP, coloured by {name}"), &summary.component(of.component), &name);
            save(folder, "umap.png", coloured)?;
            save(folder, "umap_traversal.png", plane.scatter(title.clone()).marks(&x, &y, &numbers))?;
            save(folder, "umap_traversal_connected.png", plane.scatter(title).path(&x, &y, &numbers))?;
        }
    }
    if let Some(found) = &summary.clusters {
        let folder = &found.series.folder;
        save(folder, "z_pca.png", clusters(&components, found, options, false))?;
        save(folder, "z_pca_hex.png", clusters(&components, found, options, true))?;
        if let Some(plane) = &embedded {
            save(folder, "umap.png", clusters(plane, found, options, false))?;
            save(folder, "umap_hex.png", clusters(plane, found, options, true))?;
        }
    }
    Ok(())
}
