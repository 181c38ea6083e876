//! That commands ask for what they were told to and say what they were answered.

mod photos;
mod recovery;
mod sync;

use std::ffi::OsString;

use super::*;
use crate::{
    args,
    door::recorded,
    ui::{Manner, Terminal, recorded as streams},
};

/// What a command did.
struct Done {
    /// The exit code, or the id of the error.
    end: Result<u8, String>,
    out: String,
    err: String,
    asked: Vec<(String, Value)>,
}

impl Done {
    fn body(&self) -> &Value {
        &self.asked.first().expect("a request").1
    }
}

struct Person {
    input: &'static str,
    terminal: Terminal,
}

const NOBODY: Person = Person {
    input: "",
    terminal: Terminal {
        input: false,
        out: false,
        err: false,
    },
};

fn typing(input: &'static str) -> Person {
    Person {
        input,
        terminal: Terminal {
            input: true,
            ..Terminal::default()
        },
    }
}

fn piping(input: &'static str) -> Person {
    Person { input, ..NOBODY }
}

async fn run(line: &[&str], person: Person, answers: &[(&str, &str)]) -> Done {
    let line: Vec<OsString> = ["heirloom"]
        .iter()
        .chain(line)
        .map(OsString::from)
        .collect();
    let Ok(cli) = args::parse(&line, false) else {
        panic!("{line:?} is not understood");
    };
    let manner = Manner {
        json: cli.global.json,
        quiet: cli.global.quiet,
        yes: cli.global.yes,
        verbose: cli.global.verbose > 0,
        ..Manner::default()
    };
    let (mut ui, out, err) = streams::ui(manner, person.terminal, person.input);
    let (door, asked) = recorded::door(answers);
    let mut talk = Talk {
        home: "/nowhere".into(),
        ui: &mut ui,
        door: Some(door),
    };
    let end = dispatch(cli.command, &mut talk)
        .await
        .map_err(|error| error.id().to_owned());
    Done {
        end,
        out: out.text(),
        err: err.text(),
        asked: asked.acts(),
    }
}

const INVITED: &str = r#"{"type":"invite","v":1,"code":"heirloom:join/xyz","words":["orbit","walnut"],"expires":"2024-01-01T00:00:00Z"}
{"type":"confirm","v":1,"words":["river","copper","napkin","amused"],"ask":"Let it join as a device of Anna?","token":"t1"}
{"type":"summary","v":1,"act":"invite","device":"ab12cd34ef","device_name":"hallway-pi","person":"p"}
"#;
const ACCEPTED: &str = "{\"type\":\"summary\",\"v\":1,\"act\":\"confirm\"}\n";

#[tokio::test]
async fn an_invite_shows_its_code_and_joins_after_a_yes() {
    let answers = [("invite", INVITED), ("confirm", ACCEPTED)];
    let done = run(&["invite", "--device"], typing("y\n"), &answers).await;
    assert_eq!(done.end, Ok(0));
    assert_eq!(
        done.out,
        "Code:  orbit walnut\nLink:  heirloom:join/xyz\nJoined: hallway-pi.\n"
    );
    assert!(
        done.err.contains("(2 words, valid 24 hours, one use)"),
        "{}",
        done.err
    );
    for (afar, says) in [
        ("proved", "from another home use the link."),
        ("untried", "nobody has come in yet"),
        ("none", "this device is not reached from outside"),
    ] {
        let field = format!("\"from_afar\":\"{afar}\",\"words\"");
        let invited = INVITED.replacen("\"words\"", &field, 1);
        let answers = [("invite", invited.as_str()), ("confirm", ACCEPTED)];
        let done = run(&["invite", "--device"], typing("y\n"), &answers).await;
        assert!(done.err.contains(says), "{}", done.err);
    }
    let elsewhere = "\"from_afar\":\"none\",\"invite_on\":\"hallway-pi\",\"words\"";
    let invited = INVITED.replacen("\"words\"", elsewhere, 1);
    let answers = [("invite", invited.as_str()), ("confirm", ACCEPTED)];
    let done = run(&["invite", "--device"], typing("y\n"), &answers).await;
    let says = "For another home invite on hallway-pi instead, which is.";
    assert!(done.err.contains(says), "{}", done.err);
    assert!(done.err.contains(
        "Both screens show:  river copper napkin amused\nLet it join as a device of Anna? [y/N] "
    ));
    let want = json!({"device": true, "person": null, "keeper": null, "role": "member", "album": [], "valid": "24h"});
    assert_eq!(done.body(), &want);
    assert_eq!(
        done.asked[1],
        ("confirm".into(), json!({"token": "t1", "accept": true}))
    );
}

