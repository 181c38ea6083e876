//! Photos that come in, and originals that leave this device.

use super::*;

#[tokio::test]
async fn an_import_says_what_came_and_who_sees_it() {
    let imported = r#"{"type":"file","v":1,"path":"/p/a.jpg","outcome":"added","asset":"ab"}
{"type":"file","v":1,"path":"/p/b.jpg","outcome":"failed","asset":null,"reason":"it cannot be read"}
{"type":"summary","v":1,"act":"import","added":1204,"present":3,"paired":0,"skipped":0,"failed":1,"bytes":2300000000,"album":"Summer","seen_by":["Ben","Carla"],"exit":3}
"#;
    let done = run(
        &["import", "/p", "--album", "Summer"],
        NOBODY,
        &[("import", imported)],
    )
    .await;
    assert_eq!(done.end, Ok(3));
    assert_eq!(
        done.out,
        "Imported 1,204 photos and videos (2.3 GB); 3 already here and 1 not readable.\n\
         They are in the album Summer, which Ben and Carla can see too.\n"
    );
    assert!(
        done.err
            .starts_with("failed: /p/b.jpg: it cannot be read\n"),
        "{}",
        done.err
    );
}

#[tokio::test]
async fn an_import_of_what_was_deleted_says_so_and_how_it_comes_back() {
    let summary = |trashed: u8, purged: u8| {
        format!(
            "{{\"type\":\"summary\",\"v\":1,\"act\":\"import\",\"added\":0,\"present\":{},\"skipped\":{purged},\"bytes\":0,\"trashed\":{trashed},\"purged\":{purged}}}\n",
            trashed + 1
        )
    };
    for (trashed, purged, out, err) in [
        (
            1,
            0,
            "1 already here and 1 in the trash",
            "1 is in the trash, which empties itself: the same import with --restore brings it back.",
        ),
        (
            0,
            2,
            "1 already here and 2 deleted for good",
            "2 were deleted for good: the same import with --restore brings them back.",
        ),
        (
            2,
            1,
            "1 already here, 2 in the trash and 1 deleted for good",
            "2 are in the trash, which empties itself, and 1 was deleted for good: the same import with --restore brings them back.",
        ),
    ] {
        let told = summary(trashed, purged);
        let done = run(&["import", "/p"], NOBODY, &[("import", &told)]).await;
        let says = format!("Imported 0 photos and videos (0 B); {out}.\n");
        assert_eq!(done.out, says);
        assert!(done.err.contains(err), "{}", done.err);
    }
}

#[tokio::test]
async fn an_import_of_what_somebody_else_alone_can_bring_back_promises_nothing() {
    let summary = "{\"type\":\"summary\",\"v\":1,\"act\":\"import\",\"added\":0,\"present\":2,\"bytes\":0,\"trashed\":2,\"out_of_reach\":1,\"purged\":0}\n";
    let reach =
        "1 is in the trash, which empties itself: the same import with --restore brings it back.";
    let beyond = "1 is in the trash, which empties itself, and you cannot bring it back: who added it, or a manager of the album, can with heirloom restore. Until then, keep the file, or add it to another album: the same import with --album NAME.";
    for (more, is_hinted) in [(None, true), (Some("--restore"), false)] {
        let line: Vec<&str> = ["import", "/p"].into_iter().chain(more).collect();
        let done = run(&line, NOBODY, &[("import", summary)]).await;
        assert!(done.out.contains("2 in the trash"), "{}", done.out);
        assert!(done.err.contains(beyond), "{}", done.err);
        assert_eq!(done.err.contains(reach), is_hinted, "{}", done.err);
    }
}

#[tokio::test]
async fn nobody_is_said_to_see_nothing_where_each_folder_has_an_album() {
    let imported = "{\"type\":\"summary\",\"v\":1,\"act\":\"import\",\"added\":2,\"present\":0,\"paired\":0,\"skipped\":0,\"failed\":0,\"bytes\":2000,\"album\":null,\"seen_by\":[]}\n";
    let line = ["import", "/p", "--album-per-folder"];
    let done = run(&line, NOBODY, &[("import", imported)]).await;
    assert!(!done.out.contains("only you"), "{}", done.out);
    assert!(done.out.contains("heirloom album list"), "{}", done.out);
    let done = run(&line[..2], NOBODY, &[("import", imported)]).await;
    assert!(done.out.contains("which only you can see"), "{}", done.out);
}

