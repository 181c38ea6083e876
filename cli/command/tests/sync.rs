//! What a sync says that came to its end, and one that did not; and where other devices are.

use super::*;

const COUNTS: &str = r#""peers":1,"entries_sent":0,"entries_received":2,"blobs_sent":0,"blobs_received":1,"bytes_sent":0,"bytes_received":3000000"#;

async fn synced(fields: &str) -> Done {
    let summary = format!("{{\"type\":\"summary\",\"v\":1,\"act\":\"sync\",{COUNTS},{fields}}}\n");
    run(&["sync"], NOBODY, &[("sync", &summary)]).await
}

#[tokio::test]
async fn a_sync_that_did_not_settle_says_what_is_left_and_with_whom() {
    let left = r#""settled":false,"exit":75,"stuck":true,"left":[
        {"name":"desk","connected":true,"entries":1,"files_to_get":1204,"files_to_give":3},
        {"name":"attic","connected":true,"entries":0,"files_to_get":0,"files_to_give":0},
        {"name":"pi","connected":false,"entries":0,"files_to_get":1,"files_to_give":0}]"#
        .replace('\n', "");
    let done = synced(&left).await;
    assert_eq!(done.end, Ok(75));
    assert_eq!(
        done.out,
        "Exchanged with 1 device: 3.0 MB received, 0 B sent.\n\
         Still to come from desk: 1,204 files and 1 entry, with what it names.\n\
         Still to go to desk: 3 files.\n\
         attic was not done: what it and this device still lack is not known yet.\n\
         Still to come from pi: 1 file.\n\
         pi is not in reach any more.\n"
    );
    for words in [
        "nothing has moved for a while",
        "heirloom serve",
        "heirloom doctor",
    ] {
        assert!(done.err.contains(words), "{}", done.err);
    }
}

#[tokio::test]
async fn a_sync_whose_time_was_over_is_said_to_go_on() {
    let left = r#""settled":false,"exit":75,"stuck":false,"left":[{"name":"desk","connected":true,"entries":0,"files_to_get":2,"files_to_give":0}]"#;
    let done = synced(left).await;
    assert!(
        done.out.contains("Still to come from desk: 2 files.\n"),
        "{}",
        done.out
    );
    assert!(
        done.err.contains("goes on where this stopped"),
        "{}",
        done.err
    );
    assert!(!done.err.contains("doctor"), "{}", done.err);
    // An older node says no more than that it did not settle.
    let done = synced(r#""settled":false,"exit":75"#).await;
    assert!(done.err.contains("heirloom doctor"), "{}", done.err);
    let done = synced(r#""settled":true"#).await;
    assert_eq!((done.end, done.err.as_str()), (Ok(0), ""));
}

#[tokio::test]
async fn a_sync_whose_time_was_over_on_a_full_disk_says_so() {
    let left = r#""settled":false,"exit":75,"stuck":false,"without_room":1,"left":[{"name":"desk","connected":true,"entries":0,"files_to_get":2,"files_to_give":0}]"#;
    let done = synced(left).await;
    assert_eq!(done.end, Ok(75));
    let full = "The disk of this device is full: 1 file has no room here.\n";
    assert!(done.out.ends_with(full), "{}", done.out);
    assert!(done.err.contains("make room"), "{}", done.err);
}

#[tokio::test]
async fn a_folder_says_how_many_of_its_files_wait_for_room() {
    let lines = r#"{"type":"watch","v":1,"dir":"/in","album":"A","there":true,"left_out":0}
{"type":"watch","v":1,"dir":"/on","album":"A","there":true,"left_out":6}
{"type":"summary","v":1,"act":"watch","count":2}
"#;
    let done = run(&["watch", "list"], NOBODY, &[("watch", lines)]).await;
    assert_eq!(
        done.out,
        "/in is followed, into A.\n\
         /on is followed, into A.\n\
         6 files of it were left out as the disk is full: they come by themselves once there is room.\n"
    );
}

#[tokio::test]
async fn the_port_of_a_caller_is_not_shown_as_a_place_to_call() {
    let lines = r#"{"type":"peer","v":1,"device":"d1","name":"desk","addr":"/ip4/192.168.1.5/tcp/51234","called_from":"192.168.1.5","reachable":false,"path":"lan","rtt_ms":2,"rate":0}
{"type":"peer","v":1,"device":"d2","name":"pi","addr":"/ip4/192.168.1.6/tcp/4242","called_from":"192.168.1.6","reachable":true,"path":"lan","rtt_ms":2,"rate":0}
{"type":"summary","v":1,"act":"peer","peers":2,"others":2}
"#;
    let done = run(&["peer", "list"], NOBODY, &[("peer", lines)]).await;
    assert!(
        done.out.contains("(it called from 192.168.1.5)\n"),
        "{}",
        done.out
    );
    assert!(!done.out.contains("51234"), "{}", done.out);
    assert!(
        done.out.contains("/ip4/192.168.1.6/tcp/4242\n"),
        "{}",
        done.out
    );
}