#[tokio::test]
async fn who_answers_at_an_address_is_named_and_who_was_not_called_is_looked_for() {
    let summary = |fields: &str| format!("{{\"type\":\"summary\",\"v\":1{fields}}}\n");
    let answered = summary(",\"answered\":true,\"name\":\"hallway-pi\"");
    let place = "/ip4/203.0.113.7/tcp/4001";
    for (answer, says) in [
        (
            answered,
            "hallway-pi answers there; this address is kept.\n".to_owned(),
        ),
        (summary(""), format!("Will look for a device at {place}.\n")),
    ] {
        let answers = [("peer", answer.as_str())];
        let done = run(&["peer", "add", place], typing(""), &answers).await;
        assert_eq!(done.out, says);
    }
}

#[tokio::test]
async fn a_no_is_passed_on_to_the_node() {
    let refused = "{\"type\":\"confirm\",\"v\":1,\"words\":[],\"token\":\"t\"}\n\
                   {\"type\":\"error\",\"v\":1,\"id\":\"E-REFUSED\",\"message\":\"you said no\",\"hint\":null}\n";
    let answers = [("invite", refused), ("confirm", ACCEPTED)];
    let done = run(&["invite", "--device"], typing("n\n"), &answers).await;
    assert_eq!(done.end, Err("E-REFUSED".into()));
    assert_eq!(done.asked[1].1["accept"], false);
}

#[tokio::test]
async fn an_invite_that_nobody_can_accept_is_never_made() {
    let done = run(&["invite", "--device"], NOBODY, &[("invite", INVITED)]).await;
    assert_eq!(done.end, Err("E-USAGE".into()));
    assert!(done.asked.is_empty());
    let done = run(
        &["--yes", "invite", "--device"],
        NOBODY,
        &[("invite", INVITED), ("confirm", ACCEPTED)],
    )
    .await;
    assert_eq!(done.end, Ok(0));
    assert_eq!(done.asked[1].1["accept"], true);
}

#[tokio::test]
async fn a_program_gets_the_lines_and_nothing_else() {
    let answers = [("invite", INVITED), ("confirm", ACCEPTED)];
    let done = run(&["--json", "--yes", "invite", "--device"], NOBODY, &answers).await;
    assert_eq!(done.err, "");
    let want: Vec<&str> = INVITED.lines().collect();
    let got: Vec<&str> = done.out.lines().collect();
    assert_eq!((got[0], got[2]), (want[0], want[2]));
    assert!(
        got[1].contains("river") && !got[1].contains("token"),
        "{}",
        got[1]
    );
}

const JOINED: &str = "{\"type\":\"summary\",\"v\":1,\"act\":\"join\",\"family_name\":\"Berger\",\"person_name\":\"Anna\",\"words\":[]}\n";

#[tokio::test]
async fn a_code_comes_from_the_person_or_from_stdin_and_never_from_arguments() {
    let typed = run(&["join"], typing("orbit walnut \n"), &[("join", JOINED)]).await;
    assert_eq!(typed.end, Ok(0));
    assert_eq!(typed.body()["code"], "orbit walnut");
    assert_eq!(typed.out, "Joined the family Berger as a device of Anna.\n");
    assert!(typed.err.starts_with("Code: "));
    let piped = run(
        &["join", "-"],
        piping("heirloom:join/xyz\nmore"),
        &[("join", JOINED)],
    )
    .await;
    assert_eq!(piped.body()["code"], "heirloom:join/xyz");
    for (line, person, end) in [
        (&["join"][..], NOBODY, "E-CODE"),
        (&["join", "-"], NOBODY, "E-CODE"),
        (&["recovery", "restore", "-"], NOBODY, "E-CODE"),
        (&["recovery", "replace", "-"], NOBODY, "E-CODE"),
        (&["join", "orbit", "walnut"], typing(""), "E-USAGE"),
    ] {
        let refused = run(line, person, &[("join", JOINED)]).await;
        assert_eq!(refused.end, Err(end.into()), "{line:?}");
        assert!(refused.asked.is_empty());
    }
}

