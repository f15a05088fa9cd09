//! Least-squares superposition of two point sets (Kabsch 1976, 1978) and the rigid motions it returns.
//!
//! Coordinates are `[N, 3]` in Å. A [`Motion`] is x → R x + t.

use nalgebra::{Matrix3, Rotation3, SVD, UnitQuaternion, Vector3};

/// A rigid motion x → R x + t, t in Å.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motion {
    pub rotation: Matrix3<f64>,
    pub translation: Vector3<f64>,
}

impl Motion {
    pub fn identity() -> Self {
        Motion { rotation: Matrix3::identity(), translation: Vector3::zeros() }
    }

    pub fn apply(&self, point: &Vector3<f64>) -> Vector3<f64> {
        self.rotation * point + self.translation
    }

    /// First `other`, then `self`.
    pub fn after(&self, other: &Motion) -> Motion {
        Motion {
            rotation: self.rotation * other.rotation,
            translation: self.rotation * other.translation + self.translation,
        }
    }

    pub fn inverse(&self) -> Motion {
        let rotation = self.rotation.transpose();
        Motion { rotation, translation: -(rotation * self.translation) }
    }

    /// Rotation angle in radians, 0..=π.
    pub fn angle(&self) -> f64 {
        self.axis_angle().norm()
    }

    /// Rotation vector: axis times angle (radians).
    pub fn axis_angle(&self) -> Vector3<f64> {
        // By way of the quaternion, which still knows the axis of a half turn.
        let rotation = Rotation3::from_matrix_unchecked(self.rotation);
        UnitQuaternion::from_rotation_matrix(&rotation).scaled_axis()
    }

    /// The part `fraction` of the screw motion (Chasles): the rotation by `fraction` of the angle about the
    /// screw axis together with `fraction` of the slide along it. 0 is the identity, 1 the whole motion.
    pub fn screw(&self, fraction: f64) -> Motion {
        let vector = self.axis_angle();
        let angle = vector.norm();
        if angle < 1e-6 {
            // No axis: the rotation is negligible and the motion is a slide.
            let rotation = Rotation3::new(vector * fraction).into_inner();
            return Motion { rotation, translation: self.translation * fraction };
        }
        let axis = vector / angle;
        let slide = axis * axis.dot(&self.translation);
        let across = self.translation - slide;
        // The point of the axis nearest to the origin solves (1 - R) c = across for c perpendicular to it.
        let centre = 0.5 * (across + axis.cross(&across) / (0.5 * angle).tan());
        let rotation = Rotation3::new(vector * fraction).into_inner();
        Motion { rotation, translation: centre - rotation * centre + slide * fraction }
    }
}

/// The motion that carries `from` onto `onto` with the least sum of squares, and the RMSD (Å) that is left.
/// Both are `[N, 3]`; points beyond the shorter one are ignored, and no points give the identity.
pub fn superpose(from: &[[f64; 3]], onto: &[[f64; 3]]) -> (Motion, f64) {
    superpose_weighted(from, onto, |_| 1.0)
}

/// [`superpose`] with a weight per point; a weight of 0 leaves the point out.
pub fn superpose_weighted(
    from: &[[f64; 3]],
    onto: &[[f64; 3]],
    weight: impl Fn(usize) -> f64,
) -> (Motion, f64) {
    let mut total = 0.0;
    let (mut centre_a, mut centre_b) = (Vector3::zeros(), Vector3::zeros());
    for (i, (a, b)) in from.iter().zip(onto).enumerate() {
        let w = weight(i);
        total += w;
        centre_a += w * Vector3::from(*a);
        centre_b += w * Vector3::from(*b);
    }
    if total <= 0.0 {
        return (Motion::identity(), 0.0);
    }
    centre_a /= total;
    centre_b /= total;
    let mut covariance = Matrix3::zeros();
    for (i, (a, b)) in from.iter().zip(onto).enumerate() {
        let w = weight(i);
        if w > 0.0 {
            let (a, b) = (Vector3::from(*a) - centre_a, Vector3::from(*b) - centre_b);
            covariance += w * b * a.transpose();
        }
    }
    let rotation = proper_rotation(covariance);
    let motion = Motion { rotation, translation: centre_b - rotation * centre_a };
    let mut sum = 0.0;
    for (i, (a, b)) in from.iter().zip(onto).enumerate() {
        let w = weight(i);
        if w > 0.0 {
            sum += w * (motion.apply(&Vector3::from(*a)) - Vector3::from(*b)).norm_squared();
        }
    }
    (motion, (sum / total).sqrt())
}

/// Kabsch: the rotation nearest to the covariance, with the reflection case turned back.
fn proper_rotation(covariance: Matrix3<f64>) -> Matrix3<f64> {
    if !covariance.iter().all(|v| v.is_finite()) {
        return Matrix3::identity();
    }
    let svd = SVD::new(covariance, true, true);
    let (Some(u), Some(v_t)) = (svd.u, svd.v_t) else { return Matrix3::identity() };
    // nalgebra sorts singular values in descending order, so the last is the one to turn.
    let sign = (u * v_t).determinant().signum();
    u * Matrix3::from_diagonal(&Vector3::new(1.0, 1.0, sign)) * v_t
}

/// Root mean square deviation (Å) without superposition; 0 for no points.
pub fn rmsd(a: &[[f64; 3]], b: &[[f64; 3]]) -> f64 {
    let n = a.len().min(b.len());
    if n == 0 {
        return 0.0;
    }
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>()).sum();
    (sum / n as f64).sqrt()
}
