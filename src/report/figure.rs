//! What a figure shows, apart from how it is drawn: axes and layers, to be made into a PNG file or SVG text.

use super::axis::Axis;
use super::colour::Rgb;
use super::draw;
use crate::error::{Error, Result};

/// How points are coloured.
#[derive(Debug, Clone)]
pub enum Tint {
    /// All alike; `None` takes the next colour of the palette.
    Plain(Option<Rgb>),
    /// By value, viridis, with a colour bar under this title. Values that are not finite are grey.
    Value { values: Vec<f64>, title: String },
    /// By category 0.. with these names; an empty list of names gives no legend.
    Category { labels: Vec<u32>, names: Vec<String> },
}

/// One layer; later ones lie on top, except that clouds of points lie below everything else.
#[derive(Debug, Clone)]
pub enum Layer {
    Line {
        x: Vec<f64>,
        y: Vec<f64>,
        label: String,
        colour: Option<Rgb>,
        dashed: bool,
        markers: bool,
    },
    /// A shaded band between `low` and `high`, of the colour that the next line will have.
    Band {
        x: Vec<f64>,
        low: Vec<f64>,
        high: Vec<f64>,
    },
    /// Up to millions of points; size and opacity follow from their number.
    Scatter {
        x: Vec<f64>,
        y: Vec<f64>,
        tint: Tint,
        label: String,
    },
    /// Counts of points in hexagons, about `across` of them along x, on a logarithmic colour scale.
    Hexbin {
        x: Vec<f64>,
        y: Vec<f64>,
        across: usize,
    },
    /// Cells between the edges `x` [n + 1] and `y` [m + 1], coloured by `values` [n, m] on a scale of this range under
    /// this title; values above it take its last colour, those that are not finite none.
    Cells {
        x: Vec<f64>,
        y: Vec<f64>,
        values: Vec<f64>,
        title: String,
        range: (f64, f64),
    },
    /// Bars between `edges` [n + 1] of height `counts` [n].
    Bars {
        edges: Vec<f64>,
        counts: Vec<f64>,
        label: String,
        colour: Option<Rgb>,
    },
    /// A few points with text beside each (may be empty), joined by a line if `joined`.
    Marks {
        x: Vec<f64>,
        y: Vec<f64>,
        labels: Vec<String>,
        joined: bool,
    },
    /// A thin line across the figure.
    HorizontalLine {
        at: f64,
        label: String,
    },
    VerticalLine {
        at: f64,
        label: String,
    },
}

/// A figure. Sizes are CSS pixels; the PNG has twice as many.
#[derive(Debug, Clone)]
pub struct Figure {
    pub width: u32,
    pub height: u32,
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub layers: Vec<Layer>,
    /// Histograms of all scattered or binned points along the top and right edges.
    pub marginals: bool,
    /// One unit of x as long as one of y.
    pub equal_scale: bool,
    /// Grid lines behind the data.
    pub grid: bool,
}

impl Figure {
    pub fn new(title: impl Into<String>, x_label: impl Into<String>, y_label: impl Into<String>) -> Self {
        Figure {
            width: 640,
            height: 440,
            title: title.into(),
            x: Axis { label: x_label.into(), ..Axis::default() },
            y: Axis { label: y_label.into(), ..Axis::default() },
            layers: Vec::new(),
            marginals: false,
            equal_scale: false,
            grid: true,
        }
    }

    pub fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    pub fn log_x(mut self) -> Self {
        self.x.log = true;
        self
    }

    pub fn log_y(mut self) -> Self {
        self.y.log = true;
        self
    }

    pub fn x_range(mut self, low: f64, high: f64) -> Self {
        self.x.range = Some((low, high));
        self
    }

    pub fn y_range(mut self, low: f64, high: f64) -> Self {
        self.y.range = Some((low, high));
        self
    }

    pub fn x_ticks(mut self, ticks: Vec<(f64, String)>) -> Self {
        self.x.ticks = Some(ticks);
        self
    }

    pub fn with_marginals(mut self) -> Self {
        self.marginals = true;
        self
    }

    pub fn with_equal_scale(mut self) -> Self {
        self.equal_scale = true;
        self
    }

    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    pub fn line(self, label: impl Into<String>, x: &[f64], y: &[f64]) -> Self {
        let (x, y) = (x.to_vec(), y.to_vec());
        self.layer(Layer::Line { x, y, label: label.into(), colour: None, dashed: false, markers: false })
    }

    pub fn dashed_line(self, label: impl Into<String>, x: &[f64], y: &[f64]) -> Self {
        let (x, y) = (x.to_vec(), y.to_vec());
        self.layer(Layer::Line { x, y, label: label.into(), colour: None, dashed: true, markers: false })
    }

    pub fn line_with_markers(self, label: impl Into<String>, x: &[f64], y: &[f64]) -> Self {
        let (x, y) = (x.to_vec(), y.to_vec());
        self.layer(Layer::Line { x, y, label: label.into(), colour: None, dashed: false, markers: true })
    }

