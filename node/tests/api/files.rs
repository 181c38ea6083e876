//! Originals back as plain files.

use std::{collections::BTreeMap, fs, path::Path};

use heirloom_node::node::Options;
use heirloom_protocol::op::PartRole;
use serde_json::{Value, json};

use crate::world::{Home, Photo, Told, noise};

/// Every file below a folder, by its path there.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            files.insert(name.to_owned(), fs::read(&path).unwrap());
        }
    }
    files
}

fn names(root: &Path) -> Vec<String> {
    tree(root).into_keys().collect()
}

async fn export(home: &Home, dir: &Path, more: Value) -> Told {
    let mut body = json!({"dir": dir, "album": [], "layout": "album", "sidecars": "none"});
    for (field, value) in more.as_object().unwrap() {
        body[field] = value.clone();
    }
    home.ask("export", body).await
}

#[tokio::test]
async fn every_size_comes_back_byte_for_byte() {
    let home = Home::anna().await;
    let mut all = BTreeMap::new();
    for (seed, len) in [0, 1, 65_519, 65_520, 65_521, 300_000]
        .into_iter()
        .enumerate()
    {
        let name = format!("{len}.jpg");
        let bytes = noise(len, seed as u8);
        home.add("Family", &name, &bytes).await;
        all.insert(format!("Family/{name}"), bytes);
    }
    let out = home.dir.path().join("out");
    let told = export(&home, &out, json!({})).await;
    assert_eq!(told.done()["written"], 6);
    assert_eq!(told.done()["bytes"], 65_519 + 65_520 + 65_521 + 300_000 + 1);
    assert_eq!(tree(&out), all);
    let again = export(&home, &out, json!({})).await;
    assert_eq!(
        (&again.done()["written"], &again.done()["present"]),
        (&json!(0), &json!(6))
    );
    assert_eq!(tree(&out), all);
    // What was changed or taken away there comes back beside or in its place.
    fs::write(out.join("Family/1.jpg"), b"?").unwrap();
    fs::remove_file(out.join("Family/65521.jpg")).unwrap();
    let again = export(&home, &out, json!({})).await;
    assert_eq!(again.done()["written"], 2);
    assert_eq!(fs::read(out.join("Family/1.jpg")).unwrap(), b"?");
    assert_eq!(tree(&out)["Family/1 (2).jpg"], all["Family/1.jpg"]);
    assert_eq!(tree(&out)["Family/65521.jpg"], all["Family/65521.jpg"]);
}

#[tokio::test]
async fn a_live_photo_stays_together_where_names_clash() {
    let home = Home::anna().await;
    for (seed, wall) in [(1_u8, 1000), (2, 2000)] {
        let (still, motion) = (noise(10, seed), noise(20, seed));
        let files: [(PartRole, &str, &[u8]); 2] = [
            (PartRole::Still, "IMG_1.HEIC", &still),
            (PartRole::Motion, "IMG_1.MOV", &motion),
        ];
        home.add_parts("Family", Some(wall), &files).await;
    }
    home.add("Family", "img_1.mov", b"a movie").await;
    let out = home.dir.path().join("out");
    export(&home, &out, json!({})).await.done();
    let names = [
        "IMG_1 (2).HEIC",
        "IMG_1 (2).MOV",
        "IMG_1.HEIC",
        "IMG_1.MOV",
        "img_1 (3).mov",
    ];
    assert_eq!(
        self::names(&out),
        names.map(|name| format!("Family/{name}"))
    );
    assert_eq!(tree(&out)["Family/IMG_1.MOV"], noise(20, 1));
    assert_eq!(tree(&out)["Family/IMG_1 (2).MOV"], noise(20, 2));
}

