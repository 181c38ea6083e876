//! Import and export of generated photos, beside programs that do something like it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use heirloom_node::{
    import::{self, Counters, Listener, Outcome, Report, Request, Target},
    media::Pool,
};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    made,
    report::{Contest, rounds, say, time},
    world::{Home, options},
};

/// Adds up what became of the files.
#[derive(Default)]
struct Outcomes {
    added: AtomicU64,
    present: AtomicU64,
    other: AtomicU64,
}

impl Listener for Outcomes {
    fn file(&self, report: Report) {
        let counter = match report.outcome {
            Outcome::Added => &self.added,
            Outcome::Present => &self.present,
            _ => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn progress(&self, _counters: &Counters) {}
}

impl Outcomes {
    fn all(self) -> [u64; 3] {
        [self.added, self.present, self.other].map(AtomicU64::into_inner)
    }
}

/// Two sets of photos: many small ones, and some of the size that cameras make.
pub fn run(folder: &Path, runtime: &Runtime) {
    for (count, len) in [(10_000, 20 * 1024), (128, 4 * 1024 * 1024)] {
        let photos = folder.join("photos");
        made::files(&photos, count, len);
        contest(folder, &photos, count, runtime);
        fs::remove_dir_all(&photos).unwrap();
    }
}

fn contest(folder: &Path, photos: &Path, count: usize, runtime: &Runtime) {
    let (mut first, mut again, mut out) =
        (Contest::default(), Contest::default(), Contest::default());
    for _ in 0..rounds() {
        ours(
            folder,
            photos,
            count,
            runtime,
            [&mut first, &mut again, &mut out],
        );
        restic(folder, photos, [&mut first, &mut again, &mut out]);
        let copy = folder.join("copy");
        for (name, line) in [
            ("cp -r, then sync", "cp -r \"$1\" \"$2\" && sync -f \"$2\""),
            (
                "rsync -a, then sync",
                "rsync -a \"$1/\" \"$2/\" && sync -f \"$2\"",
            ),
        ] {
            let (ran, took) = time(|| shell(line, &[photos, &copy], folder));
            if ran {
                first.note(name, took);
                out.note(name, took);
                fs::remove_dir_all(&copy).unwrap();
            }
        }
    }
    let size = fs::metadata(photos.join("000/IMG_000000.JPG"))
        .unwrap()
        .len()
        / 1024;
    first.tell(&format!(
        "import of {count} photos of {size} KiB, durable, without previews"
    ));
    again.tell("the same again: nothing has changed");
    out.tell("export of them: files whole and durable");
}

fn ours(folder: &Path, photos: &Path, count: usize, runtime: &Runtime, into: [&mut Contest; 3]) {
    let [first, again, out] = into;
    let path = folder.join("home");
    let home = runtime.block_on(Home::found(&path));
    let (node, album) = runtime.block_on(async { (home.node().await, home.library().await) });
    let request = Request {
        paths: vec![photos.to_owned()],
        leave_out: None,
        target: Target::Album(album),
        since: None,
        titled: false,
        archives: false,
        dry_run: false,
        restore: false,
        seen_first: 0,
    };
    let count = u64::try_from(count).unwrap();
    let go = || {
        let (program, args) = options().worker;
        let pool = Arc::new(Pool::new(program, args, 0));
        let outcomes = Outcomes::default();
        import::run(&node, pool, &request, &AtomicBool::new(false), &outcomes).unwrap();
        outcomes.all()
    };
    let (outcomes, took) = time(go);
    assert_eq!(outcomes, [count, 0, 0]);
    first.note("heirloom import", took);
    let (outcomes, took) = time(go);
    assert_eq!(outcomes, [0, count, 0]);
    again.note("heirloom import", took);
    let dir = folder.join("exported");
    fs::create_dir(&dir).unwrap();
    let body = json!({"dir": dir, "sidecars": "none"});
    let (told, took) = time(|| runtime.block_on(home.ask("export", &body)));
    assert_eq!(told.last["written"], count);
    out.note("heirloom export", took);
    fs::remove_dir_all(&dir).unwrap();
    drop(node);
    runtime.block_on(home.close());
    fs::remove_dir_all(&path).unwrap();
}

fn restic(folder: &Path, photos: &Path, into: [&mut Contest; 3]) {
    let repository = folder.join("restic");
    if !shell("restic -q -r \"$1\" init", &[&repository], folder) {
        return;
    }
    let [first, again, out] = into;
    let backup = "restic -q -r \"$1\" backup \"$2\"";
    for contest in [first, again] {
        let (ran, took) = time(|| shell(backup, &[&repository, photos], folder));
        assert!(ran);
        contest.note("restic backup", took);
    }
    let target = folder.join("restored");
    let restore = "restic -q -r \"$1\" restore latest --target \"$2\" && sync -f \"$2\"";
    let (ran, took) = time(|| shell(restore, &[&repository, &target], folder));
    assert!(ran);
    out.note("restic restore, then sync", took);
    fs::remove_dir_all(&repository).unwrap();
    fs::remove_dir_all(&target).unwrap();
}

/// Runs a line of shell; false where its program is not installed.
fn shell(line: &str, args: &[&Path], folder: &Path) -> bool {
    let program = line.split(' ').next().unwrap();
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status();
    if !found.unwrap().success() {
        say(format!("skipped: {program} is not installed"));
        return false;
    }
    let status = Command::new("sh")
        .args(["-c", line, "sh"])
        .args(args)
        .env("RESTIC_PASSWORD", "bench")
        .env("RESTIC_CACHE_DIR", folder.join("restic-cache"))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{line}: {status}");
    true
}
