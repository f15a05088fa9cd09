//! Domain mathematics of cryo-EM on the host: transforms, lattices, CTF, poses, masks, FSC, backprojection.
//!
//! Everything here takes plain slices and returns plain vectors; it knows neither files nor the tape.
//!
//! Conventions: a box of n (even) pixels has the centre at index n/2; its Hartley transform is *symmetrised* to
//! D = n + 1 by repeating the Nyquist row and column, so that index \[n/2, n/2\] is DC and the value at −k is the
//! reversed array. Images are \[y, x\], volumes \[z, y, x\], x fastest. A rotation R takes a density point p to its
//! place (R p)_{x,y} in the image, so that the slice of an image lies at `coords_row @ R`.

pub mod backproject;
pub mod ctf;
pub mod fft;
pub mod fsc;
pub mod image;
pub mod lattice;
pub mod mask;
pub mod pose;
pub mod simulate;
pub mod volume;
pub mod window;

use crate::error::{Error, Result};

/// A 3x3 rotation matrix, rows first.
pub type Rotation = [[f64; 3]; 3];

/// Refuses a slice whose length is not what the shape promises.
pub(crate) fn expect_len(what: &str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted {
        Ok(())
    } else {
        Err(Error::Shape(format!("{what}: expected {wanted} values, found {found}")))
    }
}

/// Refuses odd or empty box sides; every centred, symmetrised transform needs an even one.
pub(crate) fn expect_even(what: &str, n: usize) -> Result<()> {
    if n >= 2 && n.is_multiple_of(2) {
        Ok(())
    } else {
        Err(Error::usage(format!(
            "{what}: the box side must be even and at least 2 pixels, not {n}; crop or pad first"
        )))
    }
}