#[tokio::test]
async fn without_a_terminal_the_code_and_the_yes_are_read_from_stdin() {
    let both = format!(
        "{}{JOINED}",
        "{\"type\":\"confirm\",\"v\":1,\"words\":[\"river\"],\"token\":\"t\"}\n"
    );
    let answers = [("join", both.as_str()), ("confirm", ACCEPTED)];
    for (typed, end, accept) in [
        ("orbit walnut\ny\n", Ok(0), true),
        ("orbit walnut\nn\n", Ok(0), false),
        ("orbit walnut\n", Err("E-USAGE".into()), false),
    ] {
        let done = run(&["join"], piping(typed), &answers).await;
        assert_eq!(done.end, end, "{typed:?}");
        assert_eq!(done.body()["code"], "orbit walnut");
        assert_eq!(done.asked[1].1["accept"], accept, "{typed:?}");
    }
}

#[tokio::test]
async fn the_exit_code_is_the_nodes_and_is_not_printed() {
    let damaged = "{\"type\":\"damage\",\"v\":1,\"what\":\"blob\",\"id\":\"0123456789\",\"asset\":null,\"problem\":\"wrong hash\"}\n\
                   {\"type\":\"summary\",\"v\":1,\"act\":\"verify\",\"checked\":12,\"damaged\":1,\"repaired\":0,\"exit\":9}\n";
    let done = run(&["verify", "--read-data"], NOBODY, &[("verify", damaged)]).await;
    assert_eq!(done.end, Ok(9));
    assert_eq!(
        done.out,
        "damaged: blob 01234567: wrong hash\nChecked 12 things: 1 damaged or missing.\n"
    );
    let done = run(&["--json", "verify"], NOBODY, &[("verify", damaged)]).await;
    assert_eq!(done.end, Ok(9));
    assert!(!done.out.contains("exit"), "{}", done.out);
}

#[tokio::test]
async fn an_answer_without_an_end_is_an_error() {
    let done = run(
        &["list"],
        NOBODY,
        &[("list", "{\"type\":\"asset\",\"v\":1}\n")],
    )
    .await;
    assert_eq!(done.end, Err("E-NODE-GONE".into()));
}

#[tokio::test]
async fn what_cannot_be_undone_needs_a_yes() {
    let summary = "{\"type\":\"summary\",\"v\":1}\n";
    for (line, act) in [
        (&["purge", "abcd"][..], "purge"),
        (&["album", "delete", "A"], "album"),
        (&["album", "leave", "A"], "album"),
        (&["people", "remove", "Ben"], "people"),
        (&["device", "remove", "phone"], "device"),
        (&["offload"], "offload"),
    ] {
        // A device is asked about first, which changes nothing.
        let answers = &[(act, summary)][..];
        assert_eq!(
            run(line, NOBODY, answers).await.end,
            Err("E-USAGE".into()),
            "{line:?}"
        );
        let no = run(line, typing("n\n"), answers).await;
        assert_eq!(no.end, Err("E-NOT-CONFIRMED".into()), "{line:?}");
        let changes_nothing = |body: &Value| body["do"] == "may";
        assert!(no.asked.iter().all(|(_, body)| changes_nothing(body)));
        assert_eq!(
            run(line, typing("y\n"), answers).await.end,
            Ok(0),
            "{line:?}"
        );
        let yes: Vec<&str> = ["--yes"].iter().chain(line).copied().collect();
        assert_eq!(run(&yes, NOBODY, answers).await.end, Ok(0), "{line:?}");
    }
}

#[tokio::test]
async fn nobody_is_asked_about_what_is_refused_anyway() {
    let refused = "{\"type\":\"error\",\"v\":1,\"id\":\"E-NOT-ALLOWED\",\"message\":\"whoever made an album cannot leave it\",\"exit\":1}\n";
    for act in ["leave", "delete"] {
        let answers = &[("album", refused)][..];
        let done = run(&["album", act, "A"], typing("y\n"), answers).await;
        assert_eq!(done.end, Err("E-NOT-ALLOWED".into()));
        assert_eq!(done.err, "");
        assert_eq!(done.asked.len(), 1);
    }
}

