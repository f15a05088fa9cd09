//! The report of maps: what changes along the latents, and whether it changes as the structures of another stage do.

use std::path::{Path, PathBuf};

use super::atoms;
use super::train::Trainer;
use crate::Result;
use crate::cryo::volume::{Volume, correlation};
use crate::io::mrc;
use crate::io::structure::Structure;
use crate::report::colour::Rgb;
use crate::report::figure::Figure;
use crate::report::maps::{pictured, surfaces};
use crate::report::page::{Card, Page, Verdict};
use crate::report::plots;
use crate::report::volume::series_colour;
use crate::stats::rank::mean;

/// Width of the Gaussian that stands for a point, Å: the residue stage's.
const SIGMA: f64 = 2.0;

/// Least difference of the maps at the ends of an axis from full correlation that is worth a picture.
const SEEN: f64 = 1e-3;

/// Maps of one series, in order.
struct Series {
    name: String,
    maps: Vec<Volume>,
}

/// How maps along one axis of the latents change.
struct Change {
    /// Correlation of each map with the first.
    with_first: Vec<f64>,
    /// Correlation of the maps' changes from their mean with those of the structures.
    with_structures: Option<f64>,
}

/// The page of an evaluation. `structures` holds another stage's evaluation of the same latents: `pca-1.pdb` ..
pub fn page(trainer: &Trainer, folder: &Path, structures: Option<&Path>) -> Result<String> {
    let config = &trainer.config;
    let particles = config.dataset_attr.starfile_path.file_name().unwrap_or_default().to_string_lossy();
    let lead = "Each map was learned from the particles by their latents alone: no atomic model entered.";
    let mut page = Page::new(format!("Density in {particles}"), lead);
    let mut axes = vec![];
    while let Some(series) = read(folder, &format!("pca_{}", axes.len() + 1))? {
        let found = structures.map(|from| from.join(format!("pca-{}.pdb", axes.len() + 1)));
        let change = change(&series.maps, found.filter(|path| path.is_file()))?;
        axes.push((series, change));
    }
    cards(&mut page, trainer, axes.first().map(|(_, change)| change));
    page.section("Along the latents");
    page.text("Maps of particles from the 5th to the 95th percentile of each axis of most variance, all at one level.");
    for (axis, (series, change)) in axes.iter().enumerate() {
        along(&mut page, axis + 1, series, change)?;
    }
    if let Some(series) = read(folder, "kmeans")? {
        page.section("Clusters");
        let numbers = (1..=series.maps.len()).map(|i| i.to_string());
        let pictures = pictures(&series.maps, |_, _| series_colour(0, 1))?;
        page.strip(&pictures.into_iter().zip(numbers).collect::<Vec<_>>());
        page.text("Maps of the particles nearest to the centres of k-means clusters: vol_kmeans_000.mrc ..");
    }
    page.section("Training");
    let losses = trainer.history().iter().map(|losses| losses.loss).collect();
    page.figure(
        &plots::losses("Disagreement with the images", &[("loss".into(), losses)]),
        "Lower is better.",
    )?;
    page.details("All settings", |page| {
        page.code(&toml::to_string(config).unwrap_or_default());
    });
    Ok(page.html())
}

/// The maps `vol_NAME_000.mrc` .. of a folder, if there are any.
fn read(folder: &Path, name: &str) -> Result<Option<Series>> {
    let path = |at: usize| folder.join(format!("vol_{name}_{at:03}.mrc"));
    let paths = (0..).map(path).take_while(|path| path.is_file());
    let cube = |path: PathBuf| {
        let map = mrc::Volume::read(&path)?;
        let side = map.cube_side()?;
        Volume::new(map.data, side, map.apix.unwrap_or(1.0) as f32)
    };
    let maps = paths.map(cube).collect::<Result<Vec<_>>>()?;
    Ok((!maps.is_empty()).then(|| Series { name: name.into(), maps }))
}

fn pictures(maps: &[Volume], colour: impl Fn(usize, usize) -> Rgb) -> Result<Vec<Vec<u8>>> {
    let count = maps.len();
    let mut small = maps.iter().cloned().map(pictured).collect::<Result<Vec<_>>>()?;
    surfaces(&mut small, |i| colour(i, count))
}

fn change(maps: &[Volume], structures: Option<PathBuf>) -> Result<Change> {
    let with_first = maps.iter().map(|map| correlation(&maps[0].data, &map.data)).collect::<Result<_>>()?;
    let Some(path) = structures else { return Ok(Change { with_first, with_structures: None }) };
    let structure = Structure::read(&path)?;
    // Another number of structures is another set of particles.
    if structure.models.len() != maps.len() {
        return Ok(Change { with_first, with_structures: None });
    }
    // CA, beads or all atoms: what the other stage moved.
    let model = |at| atoms::map(&atoms::atoms(&structure, at), maps[0].n, f64::from(maps[0].apix), SIGMA);
    let models: Vec<Vec<f32>> = (0..maps.len()).map(model).collect();
    let seen = off_mean(&maps.iter().map(|map| map.data.as_slice()).collect::<Vec<_>>());
    let told = off_mean(&models.iter().map(Vec::as_slice).collect::<Vec<_>>());
    Ok(Change { with_first, with_structures: Some(correlation(&seen, &told)?) })
}

