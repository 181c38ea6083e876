//! An album that somebody deletes while others still add to it: no photo goes out of sight.
#![cfg(unix)]

use std::{fs, time::Duration};

use crate::devices::{Device, Dice, Homes, Running, link, pair, pictures, wait_until};
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

/// Anna's laptop with its node, and Ben's phone, which adds to her album Summer.
fn shared(homes: &Homes) -> (Device, Running, Device) {
    let (a, b) = (homes.device("a"), homes.device("b"));
    a.init("Berger", "Anna", "laptop");
    a.ok(&["album", "create", "Summer"]);
    let node = a.serve();
    pair(&a, &["--person", "Ben"], &b, "phone", link);
    a.ok(&["share", "Summer", "Ben", "--role", "contributor"]);
    b.ok(&["sync"]);
    (a, node, b)
}

/// Imports a photo of its own into an album.
fn import(device: &Device, homes: &Homes, dice: &mut Dice, name: &str, album: &str) {
    let folder = homes.path().join(name);
    fs::create_dir(&folder).expect("a folder");
    let photo = folder.join(format!("{name}.bmp"));
    fs::write(photo, pictures::bmp(40, dice)).expect("a photo");
    let folder = folder.to_str().expect("UTF-8");
    device.ok(&["import", folder, "--album", album]);
}

/// The albums that a device tells of as ended, by `album list`.
fn ended(device: &Device) -> Vec<Value> {
    let lines = device.ok(&["album", "list"]);
    let ended = lines.into_iter().filter(|line| line["type"] == "ended");
    ended.map(|line| line["name"].clone()).collect()
}

fn problems(device: &Device) -> String {
    device.ok(&["status"])[0]["problems"].to_string()
}

#[test]
fn what_others_add_to_a_deleted_album_is_kept_in_their_libraries() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let (a, node, b) = shared(&homes);
    import(&b, &homes, &mut dice, "early", "Summer");
    import(&b, &homes, &mut dice, "twice", "Summer");
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
    import(&b, &homes, &mut dice, "late", "Summer");
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
    // He is told who did that, until he has read it.
    let told = problems(&b);
    let text = "The album \\\"Summer\\\" was deleted for everybody by Anna on ";
    assert!(told.contains(text), "{told}");
    assert_eq!((ended(&a), ended(&b)), (vec![], vec![json!("Summer")]));
    b.ok(&["--yes", "album", "leave", "Summer"]);
    assert!(ended(&b).is_empty() && !problems(&b).contains("was deleted"));
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

#[test]
fn a_running_device_keeps_its_photos_as_soon_as_it_hears_that_an_album_was_deleted() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let (a, node, b) = shared(&homes);
    import(&b, &homes, &mut dice, "early", "Summer");
    let bens = b.serve();
    wait_until("Anna has it", Duration::from_secs(60), || {
        a.assets()
            .iter()
            .any(|asset| asset["here"]["original"] == true)
    });
    a.ok(&["--yes", "album", "delete", "Summer"]);
    wait_until("the news is there", Duration::from_secs(60), || {
        ended(&b) == [json!("Summer")]
    });
    wait_until("it is in sight", Duration::from_secs(20), || {
        listed(&b) == [("early.bmp".to_owned(), json!(["Library"]))]
    });
    bens.stop();
    node.stop();
}