#[tokio::test]
async fn every_request_carries_its_arguments() {
    let here = std::env::current_dir().expect("a folder");
    let here = |name: &str| here.join(name).to_str().expect("UTF-8").to_owned();
    let cases: Vec<(&[&str], &str, Value)> = vec![
        (
            &["import", "a", "/b", "--album", "A"],
            "import",
            json!({"paths": [here("a"), "/b"], "album": "A", "album_per_folder": false, "dry_run": false, "since": null, "restore": false}),
        ),
        (
            &["list", "--taken", "2023-05", "--type", "photo"],
            "list",
            json!({"album": null, "taken": "2023-05", "type": "photo", "only_here": false, "trashed": false}),
        ),
        (
            &["find", "two", "words"],
            "find",
            json!({"words": "two words"}),
        ),
        (
            &["get", "abcd", "-o", "out"],
            "get",
            json!({"ids": ["abcd"], "output": here("out")}),
        ),
        (
            &["export", "out"],
            "export",
            json!({"dir": here("out"), "album": [], "layout": "album", "sidecars": "json"}),
        ),
        (
            &["caption", "abcd", "text"],
            "caption",
            json!({"id": "abcd", "text": "text"}),
        ),
        (
            &["favorite", "abcd", "--remove"],
            "favorite",
            json!({"ids": ["abcd"], "remove": true}),
        ),
        (
            &["retake", "abcd", "--shift", "-1h"],
            "retake",
            json!({"ids": ["abcd"], "at": null, "shift": "-1h"}),
        ),
        (
            &["watch", "add", "in", "--album", "A"],
            "watch",
            json!({"do": "add", "dir": here("in"), "album": "A"}),
        ),
        (
            &["tag", "abcd", "--add", "T"],
            "tag",
            json!({"ids": ["abcd"], "add": ["T"], "remove": []}),
        ),
        (
            &["trash", "abcd"],
            "trash",
            json!({"ids": ["abcd"], "album": null}),
        ),
        (
            &["album", "add", "A", "abcd"],
            "album",
            json!({"do": "add", "album": "A", "ids": ["abcd"]}),
        ),
        (
            &["share", "A", "Ben"],
            "share",
            json!({"album": "A", "person": "Ben", "role": "contributor"}),
        ),
        (&["people", "list"], "people", json!({"do": "list"})),
        (
            &["device", "policy", "D", "cache", "--limit", "50G"],
            "device",
            json!({"do": "policy", "device": "D", "policy": "cache", "limit": 50_000_000_000_u64}),
        ),
        (
            &["peer", "add", "/ip4/1.2.3.4/tcp/5"],
            "peer",
            json!({"do": "add", "addr": "/ip4/1.2.3.4/tcp/5"}),
        ),
        (&["status", "--check"], "status", json!({"check": true})),
        (
            &["sync", "--timeout", "10m"],
            "sync",
            json!({"timeout": "10m"}),
        ),
        (
            &["config", "set", "k", "v"],
            "config",
            json!({"do": "set", "key": "k", "value": "v"}),
        ),
        (&["words"], "words", json!({})),
        (&["doctor"], "doctor", json!({})),
    ];
    for (line, act, body) in cases {
        let done = run(line, NOBODY, &[(act, "{\"type\":\"summary\",\"v\":1}\n")]).await;
        assert_eq!(done.end, Ok(0), "{line:?}");
        assert_eq!(done.asked, [(act.to_owned(), body)]);
    }
}

#[tokio::test]
async fn a_list_is_one_line_for_each_photo() {
    let listed = r#"{"type":"asset","v":1,"id":"3f2a91c0ffee","name":"IMG\n1.JPG","taken":"2023-05-14T12:41:35","bytes":3400000,"copies":2,"favorite":true,"caption":"Beach"}
{"type":"asset","v":1,"id":"77e01b52ffee","name":"clip.mp4","taken":null,"bytes":12,"copies":["a"],"favorite":false,"caption":""}
{"type":"summary","v":1,"act":"list"}
"#;
    let done = run(&["list"], NOBODY, &[("list", listed)]).await;
    assert_eq!(
        done.out,
        "3f2a91c0  2023-05-14 12:41    3.4 MB  2 copies   IMG\\n1.JPG  *  \"Beach\"\n\
         77e01b52  no date               12 B  1 copy     clip.mp4\n"
    );
    assert_eq!(done.err, "2 items.\n");
}

