//! A device of a family: where the protocol meets disk, network and people.

pub mod store;
pub mod net;
