//! A device of a family: where the protocol meets disk, network and people.

pub mod api;
mod carry;
pub mod catalog;
pub mod clock;
mod export;
pub mod forms;
#[doc(hidden)]
pub mod fuzz;
pub mod gallery;
pub mod import;
pub mod media;
pub mod net;
pub mod network;
pub mod node;
#[cfg(test)]
#[path = "../../tests/numbers/mod.rs"]
mod numbers;
pub mod original;
pub mod runtime;
pub mod scrub;
pub mod serve;
pub mod store;
pub mod sys;
pub mod upkeep;
mod watch;
