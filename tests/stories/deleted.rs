//! An album that somebody deletes while others still add to it: no photo goes out of sight.
#![cfg(unix)]

use std::fs;

use crate::devices::{Device, Dice, Homes, link, pair, pictures};
use serde_json::{Value, json};

/// What a device lists, each photo by its name with the albums that it is in.
fn listed(device: &Device) -> Vec<(String, Value)> {
    let assets = device.assets();
    let named = assets.iter().map(|asset| {
        let name = asset["name"].as_str().expect("a name").to_owned();
        (name, asset["albums"].clone())
    });
    let mut listed: Vec<_> = named.collect();
    listed.sort_by(|one, other| one.0.cmp(&other.0));
    listed
}

#[test]
fn what_others_add_to_a_deleted_album_is_kept_in_their_libraries() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let (a, b) = (homes.device("a"), homes.device("b"));
    let mut import = |device: &Device, name: &str, album: &str| {
        let folder = homes.path().join(name);
        fs::create_dir(&folder).expect("a folder");
        let photo = folder.join(format!("{name}.bmp"));
        fs::write(photo, pictures::bmp(40, &mut dice)).expect("a photo");
        let folder = folder.to_str().expect("UTF-8");
        device.ok(&["import", folder, "--album", album]);
    };
    a.init("Berger", "Anna", "laptop");
    a.ok(&["album", "create", "Summer"]);
    let node = a.serve();
    pair(&a, &["--person", "Ben"], &b, "phone", link);
    a.ok(&["share", "Summer", "Ben", "--role", "contributor"]);
    b.ok(&["sync"]);
    import(&b, "early", "Summer");
    import(&b, "twice", "Summer");
    let twice = homes.path().join("twice");
    b.ok(&[
        "import",
        twice.to_str().expect("UTF-8"),
        "--album",
        "Family",
    ]);
    b.ok(&["sync"]);
    // Ben has not heard of it when he adds another.
    a.ok(&["--yes", "album", "delete", "Summer"]);
    import(&b, "late", "Summer");
    b.ok(&["sync"]);
    b.ok(&["sync"]);
    let library = json!(["Library"]);
    let lists = listed(&b);
    let names: Vec<_> = lists.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["early.bmp", "late.bmp", "twice.bmp"]);
    for (name, albums) in &lists {
        let expected = match name.as_str() {
            "twice.bmp" => &json!(["Family"]),
            _ => &library,
        };
        assert_eq!(albums, expected, "{name}");
    }
    // What Ben deletes himself stays deleted.
    let assets = b.assets();
    let late = assets.iter().find(|asset| asset["name"] == "late.bmp");
    let late = late.expect("it is there")["id"].as_str().expect("an id");
    b.ok(&["--yes", "trash", late]);
    b.ok(&["--yes", "purge", late]);
    b.ok(&["sync"]);
    assert_eq!(listed(&b).len(), 2);
    node.stop();
    a.never_panicked();
    b.never_panicked();
}