    pub fn band(self, x: &[f64], low: &[f64], high: &[f64]) -> Self {
        self.layer(Layer::Band { x: x.to_vec(), low: low.to_vec(), high: high.to_vec() })
    }

    pub fn scatter(self, label: impl Into<String>, x: &[f64], y: &[f64]) -> Self {
        let (x, y) = (x.to_vec(), y.to_vec());
        self.layer(Layer::Scatter { x, y, tint: Tint::Plain(None), label: label.into() })
    }

    /// Points coloured by value, with a colour bar.
    pub fn scatter_by_value(self, x: &[f64], y: &[f64], values: &[f64], title: impl Into<String>) -> Self {
        let tint = Tint::Value { values: values.to_vec(), title: title.into() };
        self.layer(Layer::Scatter { x: x.to_vec(), y: y.to_vec(), tint, label: String::new() })
    }

    /// Points coloured by category; `names` may be empty.
    pub fn scatter_by_category(self, x: &[f64], y: &[f64], labels: &[u32], names: &[String]) -> Self {
        let tint = Tint::Category { labels: labels.to_vec(), names: names.to_vec() };
        self.layer(Layer::Scatter { x: x.to_vec(), y: y.to_vec(), tint, label: String::new() })
    }

    pub fn hexbin(self, x: &[f64], y: &[f64], across: usize) -> Self {
        self.layer(Layer::Hexbin { x: x.to_vec(), y: y.to_vec(), across })
    }

    /// A histogram of `values` in `bins` equal bins.
    pub fn histogram(self, label: impl Into<String>, values: &[f64], bins: usize) -> Self {
        let (edges, counts) = bin(values, bins);
        self.layer(Layer::Bars { edges, counts, label: label.into(), colour: None })
    }

    /// Points with text beside them.
    pub fn marks(self, x: &[f64], y: &[f64], labels: &[String]) -> Self {
        self.layer(Layer::Marks { x: x.to_vec(), y: y.to_vec(), labels: labels.to_vec(), joined: false })
    }

    /// A path through points.
    pub fn path(self, x: &[f64], y: &[f64], labels: &[String]) -> Self {
        self.layer(Layer::Marks { x: x.to_vec(), y: y.to_vec(), labels: labels.to_vec(), joined: true })
    }

    pub fn horizontal_line(self, at: f64, label: impl Into<String>) -> Self {
        self.layer(Layer::HorizontalLine { at, label: label.into() })
    }

    pub fn vertical_line(self, at: f64, label: impl Into<String>) -> Self {
        self.layer(Layer::VerticalLine { at, label: label.into() })
    }

    /// The figure as the bytes of a PNG file.
    pub fn png(&self) -> Result<Vec<u8>> {
        self.check()?;
        draw::png(self)
    }

    /// The figure as an `<svg>` element that stands alone or within HTML.
    pub fn svg(&self) -> Result<String> {
        self.check()?;
        draw::svg(self)
    }

    fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::Shape(format!("figure \"{}\": {what}", self.title)));
        if !(120..=4000).contains(&self.width) || !(120..=4000).contains(&self.height) {
            return wrong("width and height must lie between 120 and 4000");
        }
        for layer in &self.layers {
            let fits = match layer {
                Layer::Line { x, y, .. } | Layer::Hexbin { x, y, .. } => x.len() == y.len(),
                Layer::Band { x, low, high } => x.len() == low.len() && x.len() == high.len(),
                Layer::Scatter { x, y, tint, .. } => {
                    let tints = match tint {
                        Tint::Plain(_) => x.len(),
                        Tint::Value { values, .. } => values.len(),
                        Tint::Category { labels, .. } => labels.len(),
                    };
                    x.len() == y.len() && x.len() == tints
                }
                Layer::Cells { x, y, values, .. } => {
                    !x.is_empty() && !y.is_empty() && values.len() == (x.len() - 1) * (y.len() - 1)
                }
                Layer::Bars { edges, counts, .. } => edges.len() == counts.len() + 1,
                Layer::Marks { x, y, labels, .. } => {
                    x.len() == y.len() && (labels.is_empty() || labels.len() == x.len())
                }
                Layer::HorizontalLine { .. } | Layer::VerticalLine { .. } => true,
            };
            if !fits {
                return wrong("a layer has coordinates, values or labels of different lengths");
            }
        }
        Ok(())
    }
}

/// Counts of the finite `values` in `bins` equal bins over their range: (edges [bins + 1], counts [bins]).
pub fn bin(values: &[f64], bins: usize) -> (Vec<f64>, Vec<f64>) {
    let bins = bins.max(1);
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let (mut low, mut high) = finite().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        (low, high) = (0.0, 1.0);
    } else if low == high {
        (low, high) = (low - 0.5 * low.abs().max(1.0), high + 0.5 * high.abs().max(1.0));
    }
    let width = (high - low) / bins as f64;
    let mut counts = vec![0.0; bins];
    finite().for_each(|v| counts[(((v - low) / width) as usize).min(bins - 1)] += 1.0);
    ((0..=bins).map(|i| low + i as f64 * width).collect(), counts)
}
