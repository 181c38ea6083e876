//! Every row of the corpus' manifest, held against what the worker tells.
//!
//! The corpus stands outside the project: in `$HEIRLOOM_PHOTOS`, or in `../shared/photos` beside
//! the workspace. Without it this prints that it was skipped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use heirloom_node::import::metadata::{self, Metadata, Place, xmp};
use heirloom_node::media::{Made, MediaKind, MediaType, Take, sniff::HEAD_BYTES};

use crate::pool::pool;

pub(crate) const TESTS: &[(&str, fn())] = &[(
    "corpus::every_photo_tells_what_the_oracle_knows",
    every_photo_tells_what_the_oracle_knows,
)];

/// Where the oracle is wrong, or asks for what it does not compare: file, field, reason.
const ORACLE: &[(&str, &str, &str)] = &[];

type Row = BTreeMap<String, String>;

fn corpus() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/photos");
    let root = std::env::var_os("HEIRLOOM_PHOTOS").map_or_else(|| beside.into(), PathBuf::from);
    root.join("MANIFEST.tsv").is_file().then_some(root)
}

fn rows(manifest: &Path) -> Vec<Row> {
    let text = fs::read_to_string(manifest).expect("readable");
    let mut lines = text.lines().map(|l| l.split('\t').map(str::to_owned));
    let names: Vec<String> = lines.next().expect("has a head").collect();
    lines
        .map(|values| names.iter().cloned().zip(values).collect())
        .collect()
}

fn every_photo_tells_what_the_oracle_knows() {
    let Some(root) = corpus() else {
        crate::report("skipped: no photo corpus");
        return;
    };
    let pool = pool("worker-decode", 2);
    let mut wrong = Differences::default();
    let mut seen = 0;
    for row in rows(&root.join("MANIFEST.tsv")) {
        seen += 1;
        wrong.file.clone_from(&row["file"]);
        let path = root.join(&row["file"]);
        let bytes = fs::read(&path).expect("the manifest names what is there");
        let head = &bytes[..bytes.len().min(HEAD_BYTES)];
        let name = path.file_name().expect("is a file").to_string_lossy();
        let size = u64::try_from(bytes.len()).expect("fits");
        let take = Take::decide(&name, size, head);
        wrong.check("take", &expected_take(&row), kind_of_take(take));
        match take {
            Take::Media(media) => {
                let mut file = File::open(&path).expect("is there");
                let made = pool.make(&mut file, media);
                compare(&row, media, &made, &mut wrong);
            }
            Take::Sidecar if row["type"] == "XMP" => compare_xmp(&row, &bytes, &mut wrong),
            _ => {}
        }
    }
    for (file, field, _) in ORACLE {
        assert!(
            wrong.excused.iter().any(|(f, d)| f == file && d == field),
            "{file}: {field} is excused but does not differ"
        );
    }
    assert!(seen > 0, "the manifest is empty");
    assert!(wrong.lines.is_empty(), "\n{}", wrong.lines.join("\n"));
    crate::report(&format!("{seen} files held against the oracle"));
}

#[derive(Default)]
struct Differences {
    file: String,
    lines: Vec<String>,
    excused: Vec<(String, String)>,
}

impl Differences {
    fn check(&mut self, field: &str, oracle: &str, ours: &str) {
        if oracle == ours {
            return;
        }
        let known = |(file, f, _): &&(&str, &str, &str)| *file == self.file && *f == field;
        if ORACLE.iter().any(|o| known(&o)) {
            self.excused.push((self.file.clone(), field.to_owned()));
        } else {
            let line = format!("{}: {field} {ours:?}, oracle {oracle:?}", self.file);
            self.lines.push(line);
        }
    }
}

fn expected_take(row: &Row) -> String {
    let file = &row["file"];
    match row["type"].as_str() {
        _ if row["bytes"] == "0" => "empty",
        "JSON" | "XMP" => "sidecar",
        // The extension says photo.
        "TXT" if file.ends_with(".jpg") => "media",
        "TXT" => "text",
        _ => "media",
    }
    .to_owned()
}

fn kind_of_take(take: Take) -> &'static str {
    match take {
        Take::Media(_) => "media",
        Take::Sidecar => "sidecar",
        Take::Junk => "junk",
        Take::Text => "text",
        Take::Empty => "empty",
        Take::Unsupported => "unsupported",
    }
}

