//! The router driven in process over homes in temporary folders: what the command line's contract says.
#![expect(
    clippy::as_conversions,
    clippy::cloned_ref_to_slice_refs,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests count small things and document themselves"
)]

mod acts;
mod claims;
mod clocks;
mod copies;
mod deletion;
mod depots;
mod endings;
mod files;
mod forks;
mod gossip;
mod holds;
mod newcomers;
#[path = "../../../tests/numbers/mod.rs"]
mod numbers;
mod people;
mod present;
mod promised;
mod restored;
mod scrub;
mod shut_out;
mod sync;
mod undo;
mod upkeep;
mod world;
