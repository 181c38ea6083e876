//! `heirloom import`: photos and videos from files, folders and archives.

use serde_json::json;

use super::Talk;
use crate::{
    args::Import,
    error::CliError,
    home::place,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Import, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let paths: Result<Vec<_>, CliError> = args.paths.iter().map(|path| place(path)).collect();
    let body = json!({
        "paths": paths?,
        "album": args.album,
        "album_per_folder": args.album_per_folder,
        "dry_run": args.dry_run,
        "since": args.since,
        "restore": args.restore,
    });
    talk.act("import", body, |ui, line| match line.kind() {
        "file" => say_file(ui, line),
        "summary" => {
            say_summary(ui, line, args.dry_run, args.album_per_folder);
            let deleted = deleted(line).filter(|_| !args.restore);
            let told = deleted.into_iter().chain(out_of_reach(line));
            told.for_each(|told| ui.warn(told));
        }
        _ => super::unknown(ui, line),
    })
    .await
}

fn say_file(ui: &mut Ui, line: &Line) {
    let (path, outcome) = (line.text_or("path", "?"), line.text_or("outcome", "?"));
    let told = match line.text("reason") {
        Some(reason) => format!("{outcome}: {path}: {reason}"),
        None => format!("{outcome}: {path}"),
    };
    if outcome == "failed" {
        ui.warn(told);
    } else if ui.manner.verbose {
        ui.note(told);
    }
}

fn say_summary(ui: &mut Ui, line: &Line, dry_run: bool, per_folder: bool) {
    let places = Place::all(line);
    let put = places.iter().fold((0_u64, 0_u64), |(put, bytes), place| {
        (
            put.saturating_add(place.put),
            bytes.saturating_add(place.put_bytes),
        )
    });
    let new = line.count("added").saturating_sub(put.0);
    let added = text::count(new, "photo or video", "photos and videos");
    let verb = if dry_run { "Would import" } else { "Imported" };
    let mut rest = put_into(&places);
    let restored = line.count("restored");
    if restored > 0 {
        rest.push(format!(
            "{} brought back from the trash",
            text::thousands(restored)
        ));
    }
    let (trashed, purged) = (line.count("trashed"), line.count("purged"));
    let present = line.count("present").saturating_sub(restored);
    let present = present.saturating_sub(trashed);
    let present = present.saturating_sub(line.count("put_back"));
    rest.extend(put_back(line));
    if present > 0 {
        rest.push(format!("{} already here", text::thousands(present)));
    }
    let taken_in = line
        .count("sidecars")
        .saturating_add(line.count("archives"))
        .saturating_add(purged);
    let skipped = line.count("skipped").saturating_sub(taken_in);
    for (count, words) in [
        (trashed, "in the trash"),
        (purged, "deleted for good"),
        (line.count("paired"), "joined to another as its part"),
        (line.count("sidecars"), "read for what they say of photos"),
        (line.count("archives"), "opened as archives"),
        (skipped, "left out"),
        (line.count("failed"), "not readable"),
    ] {
        if count > 0 {
            rest.push(format!("{} {words}", text::thousands(count)));
        }
    }
    let rest = if rest.is_empty() {
        String::new()
    } else {
        format!("; {}", text::and(&rest))
    };
    ui.say(format!(
        "{verb} {added} ({}){rest}.",
        text::size(line.count("bytes").saturating_sub(put.1))
    ));
    if line.count("added") > 0 {
        match per_folder {
            // An album may have been there, and others see it.
            true => ui.say(
                "Albums have the names of their folders; heirloom album list says who sees each.",
            ),
            false if dry_run => say_places(ui, &places, &PLANNED),
            false => say_places(ui, &places, &DONE),
        }
    }
    if line.count("failed") > 0 {
        ui.hint("what failed was left as it is; run the same import again, nothing is added twice");
    } else if skipped > 0 && !ui.manner.verbose {
        ui.hint("heirloom import -v says of each file why it was left out");
    }
}

/// That originals are whole again which were not.
fn put_back(line: &Line) -> Option<String> {
    let count = line.count("put_back");
    let told = text::count(
        count,
        "put back: its original was damaged or missing here",
        "put back: their originals were damaged or missing here",
    );
    (count > 0).then_some(told)
}

/// That the files are the only thing that is left, or soon will be, of what was deleted.
fn deleted(line: &Line) -> Option<String> {
    let trashed = line.count("trashed");
    let trashed = trashed.saturating_sub(line.count("out_of_reach"));
    let purged = line.count("purged");
    let all = trashed.saturating_add(purged);
    let mut told = Vec::new();
    if trashed > 0 {
        let are = text::count(trashed, "is in the trash", "are in the trash");
        told.push(format!("{are}, which empties itself"));
    }
    if purged > 0 {
        let were = text::count(purged, "was deleted for good", "were deleted for good");
        told.push(were);
    }
    let it = if all == 1 { "it" } else { "them" };
    (all > 0).then(|| {
        format!(
            "{}: the same import with --restore brings {it} back. Until then, keep the files.",
            told.join(", and ")
        )
    })
}

