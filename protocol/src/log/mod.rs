//! The signed append-only log of one device in one space.

pub mod entry;
pub mod graph;
pub mod standing;
