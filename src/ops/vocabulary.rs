//! The words that a row of the expression table may use, besides `+ - * /`, comparisons, `let` and float
//! literals. `single` is what every device runs; `double` is the oracle's.
//!
//! exp, log, sin, cos, tanh and erf are polynomials rather than library calls so that loops over them
//! vectorise and every device computes the same thing. A new device writes the few functions above `words!`,
//! which touch the bits of a float or are its own instructions, and takes over the texts of the rest.

// The constants are spelled as the GPU preludes spell them.
#![allow(clippy::excessive_precision, clippy::approx_constant)]

/// A word that is made of others: compiled here as Rust, its text taken over by the GPU devices.
pub struct Word {
    pub name: &'static str,
    pub arguments: &'static [&'static str],
    pub text: &'static str,
}

/// `name(arguments) = expression;` in the common subset of Rust, WGSL and C++: no name is declared twice.
macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident($($argument:ident),*) = $body:expr;)*) => {
        $(
            $(#[doc = $doc])*
            #[inline(always)]
            pub fn $name($($argument: f32),*) -> f32 {
                $body
            }
        )*
        /// Every such word, each after those it uses.
        pub static WORDS: &[super::Word] = &[$(super::Word {
            name: stringify!($name),
            arguments: &[$(stringify!($argument)),*],
            text: stringify!($body),
        }),*];
    };
}

/// f32, polynomial.
pub mod single {
    pub const PI: f32 = std::f32::consts::PI;

    #[inline(always)]
    pub fn sqrt(x: f32) -> f32 {
        x.sqrt()
    }
    #[inline(always)]
    pub fn abs(x: f32) -> f32 {
        x.abs()
    }
    #[inline(always)]
    pub fn floor(x: f32) -> f32 {
        x.floor()
    }
    /// `if_true` where `condition` holds, else `if_false`: WGSL's argument order.
    #[inline(always)]
    pub fn select(if_false: f32, if_true: f32, condition: bool) -> f32 {
        if condition { if_true } else { if_false }
    }
    #[inline(always)]
    pub fn is_nan(x: f32) -> bool {
        x.is_nan()
    }
    #[inline(always)]
    pub fn infinity() -> f32 {
        f32::INFINITY
    }
    #[inline(always)]
    pub fn nan() -> f32 {
        f32::NAN
    }
    /// 2^n for an integral n in [-126, 127].
    #[inline(always)]
    pub fn pow2(n: f32) -> f32 {
        // Added to 1.5 2^23, n + 127 stands in the last bits, where a shift takes it to the exponent. (A
        // conversion to an integer would have to saturate.)
        f32::from_bits((n + 12_583_039.0).to_bits() << 23)
    }
    /// e of x = m 2^e with m in [1/sqrt 2, sqrt 2), for a normal x > 0.
    #[inline(always)]
    pub fn exponent(x: f32) -> f32 {
        ((x.to_bits().wrapping_sub(0x3f35_04f3) as i32) >> 23) as f32
    }
    #[inline(always)]
    pub fn mantissa(x: f32) -> f32 {
        let shifted = x.to_bits().wrapping_sub(0x3f35_04f3);
        f32::from_bits((shifted & 0x007f_ffff).wrapping_add(0x3f35_04f3))
    }

