//! Orientations and shifts: conversions between the conventions of RELION, cryoSPARC and cryoDRGN.
//!
//! Angles are radians inside; functions whose names end in `_deg` take or give degrees.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use super::Rotation;
use crate::error::{Error, Result};

fn product(a: &Rotation, b: &Rotation) -> Rotation {
    let mut out = [[0.0; 3]; 3];
    for (i, row) in out.iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            *value = (0..3).map(|k| a[i][k] * b[k][j]).sum();
        }
    }
    out
}

/// The transpose, which is also the inverse.
pub fn transpose(r: &Rotation) -> Rotation {
    let mut out = [[0.0; 3]; 3];
    for (i, row) in out.iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            *value = r[j][i];
        }
    }
    out
}

/// Angle of the rotation between two orientations, radians.
pub fn angle_between(a: &Rotation, b: &Rotation) -> f64 {
    let trace: f64 = (0..3).map(|i| (0..3).map(|j| a[i][j] * b[i][j]).sum::<f64>()).sum();
    ((trace - 1.0) / 2.0).clamp(-1.0, 1.0).acos()
}

/// RELION's (rot, tilt, psi), radians, to a rotation matrix.
pub fn from_relion([rot, tilt, psi]: [f64; 3]) -> Rotation {
    let (sa, ca) = rot.sin_cos();
    let (sb, cb) = tilt.sin_cos();
    let (sy, cy) = psi.sin_cos();
    let z_psi = [[cy, sy, 0.0], [-sy, cy, 0.0], [0.0, 0.0, 1.0]];
    let y_tilt = [[cb, 0.0, sb], [0.0, 1.0, 0.0], [-sb, 0.0, cb]];
    let z_rot = [[ca, sa, 0.0], [-sa, ca, 0.0], [0.0, 0.0, 1.0]];
    let mut m = product(&product(&z_psi, &y_tilt), &z_rot);
    for (i, j) in [(0, 2), (2, 0), (1, 2), (2, 1)] {
        m[i][j] = -m[i][j];
    }
    m
}

/// RELION's (rot, tilt, psi), degrees, to a rotation matrix.
pub fn from_relion_deg(angles: [f64; 3]) -> Rotation {
    from_relion(angles.map(f64::to_radians))
}

/// Inverse of [`from_relion`], angles wrapped to [−π, π). Where tilt is 0 or π only rot ± psi is defined; psi is
/// then π/2.
pub fn to_relion(m: &Rotation) -> [f64; 3] {
    let sine = m[2][0].hypot(m[2][1]);
    let tilt = sine.atan2(m[2][2]);
    let (rot, psi) = if sine > 1e-7 {
        (m[2][1].atan2(m[2][0]), m[1][2].atan2(-m[0][2]))
    } else if m[2][2] > 0.0 {
        (m[0][1].atan2(m[0][0]) - FRAC_PI_2, FRAC_PI_2)
    } else {
        ((-m[0][1]).atan2(-m[0][0]) + FRAC_PI_2, FRAC_PI_2)
    };
    [wrap(rot), tilt, wrap(psi)]
}

/// Inverse of [`from_relion_deg`].
pub fn to_relion_deg(m: &Rotation) -> [f64; 3] {
    to_relion(m).map(f64::to_degrees)
}

/// Wraps an angle to [−π, π).
pub fn wrap(angle: f64) -> f64 {
    let wrapped = (angle + PI).rem_euclid(TAU) - PI;
    if wrapped >= PI { -PI } else { wrapped }
}

/// cryoSPARC's rotation vector (axis times angle, radians) to a rotation: the transpose of Rodrigues' matrix.
pub fn from_rotation_vector(v: [f64; 3]) -> Rotation {
    let angle = v.iter().map(|c| c * c).sum::<f64>().sqrt();
    // sin θ/θ and (1−cos θ)/θ², by series where the quotients lose their digits.
    let (a, b) = if angle < 1e-6 {
        (1.0 - angle * angle / 6.0, 0.5 - angle * angle / 24.0)
    } else {
        (angle.sin() / angle, (1.0 - angle.cos()) / (angle * angle))
    };
    let cross = [[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]];
    let square = product(&cross, &cross);
    let mut out = [[0.0; 3]; 3];
    for i in 0..3 {
        for j in 0..3 {
            out[j][i] = f64::from(u8::from(i == j)) + a * cross[i][j] + b * square[i][j];
        }
    }
    out
}

/// Inverse of [`from_rotation_vector`].
pub fn to_rotation_vector(m: &Rotation) -> [f64; 3] {
    let [x, y, z, w] = to_quaternion(m);
    let sine = (x * x + y * y + z * z).sqrt();
    let factor = if sine < 1e-12 { 2.0 } else { 2.0 * sine.atan2(w) / sine };
    // The quaternion of `to_quaternion` already belongs to the transposed (active) matrix.
    [x * factor, y * factor, z * factor]
}

