//! Density maps of given latents: a coordinate network learns, from the particles alone, what density goes with the
//! latent that another stage found for each. What it shows no atomic model has put there, so it checks that stage.

pub mod atoms;
pub mod checkpoint;
pub mod config;
pub mod decoder;
pub mod evaluate;
pub mod images;
pub mod model;
pub mod page;
pub mod train;
