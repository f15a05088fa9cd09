//! The CryoDyna room against numbers of the reference program, and on particles with a known truth.

mod backmap;
mod command;
mod golden;
mod graph;
mod images;
mod learning;
mod losses;
mod martini;
mod minimise;
mod networks;
mod relax;
mod secondary;
mod stack;
