//! A view of rows in a flat slice: what all of `stats` works on.

use crate::error::{Error, Result};

/// A row-major view [rows, cols] of points, one a row.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
}

impl<'a> Matrix<'a> {
    /// Views `data` as [data.len() / cols, cols].
    pub fn new(data: &'a [f32], cols: usize) -> Result<Self> {
        if cols == 0 || !data.len().is_multiple_of(cols) {
            return Err(Error::Shape(format!(
                "{} numbers do not make whole rows of {cols} columns",
                data.len()
            )));
        }
        Ok(Matrix { data, rows: data.len() / cols, cols })
    }

    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Row `i`; `i` must be below [`Matrix::rows`].
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.cols..(i + 1) * self.cols]
    }

    /// Refuses NaN and infinity, naming the first row that has one.
    pub fn check_finite(&self, what: &str) -> Result<()> {
        match self.data.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(at) => Err(Error::NotFinite(format!(
                "{what}: row {} column {} is {}; remove or repair this row first",
                at / self.cols,
                at % self.cols,
                self.data[at]
            ))),
        }
    }
}

/// Squared Euclidean distance of two rows.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}
