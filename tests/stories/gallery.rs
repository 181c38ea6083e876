//! The gallery of the program as people run it: opened, set up, looked at, and told of what comes from another device.
#![cfg(unix)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::devices::{Device, Dice, Homes, LOOPBACK, Running, link, pair, pictures};
use serde_json::{Value, json};

const SERVE: [&str; 4] = ["serve", "--no-discovery", "--listen", LOOPBACK];
/// What an answer takes at most on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser by hand.
struct Browser {
    /// `127.0.0.1:PORT`.
    at: String,
    cookie: String,
}

struct Told {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.head))
    }
}

impl Browser {
    /// Is let in by a one-time address.
    fn of(url: &str) -> Self {
        let (origin, token) = url.split_once("/#t=").expect("a link");
        let at = origin.strip_prefix("http://").expect("HTTP").to_owned();
        let mut browser = Self {
            at,
            cookie: String::new(),
        };
        let told = browser.post("/api/v1/session", &json!({"token": token}));
        assert_eq!(told.status, 204, "{}", told.head);
        let cookie = told.head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("set-cookie").then_some(value)
        });
        let cookie = cookie.and_then(|cookie| cookie.split(';').next());
        browser.cookie = cookie.expect("a cookie").to_owned();
        browser
    }

    fn connect(&self, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.at).expect("a gallery");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let (at, cookie) = (&self.at, &self.cookie);
        let head = format!(
            "{head} HTTP/1.1\r\nHost: {at}\r\nOrigin: http://{at}\r\nX-Heirloom: 1\r\nCookie: {cookie}\r\n"
        );
        let rest = format!(
            "Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let kind = "Content-Type: application/json\r\n";
        let kind = if head.starts_with("POST /api/v1/upload?") {
            "Content-Type: application/octet-stream\r\n"
        } else {
            kind
        };
        stream
            .write_all(format!("{head}{kind}{rest}").as_bytes())
            .expect("a request");
        stream.write_all(body).expect("a body");
        stream
    }

    fn ask(&self, head: &str, body: &[u8]) -> Told {
        let mut told = Vec::new();
        self.connect(head, body)
            .read_to_end(&mut told)
            .expect("an answer");
        let end = told
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a head");
        let head = String::from_utf8(told[..end].to_vec()).expect("ASCII");
        let mut body = told[end + 4..].to_vec();
        if head.to_lowercase().contains("transfer-encoding: chunked") {
            body = unchunked(&body);
        }
        Told {
            status: head[9..12].parse().expect("a status"),
            head,
            body,
        }
    }

    fn get(&self, path: &str) -> Told {
        self.ask(&format!("GET {path}"), b"")
    }

    fn post(&self, path: &str, body: &Value) -> Told {
        self.ask(&format!("POST {path}"), body.to_string().as_bytes())
    }

    /// The last line of an act.
    fn act(&self, act: &str, body: &Value) -> Value {
        let told = self.post(&format!("/api/v1/act/{act}"), body);
        assert_eq!(told.status, 200, "{}", told.head);
        let text = String::from_utf8(told.body).expect("UTF-8");
        serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
    }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).expect("ASCII");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
    whole
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn opened(device: &Device) -> Browser {
    let (told, exit) = device.run(&["open", "--print"], "");
    assert_eq!(exit, 0, "{told}");
    Browser::of(told["url"].as_str().expect("an address"))
}

#[test]
fn open_leads_a_browser_to_the_node_that_runs() {
    let homes = Homes::new();
    let a = homes.device("a");
    a.init("Berger", "Anna", "laptop");
    let mut node = a.start(&SERVE);
    let ready = node.line("ready");
    let gallery = ready["gallery"].as_str().expect("an address").to_owned();
    assert!(gallery.starts_with("http://127.0.0.1:"), "{ready}");
    let status = a.ok(&["status"]);
    assert_eq!(status[0]["gallery"], json!(gallery));
    let browser = opened(&a);
    assert_eq!(format!("http://{}", browser.at), gallery);
    assert_eq!(browser.get("/api/v1/state").json()["family"], "Berger");
    assert_eq!(a.ok(&["sessions", "list"])[0]["reach"], "full");
    a.ok(&["sessions", "revoke"]);
    assert_eq!(browser.get("/api/v1/state").status, 401);
    node.stop();
    // The port stays, so that bookmarks do.
    let mut node = a.start(&SERVE);
    assert_eq!(node.line("ready")["gallery"], json!(gallery));
    node.stop();
    let (refused, exit) = a.run(&[&SERVE[..], &["--gallery", "0.0.0.0:0"]].concat(), "");
    assert_eq!((refused["id"].as_str(), exit), (Some("E-USAGE"), 2));
    let mut silent = a.start(&[&SERVE[..], &["--no-gallery"]].concat());
    assert_eq!(silent.line("ready")["gallery"], Value::Null);
    let (refused, exit) = a.run(&["open", "--print"], "");
    assert_eq!((refused["id"].as_str(), exit), (Some("E-NO-GALLERY"), 1));
    silent.stop();
}

