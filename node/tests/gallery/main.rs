//! The gallery over real connections: each line of its security checklist, and what the page is answered.
#![expect(
    clippy::as_conversions,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests count small things, document themselves and use a part of what homes can do"
)]

mod checklist;
mod client;
mod headers;
#[path = "../../build/join.rs"]
mod join;
mod lan;
mod looking;
mod media;
mod packed;
mod sentences;
mod setup;
#[path = "../../build/strip.rs"]
mod strip;
mod upload;
mod works;
#[path = "../api/world.rs"]
mod world;