    words! {
        rsqrt(x) = 1.0 / sqrt(x);
        /// NaN passes through, as in the reference frameworks.
        max(a, b) = select(b, a, a > b || is_nan(a));
        min(a, b) = select(b, a, a < b || is_nan(a));
        sign(x) = select(select(0.0, -1.0, x < 0.0), 1.0, x > 0.0);

        /// Relative error below 2e-7. Above 88.72 infinity, below -87.33 zero (results there would be subnormal).
        exp(x) = {
            // Clamped so that 2^n stays a normal number in two halves; the ends are set by the selects below.
            let c = select(select(x, -88.0, x < -88.0), 89.0, x > 89.0);
            let n = floor(c * 1.442_695_04 + 0.5);
            let r = (c - n * 0.693_359_375) + n * 2.121_944_4e-4;
            let low = (1.987_569_15e-4 * r + 1.398_199_95e-3) * r + 8.333_451_9e-3;
            let p = ((low * r + 4.166_579_6e-2) * r + 1.666_666_55e-1) * r + 5.000_000_1e-1;
            let y = (p * r * r + r) + 1.0;
            let half_n = floor(n * 0.5);
            let scaled = y * pow2(half_n) * pow2(n - half_n);
            let above = select(scaled, 0.0, x < -87.33);
            let below = select(above, infinity(), x > 88.722_8);
            select(below, x, is_nan(x))
        };

        /// Natural logarithm; -inf at 0, NaN below. Subnormal arguments count as zero.
        log(x) = {
            let e = exponent(x);
            let f = mantissa(x) - 1.0;
            let z = f * f;
            let low = (7.037_683_6e-2 * f - 1.151_461_0e-1) * f + 1.167_699_9e-1;
            let middle = ((low * f - 1.242_014_1e-1) * f + 1.424_932_3e-1) * f - 1.666_805_8e-1;
            let p = ((middle * f + 2.000_071_5e-1) * f - 2.499_999_4e-1) * f + 3.333_333_1e-1;
            let rest = f * z * p + e * -2.121_944_4e-4 - 0.5 * z;
            let y = f + rest + e * 0.693_359_375;
            let positive = select(y, -infinity(), x < 1.175_494_4e-38);
            let any = select(positive, nan(), x < 0.0);
            let finite = select(any, x, x > 3.402_823_5e38);
            select(finite, x, is_nan(x))
        };

        /// Turns to the nearest quarter; good for |x| < 8192.
        quarters(x) = floor(x * 0.636_619_77 + 0.5);
        /// x less n quarter turns, in [-pi/4, pi/4], good to 1e-7.
        remainder(x, n) = ((x - n * 1.570_312_5) - n * 4.837_512_97e-4) - n * 7.549_789_95e-8;
        quadrant(n) = n - 4.0 * floor(n * 0.25);
        sin_core(r) = {
            let z = r * r;
            ((-1.951_529_59e-4 * z + 8.332_160_9e-3) * z - 1.666_665_46e-1) * z * r + r
        };
        cos_core(r) = {
            let z = r * r;
            ((2.443_315_71e-5 * z - 1.388_731_63e-3) * z + 4.166_664_57e-2) * z * z - 0.5 * z + 1.0
        };
        /// Absolute error below 2e-7 for |x| < 8192; larger arguments lose accuracy in proportion.
        sin(x) = {
            let n = quarters(x);
            let r = remainder(x, n);
            let q = quadrant(n);
            let y = select(sin_core(r), cos_core(r), q == 1.0 || q == 3.0);
            select(y, -y, q >= 2.0)
        };
        /// As [`sin`].
        cos(x) = {
            let n = quarters(x);
            let r = remainder(x, n);
            let q = quadrant(n);
            let y = select(cos_core(r), sin_core(r), q == 1.0 || q == 3.0);
            select(y, -y, q == 1.0 || q == 2.0)
        };

        tanh(x) = {
            // The odd series near zero: 1 - 2/(e^2x + 1) cancels there.
            let z = x * x;
            let p = ((-5.704_988_7e-3 * z + 2.063_908_9e-2) * z - 5.373_971_6e-2) * z + 1.333_144_2e-1;
            let small = (p * z - 3.333_328_2e-1) * z * x + x;
            let e = exp(2.0 * abs(x));
            let big = 1.0 - 2.0 / (e + 1.0);
            select(select(big, -big, x < 0.0), small, abs(x) < 0.625)
        };

        /// A quotient of polynomials of degree 5 in x^2, fitted to a relative 2e-8 up to 3.92, where erf is 1 in
        /// f32; rounding leaves an absolute error below 5e-7.
        erf(x) = {
            let z = min(x * x, 15.4);
            let upper = ((2.050_033_1e-6 * z + 2.848_751_5e-4) * z + 3.765_515_1e-3) * z + 5.274_840_7e-2;
            let p = (upper * z + 1.904_048_1e-1) * z + 1.128_379_1;
            let lower = ((3.809_075_3e-5 * z + 1.162_500_6e-3) * z + 1.496_902_3e-2) * z + 1.141_083_4e-1;
            let q = (lower * z + 5.020_746_1e-1) * z + 1.0;
            select(select(1.0, -1.0, x < 0.0), x * p / q, z < 15.366_4 || is_nan(x))
        };

        /// x^y for x >= 0.
        pow(x, y) = select(exp(y * log(x)), 1.0, y == 0.0);
    }
}

/// f64, the standard library's: the oracle.
pub mod double {
    pub const PI: f64 = std::f64::consts::PI;

    pub fn sqrt(x: f64) -> f64 {
        x.sqrt()
    }
    pub fn rsqrt(x: f64) -> f64 {
        1.0 / x.sqrt()
    }
    pub fn abs(x: f64) -> f64 {
        x.abs()
    }
    pub fn floor(x: f64) -> f64 {
        x.floor()
    }
    pub fn select(if_false: f64, if_true: f64, condition: bool) -> f64 {
        if condition { if_true } else { if_false }
    }
    pub fn is_nan(x: f64) -> bool {
        x.is_nan()
    }
    pub fn max(a: f64, b: f64) -> f64 {
        select(b, a, a > b || a.is_nan())
    }
    pub fn min(a: f64, b: f64) -> f64 {
        select(b, a, a < b || a.is_nan())
    }
    pub fn sign(x: f64) -> f64 {
        select(select(0.0, -1.0, x < 0.0), 1.0, x > 0.0)
    }
    pub fn exp(x: f64) -> f64 {
        x.exp()
    }
    pub fn log(x: f64) -> f64 {
        x.ln()
    }
    pub fn sin(x: f64) -> f64 {
        x.sin()
    }
    pub fn cos(x: f64) -> f64 {
        x.cos()
    }
    pub fn tanh(x: f64) -> f64 {
        x.tanh()
    }
    pub fn pow(x: f64, y: f64) -> f64 {
        x.powf(y)
    }
    /// Series for |x| < 3 (converges to 1e-16 there), continued fraction of erfc beyond.
    pub fn erf(x: f64) -> f64 {
        let a = x.abs();
        let value = if a < 3.0 {
            let (mut term, mut sum) = (a, a);
            for n in 1..100 {
                term *= -a * a / n as f64;
                sum += term / (2 * n + 1) as f64;
            }
            sum * 2.0 / PI.sqrt()
        } else {
            let mut tail = 0.0;
            for n in (1..60).rev() {
                tail = n as f64 / 2.0 / (a + tail);
            }
            1.0 - (-a * a).exp() / PI.sqrt() / (a + tail)
        };
        if x < 0.0 { -value } else { value }
    }
}
