//! What is true on every device of a family: identities, encryption, logs, albums and sync.
//!
//! Nothing here performs IO, reads a clock or draws randomness. Those come in as
//! parameters, and what must be written goes out as data. The modules read top
//! to bottom as the story of a photo.
#![forbid(unsafe_code)]

pub mod album;
pub mod carry;
mod causal;
pub mod crypto;
pub mod discovery;
pub mod family;
pub mod id;
pub mod limits;
pub mod log;
#[cfg(test)]
#[path = "../../tests/numbers/mod.rs"]
mod numbers;
pub mod op;
pub mod replica;
pub mod sync;
pub mod time;
pub mod wire;
