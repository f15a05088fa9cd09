//! CryoDyna: the motion of a protein, residue by residue, from particle images with known poses and a docked model.
//!
//! An encoder makes a latent of each image, a decoder shifts of all residues of the latent; the structure is projected
//! as Gaussians through the microscope's CTF and has to agree with the image while its distances stay physical.
//! `docs/cryodyna.md` says what is kept of the reference, what is done right, and what is missing.

pub mod bonded;
pub mod checkpoint;
pub mod compare;
pub mod config;
pub mod data;
pub mod decoder;
pub mod density;
pub mod encoder;
pub mod evaluate;
pub mod graph;
pub mod image;
pub mod losses;
pub mod model;
pub mod modes;
pub mod page;
pub mod perturb;
pub mod pictures;
pub mod python;
pub mod reference;
pub mod relax;
pub mod run;
pub mod split;
pub mod train;