/// That somebody else alone can bring it back, with `--restore` and without.
fn out_of_reach(line: &Line) -> Option<String> {
    let count = line.count("out_of_reach");
    let are = text::count(count, "is in the trash", "are in the trash");
    let (it, files) = if count == 1 {
        ("it", "the file")
    } else {
        ("them", "the files")
    };
    (count > 0).then(|| {
        format!(
            "{are}, which empties itself, and you cannot bring {it} back: who added {it}, or a manager of the album, \
             can with heirloom restore. Until then, keep {files}, or add {it} to another album: the same import with --album NAME."
        )
    })
}

/// Most albums that are named one by one.
const NAMED: usize = 3;

/// What came into one album, as the summary tells it.
struct Place {
    /// New photos, without those that were here already.
    new: u64,
    /// Photos that were here already and are in this album too now.
    put: u64,
    put_bytes: u64,
    name: String,
    who: Vec<String>,
}

impl Place {
    fn all(line: &Line) -> Vec<Self> {
        let place = |of: &Line| {
            let put = of.count("put");
            Self {
                new: of.count("added").saturating_sub(put),
                put,
                put_bytes: of.count("put_bytes"),
                name: place_name(of.text("album")),
                who: of.texts("seen_by"),
            }
        };
        let albums = line.inner("albums");
        if !albums.is_empty() {
            return albums.iter().map(place).collect();
        }
        // A node of an older version names the album that was asked for.
        match line.count("added") {
            0 => Vec::new(),
            _ => vec![place(line)],
        }
    }

    fn seen(&self) -> String {
        seen(&self.name, &self.who)
    }
}

fn place_name(album: Option<String>) -> String {
    match album {
        Some(album) => format!("the album {album}"),
        None => "your library".to_owned(),
    }
}

fn seen(place: &str, who: &[String]) -> String {
    match who {
        [] => format!("{place}, which only you can see"),
        _ => format!("{place}, which {} can see too", text::and(who)),
    }
}

/// How it is said where photos are, or would be.
struct Speech {
    it: &'static str,
    they: &'static str,
    one: &'static str,
    many: &'static str,
    see: &'static str,
}

const DONE: Speech = Speech {
    it: "It is",
    they: "They are",
    one: "is",
    many: "are",
    see: "can see",
};

const PLANNED: Speech = Speech {
    it: "It would be",
    they: "They would be",
    one: "would be",
    many: "would be",
    see: "could see",
};

/// Says where new photos are, and who can see them there.
fn say_places(ui: &mut Ui, places: &[Place], speech: &Speech) {
    let new: Vec<&Place> = places.iter().filter(|place| place.new > 0).collect();
    match new.as_slice() {
        [] => {}
        [one] => {
            let they = if one.new == 1 { speech.it } else { speech.they };
            ui.say(format!("{they} in {}.", one.seen()));
        }
        some if some.len() <= NAMED => {
            for place in some {
                let are = text::count(place.new, speech.one, speech.many);
                ui.say(format!("{are} in {}.", place.seen()));
            }
        }
        many => ui.say(format!(
            "{} in {} albums; heirloom album list says who sees each.",
            speech.they,
            many.len()
        )),
    }
    // Where nothing is new, others see what was put there all the same.
    let put = places.iter().filter(|place| place.new == 0);
    let shared: Vec<&Place> = put.filter(|place| !place.who.is_empty()).collect();
    if shared.len() > NAMED {
        ui.say(format!(
            "Others {} some of these albums; heirloom album list says who.",
            speech.see
        ));
        return;
    }
    for place in shared {
        ui.say(format!(
            "{} {} {} too.",
            text::and(&place.who),
            speech.see,
            place.name
        ));
    }
}

/// What photos that were here already were put into.
fn put_into(places: &[Place]) -> Vec<String> {
    let into: Vec<&Place> = places.iter().filter(|place| place.put > 0).collect();
    if into.len() > NAMED {
        let put = into
            .iter()
            .fold(0_u64, |all, place| all.saturating_add(place.put));
        let put = text::thousands(put);
        return vec![format!(
            "{put} that were here already put into {} albums",
            into.len()
        )];
    }
    let told = |place: &&Place| format!("{} put into {}", text::thousands(place.put), place.name);
    into.iter().map(told).collect()
}