#[tokio::test]
async fn the_same_photo_stands_once_in_each_album_and_once_by_date() {
    let home = Home::anna().await;
    let photo = Photo {
        name: "a.jpg",
        bytes: b"1",
        wall: Some(1_292_157_695_000),
    };
    let id = home.add_photo("Library", &photo).await.to_string();
    home.add_photo("Family", &photo).await;
    home.add("Family", "b.jpg", b"2").await;
    home.ask("album", json!({"do": "create", "name": "../Summer/"}))
        .await
        .done();
    home.ask(
        "album",
        json!({"do": "add", "album": "../Summer/", "ids": [id]}),
    )
    .await
    .done();
    let trashed = home.add("Family", "trashed.jpg", b"3").await.to_string();
    home.ask("trash", json!({"ids": [trashed]})).await.done();
    let out = home.dir.path().join("out");
    export(&home, &out.join("a"), json!({})).await.done();
    assert_eq!(
        names(&out.join("a")),
        [
            "Family/a.jpg",
            "Family/b.jpg",
            "Library/a.jpg",
            "_._Summer_/a.jpg"
        ]
    );
    export(&home, &out.join("d"), json!({"layout": "date"}))
        .await
        .done();
    assert_eq!(
        names(&out.join("d")),
        ["2010/2010-12/a.jpg", "undated/b.jpg"]
    );
    let modified = fs::metadata(out.join("d/2010/2010-12/a.jpg"))
        .unwrap()
        .modified()
        .unwrap();
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_millis(), 1_292_157_695_000);
    export(&home, &out.join("s"), json!({"album": ["Library"]}))
        .await
        .done();
    assert_eq!(names(&out.join("s")), ["Library/a.jpg"]);
    for (body, error) in [
        (json!({"album": ["Nowhere"]}), ("E-NOT-FOUND", 4)),
        (json!({"layout": "size"}), ("E-USAGE", 2)),
        (json!({"sidecars": "yaml"}), ("E-USAGE", 2)),
        (json!({"dir": "relative"}), ("E-USAGE", 2)),
    ] {
        assert_eq!(
            export(&home, &out, body.clone()).await.error(),
            error,
            "{body}"
        );
    }
}

