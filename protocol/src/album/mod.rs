//! Albums: assets as ops made them, who may do what, and the keys of the space.

pub mod access;
pub mod asset;
pub mod drops;
pub mod epoch;
pub mod merge;
