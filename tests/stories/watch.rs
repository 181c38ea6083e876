//! Folders that are followed by a real node: what comes is taken, what goes takes nothing along.
#![cfg(unix)]

use std::{fs, path::Path, time::Duration};

use crate::devices::{Device, Dice, Homes, link, pair, pictures, wait_until};
use serde_json::Value;

/// How long a file may take until it is listed.
const ARRIVES: Duration = Duration::from_secs(60);

fn put(dir: &Path, name: &str, dice: &mut Dice) {
    fs::create_dir_all(dir).expect("a folder");
    fs::write(dir.join(name), pictures::bmp(32, dice)).expect("a photo");
}

fn names(device: &Device) -> Vec<String> {
    let assets = device.assets();
    let name = |asset: &Value| asset["name"].as_str().expect("a name").to_owned();
    let mut names: Vec<_> = assets.iter().map(name).collect();
    names.sort();
    names
}

#[track_caller]
fn arrive(device: &Device, wanted: &[&str]) {
    let what = format!("{wanted:?} are listed");
    wait_until(&what, ARRIVES, || names(device) == wanted);
}

#[test]
fn what_comes_into_a_folder_is_there_whatever_happens_to_it_there() {
    let homes = Homes::new();
    let (device, mut dice) = (homes.device("laptop"), Dice::new());
    let folder = homes.path().join("Camera");
    device.init("Berger", "Anna", "laptop");
    put(&folder, "before.bmp", &mut dice);
    let dir = folder.to_str().expect("UTF-8");
    let added = device.ok(&["watch", "add", dir, "--album", "Summer"]);
    assert_eq!(added[0]["album"], "Summer", "{added:?}");
    assert_eq!(added[1]["runs"], false, "{added:?}");
    assert_eq!(
        names(&device),
        [""; 0],
        "nothing happens before a node runs"
    );

    let node = device.serve();
    arrive(&device, &["before.bmp"]);
    // In a folder below that was not there before, with its text beside it.
    put(&folder.join("new/deep"), "during.bmp", &mut dice);
    fs::write(folder.join("new/notes.txt"), "no photo").expect("a text");
    arrive(&device, &["before.bmp", "during.bmp"]);
    wait_until("its picture is made", ARRIVES, || {
        device
            .assets()
            .iter()
            .all(|asset| asset["preview"] == "made")
    });
    let first = device.assets();
    assert!(
        first.iter().all(|asset| asset["albums"][0] == "Summer"),
        "{first:?}"
    );

    // Deleted there and put into the trash here: neither touches the other, and it does not come back.
    fs::remove_file(folder.join("before.bmp")).expect("removed");
    let id = first
        .iter()
        .find(|asset| asset["name"] == "during.bmp")
        .expect("listed")["id"]
        .clone();
    device.ok(&["trash", id.as_str().expect("an id")]);
    put(&folder, "later.bmp", &mut dice);
    arrive(&device, &["before.bmp", "later.bmp"]);
    node.stop();

    // What comes while no node runs, and a folder that is found at another start.
    put(&folder, "meanwhile.bmp", &mut dice);
    let node = device.serve();
    arrive(&device, &["before.bmp", "later.bmp", "meanwhile.bmp"]);
    let listed = device.ok(&["watch", "list"]);
    assert_eq!(listed[0]["there"], true, "{listed:?}");

    // A folder that is followed no more, beside one that is.
    let other = homes.path().join("Phone");
    fs::create_dir(&other).expect("a folder");
    device.ok(&["watch", "remove", dir]);
    device.ok(&["watch", "add", other.to_str().expect("UTF-8")]);
    put(&folder, "unseen.bmp", &mut dice);
    put(&other, "phone.bmp", &mut dice);
    arrive(
        &device,
        &["before.bmp", "later.bmp", "meanwhile.bmp", "phone.bmp"],
    );
    let phone = device.assets();
    let phone = phone.iter().find(|asset| asset["name"] == "phone.bmp");
    assert_eq!(phone.expect("listed")["albums"][0], "Library");
    // A disk that is unplugged is named, and is followed again once it is back.
    let away = homes.path().join("Away");
    fs::rename(&other, &away).expect("renamed");
    assert!(is_missed(&device));
    fs::rename(&away, &other).expect("renamed");
    assert!(!is_missed(&device));
    node.stop();
    device.is_whole();
    device.never_panicked();
}

