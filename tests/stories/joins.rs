//! A join that is killed at its last step: it is finished, or begun again, and nobody is harmed.
#![cfg(target_os = "linux")]

use std::path::PathBuf;

use crate::devices::{
    Device, Homes, LOOPBACK, Running, skipped,
    strace::{self, Fault, Harm, Trace},
};
use serde_json::Value;

/// Makes an invite, and has a device join with its link under strace, which kills it at a call on a file.
fn killed(
    laptop: &Device,
    whom: &[&str],
    joiner: &Device,
    call: &'static str,
    at: PathBuf,
) -> String {
    let mut invite = laptop.start(&[&["--yes", "invite"], whom].concat());
    let link = invite.line("invite")["code"]
        .as_str()
        .expect("a link")
        .to_owned();
    let mut doomed = joiner.clone();
    let fault = Fault {
        call,
        harm: Harm::Kill,
        nth: 1,
        at: Some(at),
    };
    Trace::arm(&mut doomed, &fault, &joiner.home.with_extension("trace"));
    let mut joining = doomed.start(&["--yes", "join", "-"]);
    joining.say(&format!("{link}\n"));
    let (lines, exit) = joining.fate();
    assert_ne!(exit, Some(0), "{lines:?}");
    // It let the device in, or does not know: either way the code is spent.
    drop(invite);
    link
}

fn devices(device: &Device) -> Vec<Value> {
    let mut lines = device.ok(&["device", "list"]);
    lines.retain(|line| line["type"] == "device");
    lines
}

/// A node on the same port as before.
fn serve_again(laptop: &Device, port: u16) -> Running {
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    laptop.serve_with(&["--no-discovery", "--listen", &listen])
}

#[test]
fn a_join_that_is_killed_at_its_last_step_is_finished_by_the_next_one() {
    if let Some(why) = strace::missing() {
        return skipped(&why);
    }
    let homes = Homes::new();
    let [laptop, phone] = ["laptop", "phone"].map(|name| homes.device(name));
    laptop.init("Berger", "Anna", "laptop");
    let node = laptop.serve_with(&["--no-discovery", "--listen", LOOPBACK]);
    let port = node.port();
    let key = phone.home.join("keys/device.tmp");
    let link = killed(&laptop, &["--person", "Ben"], &phone, "openat", key);
    assert_eq!(devices(&laptop).len(), 2, "it was let in");
    let (error, exit) = phone.start(&["list"]).end();
    assert_eq!((&error["id"], exit), (&"E-NOT-SET-UP".into(), 5), "{error}");

    // Its inviter is not there: nothing comes of another try, and nothing is lost by it.
    node.stop();
    let (error, exit) = phone.join(&link);
    assert!([6, 75].contains(&exit), "{error}");
    let node = serve_again(&laptop, port);
    let (joined, exit) = phone.join(&link);
    assert_eq!(exit, 0, "{joined}");
    assert_eq!(joined["recovery"].as_array().map(Vec::len), Some(24));
    phone.ok(&["sync"]);
    assert_eq!(devices(&laptop).len(), 2);
    assert_eq!(devices(&phone).len(), 2);
    let albums = phone.ok(&["album", "list"]);
    let libraries = albums.iter().filter(|album| album["name"] == "Library");
    assert_eq!(libraries.count(), 1, "{albums:?}");
    let (error, exit) = phone.join(&link);
    assert_eq!(
        (&error["id"], exit),
        (&"E-ALREADY-SET-UP".into(), 1),
        "{error}"
    );
    node.stop();
    laptop.never_panicked();
    phone.never_panicked();
}

#[test]
fn a_join_that_is_killed_goes_on_with_a_new_invite_wherever_the_inviter_is_by_then() {
    if let Some(why) = strace::missing() {
        return skipped(&why);
    }
    let homes = Homes::new();
    let [laptop, phone] = ["laptop", "phone"].map(|name| homes.device(name));
    laptop.init("Berger", "Anna", "laptop");
    let node = laptop.serve();
    let key = phone.home.join("keys/device.tmp");
    killed(&laptop, &["--device"], &phone, "openat", key);
    node.stop();
    // Another port, and another code.
    let node = laptop.serve();
    let mut invite = laptop.start(&["--yes", "invite", "--device"]);
    let link = invite.line("invite")["code"]
        .as_str()
        .expect("a link")
        .to_owned();
    let (joined, exit) = phone.join(&link);
    assert_eq!(exit, 0, "{joined}");
    drop(invite);
    phone.ok(&["sync"]);
    // There is one phone, and nothing that nobody has.
    assert_eq!(devices(&laptop).len(), 2);
    node.stop();
    laptop.never_panicked();
    phone.never_panicked();
}
