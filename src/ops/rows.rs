//! The expression table: every elementwise operation, its value and its derivatives, once.
//!
//! `g` is the derivative of the loss by the row's value `y`. An argument without a derivative line passes
//! none on (comparisons, selectors). To add an operation, add a row here and its sample inputs in
//! `conformance/samples.rs`; nothing else.

// The text of a row is also its kernel in CUDA C and WGSL, which know no names for these numbers.
#![allow(clippy::excessive_precision, clippy::approx_constant)]

use super::row::rows;

rows! {
    /// a + b
    add(a, b) = a + b;
        [a <- (g) = g;]
        [b <- (g) = g;]
    /// a - b
    sub(a, b) = a - b;
        [a <- (g) = g;]
        [b <- (g) = -g;]
    /// a b
    mul(a, b) = a * b;
        [a <- (b, g) = g * b;]
        [b <- (a, g) = g * a;]
    /// a / b
    div(a, b) = a / b;
        [a <- (b, g) = g / b;]
        [b <- (a, b, g) = -g * a / (b * b);]
    /// The larger; at a tie the derivative is shared.
    maximum(a, b) = max(a, b);
        [a <- (a, b, g) = g * select(select(0.0, 1.0, a > b), 0.5, a == b);]
        [b <- (a, b, g) = g * select(select(0.0, 1.0, b > a), 0.5, a == b);]
    /// The smaller; at a tie the derivative is shared.
    minimum(a, b) = min(a, b);
        [a <- (a, b, g) = g * select(select(0.0, 1.0, a < b), 0.5, a == b);]
        [b <- (a, b, g) = g * select(select(0.0, 1.0, b < a), 0.5, a == b);]
    /// x^p for x >= 0
    power(x, p) = pow(x, p);
        [x <- (x, p, g) = g * p * pow(x, p - 1.0);]
        [p <- (x, y, g) = g * select(y * log(x), 0.0, x == 0.0);]
    /// a where c is not zero, else b
    choose(c, a, b) = select(b, a, c != 0.0);
        [a <- (c, g) = select(0.0, g, c != 0.0);]
        [b <- (c, g) = select(g, 0.0, c != 0.0);]
    /// 1 where a > b, else 0
    greater(a, b) = select(0.0, 1.0, a > b);
    /// 1 where a = b, else 0
    equal(a, b) = select(0.0, 1.0, a == b);
    /// x
    identity(x) = x;
        [x <- (g) = g;]
    /// -x
    neg(x) = -x;
        [x <- (g) = -g;]
    /// |x|; derivative 0 at 0
    absolute(x) = abs(x);
        [x <- (x, g) = g * sign(x);]
    /// Sign of x, 0 at 0
    signum(x) = sign(x);
    /// 1 for a number, 0 for an infinity or NaN
    finite(x) = select(1.0, 0.0, is_nan(x) || abs(x) > 3.40282347e38);
    /// Largest integer not above x
    round_down(x) = floor(x);
    /// x^2
    square(x) = x * x;
        [x <- (x, g) = 2.0 * g * x;]
    /// 1 / x
    reciprocal(x) = 1.0 / x;
        [x <- (y, g) = -g * y * y;]
    /// Square root
    root(x) = sqrt(x);
        [x <- (y, g) = 0.5 * g / y;]
    /// 1 / sqrt x
    inverse_root(x) = rsqrt(x);
        [x <- (y, g) = -0.5 * g * y * y * y;]
    /// e^x
    exponential(x) = exp(x);
        [x <- (y, g) = g * y;]
    /// ln x
    logarithm(x) = log(x);
        [x <- (x, g) = g / x;]
    /// sin x
    sine(x) = sin(x);
        [x <- (x, g) = g * cos(x);]
    /// cos x
    cosine(x) = cos(x);
        [x <- (x, g) = -g * sin(x);]
    /// Hyperbolic tangent
    hyperbolic_tangent(x) = tanh(x);
        [x <- (y, g) = g * (1.0 - y * y);]
    /// Error function
    error_function(x) = erf(x);
        [x <- (x, g) = g * 1.1283791670955126 * exp(-x * x);]
    /// Angle of a point from the x axis
    angle(up, along) = arc(up, along);
        [up <- (up, along, g) = g * along / max(up * up + along * along, 1e-30);]
        [along <- (up, along, g) = -g * up / max(up * up + along * along, 1e-30);]
    /// max(x, 0); derivative 0 at 0
    relu(x) = max(x, 0.0);
        [x <- (y, g) = select(0.0, g, y > 0.0);]
    /// x where positive, else slope x
    leaky_relu(x, slope) = select(slope * x, x, x > 0.0);
        [x <- (x, slope, g) = select(slope * g, g, x > 0.0);]
        [slope <- (x, g) = select(g * x, 0.0, x > 0.0);]
    /// x where positive, else e^x - 1
    elu(x) = select(exp(x) - 1.0, x, x > 0.0);
        [x <- (y, g) = select(g * (y + 1.0), g, y > 0.0);]
    /// 1 / (1 + e^-x)
    sigmoid(x) = { let e = exp(-abs(x)); select(e, 1.0, x > 0.0) / (1.0 + e) };
        [x <- (y, g) = g * y * (1.0 - y);]
    /// x sigmoid(x)
    silu(x) = x / (1.0 + exp(-x));
        [x <- (x, g) = { let s = 1.0 / (1.0 + exp(-x)); g * s * (1.0 + x * (1.0 - s)) };]
    /// x Phi(x), exact (Hendrycks and Gimpel 2016)
    gelu(x) = 0.5 * x * (1.0 + erf(x * 0.7071067811865476));
        [x <- (x, g) = g * (0.5 * (1.0 + erf(x * 0.7071067811865476))
            + x * 0.3989422804014327 * exp(-0.5 * x * x));]
    /// ln(1 + e^x)
    softplus(x) = max(x, 0.0) + log(1.0 + exp(-abs(x)));
        [x <- (x, g) = { let e = exp(-abs(x)); g * select(e, 1.0, x > 0.0) / (1.0 + e) };]
    /// t a + (1 - t) b: running means, EMA, Adam's first moment
    blend(a, b, t) = b + t * (a - b);
        [a <- (t, g) = g * t;]
        [b <- (t, g) = g * (1.0 - t);]
        [t <- (a, b, g) = g * (a - b);]
    /// t v + (1 - t) x^2: Adam's second moment
    blend_square(v, x, t) = t * v + (1.0 - t) * x * x;
        [v <- (t, g) = g * t;]
        [x <- (x, t, g) = 2.0 * g * (1.0 - t) * x;]
        [t <- (v, x, g) = g * (v - x * x);]
    /// Adam's step (Kingma and Ba 2015): rate = lr / (1 - b1^t), bias = 1 / sqrt(1 - b2^t), and
    /// keep = 1 - lr wd for AdamW (Loshchilov and Hutter 2019).
    adam(p, m, v, rate, bias, epsilon, keep) = p * keep - rate * m / (sqrt(v) * bias + epsilon);
        [p <- (keep, g) = g * keep;]
        [m <- (v, rate, bias, epsilon, g) = -g * rate / (sqrt(v) * bias + epsilon);]
        [v <- (m, v, rate, bias, epsilon, g) = {
            let s = sqrt(v); let d = s * bias + epsilon; 0.5 * g * rate * m * bias / (s * d * d) };]
        [rate <- (m, v, bias, epsilon, g) = -g * m / (sqrt(v) * bias + epsilon);]
        [bias <- (m, v, rate, bias, epsilon, g) = {
            let s = sqrt(v); let d = s * bias + epsilon; g * rate * m * s / (d * d) };]
        [epsilon <- (m, v, rate, bias, epsilon, g) = {
            let d = sqrt(v) * bias + epsilon; g * rate * m / (d * d) };]
        [keep <- (p, g) = g * p;]
}