#[tokio::test]
async fn one_photo_is_told_of_as_one() {
    let imported = r#"{"type":"summary","v":1,"act":"import","added":1,"bytes":2300}
"#;
    let answers = [("import", imported)];
    assert_eq!(
        run(&["import", "/p"], NOBODY, &answers).await.out,
        "Imported 1 photo or video (2.3 kB).\nIt is in your library, which only you can see.\n"
    );
    assert_eq!(
        run(&["import", "/p", "--dry-run"], NOBODY, &answers)
            .await
            .out,
        "Would import 1 photo or video (2.3 kB).\nIt would be in your library, which only you can see.\n"
    );
    let status = |safe: u8| {
        format!(
            "{{\"type\":\"status\",\"v\":1,\"assets\":1,\"bytes\":2300,\"copies_wanted\":2,\"safe\":{safe},\"unsafe\":{}}}\n{{\"type\":\"summary\",\"v\":1,\"act\":\"status\"}}\n",
            1 - safe
        )
    };
    for (safe, says) in [
        (1, "Safe:      1 photo or video (2.3 kB) has 2 copies.\n"),
        (
            0,
            "Safe:      0 of 1 photo or video (2.3 kB) has 2 copies.\n",
        ),
    ] {
        let done = run(&["status"], NOBODY, &[("status", &status(safe))]).await;
        assert!(done.out.contains(says), "{}", done.out);
    }
    let keep = r#"{"type":"keep","v":1,"album":"Family","assets":1,"safe":1,"copies_wanted":2}
{"type":"holder","v":1,"name":"laptop","this":true,"archive":true,"holds":1,"of":1}
{"type":"holder","v":1,"name":"grandma-box","archive":true,"holds":14,"of":18}
{"type":"holder","v":1,"name":"pi","archive":false,"holds":1200,"of":1200}
{"type":"summary","v":1,"act":"keep"}
"#;
    let done = run(&["keep", "show"], NOBODY, &[("keep", keep)]).await;
    assert_eq!(
        done.out,
        "Family  2 copies wanted  1 of 1 safe
Devices:
  laptop       keeps everything    holds 1 of 1     this device
  grandma-box  keeps everything    holds 14 of 18   not proved yet
  pi           may drop originals  holds all 1,200  not proved yet
"
    );
}

#[tokio::test]
async fn who_has_just_joined_is_told_to_fetch() {
    let status = |peers: &str| {
        format!(
            "{{\"type\":\"status\",\"v\":1,\"assets\":0,\"node\":\"running\",\"peers\":[{peers}]}}\n{{\"type\":\"summary\",\"v\":1,\"act\":\"status\"}}\n"
        )
    };
    let alone = run(&["status"], NOBODY, &[("status", &status(""))]).await;
    assert!(alone.err.contains("hint: add some"), "{}", alone.err);
    let peer = r#"{"device":"x","name":"pi","connected":true,"path":"lan"}"#;
    let joined = run(&["status"], NOBODY, &[("status", &status(peer))]).await;
    assert!(
        joined.err.contains("with heirloom sync, or add some"),
        "{}",
        joined.err
    );
}

