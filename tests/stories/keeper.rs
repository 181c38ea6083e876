//! A keeper as people run one: it stores everything, reads nothing, and gives it on.
#![cfg(unix)]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";
const SETTINGS: &str = "[network]\nlisten = [\"/ip4/127.0.0.1/tcp/0\"]\ndiscovery = false\n";

/// Words that stand in the family's photos and what is said of them, and nowhere else.
const SECRETS: [&str; 7] = [
    "Bergerfamily",
    "Annaperson",
    "Hallwaydevice",
    "Summeralbum",
    "beachphotoname",
    "grandmacaption",
    "pixelsofthephoto",
];

/// A command that runs, with its lines.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(home: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_heirloom"))
            .arg("--home")
            .arg(home)
            .args(["--json", "--yes"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    #[track_caller]
    fn line(&mut self, kind: &str) -> Value {
        loop {
            let line = self.lines.next().expect("a line").expect("text");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            if line["type"] == kind {
                return line;
            }
            assert!(line["type"] != "error", "{line}");
        }
    }

    fn end(mut self) -> (Vec<Value>, i32) {
        drop(self.child.stdin.take());
        let lines = self.lines.by_ref().map_while(Result::ok);
        let lines = lines.map(|line| serde_json::from_str(&line).expect("JSON"));
        let lines = lines.collect();
        let status = self.child.wait().expect("it ends");
        (lines, status.code().unwrap_or(-1))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(home: &Path, args: &[&str], stdin: &str) -> (Vec<Value>, i32) {
    let mut running = Running::start(home, args);
    let mut input = running.child.stdin.take().expect("piped");
    // A command that does not read its input closes it.
    let _ = input.write_all(stdin.as_bytes());
    drop(input);
    running.end()
}

/// Runs what must succeed, and gives its lines of a kind.
#[track_caller]
fn done(home: &Path, args: &[&str], kind: &str) -> Vec<Value> {
    let (lines, exit) = run(home, args, "");
    assert_eq!(exit, 0, "{args:?}: {lines:?}");
    let mut lines = lines;
    lines.retain(|line| line["type"] == kind);
    lines
}

fn home(folder: &Path, name: &str) -> PathBuf {
    use std::os::unix::fs::DirBuilderExt as _;
    let home = folder.join(name);
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).create(&home).expect("a new folder");
    std::fs::write(home.join("config.toml"), SETTINGS).expect("settings");
    home
}

/// Runs the node of a home, and says where it listens.
fn serve(home: &Path, is_keeper: bool) -> (Running, String) {
    let args = ["serve", "--no-discovery", "--listen", LOOPBACK];
    let mut running = Running::start(home, &args);
    let ready = running.line("ready");
    // A keeper has nothing to show.
    assert_eq!(ready["gallery"].is_null(), is_keeper, "{ready}");
    let listen = ready["listen"][0].as_str().expect("an address").to_owned();
    (running, listen)
}

fn let_in(from: &Path, home: &Path, whom: &[&str], named: &str) -> Value {
    let mut invite = Running::start(from, &[&["invite"], whom].concat());
    let code = invite.line("invite")["code"]
        .as_str()
        .expect("a link")
        .to_owned();
    let (joined, exit) = run(
        home,
        &["join", "--device", named, "--no-recovery", "-"],
        &format!("{code}\n"),
    );
    assert_eq!(exit, 0, "{joined:?}");
    let (invited, exit) = invite.end();
    assert_eq!(exit, 0, "{invited:?}");
    joined.last().expect("a summary").clone()
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// The photos of the family: one small, one large, by name.
fn photos(folder: &Path) -> Vec<(String, Vec<u8>)> {
    std::fs::create_dir(folder).expect("a folder");
    let photo = |(name, len): (&str, usize)| {
        let head = b"\xff\xd8\xff\xe0\0\x10JFIF\0";
        let pixels = SECRETS[6].bytes().cycle().take(len);
        let bytes: Vec<u8> = head.iter().copied().chain(pixels).collect();
        std::fs::write(folder.join(name), &bytes).expect("a photo");
        (name.to_owned(), bytes)
    };
    [
        ("beachphotoname.jpg", 30_000),
        ("beachphotoname-2.jpg", 2_500_000),
    ]
    .map(photo)
    .into()
}

#[test]
fn a_keeper_stores_all_reads_nothing_and_gives_it_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let [laptop, attic, desk] = ["laptop", "attic", "desk"].map(|name| home(folder.path(), name));
    done(
        &laptop,
        &[
            "init",
            "--family",
            SECRETS[0],
            "--person",
            SECRETS[1],
            "--device",
            SECRETS[2],
            "--no-recovery",
        ],
        "summary",
    );
    let originals = photos(&folder.path().join("photos"));
    let path = folder.path().join("photos");
    let path = path.to_str().expect("text");
    done(&laptop, &["album", "create", SECRETS[3]], "summary");
    done(&laptop, &["import", path, "--album", SECRETS[3]], "file");
    let asset = done(&laptop, &["list"], "asset").remove(0);
    let id = asset["id"].as_str().expect("an id").to_owned();
    done(&laptop, &["caption", &id, SECRETS[5]], "summary");

    let (node, _) = serve(&laptop, false);
    let keeper = let_in(&laptop, &attic, &["--keeper", "attic"], "attic");
    assert_eq!(keeper["person"], Value::Null, "{keeper}");
    let_in(&laptop, &desk, &["--device"], "desk");
    let (synced, exit) = run(&attic, &["sync"], "");
    let summary = synced.last().expect("a summary");
    assert_eq!((exit, &summary["settled"]), (0, &json!(true)), "{summary}");
    assert!(summary["blobs_received"].as_u64() >= Some(2), "{summary}");
    drop(node);

    // It holds ciphertext of every album, and can show nothing of it.
    for list in [&["list"][..], &["album", "list"]] {
        let lines = run(&attic, list, "").0;
        let shown = lines.iter().filter(|line| line["type"] != "summary");
        assert_eq!(shown.count(), 0, "{lines:?}");
    }
    let mut said = String::new();
    for command in [
        &["list"][..],
        &["album", "list"],
        &["people", "list"],
        &["device", "list"],
        &["status"],
    ] {
        said += &serde_json::to_string(&run(&attic, command, "").0).expect("JSON");
    }
    let (shown, exit) = run(&attic, &["show", &id], "");
    assert_eq!(exit, 4, "{shown:?}");
    for secret in SECRETS {
        assert!(!said.contains(secret), "{secret} is shown: {said}");
    }
    let sizes = originals.iter().map(|(_, bytes)| bytes.len().to_string());
    for size in sizes {
        assert!(!said.contains(&size), "the size {size} is shown");
    }
    for file in files(&attic) {
        let bytes = std::fs::read(&file).expect("a file");
        for secret in SECRETS {
            let found = bytes
                .windows(secret.len())
                .any(|at| at == secret.as_bytes());
            assert!(!found, "{secret} stands in {}", file.display());
        }
    }
    let verified = done(&attic, &["verify", "--read-data"], "summary");
    assert_eq!(verified[0]["damaged"], 0, "{verified:?}");
    assert!(verified[0]["checked"].as_u64() >= Some(4), "{verified:?}");

    // The laptop is gone. The keeper gives everything to another device of the family.
    let (node, address) = serve(&attic, true);
    done(&desk, &["peer", "add", &address], "summary");
    let (synced, exit) = run(&desk, &["sync"], "");
    assert_eq!(exit, 0, "{synced:?}");
    let out = folder.path().join("out");
    done(&desk, &["export", out.to_str().expect("text")], "summary");
    let exported: Vec<_> = files(&out)
        .iter()
        .map(|file| std::fs::read(file).expect("a file"))
        .collect();
    for (name, bytes) in &originals {
        assert!(exported.contains(bytes), "{name} did not come back");
    }
    let asset = done(&desk, &["show", &id], "asset").remove(0);
    assert_eq!(asset["caption"], SECRETS[5]);
    drop(node);
}

/// How many blobs a keeper has after it has met the node.
fn kept(keeper: &Path) -> u64 {
    let (synced, exit) = run(keeper, &["sync"], "");
    assert_eq!(exit, 0, "{synced:?}");
    let status = done(keeper, &["status"], "status").remove(0);
    status["keeper"]["blobs"].as_u64().expect("a count")
}

#[test]
fn a_keeper_that_is_let_in_for_one_album_holds_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let [laptop, grandma, attic] =
        ["laptop", "grandma", "attic"].map(|name| home(folder.path(), name));
    let founding = ["init", "--family", "Berger", "--person", "Anna"];
    done(
        &laptop,
        &[&founding[..], &["--no-recovery"]].concat(),
        "summary",
    );
    let import = |album: &str, nth: u8| {
        let file = folder.path().join(format!("{album}-{nth}.jpg"));
        let bytes = [b"\xff\xd8\xff\xe0\0\x10JFIF\0".as_slice(), &[nth; 3000]].concat();
        std::fs::write(&file, bytes).expect("a photo");
        let path = file.to_str().expect("text");
        done(&laptop, &["import", path, "--album", album], "file");
    };
    import("Summer", 1);
    import("Winter", 2);
    import("Winter", 3);

    let (node, _) = serve(&laptop, false);
    let named = ["--keeper", "grandma", "--album", "Summer"];
    let_in(&laptop, &grandma, &named, "grandma");
    assert_eq!(kept(&grandma), 1, "it holds Summer and nothing else");
    let_in(&laptop, &attic, &["--keeper", "attic"], "attic");
    assert_eq!(kept(&attic), 3);
    // One that is made later goes to who holds everything.
    import("Spring", 4);
    import("Summer", 5);
    assert_eq!(kept(&grandma), 2);
    assert_eq!(kept(&attic), 5);
    let unknown = ["invite", "--keeper", "other", "--album", "Autumn"];
    assert_eq!(run(&laptop, &unknown, "").1, 4);
    let own = ["invite", "--device", "--album", "Summer"];
    assert_eq!(run(&laptop, &own, "").1, 2);
    drop(node);
}
