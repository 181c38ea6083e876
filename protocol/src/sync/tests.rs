//! What the tests of this module share.
//!
//! A store in memory that stands in for a device's disk, so that two sessions
//! can talk to each other without one.

pub(super) mod memory;
