//! Every file format, in and out: one module a format.

mod cs;
mod drgn_files;
mod golden;
mod mrc;
mod npy;
mod particles;
mod pickle;
mod star;
mod structure;
mod torch;