#[tokio::test]
async fn names_that_attack_stay_in_the_folder() {
    let home = Home::anna().await;
    let long = format!("{}.jpg", "x".repeat(300));
    let hostile = [
        "../x",
        "/etc/x",
        "CON",
        "a\u{202e}gpj.exe",
        ".bashrc",
        "..",
        long.as_str(),
    ];
    for (seed, name) in hostile.iter().enumerate() {
        home.add("Family", name, &noise(10, seed as u8)).await;
    }
    let out = home.dir.path().join("out");
    let told = export(&home, &out, json!({"sidecars": "both"})).await;
    assert_eq!(told.done()["written"], hostile.len());
    let mut beside = fs::read_dir(home.dir.path()).unwrap();
    assert!(beside.all(|entry| {
        let name = entry.unwrap().file_name();
        name == "home" || name == "out"
    }));
    let files = names(&out);
    assert_eq!(files.len(), 3 * hostile.len(), "{files:?}");
    assert!(files.iter().all(|name| name.len() <= "Family/".len() + 255));
    for name in ["_._x", "_etc_x", "_CON", "a_gpj.exe", "_.bashrc", "unnamed"] {
        assert!(
            files.contains(&format!("Family/{name}")),
            "{name}: {files:?}"
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_not_followed_and_nothing_is_overwritten() {
    let home = Home::anna().await;
    home.add("Family", "a.jpg", b"new").await;
    let out = home.dir.path().join("out");
    let elsewhere = home.dir.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::create_dir_all(out.join("Family")).unwrap();
    let target = elsewhere.join("target");
    std::os::unix::fs::symlink(&target, out.join("Family/a.jpg")).unwrap();
    export(&home, &out, json!({})).await.done();
    assert!(!target.exists());
    assert_eq!(fs::read(out.join("Family/a (2).jpg")).unwrap(), b"new");
    let linked = home.dir.path().join("linked");
    fs::create_dir_all(&linked).unwrap();
    std::os::unix::fs::symlink(&elsewhere, linked.join("Family")).unwrap();
    let told = export(&home, &linked, json!({})).await;
    assert_eq!(told.error(), ("E-IO", 1));
    assert!(fs::read_dir(&elsewhere).unwrap().next().is_none());
}

#[tokio::test]
async fn sidecars_say_what_was_said_and_follow_it() {
    let home = Home::anna().await;
    let photo = Photo {
        name: "a.jpg",
        bytes: b"1",
        wall: Some(1_292_157_695_000),
    };
    let id = home.add_photo("Family", &photo).await.to_string();
    let caption = |text: &str| json!({"id": id, "text": text});
    home.ask("caption", caption("first <words> & \"more\""))
        .await
        .done();
    home.ask("tag", json!({"ids": [id], "add": ["sea"]}))
        .await
        .done();
    home.ask("favorite", json!({"ids": [id]})).await.done();
    let out = home.dir.path().join("out");
    let both = json!({"sidecars": "both"});
    export(&home, &out, both.clone()).await.done();
    let read =
        |ending: &str| fs::read_to_string(out.join(format!("Family/a.jpg{ending}"))).unwrap();
    let said: Value = serde_json::from_str(&read(".json")).unwrap();
    assert_eq!(said["description"], "first <words> & \"more\"");
    assert_eq!(said["photoTakenTime"]["timestamp"], "1292157695");
    assert_eq!(said["favorited"], true);
    assert_eq!(said["heirloom"]["tags"], json!(["sea"]));
    assert!(read(".xmp").contains("first &lt;words&gt; &amp; &quot;more&quot;"));
    assert!(read(".xmp").contains("exif:DateTimeOriginal=\"2010-12-12T12:41:35\""));
    let before = tree(&out);
    export(&home, &out, both.clone()).await.done();
    assert_eq!(tree(&out), before);
    home.ask("caption", caption("second")).await.done();
    // One of somebody else's stays, and ours stands beside it.
    fs::write(out.join("Family/a.jpg.xmp"), "<x/>").unwrap();
    export(&home, &out, both).await.done();
    let said: Value = serde_json::from_str(&read(".json")).unwrap();
    assert_eq!(said["description"], "second");
    assert_eq!(read(".xmp"), "<x/>");
    assert!(read(".heirloom.xmp").contains("second"));
    assert_eq!(names(&out).len(), 4);
}

#[tokio::test]
async fn what_is_not_here_or_damaged_is_named_and_the_rest_is_done() {
    let home = Home::anna().await;
    let ben = home
        .add_person("Ben", heirloom_protocol::op::Role::Member)
        .await;
    home.ask(
        "share",
        json!({"album": "Family", "person": "Ben", "role": "viewer"}),
    )
    .await
    .done();
    home.add("Family", "a.jpg", b"1").await;
    let phone = home.join(ben, "phone").await;
    let out = phone.dir.path().join("out");
    let told = export(&phone, &out, json!({})).await;
    assert_eq!((told.exit(), &told.last()["failed"]), (3, &json!(1)));
    assert_eq!(told.of("file")[0]["outcome"], "failed");
    assert!(names(&out).is_empty());

    let big = home
        .add("Family", "big.jpg", &noise(300_000, 1))
        .await
        .to_string();
    let blobs = home.dir.path().join("home/blobs");
    let (name, _) = tree(&blobs)
        .into_iter()
        .find(|(_, bytes)| bytes.len() > 300_000)
        .unwrap();
    let mut bytes = fs::read(blobs.join(&name)).unwrap();
    bytes[200_000] ^= 1;
    fs::write(blobs.join(&name), bytes).unwrap();
    let out = home.dir.path().join("out");
    let told = export(&home, &out, json!({})).await;
    assert_eq!((told.exit(), &told.last()["written"]), (9, &json!(1)));
    assert_eq!(names(&out), ["Family/a.jpg"]);
    let told = home
        .ask("get", json!({"ids": [big], "output": out.join("g")}))
        .await;
    // It was put aside, so it is not here any more.
    assert_eq!(told.exit(), 3);
    // And verify finds it, with the photo that it belongs to.
    let told = home.ask("verify", json!({"read_data": true})).await;
    assert_eq!((told.exit(), &told.last()["damaged"]), (9, &json!(1)));
    let damage = told.of("damage")[0];
    assert_eq!(
        (&damage["what"], &damage["asset"]),
        (&json!("blob"), &json!(big))
    );
    assert_eq!(told.last()["repaired"], 0);
}

#[tokio::test]
async fn get_writes_into_one_folder() {
    let home = Home::anna().await;
    let one = home.add("Family", "a.jpg", b"1").await.to_string();
    let two = home.add("Library", "a.jpg", b"2").await.to_string();
    let out = home.dir.path().join("out");
    let body = json!({"ids": [one[..10], two], "output": out});
    let told = home.ask("get", body.clone()).await;
    assert_eq!(told.done()["written"], 2);
    let paths: Vec<_> = told
        .of("file")
        .iter()
        .map(|line| line["path"].clone())
        .collect();
    assert_eq!(
        paths,
        [json!(out.join("a.jpg")), json!(out.join("a (2).jpg"))]
    );
    assert_eq!(home.ask("get", body).await.done()["present"], 2);
    assert_eq!(names(&out), ["a (2).jpg", "a.jpg"]);
    let missing = home
        .ask("get", json!({"ids": ["ffffffff"], "output": out}))
        .await;
    assert_eq!(missing.error(), ("E-NOT-FOUND", 4));
}

#[tokio::test]
async fn what_a_killed_export_left_is_cleared_away_and_what_another_writes_is_not() {
    let home = Home::anna().await;
    home.add("Family", "a.jpg", b"bytes").await;
    let out = tempfile::tempdir().unwrap();
    fs::create_dir(out.path().join("Family")).unwrap();
    let left = out.path().join("Family/.heirloom-part-1-0");
    let busy = out.path().join("Family/.heirloom-part-1-1");
    let others = out.path().join("Family/.heirloom");
    for path in [&left, &busy, &others] {
        fs::write(path, b"half of a photo").unwrap();
    }
    let writing = fs::File::open(&busy).unwrap();
    writing.lock().unwrap();
    export(&home, out.path(), json!({})).await.done();
    assert!(!left.exists());
    assert!(busy.exists() && others.exists());
    drop(writing);
    export(&home, out.path(), json!({})).await.done();
    assert!(!busy.exists());
    assert_eq!(names(out.path()), ["Family/.heirloom", "Family/a.jpg"]);
}

#[tokio::test]
async fn photos_in_clear_are_not_put_into_the_home_nor_the_home_taken_for_photos() {
    let home = Home::anna().await;
    let id = home.add("Family", "a.jpg", b"bytes").await.to_string();
    let inside = home.doorway.home().join("out/deep");
    let told = export(&home, &inside, json!({})).await;
    assert_eq!(told.error(), ("E-USAGE", 2));
    let told = export(&home, home.doorway.home(), json!({})).await;
    assert_eq!(told.error(), ("E-USAGE", 2));
    let body = json!({"ids": [id], "output": inside});
    assert_eq!(home.ask("get", body).await.error(), ("E-USAGE", 2));
    assert!(!inside.exists());

    let photo = [&[0xff, 0xd8, 0xff, 0xe0][..], &noise(500, 3)].concat();
    fs::write(home.dir.path().join("beside.jpg"), &photo).unwrap();
    fs::write(home.doorway.home().join("in-it.jpg"), &photo).unwrap();
    let around = home.dir.path().to_str().unwrap();
    let own = home.doorway.home().to_str().unwrap();
    for (path, added) in [(around, 1), (own, 0)] {
        let told = home.ask("import", json!({"paths": [path]})).await;
        assert_eq!(told.done()["added"], added, "{told:?}");
        let skipped: Vec<_> = told
            .of("file")
            .into_iter()
            .filter(|line| line["outcome"] == "skipped")
            .collect();
        assert_eq!(skipped.len(), 1, "{told:?}");
        assert_eq!(skipped[0]["path"], own);
    }
}

#[tokio::test]
async fn a_photo_of_which_nothing_can_be_read_now_is_not_taken_without_its_date() {
    let dir = Home::anna().await.close().await;
    let photo = [&[0xff, 0xd8, 0xff, 0xe0][..], &noise(500, 3)].concat();
    let path = dir.path().join("a.jpg");
    fs::write(&path, &photo).unwrap();
    let body = json!({"paths": [path.to_str().unwrap()]});
    let missing = Options {
        worker: (dir.path().join("nothing"), Vec::new()),
    };
    let home = Home::open_with(dir, missing).await;
    let told = home.ask("import", body.clone()).await;
    let counts = |told: &Told| ["added", "failed"].map(|field| told.last()[field].as_u64());
    assert_eq!(counts(&told), [Some(0), Some(1)], "{told:?}");
    assert_eq!(told.exit(), 3, "{told:?}");
    let reason = told.of("file")[0]["reason"].to_string();
    assert!(reason.contains("import it again"), "{reason}");
    assert_eq!(fs::read(&path).unwrap(), photo);
    // A worker that starts and says nothing may do so each time: the photo is kept, and it is said.
    let home = home.again().await;
    let told = home.ask("import", body.clone()).await;
    assert_eq!(counts(&told), [Some(1), Some(0)], "{told:?}");
    let reason = told.of("file")[0]["reason"].to_string();
    assert!(reason.contains("could not be read"), "{reason}");
}
