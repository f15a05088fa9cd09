//! Autocorrelation of time series, unbiased (each lag is divided by the pairs it has), by fast Fourier transform.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

/// E[x(t) x(t + k)] for k = 0..lags, without removal of the mean; at most as many lags as there are values.
pub fn products(x: &[f64], lags: usize) -> Vec<f64> {
    correlate(x.iter().map(|&v| Complex::new(v, 0.0)), x.len(), lags)
}

/// E[cos(a(t + k) - a(t))] of a series of angles in radians, k = 0..lags.
pub fn angles(a: &[f64], lags: usize) -> Vec<f64> {
    correlate(a.iter().map(|&v| Complex::from_polar(1.0, v)), a.len(), lags)
}

/// Real part of the mean of conj(z(t)) z(t + k).
fn correlate(z: impl Iterator<Item = Complex<f64>>, n: usize, lags: usize) -> Vec<f64> {
    let lags = lags.min(n);
    if lags == 0 {
        return Vec::new();
    }
    // Zeros behind the series keep its end from meeting its start.
    let size = (n + lags).next_power_of_two();
    let mut buffer: Vec<Complex<f64>> = z.collect();
    buffer.resize(size, Complex::default());
    let mut planner = FftPlanner::new();
    planner.plan_fft_forward(size).process(&mut buffer);
    buffer.iter_mut().for_each(|v| *v = Complex::new(v.norm_sqr(), 0.0));
    planner.plan_fft_inverse(size).process(&mut buffer);
    (0..lags).map(|k| buffer[k].re / (size as f64 * (n - k) as f64)).collect()
}

/// How an angle forgets: (E[cos d(k)] - b) / (1 - b) with d the change over k steps and b = <sin>² + <cos>², what is
/// left of the mean after infinite time. 1 at lag 0; `None` for an angle that never moves.
pub fn decorrelation(a: &[f64], lags: usize) -> Option<Vec<f64>> {
    let n = a.len() as f64;
    let sum = a.iter().fold((0.0, 0.0), |(s, c), v| (s + v.sin(), c + v.cos()));
    let rest = (sum.0 / n).powi(2) + (sum.1 / n).powi(2);
    if rest.is_nan() || rest >= 1.0 - 1e-12 {
        return None;
    }
    Some(angles(a, lags).into_iter().map(|v| (v - rest) / (1.0 - rest)).collect())
}

/// Where a curve that starts at 1 first falls below `level`, in steps, between two lags by a straight line; `None`
/// where it does not within its length.
pub fn falls_below(curve: &[f64], level: f64) -> Option<f64> {
    let k = curve.iter().position(|v| *v < level)?;
    if k == 0 {
        return Some(0.0);
    }
    let (above, below) = (curve[k - 1], curve[k]);
    Some((k - 1) as f64 + (above - level) / (above - below))
}
