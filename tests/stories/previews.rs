//! Pictures of photos that are lost, or could not be made the first time: they are there again.
#![cfg(target_os = "linux")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::devices::{Device, Dice, Homes, alike, files, pictures, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);

fn import(device: &Device, path: &Path) {
    device.ok(&["import", path.to_str().expect("UTF-8"), "--album", "Sea"]);
}

fn forget_packs(device: &Device) {
    let packs = files(&device.home.join("blobs/packs"));
    assert!(!packs.is_empty());
    for pack in packs {
        fs::remove_file(pack).expect("it was there");
    }
}

fn all_shown(assets: &[Value]) -> bool {
    let photos = assets.iter().filter(|asset| asset["preview"] == "made");
    let mut here = photos.map(|asset| &asset["here"]);
    here.clone().count() == 4
        && here.all(|here| here["preview"] == true && here["thumbnail"] == true)
}

#[test]
fn lost_previews_are_made_again_from_their_originals() {
    let (homes, mut dice) = (Homes::new(), Dice::new());
    let a = homes.device("a");
    a.init("Berger", "Anna", "laptop");
    let source = homes.path().join("photos");
    fs::create_dir(&source).expect("a folder");
    for number in 0..4 {
        // Originals lie in files of their own, their pictures in a pack.
        let photo = pictures::bmp(320 + number, &mut dice);
        fs::write(source.join(format!("{number}.bmp")), photo).expect("a photo");
    }
    import(&a, &source);
    let before = a.assets();
    assert!(all_shown(&before), "{before:?}");
    forget_packs(&a);
    assert!(a.start(&["verify"]).end().1 == 9);
    let (told, exit) = a.start(&["verify", "--repair"]).end();
    assert_eq!(
        (exit, &told["damaged"], &told["repaired"]),
        (0, &8.into(), &8.into()),
        "{told}"
    );
    let after = a.assets();
    assert!(all_shown(&after), "{after:?}");
    assert_eq!(alike(&after), alike(&before), "nothing is said anew");
    a.is_whole();
    // A node does it by itself, where it is clear that not the whole disk is missing.
    for number in 0..12 {
        let movie = pictures::movie(300_000, &mut dice);
        fs::write(source.join(format!("{number}.mp4")), movie).expect("a movie");
    }
    import(&a, &source);
    forget_packs(&a);
    let node = a.serve();
    wait_until("pictures are made again", PATIENCE, || {
        all_shown(&a.assets())
    });
    let (told, exit) = a.start(&["verify", "--read-data"]).end();
    assert_eq!(exit, 0, "{told}");
    node.stop();
    a.never_panicked();
}

/// Ends workers of a node once they are at work, until it is dropped.
struct Killer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u32>>,
}

impl Killer {
    fn of(node: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut killed = 0;
            while !stopped.load(Ordering::Relaxed) {
                killed += kill_busy_workers(node);
                std::thread::yield_now();
            }
            killed
        });
        let thread = Some(thread);
        Self { stop, thread }
    }

    fn end(mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it runs");
        thread.join().expect("it ends")
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Processor time, in ticks, after which a worker has long begun.
const BEGUN: u64 = 5;

fn kill_busy_workers(node: u32) -> u32 {
    let children = format!("/proc/{node}/task");
    let mut killed = 0;
    for thread in fs::read_dir(children).into_iter().flatten().flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let words = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            // The name stands in brackets and may hold anything; after it, user time is the 12th field.
            let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
            let ticks = fields
                .split_whitespace()
                .nth(11)
                .and_then(|t| t.parse().ok());
            let is_worker = words.windows(13).any(|word| word == b"worker-decode");
            if !is_worker || ticks.unwrap_or(0) < BEGUN {
                continue;
            }
            let id = child.parse().ok().and_then(Pid::from_raw);
            killed += u32::from(id.is_some_and(|id| kill_process(id, Signal::KILL).is_ok()));
        }
    }
    killed
}

fn state(device: &Device, name: &str) -> Value {
    let assets = device.assets();
    let asset = assets.into_iter().find(|asset| asset["name"] == name);
    asset.expect("it is there")["preview"].clone()
}

#[test]
fn a_worker_that_is_ended_from_outside_is_not_the_last_word_on_a_photo() {
    let (homes, mut dice) = (Homes::new(), Dice::new());
    let a = homes.device("a");
    a.init("Berger", "Anna", "laptop");
    let large = homes.path().join("large.bmp");
    fs::write(&large, pictures::bmp(4000, &mut dice)).expect("a photo");
    let node = a.serve();
    let killer = Killer::of(node.id());
    import(&a, &large);
    assert!(killer.end() > 0, "no worker was seen at work");
    assert_eq!(state(&a, "large.bmp"), "pending");
    // Not in the same run: it may be what makes memory short.
    let small = homes.path().join("small.bmp");
    fs::write(&small, pictures::bmp(50, &mut dice)).expect("a photo");
    import(&a, &small);
    assert_eq!(
        (state(&a, "small.bmp"), state(&a, "large.bmp")),
        ("made".into(), "pending".into())
    );
    node.stop();
    // The next one tries it once more, and that is all.
    let node = a.serve();
    let killer = Killer::of(node.id());
    wait_until("it is given up", PATIENCE, || {
        state(&a, "large.bmp") == "none"
    });
    assert!(killer.end() > 0, "no worker was seen at work");
    node.stop();
    let node = a.serve();
    import(&a, &small);
    assert_eq!(state(&a, "large.bmp"), "none");
    // A person may ask for it.
    let (told, exit) = a.start(&["verify", "--repair"]).end();
    assert_eq!(exit, 0, "{told}");
    assert_eq!(state(&a, "large.bmp"), "made");
    node.stop();
    a.never_panicked();
}
