//! The CryoDyna room against numbers of the reference program, and on particles with a known truth.

mod command;
mod density;
mod golden;
mod graph;
mod images;
mod learning;
mod losses;
mod networks;
mod secondary;
mod stack;
