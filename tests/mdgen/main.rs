//! Molecular dynamics generation: geometry, trajectories and networks against golden arrays and real data.

mod evaluate;
mod geometry;
mod golden;
mod linkage;
mod networks;
mod prepare;
mod store;
mod trajectories;