#[test]
fn open_runs_a_node_where_none_does() {
    let homes = Homes::new();
    let a = homes.device("a");
    a.init("Berger", "Anna", "laptop");
    let mut node = a.start(&["open", "--print"]);
    node.line("ready");
    let url = node.next().expect("the address")["url"]
        .as_str()
        .expect("text")
        .to_owned();
    let browser = Browser::of(&url);
    assert_eq!(browser.get("/api/v1/state").json()["person"], "Anna");
    node.stop();
}

#[test]
fn a_home_that_is_not_there_yet_is_made_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let homes = Homes::new();
    let a = Device::at(&homes.path().join("deep/down/home"));
    let mut node = a.start(&SERVE);
    node.line("ready");
    let mode = std::fs::metadata(&a.home)
        .expect("it is there")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);
    assert_eq!(
        opened(&a).get("/api/v1/state").json()["set_up"],
        Value::Bool(false)
    );
    node.stop();
}

#[test]
fn a_bare_home_is_set_up_in_the_gallery_and_joins_the_network() {
    let homes = Homes::new();
    let a = homes.device("a");
    let mut node = a.start(&SERVE);
    let ready = node.line("ready");
    assert_eq!(
        (&ready["peer"], &ready["listen"]),
        (&Value::Null, &json!([]))
    );
    let browser = opened(&a);
    assert_eq!(browser.get("/api/v1/state").json()["set_up"], false);
    assert_eq!(browser.act("list", &json!({}))["id"], "E-NOT-SET-UP");
    let made = browser.act(
        "init",
        &json!({"family": "Berger", "person": "Anna", "device": "laptop"}),
    );
    assert_eq!(
        made["recovery"].as_array().map(Vec::len),
        Some(24),
        "{made}"
    );
    let set_up = node.line("set_up");
    assert_eq!(set_up["peer"], made["peer"]);
    assert!(
        set_up["listen"][0]
            .as_str()
            .is_some_and(|at| at.contains("/p2p/"))
    );
    // The session goes on, and the first photo is on the screen.
    let photo = pictures::jpeg(64, &[], &mut Dice::new());
    let told = browser
        .ask("POST /api/v1/upload?batch=a&name=a.jpg", &photo)
        .json();
    assert_eq!(told["outcome"], "added", "{told}");
    let id = told["asset"].as_str().expect("an id").to_owned();
    until("the thumbnail is made", || {
        browser.get(&format!("/thumb/{id}")).status == 200
    });
    let thumb = browser.get(&format!("/thumb/{id}"));
    assert!(
        thumb.head.to_lowercase().contains("content-type: image/"),
        "{}",
        thumb.head
    );
    assert!(
        thumb.head.to_lowercase().contains("immutable"),
        "{}",
        thumb.head
    );
    assert_eq!(browser.get(&format!("/preview/{id}")).status, 200);
    let original = browser.get(&format!("/original/{id}"));
    assert_eq!(original.body, photo);
    node.stop();
    assert!(!a.home.join("uploads").exists());
}

#[test]
fn a_movie_that_was_taken_outlives_a_kill_of_the_node() {
    let homes = Homes::new();
    let a = homes.device("a");
    a.init("Berger", "Anna", "laptop");
    let mut node = a.start(&SERVE);
    node.line("ready");
    let browser = opened(&a);
    let movie = b"\0\0\0\x18ftypqt  \0\0\0\0qt   \0\0\0\0 and what is in it";
    let told = browser.ask("POST /api/v1/upload?batch=a&name=a.mov", movie);
    assert_eq!(told.json()["outcome"], "waiting");
    node.kill();
    let status = a.ok(&["status"]);
    let problems = status[0]["problem_details"].as_array().expect("a list");
    assert!(
        problems.iter().any(|one| one["id"] == "uploads"),
        "{status:?}"
    );
    let mut node = a.start(&SERVE);
    node.line("ready");
    let browser = opened(&a);
    until("it is imported", || {
        browser.get("/api/v1/timeline").json()["total"] == 1
    });
    until("nothing stays in clear", || {
        !a.home.join("uploads").exists()
            || fs::read_dir(a.home.join("uploads")).is_ok_and(|mut all| all.next().is_none())
    });
    node.stop();
    assert!(!a.home.join("uploads").exists());
}

