//! Every decoder of foreign bytes, each as a function that takes any bytes.
//!
//! [`TARGETS`] lists them. `main.rs` beside this folder breaks valid inputs of
//! each at random under `cargo test`; `decoders.rs` hands libFuzzer those that
//! stand together in [`GROUPS`]. A target panics for a fault and for nothing
//! else: bytes that are wrong are refused.

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

/// What is fuzzed together: what comes the same way, and is about as fast. The first byte of libFuzzer's input
/// chooses one of a group, so that what it learns of one is tried on the others.
pub(crate) const GROUPS: &[(&str, &[&str])] = &[
    ("frames", &["frame"]),
    ("entries", &["entry", "header", "carried"]),
    ("sealed", &["sealed", "signed", "founding"]),
    ("ops", &["op", "ops"]),
    ("values", &["values"]),
    ("sessions", &["session"]),
    ("blobs", &["segments", "blob_frame", "bitmap"]),
    ("pairings", &["pairing", "invite_code", "recovery_words"]),
    ("neighbours", &["announcement", "record", "address"]),
    ("workers", &["worker"]),
    ("requests", &["byte_range", "gallery_path"]),
    ("settings", &["config"]),
    ("names", &["file_name", "sidecar_names", "times"]),
    ("sidecars", &["sidecar", "xmp"]),
    ("archives", &["archive"]),
    (
        "metadata",
        &["sniff", "metadata_exif", "metadata_png", "metadata_chunks"],
    ),
    ("movies", &["metadata_bmff", "metadata_matroska"]),
    ("jpegs", &["embedded_jpeg", "picture_jpeg"]),
    (
        "pictures",
        &[
            "picture_png",
            "picture_gif",
            "picture_webp",
            "picture_tiff",
            "picture_bmp",
        ],
    ),
    ("heics", &["picture_heic"]),
];

/// The targets of a group, in the order in which a first byte chooses them.
pub(crate) fn group(name: &str) -> Vec<&'static Target> {
    let Some((_, members)) = GROUPS.iter().find(|(group, _)| *group == name) else {
        panic!("there is no group {name}");
    };
    members.iter().map(|name| named(name)).collect()
}

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
