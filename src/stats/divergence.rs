//! Histograms and the Jensen–Shannon distance between them.

/// Equal bins over [low, high]; a value outside counts nowhere, the upper end belongs to the last bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bins {
    pub low: f64,
    pub high: f64,
    pub count: usize,
}

impl Bins {
    /// The circle of angles in radians.
    pub fn circle(count: usize) -> Bins {
        Bins { low: -std::f64::consts::PI, high: std::f64::consts::PI, count }
    }

    /// Bins over the range of the finite `values`; a range of no width is widened.
    pub fn over(values: impl Iterator<Item = f64>, count: usize) -> Bins {
        let finite = values.filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        match (low < high, low == high) {
            (true, _) => Bins { low, high, count },
            (_, true) => Bins { low: low - 0.5, high: high + 0.5, count },
            _ => Bins { low: 0.0, high: 1.0, count },
        }
    }

    /// The bin of a value.
    pub fn place(&self, value: f64) -> Option<usize> {
        let t = (value - self.low) / (self.high - self.low);
        (0.0..=1.0).contains(&t).then(|| ((t * self.count as f64) as usize).min(self.count - 1))
    }

    /// The centre of each bin.
    pub fn centres(&self) -> Vec<f64> {
        let width = (self.high - self.low) / self.count as f64;
        (0..self.count).map(|i| self.low + (i as f64 + 0.5) * width).collect()
    }

    /// The ends of all bins, one more than there are bins.
    pub fn edges(&self) -> Vec<f64> {
        let width = (self.high - self.low) / self.count as f64;
        (0..=self.count).map(|i| self.low + i as f64 * width).collect()
    }

    /// Counts of the values.
    pub fn histogram(&self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut counts = vec![0.0; self.count];
        values.filter_map(|v| self.place(v)).for_each(|i| counts[i] += 1.0);
        counts
    }
}

/// Counts of pairs, [a's bins, b's bins].
pub fn histogram_2d(a: Bins, b: Bins, pairs: impl Iterator<Item = (f64, f64)>) -> Vec<f64> {
    let mut counts = vec![0.0; a.count * b.count];
    let places = pairs.filter_map(|(x, y)| Some(a.place(x)? * b.count + b.place(y)?));
    places.for_each(|i| counts[i] += 1.0);
    counts
}

/// The Jensen–Shannon distance of two histograms: the square root of the divergence in natural units, so between 0 and
/// sqrt(ln 2) = 0.833. They need not be normalised; NaN when one is empty or their lengths differ.
pub fn jensen_shannon(p: &[f64], q: &[f64]) -> f64 {
    let (sum_p, sum_q): (f64, f64) = (p.iter().sum(), q.iter().sum());
    if p.len() != q.len() || !(sum_p > 0.0 && sum_q > 0.0) {
        return f64::NAN;
    }
    let term = |a: f64, middle: f64| if a > 0.0 { a * (a / middle).ln() } else { 0.0 };
    let both = p.iter().zip(q).map(|(a, b)| {
        let (a, b) = (a / sum_p, b / sum_q);
        let middle = 0.5 * (a + b);
        term(a, middle) + term(b, middle)
    });
    // Equal histograms may come out below zero by rounding.
    (0.5 * both.sum::<f64>()).max(0.0).sqrt()
}
