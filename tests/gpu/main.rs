//! What the GPU devices are given, checked without one: every launch of every sample case lowers, and its
//! shader is valid.

mod wgsl;
