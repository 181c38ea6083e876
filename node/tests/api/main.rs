//! The router driven in process over homes in temporary folders: what the command line's contract says.
#![expect(
    clippy::as_conversions,
    unreachable_pub,
    reason = "tests count small things and document themselves"
)]

mod acts;
mod people;
mod world;
