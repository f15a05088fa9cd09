//! Flow matching of residue types on the simplex (Stark et al. 2024): x ~ Dir(1 + onehot (alpha - 1)) with alpha
//! growing from 1 to 8, and the velocity that moves such draws along alpha.

use crate::stats::random::Philox;

/// Corners of the simplex.
pub const TYPES: usize = 20;
/// The other exponent of the marginal Beta(alpha, 19).
const REST: usize = TYPES - 1;

/// What the velocity along e_k - x is at x_k = b, for alpha: -d/dalpha I_b(alpha, 19) B(alpha, 19) /
/// ((1 - b)^19 b^(alpha - 1)), from closed forms that lose nothing at either end.
pub fn factor(b: f64, alpha: f64) -> f64 {
    // digamma(alpha) - digamma(alpha + 19)
    let shift: f64 = -(0..REST).map(|j| 1.0 / (alpha + j as f64)).sum::<f64>();
    if b <= 0.0 {
        return 0.0;
    }
    if b < 0.5 {
        // The integral of x^(alpha-1) (1-x)^18 (ln x - shift) from 0 to b, term by term of (1-x)^18.
        let (mut sum, mut term) = (0.0, 1.0);
        for j in 0..REST {
            let exponent = alpha + j as f64;
            sum += term * ((b.ln() - shift) / exponent - 1.0 / (exponent * exponent));
            term *= -b * (REST - 1 - j) as f64 / (j + 1) as f64;
        }
        return -sum * b / (1.0 - b).powi(REST as i32);
    }
    // The whole integral from 0 to 1 is 0: that from b to 1, with x = 1 - (1 - b) w, has the same factor in front.
    let rest = 1.0 - b;
    let integral = gauss_legendre(|w| {
        let x = 1.0 - rest * w;
        w.powi(REST as i32 - 1) * x.powf(alpha - 1.0) * (x.ln() - shift)
    });
    integral / b.powf(alpha - 1.0)
}

/// Over [0, 1]: 16 points, exact for polynomials up to degree 31. Half of the nodes and weights of [-1, 1].
fn gauss_legendre(f: impl Fn(f64) -> f64) -> f64 {
    const NODES: [(f64, f64); 8] = [
        (0.095_012_509_837_637_44, 0.189_450_610_455_068_5),
        (0.281_603_550_779_258_9, 0.182_603_415_044_923_6),
        (0.458_016_777_657_227_4, 0.169_156_519_395_002_54),
        (0.617_876_244_402_643_7, 0.149_595_988_816_576_73),
        (0.755_404_408_355_003, 0.124_628_971_255_533_87),
        (0.865_631_202_387_831_7, 0.095_158_511_682_492_78),
        (0.944_575_023_073_232_6, 0.062_253_523_938_647_89),
        (0.989_400_934_991_649_9, 0.027_152_459_411_754_095),
    ];
    let pair = |&(x, w): &(f64, f64)| w * (f(0.5 * (1.0 + x)) + f(0.5 * (1.0 - x)));
    0.5 * NODES.iter().map(pair).sum::<f64>()
}

/// The velocity of a point of the simplex at `alpha`, for probabilities of the corners that it comes from.
pub fn velocity(x: &[f64; TYPES], probabilities: &[f64; TYPES], alpha: f64, alpha_rate: f64) -> [f64; TYPES] {
    let pull: [f64; TYPES] = std::array::from_fn(|k| probabilities[k] * factor(x[k].clamp(0.0, 1.0), alpha));
    let total: f64 = pull.iter().sum();
    std::array::from_fn(|i| alpha_rate * (pull[i] - x[i] * total))
}

/// A draw of Dir(1 + (alpha - 1) e_corner); without a corner of Dir(1).
pub fn draw(corner: Option<usize>, alpha: f64, philox: &mut Philox) -> [f64; TYPES] {
    let mut x: [f64; TYPES] = std::array::from_fn(|k| {
        if Some(k) == corner { gamma(alpha, philox) } else { -(1.0 - philox.uniform_f64()).ln() }
    });
    let sum: f64 = x.iter().sum();
    x.iter_mut().for_each(|v| *v /= sum.max(f64::MIN_POSITIVE));
    x
}

/// Gamma variates of shape >= 1 (Marsaglia and Tsang 2000).
fn gamma(shape: f64, philox: &mut Philox) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = philox.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - philox.uniform_f64()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}