#[test]
fn a_folder_that_cannot_be_imported_keeps_no_other_waiting() {
    let homes = Homes::new();
    let [a, b] = ["a", "b"].map(|name| homes.device(name));
    let mut dice = Dice::new();
    a.init("Berger", "Anna", "laptop");
    a.ok(&["album", "create", "First"]);
    let node = a.serve();
    pair(&a, &["--person", "Ben"], &b, "Ben's", link);
    a.ok(&["share", "First", "Ben", "--role", "contributor"]);
    b.ok(&["sync"]);
    // Folders are looked at in the order of their names.
    let [barred, open] = ["A", "B"].map(|name| homes.path().join(name));
    put(&barred, "barred.bmp", &mut dice);
    put(&open, "open.bmp", &mut dice);
    b.ok(&[
        "watch",
        "add",
        barred.to_str().expect("UTF-8"),
        "--album",
        "First",
    ]);
    b.ok(&[
        "watch",
        "add",
        open.to_str().expect("UTF-8"),
        "--album",
        "Mine",
    ]);
    a.ok(&["share", "First", "Ben", "--role", "viewer"]);
    b.ok(&["sync"]);
    let other = b.serve();
    arrive(&b, &["open.bmp"]);
    // What was held up comes as soon as it may.
    a.ok(&["share", "First", "Ben", "--role", "contributor"]);
    other.stop();
    b.ok(&["sync"]);
    let other = b.serve();
    arrive(&b, &["barred.bmp", "open.bmp"]);
    other.stop();
    node.stop();
}

fn is_missed(device: &Device) -> bool {
    let status = device.ok(&["status"]);
    let problems = status[0]["problem_details"].as_array().expect("a list");
    problems
        .iter()
        .any(|problem| problem["id"] == "folder-missing")
}

/// The program that strace runs.
#[cfg(target_os = "linux")]
fn traced(strace: u32) -> rustix::process::Pid {
    let path = format!("/proc/{strace}/task/{strace}/children");
    let children = fs::read_to_string(path).expect("it runs");
    let child = children.split_whitespace().next().expect("a child");
    rustix::process::Pid::from_raw(child.parse().expect("a number")).expect("a process")
}

#[cfg(target_os = "linux")]
fn threads(process: rustix::process::Pid) -> usize {
    let tasks = format!("/proc/{}/task", process.as_raw_nonzero());
    fs::read_dir(tasks).expect("it runs").count()
}

/// Whether a process is gone but for what its parent has not taken note of.
#[cfg(target_os = "linux")]
fn has_ended(process: rustix::process::Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()));
    status.map_or(true, |status| status.contains("State:\tZ"))
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_hangs_costs_one_thread_and_keeps_nobody_waiting() {
    if let Some(why) = crate::devices::strace::missing() {
        crate::devices::skipped(&why);
        return;
    }
    let homes = Homes::new();
    let device = homes.device("laptop");
    let folder = homes.path().join("Share");
    fs::create_dir(&folder).expect("a folder");
    device.init("Berger", "Anna", "laptop");
    let dir = folder.to_str().expect("UTF-8");
    device.ok(&["watch", "add", dir, "--album", "Summer"]);
    // Whoever asks for the folder waits for longer than this test takes.
    let mut hung = device.clone();
    let hangs = [
        "-e",
        "trace=statx",
        "-e",
        "inject=statx:delay_enter=300000000",
        "-P",
        dir,
    ];
    let words = ["strace", "-f", "-qq", "-o", "/dev/null"];
    hung.prefix = words
        .iter()
        .chain(&hangs)
        .map(|word| (*word).to_owned())
        .collect();
    let node = hung.serve();
    let process = traced(node.id());
    assert!(is_missed(&device));
    let before = threads(process);
    let begun = std::time::Instant::now();
    for _ in 0..12 {
        assert!(is_missed(&device));
    }
    let (took, after) = (begun.elapsed(), threads(process));
    crate::devices::report(&format!(
        "12 looks took {took:?}; {before} threads before, {after} after"
    ));
    assert!(after <= before + 4, "{before}, then {after}");
    // It can be followed no more, and the node ends.
    device.ok(&["watch", "remove", dir]);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("it runs");
    wait_until("the node ends", ARRIVES, || has_ended(process));
    // What is left is strace, which goes on holding what is gone.
    node.kill();
    device.never_panicked();
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let homes = Homes::new();
    let device = homes.device("laptop");
    device.init("Berger", "Anna", "laptop");
    let inside = device.home.join("blobs");
    let missing = homes.path().join("missing");
    let file = homes.path().join("file.jpg");
    fs::write(&file, "x").expect("a file");
    for (act, path, id) in [
        ("add", &inside, "E-USAGE"),
        ("add", &file, "E-USAGE"),
        ("add", &missing, "E-NOT-FOUND"),
        ("remove", &missing, "E-NOT-FOUND"),
    ] {
        let (error, _) = device.run(&["watch", act, path.to_str().expect("UTF-8")], "");
        assert_eq!(error["id"], id, "{act} {}: {error}", path.display());
    }
    let lines = device.ok(&["watch", "list"]);
    assert_eq!(lines[0]["count"], 0, "{lines:?}");
}
