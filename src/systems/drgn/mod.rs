//! cryoDRGN: neural reconstruction of heterogeneous particles, and what prepares, checks and sorts its data.
//!
//! Files ([`files`], [`config`]) are cryoDRGN's own, so that work can move both ways. [`import`] makes poses and CTF
//! tables of other programs' files and [`export`] goes back; [`downsample`], [`reconstruct`] and [`images`] stream
//! through particle stacks in constant memory; [`select`] and [`traverse`] work on latent spaces.

pub mod analyse;
pub mod config;
pub mod data;
pub mod demo;
pub mod downsample;
pub mod evaluate;
pub mod export;
pub mod files;
pub mod images;
pub mod import;
pub mod model;
pub mod reconstruct;
pub mod run;
pub mod select;
pub mod train;
pub mod traverse;

use crate::error::Result;

/// Told how much is done of how much; an error it returns (an interrupt) stops the work.
pub type Tick<'a> = &'a mut dyn FnMut(usize, usize) -> Result<()>;