/// What each map has more than their mean, one behind the other.
fn off_mean(maps: &[&[f32]]) -> Vec<f32> {
    let voxels = maps.first().map_or(0, |map| map.len());
    let share = 1.0 / maps.len().max(1) as f32;
    let mean: Vec<f32> = (0..voxels).map(|v| maps.iter().map(|map| map[v]).sum::<f32>() * share).collect();
    maps.iter().flat_map(|map| map.iter().zip(&mean).map(|(v, m)| v - m)).collect()
}

fn cards(page: &mut Page, trainer: &Trainer, first: Option<&Change>) {
    let mut cards = vec![];
    if let Some(change) = first {
        let ends = change.with_first.last().copied().unwrap_or(1.0);
        cards.push(
            Card::new(format!("{ends:.3}"), "correlation of the maps at the ends of axis 1")
                .verdict(Verdict::Plain, "1: nothing changes along it"),
        );
        if let Some(agreement) = change.with_structures {
            cards.push(Card::new(format!("{agreement:.2}"), "agreement of its changes with the structures'").verdict(
                Verdict::Plain,
                "correlation of what differs from the mean; 1: density moves as the structures do, 0: no relation",
            ));
        }
    }
    cards.push(Card::new(trainer.images.len().to_string(), "particles"));
    let speeds: Vec<f64> = trainer.history().iter().map(|losses| losses.images_per_second).collect();
    if !speeds.is_empty() {
        let speed = format!("{:.0} images a second", mean(&speeds));
        cards.push(Card::new(speeds.len().to_string(), "epochs").verdict(Verdict::Plain, speed));
    }
    page.cards(&cards);
}

fn along(page: &mut Page, axis: usize, series: &Series, change: &Change) -> Result<()> {
    let ends = change.with_first.last().copied().unwrap_or(1.0);
    if 1.0 - ends < SEEN {
        page.text(&format!("Axis {axis} changes nothing: the maps at its ends correlate by {ends:.5}."));
        return Ok(());
    }
    let pictures = pictures(&series.maps, series_colour)?;
    let captions = change.with_first.iter().map(|r| format!("correlation with the first: {r:.3}"));
    let frames: Vec<_> = pictures.into_iter().zip(captions).collect();
    let steps: Vec<f64> = (1..=frames.len()).map(|i| i as f64).collect();
    let figure = Figure::new(format!("Way along axis {axis}"), "map", "correlation with the first")
        .size(460, 380)
        .line_with_markers("", &steps, &change.with_first);
    let agreement = change.with_structures.map(|r| {
        format!(" What changes agrees with the structures of pca-{axis}.pdb by a correlation of {r:.2}.")
    });
    let caption = format!("Axis {axis}: vol_{}_000.mrc ..{}", series.name, agreement.unwrap_or_default());
    page.player_beside(&frames, &caption, &figure, "")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maps of all atoms while LID moves away, beside structures of which CA are all that is known.
    #[test]
    fn density_that_moves_as_structures_do() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/adk_open.pdb");
        let mut structure = Structure::read(&data).unwrap();
        let open = structure.models[0].clone();
        let moved = |by: f64| {
            let shifted = |(atom, place): (&crate::io::structure::Atom, &[f64; 3])| {
                let lid = (122..=159).contains(&atom.residue_number);
                [place[0] + if lid { by } else { 0.0 }, place[1], place[2]]
            };
            structure.atoms.iter().zip(&open).map(shifted).collect::<Vec<_>>()
        };
        let models: Vec<_> = (0..4).map(|i| moved(f64::from(i))).collect();
        let is_alpha: Vec<bool> = structure.atoms.iter().map(|atom| atom.name == "CA").collect();
        let alphas = |model: &Vec<[f64; 3]>| {
            model.iter().zip(&is_alpha).filter(|(_, is)| **is).map(|(place, _)| *place).collect::<Vec<_>>()
        };
        structure.models = models.clone();
        let map = |model| {
            let map = atoms::map(&atoms::atoms(&structure, model), 48, 2.0, SIGMA);
            Volume::new(map, 48, 2.0).unwrap()
        };
        let maps: Vec<Volume> = (0..4).map(map).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pca-1.pdb");
        let agreement = |order: [usize; 4]| {
            let atoms = structure.atoms.iter().filter(|atom| atom.name == "CA").cloned().collect();
            let alone = Structure { atoms, models: order.map(|i| alphas(&models[i])).to_vec() };
            alone.write(&path).unwrap();
            let change = change(&maps, Some(path.clone())).unwrap();
            assert!(change.with_first.windows(2).all(|pair| pair[1] < pair[0]), "{:?}", change.with_first);
            change.with_structures.unwrap()
        };
        let (same, reversed) = (agreement([0, 1, 2, 3]), agreement([3, 2, 1, 0]));
        assert!(same > 0.5 && reversed < -0.5, "{same} {reversed}");
    }
}
