//! The CryoDyna room against numbers of the reference program, and on particles with a known truth.

mod agreement;
mod backmap;
mod command;
mod density;
mod golden;
mod graph;
mod images;
mod learning;
mod losses;
mod martini;
mod minimise;
mod modes;
mod networks;
mod nucleic;
mod python;
mod relax;
mod secondary;
mod stack;
