//! A chain: several rows evaluated element by element in one pass. Loads are strided, so broadcasts, slices
//! and permutations cost nothing extra; stores are contiguous.

use crate::ops::row::Row;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Source {
    /// Index into the launch's reads.
    Read(usize),
    /// The result of the special whose epilogue this is.
    Result,
    Immediate(f32),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Load {
    pub source: Source,
    /// In elements.
    pub offset: isize,
    /// One an axis of the chain's shape, in elements.
    pub strides: Vec<isize>,
}

#[derive(Clone, Debug)]
pub struct ChainStep {
    pub row: &'static Row,
    /// Slots: loads first, then earlier steps.
    pub arguments: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct Chain {
    /// Axes that every load steps through alike are already one.
    pub shape: Vec<usize>,
    pub loads: Vec<Load>,
    pub steps: Vec<ChainStep>,
    /// (slot, index into the launch's writes)
    pub stores: Vec<(usize, usize)>,
}

impl Chain {
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a load reads element i for element i.
    pub fn is_direct(&self, load: &Load) -> bool {
        load.offset == 0 && load.strides == crate::tensor::strides(&self.shape)
    }

    /// Joins neighbouring axes wherever all loads step through them as through one.
    pub fn collapse(&mut self) {
        let axes = self.shape.len();
        let mut keep: Vec<usize> = vec![];
        let mut shape: Vec<usize> = vec![];
        for axis in 0..axes {
            if self.shape[axis] == 1 {
                continue;
            }
            let joins = keep.last().is_some_and(|&previous| {
                self.loads.iter().all(|l| l.strides[previous] == l.strides[axis] * self.shape[axis] as isize)
            });
            if joins {
                if let (Some(k), Some(n)) = (keep.last_mut(), shape.last_mut()) {
                    *k = axis;
                    *n *= self.shape[axis];
                }
            } else {
                keep.push(axis);
                shape.push(self.shape[axis]);
            }
        }
        for load in &mut self.loads {
            load.strides = keep.iter().map(|&axis| load.strides[axis]).collect();
        }
        self.shape = shape;
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("copy");
        }
        let names: Vec<&str> = self.steps.iter().map(|s| s.row.name).collect();
        f.write_str(&names.join(", "))
    }
}