/// Quaternion (x, y, z, w), the real part last as in cryoDRGN, of any length but zero, to a rotation.
pub fn from_quaternion(q: [f64; 4]) -> Rotation {
    let norm = q.iter().map(|c| c * c).sum::<f64>().sqrt();
    let [i, j, k, r] = if norm > 0.0 { q.map(|c| c / norm) } else { [0.0, 0.0, 0.0, 1.0] };
    [
        [r * r + i * i - j * j - k * k, 2.0 * (r * k + i * j), 2.0 * (i * k - r * j)],
        [2.0 * (i * j - r * k), r * r - i * i + j * j - k * k, 2.0 * (r * i + j * k)],
        [2.0 * (r * j + i * k), 2.0 * (j * k - r * i), r * r - i * i - j * j + k * k],
    ]
}

/// Inverse of [`from_quaternion`]: unit quaternion, real part last and not negative.
pub fn to_quaternion(m: &Rotation) -> [f64; 4] {
    // The largest of the four candidates keeps the division well conditioned (Shepperd 1978).
    let trace = m[0][0] + m[1][1] + m[2][2];
    let squares = [trace, m[0][0], m[1][1], m[2][2]];
    let mut largest = 0;
    for (index, value) in squares.iter().enumerate() {
        if *value > squares[largest] {
            largest = index;
        }
    }
    let (a, b, c) = (m[1][2] - m[2][1], m[2][0] - m[0][2], m[0][1] - m[1][0]);
    let (xy, xz, yz) = (m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]);
    let raw = match largest {
        0 => [a, b, c, 1.0 + trace],
        1 => [1.0 + m[0][0] - m[1][1] - m[2][2], xy, xz, a],
        2 => [xy, 1.0 - m[0][0] + m[1][1] - m[2][2], yz, b],
        _ => [xz, yz, 1.0 - m[0][0] - m[1][1] + m[2][2], c],
    };
    let norm = raw.iter().map(|v| v * v).sum::<f64>().sqrt();
    let sign = if raw[3] < 0.0 { -1.0 } else { 1.0 };
    if norm > 0.0 { raw.map(|v| sign * v / norm) } else { [0.0, 0.0, 0.0, 1.0] }
}

/// Six numbers (two rows) to a rotation by Gram-Schmidt; the third row is their cross product.
pub fn from_s2s2(v: [f64; 6]) -> Rotation {
    let unit = |a: [f64; 3]| {
        let norm = a.iter().map(|c| c * c).sum::<f64>().sqrt().max(1e-5);
        a.map(|c| c / norm)
    };
    let first = unit([v[0], v[1], v[2]]);
    let along = first[0] * v[3] + first[1] * v[4] + first[2] * v[5];
    let second = unit([v[3] - along * first[0], v[4] - along * first[1], v[5] - along * first[2]]);
    let third = [
        first[1] * second[2] - first[2] * second[1],
        first[2] * second[0] - first[0] * second[2],
        first[0] * second[1] - first[1] * second[0],
    ];
    [first, second, third]
}

/// The first two rows of a rotation.
pub fn to_s2s2(m: &Rotation) -> [f64; 6] {
    [m[0][0], m[0][1], m[0][2], m[1][0], m[1][1], m[1][2]]
}

/// A rotation uniform over SO(3) from three numbers uniform in [0, 1) (Shoemake 1992).
pub fn random_rotation([u, v, w]: [f64; 3]) -> Rotation {
    let (a, b) = ((1.0 - u).max(0.0).sqrt(), u.max(0.0).sqrt());
    let ((sv, cv), (sw, cw)) = ((TAU * v).sin_cos(), (TAU * w).sin_cos());
    from_quaternion([a * sv, a * cv, b * sw, b * cw])
}

/// Shifts stored as fractions of the box, to pixels. The factor is D = box + 1, not box: an error of 1/box in
/// cryoDRGN that is kept, because trained networks and stored poses depend on it.
pub fn shift_pixels(fraction: [f64; 2], box_side: usize) -> Result<[f64; 2]> {
    if fraction.iter().all(|f| f.is_finite() && f.abs() <= 1.0) {
        Ok(fraction.map(|f| f * (box_side + 1) as f64))
    } else {
        Err(Error::usage(format!(
            "shift ({}, {}) is more than the whole box: shifts must be fractions of the box; these look like pixels, divide them by the box side",
            fraction[0], fraction[1]
        )))
    }
}

/// Inverse of [`shift_pixels`].
pub fn shift_fraction(pixels: [f64; 2], box_side: usize) -> [f64; 2] {
    pixels.map(|p| p / (box_side + 1) as f64)
}
