//! The soft disc that images are multiplied by before their transform.

/// Where the window of an image falls to zero, as a fraction of half the box.
pub const OUTER_RADIUS: f32 = 0.99;

/// Soft disc [n, n] on the grid `linspace(-1, 1, n+1)` without its last point: 1 up to `inner`, falling linearly
/// to 0 at `outer` (fractions of half the box).
pub fn soft_disc(n: usize, inner: f32, outer: f32) -> Vec<f32> {
    let axis: Vec<f64> = (0..n).map(|i| -1.0 + 2.0 * i as f64 / n as f64).collect();
    let (inner, outer) = (f64::from(inner), f64::from(outer));
    let value = |r: f64| {
        if outer > inner {
            (1.0 - (r - inner) / (outer - inner)).clamp(0.0, 1.0)
        } else {
            f64::from(u8::from(r <= inner))
        }
    };
    axis.iter().flat_map(|y| axis.iter().map(move |x| value((x * x + y * y).sqrt()) as f32)).collect()
}