#[test]
fn what_another_device_adds_is_told_within_two_seconds() {
    let homes = Homes::new();
    let (a, b) = (homes.device("a"), homes.device("b"));
    a.init("Berger", "Anna", "laptop");
    let mut node = a.start(&SERVE);
    node.line("ready");
    pair(&a, &["--device"], &b, "phone", link);
    let mut other = b.start(&SERVE);
    other.line("ready");
    until("the two meet", || {
        b.ok(&["status"])[0]["peers"][0]["connected"] == true
    });
    let page = opened(&b);
    let events = BufReader::new(page.connect("GET /api/v1/events", b""));
    let mut events = events.lines().map_while(Result::ok);
    assert!(events.any(|line| line == "event: changed"), "the first one");
    let photo = homes.path().join("photo.jpg");
    fs::write(&photo, pictures::jpeg(64, &[], &mut Dice::new())).expect("a photo");
    let mut import: Running = a.start(&["import", photo.to_str().expect("UTF-8")]);
    let added = import.line("file");
    let began = Instant::now();
    assert_eq!(added["outcome"], "added");
    let told = events.find(|line| line.contains("\"months\":[\""));
    assert!(told.is_some(), "a month in which something came");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(page.get("/api/v1/timeline").json()["total"], 1);
    import.end();
    other.stop();
    node.stop();
}

#[test]
fn a_live_photos_movie_joins_its_still_whichever_was_read_first() {
    let homes = Homes::new();
    let a = homes.device("a");
    a.init("Berger", "Anna", "laptop");
    let folder = homes.path().join("in");
    fs::create_dir(&folder).expect("a folder");
    // The stills are large and the movies are not: all movies are read before the last still is.
    for number in 0..4 {
        let id = format!("LIVE-{number}");
        let (still, movie) = pictures::live(&id, 6 << 20, &mut Dice::new());
        fs::write(folder.join(format!("IMG_{number}.JPG")), still).expect("a still");
        fs::write(folder.join(format!("IMG_{number}.MOV")), movie).expect("a movie");
    }
    // Its still is elsewhere.
    let (_, alone) = pictures::live("LIVE-ALONE", 0, &mut Dice::new());
    fs::write(folder.join("ALONE.MOV"), alone).expect("a movie");
    let (told, exit) = a.run(&["import", folder.to_str().expect("UTF-8")], "");
    assert_eq!(exit, 0, "{told}");
    assert_eq!(
        (&told["added"], &told["paired"]),
        (&json!(5), &json!(4)),
        "{told}"
    );
    let kinds = a.ok(&["list"]);
    let videos = kinds.iter().filter(|line| line["kind"] == "video");
    assert_eq!(videos.count(), 1);
    let mut node = a.start(&SERVE);
    node.line("ready");
    let browser = opened(&a);
    let months = browser.get("/api/v1/timeline").json()["months"].clone();
    let mut cards = Vec::new();
    for month in months.as_array().expect("months") {
        let path = format!("/api/v1/month/{}", month["m"].as_str().expect("a month"));
        cards.extend(
            browser.get(&path).json()["assets"]
                .as_array()
                .expect("cards")
                .clone(),
        );
    }
    let live = cards.iter().filter(|card| card["k"] == "live");
    assert_eq!(live.count(), 4, "{cards:?}");
    node.stop();
}

#[test]
fn the_first_pictures_are_seen_before_everything_is_read() {
    const COUNT: usize = 70;
    let homes = Homes::new();
    let a = homes.device("a");
    a.init("Berger", "Anna", "laptop");
    let folder = homes.path().join("in");
    fs::create_dir(&folder).expect("a folder");
    for number in 0..COUNT {
        let path = folder.join(format!("{number}.bmp"));
        fs::write(path, pictures::bmp(16, &mut Dice::new())).expect("a picture");
    }
    let mut node = a.start(&SERVE);
    node.line("ready");
    let browser = opened(&a);
    let mut import: Running = a.start(&["import", folder.to_str().expect("UTF-8")]);
    let added: Vec<String> = (0..COUNT)
        .map(|_| {
            import.line("file")["asset"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    // More than fit into one entry: the last is told after the first was shown.
    let seen = added
        .iter()
        .filter(|id| browser.get(&format!("/thumb/{id}")).status == 200);
    assert!(seen.count() >= 6);
    import.end();
    node.stop();
}
