//! Devices of a story: a home folder each, and terminals in which commands run.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::Sender,
    thread,
};

use image::{Rgb, RgbImage};
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::archives;

/// What the devices hear of each other beside what they are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Neighbourhood {
    /// Nothing.
    Quiet,
    /// They find each other by multicast on this machine alone.
    Loud,
}

/// Photos that the first device finds on its disk.
const PICTURES: &[&str] = &[
    "20230714_101500.png",
    "20230715_183000.png",
    "20230716_090000.png",
];

/// Makes a device's home folder, with photos and settings that keep it on this machine.
pub(crate) fn furnish(home: &Path, neighbourhood: Neighbourhood, has_photos: bool) {
    let data = home.join(".local/share/heirloom");
    let mut builder = fs::DirBuilder::new();
    builder
        .mode(0o700)
        .recursive(true)
        .create(&data)
        .expect("a new folder");
    let discovery = neighbourhood == Neighbourhood::Loud;
    let settings =
        format!("[network]\nlisten = [\"/ip4/127.0.0.1/tcp/0\"]\ndiscovery = {discovery}\n");
    fs::write(data.join("config.toml"), settings).expect("settings");
    for folder in ["Desktop", "usb"] {
        fs::create_dir(home.join(folder)).expect("a new folder");
    }
    if !has_photos {
        return;
    }
    let folder = home.join("Pictures");
    fs::create_dir(&folder).expect("a new folder");
    for (number, name) in (1..).zip(PICTURES) {
        let picture = RgbImage::from_fn(64, 48, |x, y| {
            let byte = |n: u32| n.to_le_bytes()[0];
            Rgb([byte(x * number), byte(y * number), byte(x + y)])
        });
        picture.save(folder.join(name)).expect("a picture");
    }
    fs::write(folder.join("notes.txt"), "no photo\n").expect("a file");
    takeout(&home.join("Takeout"));
}

/// Two parts of what Google Takeout hands out: what is said of a photo lies in the other part.
fn takeout(folder: &Path) {
    fs::create_dir(folder).expect("a new folder");
    let picture = |red: u8| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        RgbImage::from_pixel(40, 30, Rgb([red, 90, 120]))
            .write_to(&mut bytes, image::ImageFormat::Png)
            .expect("a picture");
        bytes.into_inner()
    };
    let said = br#"{"title": "IMG_1.png", "photoTakenTime": {"timestamp": "1561975200"}}"#;
    let year = "Takeout/Google Photos/Photos from 2019";
    let name = |name: &str| format!("{year}/{name}");
    let first = archives::zip(&[(&name("IMG_1.png"), &picture(10))]);
    let second = archives::tar(&[
        (&name("IMG_1.png.supplemental-metadata.json"), said),
        (&name("IMG_2.png"), &picture(200)),
    ]);
    for (part, bytes) in [("001.zip", first), ("002.tgz", archives::gzip(&second))] {
        let name = format!("takeout-20261101T120000Z-1-{part}");
        fs::write(folder.join(name), bytes).expect("a file");
    }
}

/// What came from a terminal.
pub(crate) enum Heard {
    Text(Vec<u8>),
    End,
}

/// A command in its terminal: a person types, what is shown comes as one stream.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    /// What was shown and is not read yet.
    pub(crate) unread: String,
    /// All that was shown and typed, for whoever looks for a fault.
    pub(crate) shown: String,
    pub(crate) is_silent: bool,
}

impl Terminal {
    /// Starts the program in a home; what it shows is sent under a number.
    pub(crate) fn open(
        home: &Path,
        args: &[String],
        number: usize,
        heard: Sender<(usize, Heard)>,
    ) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keys)
            .and_then(|()| unlockpt(&keys))
            .expect("a terminal of our own");
        let name = ptsname(&keys, Vec::new()).expect("its name");
        let screen = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())
            .expect("its other side");
        let (output, input) = std::io::pipe().expect("a pipe");
        let errors = input.try_clone().expect("a second end");
        let environment: BTreeMap<&str, PathBuf> = [
            ("HOME", home.to_owned()),
            ("TERM", "dumb".into()),
            ("LANG", "C.UTF-8".into()),
        ]
        .into();
        let child = Command::new(env!("CARGO_BIN_EXE_heirloom"))
            .args(args)
            .env_clear()
            .envs(environment)
            .current_dir(home)
            .stdin(Stdio::from(screen))
            .stdout(input)
            .stderr(errors)
            .spawn()
            .expect("the program starts");
        thread::spawn(move || listen(output, number, &heard));
        Self {
            child,
            keys: File::from(keys),
            unread: String::new(),
            shown: String::new(),
            is_silent: false,
        }
    }

    /// Types a line.
    pub(crate) fn type_in(&mut self, line: &str) {
        self.shown.push_str(&format!("{line}\n"));
        self.keys
            .write_all(format!("{line}\n").as_bytes())
            .expect("a terminal that reads");
    }

    /// The exit code of a command that is silent for good.
    pub(crate) fn exit(&mut self) -> i32 {
        let status = self.child.wait().expect("it ends");
        status.code().unwrap_or(-1)
    }

    /// Asks it to end, as a system does that shuts down.
    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process of ours"), Signal::TERM).expect("a child of ours");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(mut output: impl Read, number: usize, heard: &Sender<(usize, Heard)>) {
    let mut bytes = [0; 4096];
    loop {
        let told = match output.read(&mut bytes) {
            Ok(0) | Err(_) => Heard::End,
            Ok(count) => Heard::Text(bytes[..count].to_vec()),
        };
        let is_last = matches!(told, Heard::End);
        // Nobody listens any more once a story has failed.
        if heard.send((number, told)).is_err() || is_last {
            return;
        }
    }
}
