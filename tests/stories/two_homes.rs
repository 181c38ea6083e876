//! Two homes on one machine with every photo of the corpus: the second has all that the first has.
//!
//! The corpus stands outside the project: in `$HEIRLOOM_PHOTOS`, or in `../shared/photos`. Without
//! it this prints that it was skipped.
#![cfg(unix)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Instant,
};

use crate::devices::{Homes, alike, link, pair, report, sums};
use serde_json::Value;

type Row = BTreeMap<String, String>;

/// Formats of which a picture is made wherever they can be decoded.
const SHOWN: &[&str] = &[
    "JPEG",
    "PNG",
    "GIF",
    "WEBP",
    "Extended WEBP",
    "TIFF",
    "HEIC",
];

fn corpus() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/photos");
    let root = std::env::var_os("HEIRLOOM_PHOTOS").map_or_else(|| beside.into(), PathBuf::from);
    root.join("MANIFEST.tsv").is_file().then_some(root)
}

fn rows(manifest: &str) -> Vec<Row> {
    let mut lines = manifest
        .lines()
        .map(|line| line.split('\t').map(str::to_owned));
    let names: Vec<String> = lines.next().expect("a head").collect();
    lines
        .map(|values| names.iter().cloned().zip(values).collect())
        .collect()
}

/// Every hash of an asset's files.
fn hashes(asset: &Value) -> impl Iterator<Item = &str> {
    let parts = asset["parts"].as_array().into_iter().flatten();
    let parts = parts.filter_map(|part| part["blake3"].as_str());
    parts.chain(asset["blake3"].as_str())
}

#[test]
fn a_second_home_holds_every_photo_and_every_picture_of_it() {
    let Some(photos) = corpus() else {
        report("skipped: no photo corpus");
        return;
    };
    let started = Instant::now();
    let homes = Homes::new();
    let (a, b) = (homes.device("a"), homes.device("b"));
    a.init("Berger", "Anna", "laptop");
    let import = [
        "import",
        photos.to_str().expect("UTF-8"),
        "--album",
        "Everything",
    ];
    let (lines, exit) = a.start(&import).all();
    let said = lines.iter().filter(|line| line["type"] == "file");
    let taken: BTreeSet<PathBuf> = said
        .clone()
        .filter(|line| {
            ["added", "present", "paired"]
                .iter()
                .any(|o| line["outcome"] == *o)
        })
        .filter_map(|line| line["path"].as_str().map(PathBuf::from))
        .collect();
    let failed: Vec<_> = said.filter(|line| line["outcome"] == "failed").collect();
    assert_eq!((exit, &failed[..]), (0, &[][..]));
    assert!(taken.len() > 100, "{}", taken.len());

    let node = a.serve();
    pair(&a, &["--device"], &b, "pi", link);
    let summary = b.ok(&["sync"]).pop().expect("a summary");
    assert_eq!(summary["settled"], true, "{summary}");
    // Nothing is left to do, so nothing moves.
    let again = b.ok(&["sync"]).pop().expect("a summary");
    assert_eq!(
        (&again["blobs_received"], &again["entries_received"]),
        (&0.into(), &0.into())
    );
    node.stop();

    let (at_a, at_b) = (a.assets(), b.assets());
    assert_eq!(alike(&at_a), alike(&at_b));
    let out = homes.path().join("out");
    b.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
    let sources: BTreeSet<String> = taken
        .iter()
        .map(|path| crate::devices::sha256(&fs::read(path).expect("a photo")))
        .collect();
    assert_eq!(sums(&out).into_keys().collect::<BTreeSet<_>>(), sources);

    let manifest = fs::read_to_string(photos.join("MANIFEST.tsv")).expect("a manifest");
    let mut shown = 0;
    for row in rows(&manifest) {
        if row["decodes"] != "yes" || !SHOWN.contains(&&*row["type"]) {
            continue;
        }
        let bytes = fs::read(photos.join(&row["file"])).expect("a photo");
        let hash = blake3::hash(&bytes).to_hex();
        let of_file = |asset: &&Value| hashes(asset).any(|other| other == hash.as_str());
        let asset = at_b.iter().find(of_file);
        let asset = asset.unwrap_or_else(|| panic!("{}: no asset", row["file"]));
        let here = ["original", "preview", "thumbnail"].map(|class| asset["here"][class] == true);
        let state = (asset["preview"].as_str(), here);
        assert_eq!(state, (Some("made"), [true; 3]), "{}: {asset}", row["file"]);
        shown += 1;
    }
    assert!(shown > 50, "{shown}");
    for device in [&a, &b] {
        device.is_whole();
        device.never_panicked();
    }
    report(&format!(
        "{} files, {} assets, {shown} with pictures, {:?}",
        taken.len(),
        at_b.len(),
        started.elapsed()
    ));
}
