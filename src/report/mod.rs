//! Figures, pictures of density maps, and the self-contained HTML report.

pub mod axis;
mod canvas;
pub mod chimerax;
pub mod colour;
mod draw;
pub mod figure;
mod furniture;
mod layers;
mod layout;
pub mod maps;
pub mod page;
pub mod plots;
mod raster;
pub mod trace;
pub mod volume;

pub use figure::{Figure, Layer, Tint};
pub use page::Page;
pub use raster::png_file;
