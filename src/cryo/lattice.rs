//! The D x D lattice on which symmetrised transforms live, and its circular masks.

use super::expect_even;
use crate::error::{Error, Result};

/// The lattice of a symmetrised transform, row-major with x fastest, D = n + 1.
#[derive(Clone, Debug)]
pub struct Lattice {
    d: usize,
    extent: f64,
    /// `linspace(-extent, extent, D)`, computed in f64 and rounded once.
    axis: Vec<f32>,
}

impl Lattice {
    /// `side` is D, odd; `extent` is 0.5 when coordinates feed a network, D/2 (rounded down) in voxel units.
    pub fn new(side: usize, extent: f64) -> Result<Self> {
        expect_even("lattice", side.saturating_sub(1))?;
        if !(extent.is_finite() && extent > 0.0) {
            return Err(Error::usage(format!("lattice: the extent must be positive, not {extent}")));
        }
        let step = 2.0 * extent / (side - 1) as f64;
        let axis =
            (0..side).map(|i| if i + 1 == side { extent } else { i as f64 * step - extent } as f32).collect();
        Ok(Lattice { d: side, extent, axis })
    }

    /// D, the number of points along a side.
    pub fn side(&self) -> usize {
        self.d
    }

    /// Half the width of the lattice in its own units.
    pub fn extent(&self) -> f64 {
        self.extent
    }

    /// The coordinates along one axis, [D].
    pub fn axis(&self) -> &[f32] {
        &self.axis
    }

    /// Points (x, y, 0), [D², 3].
    pub fn coords(&self) -> Vec<[f32; 3]> {
        self.axis.iter().flat_map(|&y| self.axis.iter().map(move |&x| [x, y, 0.0])).collect()
    }

    /// Spatial frequencies in cycles per pixel, −0.5 to 0.5, [D², 2].
    pub fn freqs2d(&self) -> Vec<[f32; 2]> {
        let extent = self.extent as f32;
        let axis: Vec<f32> = self.axis.iter().map(|c| c / extent / 2.0).collect();
        axis.iter().flat_map(|&fy| axis.iter().map(move |&fx| [fx, fy])).collect()
    }

    /// Points within `radius` pixels of DC, DC itself left out, [D²].
    ///
    /// The rule is sensitive to rounding and part of the file format of trained networks: squares are summed in
    /// f32 and compared with the f64 square of the radius, so that (12, 0) of D = 31 falls outside R = 12.
    pub fn circular_mask(&self, radius: usize) -> Result<Vec<bool>> {
        let r = self.d / 2;
        if radius > r {
            return Err(Error::usage(format!(
                "mask radius {radius} is beyond the Nyquist radius {r} of this box"
            )));
        }
        let limit = (radius as f64 / r as f64 * self.extent).powi(2);
        let centre = r * self.d + r;
        let mut mask: Vec<bool> = self
            .axis
            .iter()
            .flat_map(|&y| self.axis.iter().map(move |&x| f64::from(x * x + y * y) <= limit))
            .collect();
        mask[centre] = false;
        Ok(mask)
    }

    /// Flat indices of the points of [`Self::circular_mask`], ascending. The list is antisymmetric about its
    /// middle: entry i and entry len − 1 − i are k and −k.
    pub fn masked_indices(&self, radius: usize) -> Result<Vec<u32>> {
        let mask = self.circular_mask(radius)?;
        Ok(mask.iter().enumerate().filter(|(_, inside)| **inside).map(|(i, _)| i as u32).collect())
    }
}
