//! The density stage.

mod command;
mod golden;
mod learning;
mod models;
