//! The `heirloom` command line.
#![forbid(unsafe_code)]

fn main() {}
