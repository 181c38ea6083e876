//! Decoders of foreign bytes that have no other way in, for `tests/fuzz`.
//!
//! Hidden from the documentation: no interface, and free to change.

use crate::{
    catalog, export, forms, gallery, import,
    media::{Made, worker},
    net::{self, Sighting},
    network::NetworkOptions,
};

/// What the parent of a worker makes of all that the worker says of a file of `size` zeros.
pub fn worker_says(said: &[u8], size: u64) -> Made {
    worker::hear(said, size)
}

/// What discovery makes of a record with these properties.
pub fn record(properties: &[(&str, &str)]) -> Option<Sighting> {
    net::of_properties(properties)
}

/// The settings in a `config.toml`.
pub fn config(text: &str) -> Option<NetworkOptions> {
    NetworkOptions::parse(text).ok()
}

/// The days that `list --taken` asks for.
pub fn range(text: &str) -> Option<(i64, i64)> {
    catalog::parse_range(text)
}

/// The seconds that `invite --valid` asks for.
pub fn seconds(text: &str) -> Option<u64> {
    forms::seconds(text)
}

/// The names under which a file that a peer calls so is written, alone and as the n-th of its name.
pub fn export_names(name: &str, n: u32) -> [String; 2] {
    export::names(name, n)
}

/// How many files of a folder with these names, one a line, have a sidecar.
pub fn beside(names: &str) -> usize {
    import::sidecar::matched(names.lines())
}

/// The bytes, first and last, that a request for a file of `len` asks for by `Range` and `If-Range`.
pub fn byte_range(range: &str, if_range: Option<&str>, len: u64) -> Option<(u64, u64)> {
    gallery::bytes_asked(range, if_range, len)
}

/// The status of what the gallery answers to this path, and whether it counts as a part of the page.
pub fn gallery_path(path: &str) -> Option<(u16, bool)> {
    futures::executor::block_on(gallery::path_asked(path))
}

/// How many files these bytes hold as a ZIP, as a tar and as one with gzip, each of them read to its end.
pub fn archive(bytes: &[u8]) -> usize {
    import::files_in_archive(bytes)
}