#[tokio::test]
async fn an_import_names_the_albums_that_photos_went_into() {
    let summary = |added: u8, albums: &str| {
        format!(
            "{{\"type\":\"summary\",\"v\":1,\"act\":\"import\",\"added\":{added},\"bytes\":3000,\"album\":null,\"seen_by\":[],\"albums\":[{albums}]}}\n"
        )
    };
    let lake = r#"{"album":"Lake","added":1,"put":0,"put_bytes":0,"seen_by":[]}"#;
    let hill = r#"{"album":"Hill","added":1,"put":1,"put_bytes":3000,"seen_by":["Ben"]}"#;
    let library = r#"{"album":null,"added":2,"put":0,"put_bytes":0,"seen_by":[]}"#;
    let named = ["Sea", "Wood", "City"].map(|name| lake.replace("Lake", name));
    for (added, albums, says) in [
        (
            1,
            lake.to_owned(),
            "Imported 1 photo or video (3.0 kB).\nIt is in the album Lake, which only you can see.\n",
        ),
        (
            1,
            hill.to_owned(),
            "Imported 0 photos and videos (0 B); 1 put into the album Hill.\n\
             Ben can see the album Hill too.\n",
        ),
        (
            4,
            [lake, hill, library].join(","),
            "Imported 3 photos and videos (0 B); 1 put into the album Hill.\n\
             1 is in the album Lake, which only you can see.\n\
             2 are in your library, which only you can see.\n\
             Ben can see the album Hill too.\n",
        ),
        (
            4,
            [lake, &named.join(",")].join(","),
            "Imported 4 photos and videos (3.0 kB).\n\
             They are in 4 albums; heirloom album list says who sees each.\n",
        ),
    ] {
        let told = summary(added, &albums);
        let done = run(&["import", "/p"], NOBODY, &[("import", &told)]).await;
        assert_eq!(done.out, says);
    }
    // What is only planned is said of the same albums.
    let told = summary(4, &[lake, hill, library].join(","));
    let line = ["import", "/p", "--dry-run"];
    let done = run(&line, NOBODY, &[("import", &told)]).await;
    assert_eq!(
        done.out,
        "Would import 3 photos and videos (0 B); 1 put into the album Hill.\n\
         1 would be in the album Lake, which only you can see.\n\
         2 would be in your library, which only you can see.\n\
         Ben could see the album Hill too.\n"
    );
}

#[tokio::test]
async fn what_stays_for_the_same_reason_is_told_once() {
    let line = |name: &str, reason: &str| {
        format!(
            "{{\"type\":\"original\",\"v\":1,\"name\":\"{name}\",\"outcome\":\"kept\",\"reason\":\"{reason}\"}}\n"
        )
    };
    let mut lines: String = (0..1200)
        .map(|n| line(&format!("{n}.jpg"), "pi is not in reach"))
        .collect();
    lines += &line("b.jpg", "one is needed");
    lines += "{\"type\":\"summary\",\"v\":1,\"act\":\"offload\",\"dropped\":0,\"kept\":1201,\"bytes\":0,\"dry_run\":true}\n";
    let answers = [("offload", lines.as_str())];
    let done = run(&["offload", "--dry-run"], NOBODY, &answers).await;
    assert_eq!(
        done.err,
        "stays here: b.jpg: one is needed\n\
         1,200 stay here (0.jpg, 1.jpg, 2.jpg and 1,197 more), each for this: pi is not in reach\n\
         hint: heirloom offload -v names every photo that stays\n"
    );
    let done = run(&["offload", "--dry-run", "-v"], NOBODY, &answers).await;
    assert_eq!(done.err.lines().count(), 1201, "{}", done.err);
    assert!(
        done.err
            .contains("stays here: 1199.jpg: pi is not in reach\n"),
        "{}",
        done.err
    );
}

