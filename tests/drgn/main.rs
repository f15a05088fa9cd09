//! The cryoDRGN room against numbers of the reference program.

mod golden;
mod networks;
