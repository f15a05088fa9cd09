//! The tolerance table: largest deviation from the oracle, relative to the largest value of the tensor.

use super::Sample;
use crate::tensor::DType;

pub struct Tolerance {
    pub value: f64,
    pub derivative: f64,
    pub reason: &'static str,
}

/// First row whose prefix the sample's name has.
const TABLE: &[(&str, Tolerance)] = &[
    (
        "power",
        Tolerance {
            value: 4e-6,
            derivative: 1e-4,
            reason: "x^y = e^(y ln x) multiplies the error of ln by y ln x",
        },
    ),
    (
        "erf",
        Tolerance {
            value: 1e-6,
            derivative: 1e-4,
            reason: "sums and a quotient near one, rounded to f32: 5e-7 absolute",
        },
    ),
    (
        "norm [4, 1]",
        Tolerance {
            value: 1e-6,
            derivative: 1e-1,
            reason: "one element: the result is constantly 0, its derivative rounding noise times 1/sqrt(epsilon)",
        },
    ),
    (
        "mlp f16",
        Tolerance {
            value: 4e-3,
            derivative: 1e-2,
            reason: "every layer reads activations rounded to 11 bits",
        },
    ),
    (
        "mlp bf16",
        Tolerance {
            value: 3e-2,
            derivative: 6e-2,
            reason: "every layer reads activations rounded to 8 bits",
        },
    ),
    (
        "",
        Tolerance {
            value: 2e-6,
            derivative: 1e-4,
            reason: "f32 sums of a few thousand terms; differences in f64",
        },
    ),
];

/// What a device may deviate on a sample whose result has this element type.
pub fn tolerance(sample: &Sample, dtype: DType) -> Tolerance {
    let row = TABLE.iter().find(|(prefix, _)| sample.name.starts_with(prefix)).map(|(_, t)| t);
    let (value, derivative, reason) = row.map_or((2e-6, 1e-4, ""), |t| (t.value, t.derivative, t.reason));
    // Half a unit in the last place, of inputs and result.
    let rounding = match dtype {
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        DType::F32 | DType::I32 => 0.0,
    };
    Tolerance { value: f64::max(value, rounding), derivative: f64::max(derivative, rounding), reason }
}