#[tokio::test]
async fn how_many_copies_are_wanted_is_said_to_hold_on_one_device() {
    let set = r#"{"type":"summary","v":1,"act":"keep","copies_wanted":3,"device_name":"laptop"}
"#;
    let line = ["keep", "set", "--copies", "3"];
    let done = run(&line, NOBODY, &[("keep", set)]).await;
    assert!(
        done.out
            .contains("when 3 devices that keep everything hold it"),
        "{}",
        done.out
    );
    assert!(
        done.err
            .contains("This holds on laptop alone: give it on your other devices too.\n"),
        "{}",
        done.err
    );
}

#[tokio::test]
async fn an_import_that_put_an_original_back_says_so() {
    let summary = |put_back: u8, present: u8| {
        format!(
            "{{\"type\":\"summary\",\"v\":1,\"act\":\"import\",\"added\":0,\"present\":{present},\"put_back\":{put_back},\"bytes\":0}}\n"
        )
    };
    for (put_back, present, says) in [
        (
            1,
            1,
            "Imported 0 photos and videos (0 B); 1 put back: its original was damaged or missing here.\n",
        ),
        (
            2,
            5,
            "Imported 0 photos and videos (0 B); 2 put back: their originals were damaged or missing here and 3 already here.\n",
        ),
    ] {
        let told = summary(put_back, present);
        let done = run(&["import", "/p"], NOBODY, &[("import", &told)]).await;
        assert_eq!(done.out, says);
    }
}

#[tokio::test]
async fn the_trash_says_what_was_there_already_and_a_purge_what_undoes_it() {
    let summary = |act: &str, more: &str| {
        format!("{{\"type\":\"summary\",\"v\":1,\"act\":\"{act}\",{more}}}\n")
    };
    for (act, more, says) in [
        (
            "trash",
            "\"changed\":0,\"already\":1",
            "1 item is in the trash already; nothing was changed.\n",
        ),
        (
            "trash",
            "\"changed\":1,\"already\":2",
            "Moved 1 item to the trash, for 30 days; 2 were there already.\n",
        ),
        (
            "restore",
            "\"changed\":0,\"already\":2",
            "2 items are not in the trash; nothing was changed.\n",
        ),
        (
            "restore",
            "\"changed\":1,\"already\":1",
            "Brought back 1 item; 1 was not in the trash.\n",
        ),
    ] {
        let told = summary(act, more);
        let done = run(&[act, "abcd"], NOBODY, &[(act, &told)]).await;
        assert_eq!(done.out, says);
    }
    let undo = "heirloom undo laptop --since 2026-11-28T00:40";
    let told = summary("purge", &format!("\"changed\":1,\"undo\":\"{undo}\""));
    let done = run(&["purge", "abcd", "--yes"], NOBODY, &[("purge", &told)]).await;
    assert!(
        done.err
            .contains(&format!("brings back what was deleted: {undo}\n")),
        "{}",
        done.err
    );
    // Undo is named where it brings something back, and nowhere else.
    for (more, says, not) in [
        (
            format!("\"changed\":1,\"undo\":\"{undo}\",\"away\":1,\"undo_on\":[\"attic\"]"),
            format!("until then this brings it back on attic: {undo}\n"),
            "brings back what",
        ),
        (
            "\"changed\":1,\"undo\":null,\"away\":1,\"undo_on\":[]".to_owned(),
            "only a card, a phone or a backup does (heirloom import --restore).\n".to_owned(),
            "heirloom undo",
        ),
        (
            format!("\"changed\":2,\"undo\":\"{undo}\",\"away\":1,\"undo_on\":[\"attic\"]"),
            "1 of them has no original on this device: the same command brings that back on attic.\n".to_owned(),
            "brings back what was deleted",
        ),
    ] {
        let told = summary("purge", &more);
        let done = run(&["purge", "abcd", "--yes"], NOBODY, &[("purge", &told)]).await;
        assert!(done.err.contains(&says), "{}", done.err);
        assert!(!done.err.contains(not), "{}", done.err);
    }
}
