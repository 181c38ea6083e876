//! Recovery words, restores, and devices that are gone.

use super::*;

#[tokio::test]
async fn recovery_words_are_shown_once_or_written_to_a_file() {
    let made =
        "{\"type\":\"summary\",\"v\":1,\"act\":\"init\",\"recovery\":[\"abandon\",\"zoo\"]}\n";
    let line = ["init", "--family", "Ber\u{202e}ger", "--person", "Anna"];
    let done = run(&line, NOBODY, &[("init", made)]).await;
    assert!(
        done.out
            .starts_with("Made the family Ber\\u{202e}ger, with Anna on this device.\n"),
        "{}",
        done.out
    );
    assert!(
        done.out.contains("   1. abandon      2. zoo\n"),
        "{}",
        done.out
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("words.txt");
    let to_file: Vec<&str> = ["--json"]
        .iter()
        .chain(&line)
        .copied()
        .chain(["--recovery-out", path.to_str().expect("UTF-8")])
        .collect();
    let done = run(&to_file, NOBODY, &[("init", made)]).await;
    assert_eq!(done.end, Ok(0));
    assert!(done.out.contains("\"recovery\":null"), "{}", done.out);
    assert_eq!(
        std::fs::read_to_string(&path).expect("written"),
        "abandon zoo\n"
    );
    let again = run(&to_file, NOBODY, &[("init", made)]).await;
    assert_eq!(again.end, Err("E-IO".into()));
    assert!(
        again.asked.is_empty(),
        "the family was made although the words had nowhere to go"
    );
}

#[tokio::test]
async fn the_old_words_may_be_gone() {
    let replaced =
        "{\"type\":\"summary\",\"v\":1,\"act\":\"recovery\",\"recovery\":[\"abandon\"]}\n";
    let done = run(
        &["recovery", "replace"],
        typing("\n"),
        &[("recovery", replaced)],
    )
    .await;
    assert_eq!(done.body(), &json!({"do": "replace", "words": null}));
    assert!(done.out.contains("1. abandon"), "{}", done.out);
}

#[tokio::test]
async fn a_restore_takes_the_words_and_then_addresses_from_stdin() {
    let restored = r#"{"type":"reach","v":1,"device":"old","album":"Summer","assets":3}
{"type":"summary","v":1,"act":"recovery","family_name":"Ber\u202eger","person_name":"Anna","missing":2,"removed":["old"],"not_found":["new"],"exit":3}
"#;
    let line = [
        "recovery",
        "restore",
        "--remove-lost",
        "old",
        "--device",
        "tablet",
        "-",
    ];
    let stdin = "abandon zoo\n/ip4/10.0.0.2/tcp/4001\n/ip4/10.0.0.3/tcp/4001\n";
    let done = run(&line, typing(stdin), &[("recovery", restored)]).await;
    assert_eq!(done.end, Ok(3));
    assert_eq!(
        done.body(),
        &json!({
            "do": "restore", "words": "abandon zoo", "device": "tablet", "remove_lost": ["old"],
            "peers": ["/ip4/10.0.0.2/tcp/4001", "/ip4/10.0.0.3/tcp/4001"],
        })
    );
    assert!(
        done.out
            .contains("of Anna in the family Ber\\u{202e}ger again"),
        "{}",
        done.out
    );
    assert!(
        done.out
            .contains("old was removed.\nIt could read Summer: 3 items.\n"),
        "{}",
        done.out
    );
    assert!(
        done.out.contains("2 files are on no device"),
        "{}",
        done.out
    );
    assert!(done.err.contains("There is no device new"), "{}", done.err);
}

#[tokio::test]
async fn a_device_that_is_gone_already_is_told_with_its_day_and_nobody_is_asked() {
    let gone = r#"{"type":"summary","v":1,"act":"device","device":"ab","removed_before":true,"removed_at":"2026-11-27T10:00:00Z","lost":true}
"#;
    let line = ["device", "remove", "phone", "--lost"];
    let done = run(&line, NOBODY, &[("device", gone)]).await;
    assert_eq!(done.end, Ok(0), "{}", done.err);
    let asked: Vec<_> = done.asked.iter().map(|(_, body)| body).collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(
        (&asked[0]["do"], &asked[0]["lost"], &asked[1]["lost"]),
        (&json!("may"), &json!(true), &json!(true))
    );
    assert!(
        done.out.starts_with("phone was removed on 2026-11-27.\n"),
        "{}",
        done.out
    );
}
