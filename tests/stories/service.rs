//! The node as a service: what systemd is told, what its units allow, what a real systemd does with them.
#![cfg(target_os = "linux")]

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::devices::{Dice, Homes, LOOPBACK, pictures, report, skipped, wait_until};

/// A place that waits for what a node tells systemd.
struct Told {
    socket: UnixDatagram,
}

impl Told {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a timeout");
        Self { socket }
    }

    fn next(&self) -> String {
        let mut bytes = [0; 256];
        let count = self.socket.recv(&mut bytes).expect("the node says more");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }
}

#[test]
fn systemd_hears_that_a_node_is_ready_lives_and_stops() {
    let homes = Homes::new();
    let mut device = homes.device("laptop");
    device.init("Berger", "Anna", "laptop");
    let path = homes.path().join("notify");
    let told = Told::at(&path);
    let path = path.to_str().expect("UTF-8").to_owned();
    device.env.insert("NOTIFY_SOCKET".into(), path);
    device.env.insert("WATCHDOG_USEC".into(), "300000".into());
    let began = Instant::now();
    let node = device.serve();
    // Life is told as soon as the socket answers, which may be before the first line is printed.
    let mut heard = vec![told.next()];
    while heard.iter().filter(|state| *state == "WATCHDOG=1").count() < 5 {
        heard.push(told.next());
    }
    let ready = heard.iter().filter(|state| *state == "READY=1").count();
    assert_eq!(ready, 1, "{heard:?}");
    assert_eq!(heard.len(), 6, "{heard:?}");
    // Five of them are four times a third of the 300 ms.
    assert!(began.elapsed() >= Duration::from_millis(400));
    node.stop();
    let last = loop {
        let state = told.next();
        if state != "WATCHDOG=1" {
            break state;
        }
    };
    assert_eq!(last, "STOPPING=1");
    told.socket.set_nonblocking(true).expect("a socket");
    assert!(told.socket.recv(&mut [0; 256]).is_err(), "nothing follows");
}

#[test]
fn what_a_node_logs_is_kept_in_its_home_and_shown() {
    let homes = Homes::new();
    let device = homes.device("laptop");
    let (told, exit) = device.run(&["log"], "");
    assert_eq!(
        (told["id"].as_str(), exit),
        (Some("E-NOT-SET-UP"), 5),
        "{told}"
    );
    device.init("Berger", "Anna", "laptop");
    // An address of a network that is not there: worth a warning, and no reason to stop.
    let args = [
        "serve",
        "--no-gallery",
        "--no-discovery",
        "--listen",
        LOOPBACK,
    ];
    let elsewhere = ["--listen", "/ip4/192.0.2.1/tcp/4001"];
    let mut node = device.start(&[&args[..], &elsewhere[..]].concat());
    node.line("ready");
    let shown = |lines: &[serde_json::Value]| {
        let told = lines.iter().filter(|line| line["type"] == "log");
        told.filter_map(|line| line["line"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let mut lines = Vec::new();
    wait_until("it says that it runs", Duration::from_secs(60), || {
        lines = shown(&device.ok(&["log"]));
        lines.iter().any(|line| line.contains("the node runs"))
    });
    assert!(
        lines.iter().any(|line| line.contains("cannot listen")),
        "{lines:?}"
    );
    assert_eq!(
        shown(&device.ok(&["log", "-n", "1"])),
        lines[lines.len() - 1..]
    );
    let mode = fs::metadata(device.home.join("node.log")).expect("a file");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
        0o600
    );
    // What is written from now on is followed; the rest is not shown again.
    let mut followed = device.start(&["log", "-f", "-n", "1"]);
    assert_eq!(followed.line("log")["line"], lines[lines.len() - 1]);
    node.stop();
    let mut again = device.start(&[&args[..], &elsewhere[..]].concat());
    again.line("ready");
    // The last of the first node comes before.
    let mut added = String::new();
    while !added.contains("cannot listen") {
        let line = followed.line("log");
        line["line"]
            .as_str()
            .expect("a text")
            .clone_into(&mut added);
        assert!(!lines.contains(&added), "it is not shown again: {added}");
    }
    followed.interrupt();
    again.stop();
}

#[test]
fn without_systemd_the_command_says_what_to_do() {
    if Path::new("/run/systemd/system").exists() {
        return report("left out: this system is run by systemd");
    }
    let homes = Homes::new();
    for act in ["install", "status", "remove"] {
        let (error, exit) = homes.device(act).run(&["service", act], "");
        assert_eq!(
            (error["id"].as_str(), exit),
            (Some("E-NO-SYSTEMD"), 1),
            "{error}"
        );
        assert!(
            error["hint"]
                .as_str()
                .expect("a hint")
                .contains("heirloom serve")
        );
    }
}

/// What systemd-analyze thinks a unit is exposed to, from 0 to 10.
fn exposure(unit: &str) -> Option<f64> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("cli/packaging/systemd/system")
        .join(unit);
    let told = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager"])
        .arg(path)
        .output();
    let told = String::from_utf8(told.ok()?.stdout).ok()?;
    let last = told
        .lines()
        .rfind(|line| line.contains("Overall exposure level"))?;
    last.split_whitespace().find_map(|word| word.parse().ok())
}

#[test]
fn the_units_are_exposed_to_little() {
    for (unit, most) in [("heirloom-keeper.service", 2.0), ("heirloom@.service", 3.0)] {
        let Some(found) = exposure(unit) else {
            return skipped("no systemd-analyze that looks at units offline");
        };
        report(&format!("{unit}: exposure {found}"));
        assert!(found <= most, "{unit}: {found}");
        assert!(found > 0.0, "{unit}: nothing was measured");
    }
}

#[test]
fn a_real_systemd_runs_a_laptop_and_a_keeper() {
    let homes = Homes::new();
    let given = homes.path().join("given");
    fs::create_dir(&given).expect("a folder");
    fs::copy(env!("CARGO_BIN_EXE_heirloom"), given.join("heirloom")).expect("the program");
    let photo = pictures::bmp(64, &mut Dice::new());
    fs::write(given.join("photo.bmp"), photo).expect("a photo");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(
        root.join("tests/service/keeper.sh"),
        given.join("keeper.sh"),
    )
    .expect("the script");
    let mut booted = Command::new(root.join(".ci/booted"));
    let told = booted
        .arg(&given)
        .arg("keeper.sh")
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&told.stdout);
    report(&text);
    match told.status.code() {
        Some(0) => assert!(text.matches("holds: ").count() >= 8, "{text}"),
        // A tool that is missing, who runs it, or a kernel that starts no such machine.
        Some(77) => skipped(text.trim()),
        code => panic!("{code:?}: {text}{}", String::from_utf8_lossy(&told.stderr)),
    }
}
