//! Every decoder of foreign bytes, each as a function that takes any bytes.
//!
//! [`TARGETS`] lists them. `main.rs` beside this folder breaks valid inputs at
//! random under `cargo test`; `target.rs` hands them to libFuzzer. A target
//! panics for a fault and for nothing else: bytes that are wrong are refused.

mod archives;
mod media;
mod node;
mod protocol;
mod vectors;

/// A decoder.
pub(crate) struct Target {
    /// Its name, here and in `Cargo.toml` beside this folder.
    pub(crate) name: &'static str,
    /// Inputs that it takes.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Decodes bytes and says whether it took them.
    pub(crate) run: fn(&[u8]) -> bool,
}

/// All of them.
pub(crate) const TARGETS: &[&[Target]] = &[
    vectors::TARGETS,
    protocol::TARGETS,
    node::TARGETS,
    media::TARGETS,
];

/// The target of a name.
pub(crate) fn named(name: &str) -> &'static Target {
    let mut all = TARGETS.iter().flat_map(|some| some.iter());
    all.find(|target| target.name == name)
        .unwrap_or_else(|| panic!("there is no target {name}"))
}

/// Whether bytes are one text that a reader takes.
fn text(bytes: &[u8], read: impl FnOnce(&str) -> bool) -> bool {
    std::str::from_utf8(bytes).is_ok_and(read)
}

/// Texts as inputs.
fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}
