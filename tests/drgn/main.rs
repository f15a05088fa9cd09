//! The cryoDRGN room against numbers of the reference program.

mod analyse;
mod golden;
mod memory;
mod networks;
mod precision;
mod threads;
