//! Ready-made figures of the field.

use super::figure::Figure;

/// Fourier shell correlation curves against resolution, with the usual thresholds. `curves` are (name, values), value
/// i belonging to the spatial frequency i / (box_size · apix) in 1/Å.
pub fn fsc(title: &str, curves: &[(String, Vec<f64>)], box_size: usize, apix: f64) -> Figure {
    let extent = box_size.max(2) as f64 * if apix > 0.0 { apix } else { 1.0 };
    let nyquist = 0.5 * box_size.max(2) as f64 / extent;
    let ticks = (1..=5).map(|i| nyquist * f64::from(i) / 5.0).map(|s| (s, format!("{:.1}", 1.0 / s)));
    let mut figure = Figure::new(title, "Resolution (Å)", "Fourier shell correlation")
        .x_range(0.0, nyquist)
        .y_range(-0.05, 1.05)
        .x_ticks(ticks.collect())
        .horizontal_line(0.143, "0.143")
        .horizontal_line(0.5, "0.5");
    for (name, values) in curves {
        let frequency: Vec<f64> = (0..values.len()).map(|i| i as f64 / extent).collect();
        figure = figure.line(name.as_str(), &frequency, values);
    }
    figure
}

/// Losses by epoch, first epoch 1; a logarithmic axis if all values are positive.
pub fn losses(title: &str, curves: &[(String, Vec<f64>)]) -> Figure {
    let mut figure = Figure::new(title, "Epoch", "Loss");
    figure.y.log = curves.iter().flat_map(|(_, v)| v).all(|v| *v > 0.0);
    let epochs = curves.iter().map(|(_, v)| v.len()).max().unwrap_or(0);
    // An epoch and a half is no place to look at.
    if epochs <= 10 {
        figure.x.ticks = Some((1..=epochs).map(|i| (i as f64, i.to_string())).collect());
    }
    for (name, values) in curves {
        let epoch: Vec<f64> = (1..=values.len()).map(|i| i as f64).collect();
        figure = if values.len() > 40 {
            figure.line(name.as_str(), &epoch, values)
        } else {
            figure.line_with_markers(name.as_str(), &epoch, values)
        };
    }
    figure
}
