//! Two network namespaces and a bad cable between them: frames are late, overtake each other, and get lost.

use std::{
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use super::namespaces::{End, ip, lacking};

/// What passes frames on.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/devices/wire.py");

/// Why there can be no bad cable here.
pub(crate) fn lacking_wire() -> Option<&'static str> {
    let found = Command::new("python3").arg("-V").output();
    match found {
        Ok(found) if found.status.success() => lacking(),
        _ => Some("a bad cable needs python3"),
    }
}

/// The namespaces. Gone when dropped.
pub(crate) struct Wire {
    pub(crate) ends: [End; 2],
    middle: End,
    program: Option<(Child, BufReader<ChildStdout>)>,
}

impl Wire {
    pub(crate) fn new(tag: char, seed: u64) -> Self {
        let end = |nth: u8| {
            let name = format!("hl{}{tag}{nth}", std::process::id());
            let link = format!("e{name}");
            let ip = Ipv4Addr::new(10, 78, 0, nth);
            End { name, link, ip }
        };
        // Made first, so that a failure below takes away what is there.
        let mut wire = Self {
            ends: [end(1), end(2)],
            middle: end(0),
            program: None,
        };
        for end in wire.ends.iter().chain([&wire.middle]) {
            ip(&["netns", "add", &end.name]);
            end.ip(&["link", "set", "lo", "up"]);
        }
        let middle = &wire.middle;
        for (end, port) in wire.ends.iter().zip(["one", "other"]) {
            end.ip(&[
                "link",
                "add",
                &end.link,
                "type",
                "veth",
                "peer",
                "name",
                port,
                "netns",
                &middle.name,
            ]);
            let address = format!("{}/24", end.ip);
            end.ip(&["address", "add", &address, "dev", &end.link]);
            end.ip(&["link", "set", &end.link, "up"]);
            middle.ip(&["link", "set", port, "up"]);
            let done = python(end, &["plain", &end.link]).status();
            assert!(done.expect("python3").success());
        }
        let mut program = python(middle, &["one", "other", &seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut said = BufReader::new(program.stdout.take().expect("piped"));
        let mut ready = String::new();
        said.read_line(&mut ready).expect("readable");
        assert_eq!(ready, "ready\n");
        wire.program = Some((program, said));
        wire
    }

    /// Cuts the cable; what became of the frames: `passed`, `lost`, `overtaken`.
    pub(crate) fn cut(&mut self) -> Value {
        let (mut program, mut said) = self.program.take().expect("it was not cut");
        drop(program.stdin.take());
        let mut told = String::new();
        said.read_line(&mut told).expect("readable");
        program.wait().expect("it ends");
        serde_json::from_str(&told).expect("JSON")
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some((program, _)) = &mut self.program {
            // An error says that it has ended.
            let _ = program.kill();
            let _ = program.wait();
        }
        for end in self.ends.iter().chain([&self.middle]) {
            // One that was not made cannot be taken away.
            let _ = Command::new("ip")
                .args(["netns", "del", &end.name])
                .output();
        }
    }
}

fn python(end: &End, args: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &end.name, "python3", PROGRAM]);
    command.args(args);
    command
}