fn compare(row: &Row, media: MediaType, made: &Made, wrong: &mut Differences) {
    let metadata = made.metadata.clone().unwrap_or_default();
    let decodes = row["decodes"] == "yes";
    if decodes {
        compare_sizes(row, &metadata, wrong);
    }
    compare_times(row, &metadata, wrong);
    compare_place(row, metadata.place, wrong);
    let (make, model) = metadata.camera.unwrap_or_default();
    wrong.check("make", &row["make"], &make);
    wrong.check("model", &row["model"], &model);
    let id = metadata.live_id.unwrap_or_default();
    wrong.check("live_id", &row["live_id"], &id);
    wrong.check(
        "motion",
        &row["motion"],
        if metadata.motion { "yes" } else { "" },
    );
    if media.kind() == MediaKind::Video && !row["duration_s"].is_empty() {
        // The oracle rounds to hundredths, halves either way.
        let ours = Duration::from_millis(metadata.duration_ms.unwrap_or_default());
        let oracle = row["duration_s"].parse().map(Duration::from_secs_f64);
        let oracle = oracle.expect("is a number");
        if ours.abs_diff(oracle) > Duration::from_millis(6) {
            wrong.check("duration", &row["duration_s"], &format!("{ours:?}"));
        }
    }
    let previews = heirloom_node::media::decode::is_supported(media);
    if decodes && previews {
        let made = match &made.pictures {
            Ok(p) => format!("{}x{}", p.shown.width, p.shown.height),
            Err(reason) => reason.to_string(),
        };
        let shown = format!("{}x{}", row["shown_width"], row["shown_height"]);
        wrong.check("preview", &shown, &made);
    }
}

fn compare_sizes(row: &Row, metadata: &Metadata, wrong: &mut Differences) {
    let show = |size: Option<metadata::Size>| {
        size.map_or_else(String::new, |s| format!("{}x{}", s.width, s.height))
    };
    let stored = format!("{}x{}", row["stored_width"], row["stored_height"]);
    let shown = format!("{}x{}", row["shown_width"], row["shown_height"]);
    wrong.check("stored", &stored, &show(metadata.stored));
    wrong.check("shown", &shown, &show(metadata.shown));
}

fn compare_times(row: &Row, metadata: &Metadata, wrong: &mut Differences) {
    let iso = |text: &str| {
        text.get(..19)
            .unwrap_or_default()
            .replacen(':', "-", 2)
            .replace(' ', "T")
    };
    let taken = metadata.capture.map(|c| c.wall.to_string());
    let local = iso(&row["captured_local"]);
    let utc = iso(&row["captured_utc"]);
    if !local.is_empty() {
        wrong.check("taken", &local, &taken.clone().unwrap_or_default());
    } else if !utc.is_empty() {
        // A movie header tells UTC and no more.
        wrong.check("taken", &utc, &taken.unwrap_or_default());
    }
    if !row["offset"].is_empty() {
        let minutes = metadata.capture.and_then(|c| c.offset_minutes);
        let offset = minutes.map_or_else(String::new, |m| {
            let sign = if m < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", m.abs() / 60, m.abs() % 60)
        });
        wrong.check("offset", &row["offset"], &offset);
    }
}

fn compare_place(row: &Row, ours: Option<Place>, wrong: &mut Differences) {
    let number = |name: &str| row[name].parse::<f64>().ok();
    let oracle = number("lat")
        .zip(number("lon"))
        .and_then(|(lat, lon)| Place::new(lat, lon, number("alt")));
    let close = |a: f64, b: f64, by: f64| (a - b).abs() <= by;
    let same = match (ours, oracle) {
        (Some(a), Some(b)) => close(a.lat, b.lat, 1e-5) && close(a.lon, b.lon, 1e-5),
        (a, b) => a.is_none() == b.is_none(),
    };
    let show = |p: Option<Place>| p.map_or_else(String::new, |p| format!("{},{}", p.lat, p.lon));
    if !same {
        wrong.check("place", &show(oracle), &show(ours));
        return;
    }
    if let (Some(a), Some(b)) = (ours.and_then(|p| p.alt), oracle.and_then(|p| p.alt))
        && !close(a, b, 0.1)
    {
        wrong.check("alt", &b.to_string(), &a.to_string());
    }
}

fn compare_xmp(row: &Row, bytes: &[u8], wrong: &mut Differences) {
    let packet = xmp::parse(bytes);
    let metadata = Metadata {
        capture: packet.taken.map(|t| metadata::Capture {
            wall: t.wall,
            offset_minutes: t.offset,
            source: metadata::CaptureSource::Sidecar,
        }),
        ..Metadata::default()
    };
    if !row["captured_local"].is_empty() {
        compare_times(row, &metadata, wrong);
    }
    compare_place(row, packet.place, wrong);
}
