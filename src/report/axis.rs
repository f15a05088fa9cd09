//! Axes: ranges, ticks at round numbers and their labels.

/// One axis of a figure.
#[derive(Debug, Clone, Default)]
pub struct Axis {
    pub label: String,
    /// Logarithmic; values that are not positive are left out.
    pub log: bool,
    /// `None`: from the data.
    pub range: Option<(f64, f64)>,
    /// `None`: at round numbers.
    pub ticks: Option<Vec<(f64, String)>>,
}

/// An axis with its range settled: maps values to 0..1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub low: f64,
    pub high: f64,
    pub log: bool,
}

impl Scale {
    /// The range of `values`, or that of the axis, widened by `margin` of itself where it comes from the data.
    pub fn new(axis: &Axis, values: impl Iterator<Item = f64>, margin: f64) -> Self {
        let usable = |v: &f64| v.is_finite() && (!axis.log || *v > 0.0);
        let warp = |v: f64| if axis.log { v.log10() } else { v };
        let given = axis.range.filter(|(a, b)| usable(a) && usable(b) && a < b);
        let (mut low, mut high) = match given {
            Some((a, b)) => (warp(a), warp(b)),
            None => {
                values.filter(usable).map(warp).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)))
            }
        };
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if given.is_none() {
            let extent = high - low;
            // Wider than rounding, so that a constant still has an axis.
            let extent = if extent > low.abs().max(high.abs()) * 1e-9 { extent } else { low.abs().max(1.0) };
            let widen = if high > low { margin * extent } else { 0.5 * extent };
            (low, high) = (low - widen, high + widen);
        }
        Scale { low, high, log: axis.log }
    }

    /// Place of a value, 0 at the low end and 1 at the high end; `None` if it has none.
    pub fn place(&self, value: f64) -> Option<f64> {
        let warped = if self.log { value.log10() } else { value };
        let t = (warped - self.low) / (self.high - self.low);
        t.is_finite().then_some(t)
    }

    /// Value at a place.
    pub fn value(&self, t: f64) -> f64 {
        let warped = self.low + t * (self.high - self.low);
        if self.log { 10f64.powf(warped) } else { warped }
    }

    /// About `count` labelled ticks, and unlabelled places between them on a logarithmic axis.
    pub fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        if self.log && self.high - self.low >= 1.0 {
            return self.decades(count);
        }
        let (low, high) = (self.value(0.0), self.value(1.0));
        let rough = (high - low) / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|m| m * power).find(|s| *s >= rough * 0.999);
        let step = step.unwrap_or(rough);
        if !(step > 0.0 && step.is_finite()) {
            return Vec::new();
        }
        let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
        if last - first > 1000.0 {
            return Vec::new();
        }
        (0..=(last - first) as usize)
            .map(|i| (first + i as f64) * step)
            .map(|v| (v, number(v, step)))
            .collect()
    }

    fn decades(&self, count: usize) -> Vec<(f64, String)> {
        let (first, last) = ((self.low - 1e-9).ceil() as i32, (self.high + 1e-9).floor() as i32);
        let every = ((last - first) as usize / count.max(1) + 1) as i32;
        let major = |e: i32| (e - first).rem_euclid(every) == 0;
        let mut ticks = Vec::new();
        for e in first - 1..=last {
            let decade = 10f64.powi(e);
            if e >= first {
                ticks.push((decade, if major(e) { power_of_ten(e) } else { String::new() }));
            }
            if every == 1 {
                ticks.extend((2..10).map(|m| (f64::from(m) * decade, String::new())));
            }
        }
        ticks.retain(|(v, _)| self.place(*v).is_some_and(|t| (-1e-9..=1.0 + 1e-9).contains(&t)));
        ticks
    }
}

fn power_of_ten(exponent: i32) -> String {
    match exponent {
        -2..=3 => number(10f64.powi(exponent), 10f64.powi(exponent)),
        _ => format!("10{}", superscript(exponent)),
    }
}

fn superscript(exponent: i32) -> String {
    let raise = |c: char| match c.to_digit(10) {
        Some(d) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][d as usize],
        None => '⁻',
    };
    exponent.to_string().chars().map(raise).collect()
}

/// A number with as many digits as neighbours `step` apart need; a true minus sign; powers of ten where long.
pub fn number(value: f64, step: f64) -> String {
    if value == 0.0 || value.abs() < step.abs() * 1e-6 {
        return "0".into();
    }
    let size = value.abs().max(step.abs());
    let text = if !(1e-3..1e5).contains(&size) {
        let exponent = size.log10().floor() as i32;
        let scale = 10f64.powi(exponent);
        let digits = decimals(step / scale);
        format!("{:.digits$}×10{}", value / scale, superscript(exponent))
    } else {
        let digits = decimals(step);
        format!("{value:.digits$}")
    };
    text.replace('-', "−")
}

/// Decimals needed to tell multiples of `step` apart.
fn decimals(step: f64) -> usize {
    (0..7)
        .find(|d| ((step * 10f64.powi(*d)).round() / 10f64.powi(*d) - step).abs() < step.abs() * 1e-3)
        .unwrap_or(7) as usize
}