#[tokio::test]
async fn status_tells_what_is_safe_and_what_is_not() {
    let status = r#"{"type":"status","v":1,"family":"f","family_name":"Berger","device":"d","device_name":"laptop","node":"stopped","assets":12,"bytes":34000000,"copies_wanted":2,"safe":10,"unsafe":2,"only_here":1,"peers":[{"device":"x","name":"hallway-pi","connected":false,"path":null,"last_seen":null}],"moving":{"sending":1,"receiving":3,"waiting":1},"waiting_at":[{"device":"x","name":"hallway-pi","files":1}],"problems":["The disk is nearly full."],"gallery":null,"listen":[]}
{"type":"summary","v":1,"act":"status"}
"#;
    let done = run(&["status"], NOBODY, &[("status", status)]).await;
    assert_eq!(
        done.out,
        "Berger, on laptop; the node is not running.\n\
         Safe:      10 of 12 photos and videos (34.0 MB) have 2 copies.\n\
         Not safe:  2, of which 1 only on this device.\n\
         Moving:    sending to 1 device, receiving from 3 devices and 1 file to come.\n\
         Devices:\n  hallway-pi  not seen yet\n\
         Problem:  The disk is nearly full.\n"
    );
    let nowhere = status.replace(r#"{"device":"x","name":"hallway-pi","files":1}"#, "");
    let done = run(&["status"], NOBODY, &[("status", &nowhere)]).await;
    let says = "receiving from 3 devices.\nWaiting:   1 file that no device is known to have: \
                a device that has it brings it, or an import.\n";
    assert!(done.out.contains(says), "{}", done.out);
    let done = run(&["status"], NOBODY, &[("status", status)]).await;
    // Whatever the reason is that they are not safe, it says what to do.
    assert!(
        done.err.contains("hint: too few devices keep everything"),
        "{}",
        done.err
    );
    let enough = status.replace("\"safe\":10", "\"archives\":2,\"safe\":10");
    let done = run(&["status"], NOBODY, &[("status", &enough)]).await;
    assert!(
        done.err.contains("hint: they are safe once"),
        "{}",
        done.err
    );
    let alone = status.replace(
        r#"{"device":"x","name":"hallway-pi","connected":false,"path":null,"last_seen":null}"#,
        "",
    );
    let done = run(&["status"], NOBODY, &[("status", &alone)]).await;
    assert!(
        done.err.contains("hint: a second device makes them safe"),
        "{}",
        done.err
    );
}

#[tokio::test]
async fn a_keeper_is_told_what_its_ids_are_of() {
    let status = r#"{"type":"status","v":1,"family":"0123456789abcdef","family_name":"","device":"3f2a91c0ffee","device_name":"3f2a91c0","node":"stopped","keeper":{"bytes":34000000,"blobs":1,"entries":1,"persons":[{"person":"77e01b52aaaa","bytes":33000000,"blobs":1},{"person":null,"bytes":1000000,"blobs":1}],"full":false},"peers":[],"problems":[]}
{"type":"summary","v":1,"act":"status"}
"#;
    let done = run(&["status"], NOBODY, &[("status", status)]).await;
    assert_eq!(
        done.out,
        "Family 01234567, on device 3f2a91c0; the node is not running.\n\
         Keeps:     34.0 MB in 1 blob, and 1 entry.\n           \
         person 77e01b52  33.0 MB in 1 blob\n           \
         of nobody  1.0 MB in 1 blob\n"
    );
}

#[tokio::test]
async fn damage_is_told_by_the_name_of_the_photo_and_how_to_mend_what_was_found() {
    let damage = r#"{"type":"damage","v":1,"what":"blob","id":"aabbccddeeff","asset":"3f2a91c0ffee","name":"beach.jpg","albums":["Summer","Library"],"problem":"it is missing","repaired":false}
{"type":"damage","v":1,"what":"blob","id":"aabbccddeeff","asset":null,"name":null,"albums":null,"problem":"it is missing","repaired":false}
{"type":"summary","v":1,"checked":3,"damaged":2,"repaired":0,"lost":0,"exit":9}
"#;
    for (line, hint) in [
        (&["verify"][..], "heirloom verify --repair\n"),
        (
            &["verify", "--read-data"],
            "heirloom verify --read-data --repair\n",
        ),
    ] {
        let done = run(line, NOBODY, &[("verify", damage)]).await;
        assert_eq!(
            done.out,
            "damaged: blob aabbccdd of beach.jpg in Summer and Library (3f2a91c0): it is missing\n\
             damaged: blob aabbccdd: it is missing\n\
             Checked 3 things: 2 damaged or missing.\n"
        );
        assert!(done.err.ends_with(hint), "{}", done.err);
    }
}

#[tokio::test]
async fn no_copy_is_promised_of_what_nobody_is_known_to_hold() {
    for (damaged, lost, promises) in [(2, 2, false), (3, 2, true)] {
        let told = json!({"type": "summary", "v": 1, "checked": 3, "damaged": damaged, "repaired": 0, "lost": lost, "exit": 9});
        let done = run(&["verify"], NOBODY, &[("verify", &format!("{told}\n"))]).await;
        assert!(
            done.out
                .contains("No other device is known to have 2 originals"),
            "{}",
            done.out
        );
        assert!(done.err.contains("import them again"), "{}", done.err);
        assert_eq!(
            done.err.contains("another device may hold"),
            promises,
            "{}",
            done.err
        );
    }
}

#[tokio::test]
async fn who_ends_a_share_is_told_what_stays_with_whom() {
    let ended = "{\"type\":\"summary\",\"v\":1,\"act\":\"unshare\"}\n";
    let line = ["unshare", "Summer", "Ben"];
    let done = run(&line, NOBODY, &[("unshare", ended)]).await;
    assert_eq!(done.out, "Ben gets no new photos of Summer.\n");
    for words in [
        "out of their lists",
        "stays in their library",
        "cannot be taken back",
    ] {
        assert!(done.err.contains(words), "{}", done.err);
    }
}

#[tokio::test]
async fn what_goes_with_a_share_or_an_album_is_said() {
    let summary = "{\"type\":\"summary\",\"v\":1,\"last\":2}\n";
    let unshare = ["unshare", "A", "Ben", "--with-last-copies"];
    let done = run(&unshare, NOBODY, &[("unshare", summary)]).await;
    assert_eq!(done.asked[0].1["last"], true);
    assert!(done.err.contains("the original of 2 items"), "{}", done.err);
    for act in ["leave", "delete"] {
        let line = ["album", act, "A", "--with-last-copies"];
        let done = run(&line, typing("y\n"), &[("album", summary)]).await;
        for (_, body) in &done.asked {
            assert_eq!(body["last"], true, "{body}");
        }
        let told = format!("{}{}", done.out, done.err);
        assert!(
            told.contains("the original of 2 items that are in this album alone"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn who_leaves_an_ended_share_is_asked_only_where_something_is_given_up() {
    let summary =
        |away: u8| format!("{{\"type\":\"summary\",\"v\":1,\"ended\":true,\"away\":{away}}}\n");
    let line = ["album", "leave", "A"];
    let done = run(&line, NOBODY, &[("album", &summary(0))]).await;
    assert!(done.out.ends_with("is in your library.\n"), "{}", done.out);
    let done = run(&line, typing("n\n"), &[("album", &summary(2))]).await;
    assert_eq!(done.end, Err("E-NOT-CONFIRMED".into()));
    let done = run(&line, typing("y\n"), &[("album", &summary(2))]).await;
    assert!(done.out.contains("without 2 items"), "{}", done.out);
}

#[tokio::test]
async fn what_the_node_says_besides_is_said_too() {
    let spoken = "{\"type\":\"note\",\"v\":1,\"text\":\"a note\"}\n{\"type\":\"hint\",\"v\":1,\"text\":\"do this\"}\n\
                  {\"type\":\"novelty\",\"v\":1,\"name\":\"new\"}\n{\"type\":\"summary\",\"v\":1}\n";
    let done = run(&["words"], NOBODY, &[("words", spoken)]).await;
    assert_eq!(
        done.err.lines().take(2).collect::<Vec<_>>(),
        ["a note", "hint: do this"]
    );
    assert!(done.out.starts_with("novelty  name: new\n"), "{}", done.out);
}

#[tokio::test]
async fn completions_and_the_version_need_no_node() {
    let script = run(&["completions", "bash"], NOBODY, &[]).await;
    assert!(
        script.out.contains("complete -F _heirloom"),
        "{}",
        script.out
    );
    let version = run(&["--json", "version"], NOBODY, &[]).await;
    assert_eq!(
        version.out,
        format!(
            "{{\"type\":\"summary\",\"v\":1,\"act\":\"version\",\"version\":\"{}\"}}\n",
            env!("CARGO_PKG_VERSION")
        )
    );
    assert!(version.asked.is_empty());
}

#[tokio::test]
async fn a_bundle_says_what_it_took_and_what_is_wrong() {
    let answer = "{\"type\":\"file\",\"v\":1,\"path\":\"blobs/ab/abcd\",\"outcome\":\"failed\",\"reason\":\"it is missing\"}\n\
                  {\"type\":\"summary\",\"v\":1,\"act\":\"bundle\",\"entries\":7,\"blobs\":3,\"bytes\":0,\"waiting\":0,\"wrong\":1,\"exit\":9}\n";
    let line = ["bundle", "read", "/disk"];
    let done = run(&line, NOBODY, &[("bundle", answer)]).await;
    assert_eq!(done.end, Ok(9));
    assert_eq!(done.body()["do"], "read");
    assert_eq!(done.body()["dir"], "/disk");
    assert!(
        done.out.contains("wrong: blobs/ab/abcd: it is missing"),
        "{}",
        done.out
    );
    assert!(done.out.contains("Took 3 encrypted files"), "{}", done.out);
    let line = [
        "bundle",
        "write",
        "/disk",
        "--to",
        "desk",
        "--since",
        "2026-01-02",
    ];
    let summary = "{\"type\":\"summary\",\"v\":1,\"act\":\"bundle\",\"entries\":7,\"blobs\":1,\"present\":2,\"bytes\":0,\"damaged\":0}\n";
    let done = run(&line, NOBODY, &[("bundle", summary)]).await;
    assert_eq!(done.end, Ok(0));
    let asked = done.body();
    assert_eq!(
        (&asked["do"], &asked["to"], &asked["since"]),
        (&json!("write"), &json!("desk"), &json!("2026-01-02"))
    );
    assert!(done.out.contains("Wrote 3 encrypted files"), "{}", done.out);
}

#[tokio::test]
async fn an_id_that_is_none_is_told_beside_those_that_were_done() {
    let answer = "{\"type\":\"failed\",\"v\":1,\"id\":\"zzzz\",\"reason\":\"there is no photo\"}\n\
                  {\"type\":\"summary\",\"v\":1,\"act\":\"trash\",\"changed\":1,\"failed\":1,\"exit\":3}\n";
    let done = run(
        &["-q", "trash", "abcd", "zzzz"],
        NOBODY,
        &[("trash", answer)],
    )
    .await;
    assert_eq!(done.end, Ok(3));
    assert_eq!(done.err, "failed: zzzz: there is no photo\n");
}

#[tokio::test]
async fn doctor_names_what_keeps_the_home_shut() {
    let shut = |id: &str| {
        format!(
            "{{\"type\":\"error\",\"v\":1,\"id\":\"{id}\",\"message\":\"keys are open\",\"hint\":\"chmod\"}}\n"
        )
    };
    let open_keys = shut("E-KEY-PERMISSIONS");
    let done = run(&["doctor"], NOBODY, &[("doctor", &open_keys)]).await;
    assert_eq!(done.end, Ok(1));
    assert_eq!(
        done.out,
        "problem   permissions: keys are open\n          chmod\n1 problem found.\n"
    );
    let done = run(&["--json", "doctor"], NOBODY, &[("doctor", &open_keys)]).await;
    let lines: Vec<Value> = done
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        (&lines[0]["type"], &lines[0]["ok"], &lines[1]["problems"]),
        (&json!("check"), &json!(false), &json!(1))
    );
    let noted = r#"{"type":"check","v":1,"name":"disk","ok":true,"note":false,"message":"9 GB are free","remedy":null}
{"type":"check","v":1,"name":"network","ok":true,"note":true,"message":"phone is not there","remedy":null}
{"type":"summary","v":1,"act":"doctor","checks":2,"problems":0,"notes":1}
"#;
    let done = run(&["doctor"], NOBODY, &[("doctor", noted)]).await;
    assert_eq!(
        done.out,
        "ok        disk: 9 GB are free\nnote      network: phone is not there\nNo problem found; 1 note above.\n"
    );
    let damaged = shut("E-DAMAGED");
    let done = run(&["doctor"], NOBODY, &[("doctor", &damaged)]).await;
    assert_eq!(done.end, Ok(9));
    let locked = shut("E-LOCKED");
    let done = run(&["doctor"], NOBODY, &[("doctor", &locked)]).await;
    assert_eq!(done.end, Err("E-LOCKED".into()));
}

#[tokio::test]
async fn lists_without_lines_say_so() {
    let none = "{\"type\":\"summary\",\"v\":1,\"count\":0}\n";
    for (line, act) in [
        (["peer", "list"], "peer"),
        (["sessions", "list"], "sessions"),
    ] {
        let done = run(&line, NOBODY, &[(act, none)]).await;
        assert!(
            !done.out.is_empty() && done.err.starts_with("hint: "),
            "{line:?}"
        );
    }
}
